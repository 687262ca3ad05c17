// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_SLAB_H
#define KERNEL_TEST_LINUX_SLAB_H

#include <linux/gfp.h>

#define struct_size(p, member, n) (sizeof(*(p)) + (n) * sizeof(*(p)->member))

// memory.cc
void* kvzalloc(size_t size, gfp_t gfp);
void kvfree(const void* block);

#endif
