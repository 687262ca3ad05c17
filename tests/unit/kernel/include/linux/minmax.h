// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_MINMAX_H
#define KERNEL_TEST_LINUX_MINMAX_H

// For C only: a macro of this name is the end of std::min.
#define min_t(type, x, y) ((type)(x) < (type)(y) ? (type)(x) : (type)(y))
#define max_t(type, x, y) ((type)(x) > (type)(y) ? (type)(x) : (type)(y))
#define clamp_t(type, value, low, high) min_t(type, max_t(type, value, low), high)
#define min(x, y) min_t(__typeof__((x) + 0), x, y)

#endif
