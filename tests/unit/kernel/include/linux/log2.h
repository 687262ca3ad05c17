// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_LOG2_H
#define KERNEL_TEST_LINUX_LOG2_H

// Both undefined for 0, there as here.
#define ilog2(n) (63 - __builtin_clzl(n))

static inline unsigned long roundup_pow_of_two(unsigned long n)
{
    return n == 1 ? 1 : 1UL << (64 - __builtin_clzl(n - 1));
}

#endif
