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

extern "C" void* kvzalloc(size_t size, gfp_t)
{
    if (fails())
        return nullptr;
    void* block = std::calloc(1, size);
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
