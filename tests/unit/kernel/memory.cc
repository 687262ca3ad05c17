// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "memory.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

extern "C" {
#include <linux/slab.h>
}

namespace dmsnap::test::kernel {
namespace {

std::atomic<std::size_t> pages;
std::atomic<std::size_t> blocks;
std::atomic<std::size_t> objects;
std::atomic<unsigned> page_gfp;
std::atomic<unsigned> failing; // each how many-th, 0: none
std::atomic<unsigned> requests;

bool fails()
{
    const unsigned n = failing;
    return n != 0 && ++requests % n == 0;
}

} // namespace

std::size_t pages_in_use() { return pages; }
std::size_t blocks_in_use() { return blocks; }
std::size_t objects_in_use() { return objects; }
unsigned last_page_gfp() { return page_gfp; }

ScarceMemory::ScarceMemory(unsigned n) { failing = n; }
ScarceMemory::~ScarceMemory() { failing = 0; }

} // namespace dmsnap::test::kernel

using namespace dmsnap::test::kernel;

extern "C" unsigned long get_zeroed_page(gfp_t gfp)
{
    page_gfp = gfp;
    if (fails())
        return 0;
    void* page = std::aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    if (page == nullptr)
        std::abort();
    ++pages;
    return reinterpret_cast<unsigned long>(std::memset(page, 0, PAGE_SIZE));
}

extern "C" void free_page(unsigned long page)
{
    if (page == 0)
        return;
    --pages;
    std::free(reinterpret_cast<void*>(page));
}

extern "C" void* kvzalloc(size_t size, gfp_t gfp) { return kvcalloc(1, size, gfp); }

extern "C" void* kvcalloc(size_t n, size_t size, gfp_t)
{
    if (fails())
        return nullptr;
    void* block = std::calloc(n, size);
    if (block == nullptr)
        std::abort();
    ++blocks;
    return block;
}

extern "C" void kvfree(const void* block)
{
    if (block == nullptr)
        return;
    --blocks;
    std::free(const_cast<void*>(block));
}

struct kmem_cache {
    std::size_t size;
};

extern "C" kmem_cache* kmem_cache_create(const char*, unsigned size, unsigned, unsigned, void (*)(void*))
{
    return fails() ? nullptr : new kmem_cache{size};
}

extern "C" void kmem_cache_destroy(kmem_cache* cache) { delete cache; }

// Not zeroed, and so that the sanitizers see each of them.
extern "C" void* kmem_cache_alloc(kmem_cache* cache, gfp_t)
{
    if (fails())
        return nullptr;
    void* object = std::malloc(cache->size);
    if (object == nullptr)
        std::abort();
    std::memset(object, 0xa5, cache->size);
    ++objects;
    return object;
}

extern "C" void kmem_cache_free(kmem_cache*, void* object)
{
    --objects;
    std::free(object);
}
