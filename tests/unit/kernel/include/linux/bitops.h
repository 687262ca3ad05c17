// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_BITOPS_H
#define KERNEL_TEST_LINUX_BITOPS_H

// Undefined for 0, there as here.
static inline unsigned long __ffs(unsigned long word) { return (unsigned long)__builtin_ctzl(word); }

#endif
