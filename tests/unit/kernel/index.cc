// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"
#include "index_owner.h"
#include "memory.h"

#include <new>

using namespace dmsnap::test::kernel;

namespace {

/// Entries an index has in stock for when there is no memory.
constexpr unsigned stock = 4096;

/// Up to `n` entries, given back at once; how many there were.
unsigned allocate(Index& index, unsigned n)
{
    exception* list = nullptr;
    const unsigned got = interpose_index_alloc(index.get(), &list, n);
    unsigned in_list = 0;
    for (const exception* entry = list; entry != nullptr; entry = entry->next)
        ++in_list;
    CHECK(in_list == got);
    interpose_index_free(list);
    return got;
}

} // namespace

TEST_CASE("each chunk of a run is found where its step takes it, and none beside it", "[unit][kernel]")
{
    for (const auto buckets : {Index::Buckets::one, Index::Buckets::many}) {
        Index index(buckets);
        index.insert_run(10, 5, 3, 1000, 64);
        CHECK_FALSE(index.find(9, 1));
        for (u64 i = 0; i < 5; ++i)
            CHECK(index.find(10 + i, 3) == 1000 + i * 64);
        CHECK_FALSE(index.find(15, 1));
        CHECK_FALSE(index.find(12, 4));
    }
}

TEST_CASE("a run of 1 MiB chunks at the end of a large store keeps all 64 bits of its slots", "[unit][kernel]")
{
    constexpr u64 slot = u64{1} << 33;
    Index index(Index::Buckets::many);
    index.insert_run(u64{1} << 36, 3, 1, slot, 256);
    CHECK(index.find((u64{1} << 36) + 2, 1) == slot + 512);
}

TEST_CASE("many chunks spread over many buckets are all found, and swept one by one", "[unit][kernel]")
{
    Index index(Index::Buckets::many);
    const u64 empty = interpose_index_bytes(index.get());
    for (u64 chunk = 0; chunk < 500; ++chunk)
        index.insert(chunk * 7, 1 + chunk % 2, chunk);
    CHECK(interpose_index_bytes(index.get()) == empty + 500 * sizeof(exception));
    CHECK(index.sweep({2}) == 250);
    CHECK(interpose_index_bytes(index.get()) == empty + 250 * sizeof(exception));
    for (u64 chunk = 0; chunk < 500; ++chunk)
        CHECK(index.find(chunk * 7, 2) == (chunk % 2 == 1 ? std::optional(chunk) : std::nullopt));
    CHECK(index.sweep({}) == 250);
    CHECK(index.entries().empty());
}

TEST_CASE("without memory an index lives on its stock, and fills it up when there is some again", "[unit][kernel]")
{
    const std::size_t before = objects_in_use();
    {
        Index index;
        CHECK(objects_in_use() == before + stock);
        CHECK(allocate(index, 8) == 8);
        CHECK_FALSE(index.refill());
        {
            const NoMemory no_memory;
            CHECK(allocate(index, stock - 1) == stock - 1);
            CHECK(allocate(index, 2) == 1);
            CHECK(allocate(index, 1) == 0);
            CHECK(index.refill()); // in vain
            CHECK(objects_in_use() == before);
        }
        CHECK(allocate(index, 1) == 1);
        CHECK_FALSE(index.refill());
        {
            const NoMemory no_memory;
            CHECK(allocate(index, 1) == 0);
        }
        CHECK(index.refill());
        CHECK(objects_in_use() == before + stock);
        const NoMemory no_memory;
        CHECK(allocate(index, stock + 1) == stock);
    }
    CHECK(objects_in_use() == before);
}

TEST_CASE("with little memory what was got is what is reported", "[unit][kernel]")
{
    Index index;
    const ScarceMemory scarce(2);
    CHECK(allocate(index, 3 * stock) >= 2 * stock - 1);
}

TEST_CASE("an index that cannot be made leaves nothing behind", "[unit][kernel]")
{
    const Index first; // with it the cache of exceptions is there
    const std::size_t objects = objects_in_use();
    const std::size_t blocks = blocks_in_use();
    for (const unsigned nth : {1U, 2U, 100U, stock}) {
        const ScarceMemory scarce(nth);
        CHECK_THROWS_AS(Index(), std::bad_alloc);
        CHECK(objects_in_use() == objects);
        CHECK(blocks_in_use() == blocks);
    }
}
