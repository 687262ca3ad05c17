// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_SLAB_H
#define KERNEL_TEST_LINUX_SLAB_H

#include <errno.h>
#include <linux/gfp.h>

#define struct_size(p, member, n) (sizeof(*(p)) + (n) * sizeof(*(p)->member))

// memory.cc
void* kvzalloc(size_t size, gfp_t gfp);
void* kvcalloc(size_t n, size_t size, gfp_t gfp);
void kvfree(const void* block);

struct kmem_cache;
struct kmem_cache* kmem_cache_create(
    const char* name, unsigned int size, unsigned int align, unsigned int flags, void (*constructor)(void*));
void kmem_cache_destroy(struct kmem_cache* cache);
void* kmem_cache_alloc(struct kmem_cache* cache, gfp_t gfp);
void kmem_cache_free(struct kmem_cache* cache, void* object);

#endif
