// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_HASH_H
#define KERNEL_TEST_LINUX_HASH_H

#include <linux/types.h>

// Spreads values over 1 << bits buckets; which goes where is nobody's business.  With 0 bits there is but one.
static inline u32 hash_64(u64 value, unsigned int bits)
{
    return bits ? (u32)(value * 0x9e3779b97f4a7c15u >> (64 - bits)) : 0;
}

#endif
