// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"
#include "map_owner.h"
#include "memory.h"
#include "module.h"
#include "random.h"

#include <algorithm>
#include <climits>
#include <vector>

using namespace dmsnap::test::kernel;

namespace {

/// Sizes with their last bit around the ends of words and of leaves.
std::vector<u64> edge_sizes()
{
    std::vector<u64> sizes;
    for (u64 border : {u64{64}, u64{128}, leaf_bits, 2 * leaf_bits, 3 * leaf_bits})
        for (u64 size = border - 2; size <= border + 2; ++size)
            sizes.push_back(size);
    sizes.insert(sizes.end(), {1, 2, leaf_bits - 64, leaf_bits + 64});
    return sizes;
}

} // namespace

TEST_CASE("a new map is empty whatever its size", "[unit][kernel]")
{
    for (u64 bits : edge_sizes()) {
        INFO(bits << " bits");
        const MapPtr map = make_map(bits);
        CHECK(next(map, 0, true) == bits);
        CHECK(next(map, 0, false) == 0);
        CHECK_FALSE(test(map, 0, 0));
        CHECK_FALSE(test(map, bits - 1, bits - 1));
        CHECK(pages_in_use() == 0);
    }
}

TEST_CASE("each size of map takes its first bit, its last bit and all of them", "[unit][kernel]")
{
    for (u64 bits : edge_sizes()) {
        INFO(bits << " bits");
        const MapPtr first = make_map(bits), last = make_map(bits), all = make_map(bits);
        set(first, 0, 0);
        CHECK(holds_just(first, 0, 0));
        set(last, bits - 1, bits - 1);
        CHECK(holds_just(last, bits - 1, bits - 1));
        set(all, 0, bits - 1);
        CHECK(holds_just(all, 0, bits - 1));
        CHECK(test(all, 0, bits - 1));
        CHECK(test(first, 0, bits - 1) == (bits == 1));
        CHECK(next(all, bits, true) == bits);
        CHECK(next(all, bits, false) == bits);
    }
    CHECK(pages_in_use() == 0);
    CHECK(blocks_in_use() == 0);
}

TEST_CASE("each range around the border of two leaves is set as it is, and not a bit more", "[unit][kernel]")
{
    constexpr u64 low = leaf_bits - 66;
    constexpr u64 high = leaf_bits + 66;
    const MapPtr all = make_map(2 * leaf_bits);
    set(all, low, high);
    for (u64 first = low; first <= high; ++first)
        for (u64 last = first; last <= high; ++last) {
            const MapPtr map = make_map(2 * leaf_bits);
            set(map, first, last);
            INFO(first << " to " << last);
            REQUIRE(holds_just(map, first, last));
            REQUIRE(test(map, first, last));
            REQUIRE_FALSE(test(map, first - 1, last));
            REQUIRE_FALSE(test(map, first, last + 1));
            REQUIRE(test(all, first, last));
        }
}

TEST_CASE("one clear bit anywhere in a range is seen", "[unit][kernel]")
{
    constexpr u64 low = leaf_bits - 66;
    constexpr u64 high = leaf_bits + 66;
    for (u64 hole = low; hole <= high; ++hole) {
        const MapPtr map = make_map(2 * leaf_bits);
        set(map, 0, hole - 1);
        set(map, hole + 1, 2 * leaf_bits - 1);
        INFO("without " << hole);
        REQUIRE_FALSE(test(map, low, high));
        REQUIRE_FALSE(test(map, hole, hole));
        REQUIRE_FALSE(test(map, 0, 2 * leaf_bits - 1));
        REQUIRE(test(map, 0, hole - 1));
        REQUIRE(test(map, hole + 1, 2 * leaf_bits - 1));
        REQUIRE(next(map, 0, false) == hole);
        REQUIRE(next(map, hole, true) == hole + 1);
    }
}

TEST_CASE("one set bit anywhere in a range is seen, and none outside of it", "[unit][kernel]")
{
    constexpr u64 low = leaf_bits - 66;
    constexpr u64 high = leaf_bits + 66;
    for (u64 bit = low; bit <= high; ++bit) {
        const MapPtr map = make_map(3 * leaf_bits - 5);
        set(map, bit, bit);
        INFO("with " << bit);
        REQUIRE(touches(map, low, high));
        REQUIRE(touches(map, bit, bit));
        REQUIRE(touches(map, 0, 3 * leaf_bits));
        REQUIRE_FALSE(touches(map, 0, bit - 1));
        REQUIRE_FALSE(touches(map, bit + 1, 3 * leaf_bits));
        REQUIRE_FALSE(touches(map, 3 * leaf_bits - 5, 3 * leaf_bits));
    }
}

TEST_CASE("only the leaves that are touched have memory, and the bound holds", "[unit][kernel]")
{
    constexpr u64 bits = 100 * leaf_bits + 1;
    const MapPtr map = make_map(bits);
    const u64 empty = interpose_map_bytes(map.get());
    CHECK(empty < 101 * sizeof(void*) + 100);
    set(map, 5 * leaf_bits, 5 * leaf_bits);
    set(map, 5 * leaf_bits + 7, 5 * leaf_bits + 900);
    CHECK(pages_in_use() == 1);
    set(map, 7 * leaf_bits - 1, 7 * leaf_bits);
    CHECK(pages_in_use() == 3);
    CHECK(interpose_map_bytes(map.get()) == empty + 3 * PAGE_SIZE);
    set(map, 0, bits - 1);
    CHECK(pages_in_use() == 101);
    CHECK(interpose_map_bytes(map.get()) == interpose_map_bytes_max(bits));
    CHECK(interpose_map_bytes(nullptr) == 0);
}

TEST_CASE("a map of the largest origin is addressed to its last bit", "[unit][kernel]")
{
    constexpr u64 bits = u64{1} << 40; // INTERPOSE_CHUNKS_MAX; its array of leaves is 256 MiB that nobody touches
    const MapPtr map = make_map(bits);
    set(map, bits - 1, bits - 1);
    set(map, (u64{1} << 32) - 1, u64{1} << 32);
    CHECK(pages_in_use() == 3);
    CHECK(test(map, bits - 1, bits - 1));
    CHECK_FALSE(test(map, bits - 2, bits - 1));
    CHECK(next(map, (u64{1} << 32) - leaf_bits, true) == (u64{1} << 32) - 1);
    CHECK(next(map, (u64{1} << 32) - 1, false) == (u64{1} << 32) + 1);
    CHECK(next(map, bits - 2 * leaf_bits, true) == bits - 1);
    CHECK(next(map, bits - 1, false) == bits);
    CHECK(interpose_map_bytes_max(bits) > bits / 8);
}

TEST_CASE("a map that cannot be had is none, and none can be destroyed", "[unit][kernel]")
{
    {
        const NoMemory out;
        CHECK(interpose_map_create(leaf_bits) == nullptr);
    }
    interpose_map_destroy(nullptr);
    CHECK(blocks_in_use() == 0);
}

TEST_CASE("a leaf without memory becomes all set where that is safe", "[unit][kernel]")
{
    constexpr u64 bits = 2 * leaf_bits + 10;
    const MapPtr map = make_map(bits);
    {
        const NoMemory out;
        set(map, leaf_bits + 5, leaf_bits + 5, MAP_FALLBACK_SET);
    }
    CHECK(holds_just(map, leaf_bits, 2 * leaf_bits - 1));
    CHECK(pages_in_use() == 0);
    set(map, leaf_bits + 9, leaf_bits + 10); // memory is back: the leaf stays as it is
    CHECK(holds_just(map, leaf_bits, 2 * leaf_bits - 1));
    CHECK(pages_in_use() == 0);
    CHECK(interpose_map_bytes(map.get()) == interpose_map_bytes(make_map(bits).get()));
    {
        const NoMemory out;
        set(map, bits - 1, bits - 1, MAP_FALLBACK_SET);
    }
    CHECK(next(map, leaf_bits, false) == bits); // the short leaf at the end has no bits beyond
    CHECK(next(map, bits - 1, true) == bits - 1);
}

TEST_CASE("a leaf without memory stays clear where that is safe, and is tried again", "[unit][kernel]")
{
    const MapPtr map = make_map(3 * leaf_bits);
    set(map, leaf_bits, leaf_bits);
    {
        const NoMemory out;
        set(map, leaf_bits - 3, 2 * leaf_bits + 3, MAP_FALLBACK_CLEAR); // the middle leaf has memory already
    }
    CHECK(holds_just(map, leaf_bits, 2 * leaf_bits - 1));
    CHECK(pages_in_use() == 1);
    set(map, leaf_bits - 3, 2 * leaf_bits + 3, MAP_FALLBACK_CLEAR);
    CHECK(holds_just(map, leaf_bits - 3, 2 * leaf_bits + 3));
}

TEST_CASE("a write's path gets pages as it asked for them: without reclaim, without a warning", "[unit][kernel]")
{
    const MapPtr map = make_map(2 * leaf_bits);
    set(map, 0, 0, MAP_FALLBACK_SET, GFP_NOWAIT);
    CHECK(last_page_gfp() == (GFP_NOWAIT | __GFP_NOWARN));
    set(map, leaf_bits, leaf_bits, MAP_FALLBACK_CLEAR, GFP_NOIO);
    CHECK(last_page_gfp() == (GFP_NOIO | __GFP_NOWARN));
}

TEST_CASE("a merge adds and takes nothing away, whatever either leaf is", "[unit][kernel]")
{
    // Leaf by leaf: nothing, a page, everything; of the target by rows of three, of the source in turn.
    constexpr u64 bits = 9 * leaf_bits;
    const MapPtr to = make_map(bits), from = make_map(bits);
    for (u64 leaf = 0; leaf < 9; ++leaf) {
        const u64 begin = leaf * leaf_bits;
        const auto fill = [begin](const MapPtr& map, u64 kind, u64 bit) {
            if (kind == 1)
                set(map, begin + bit, begin + bit);
            if (kind == 2) {
                const NoMemory out;
                set(map, begin + bit, begin + bit);
            }
        };
        fill(to, leaf / 3, 100);
        fill(from, leaf % 3, 200);
    }
    interpose_map_merge(to.get(), from.get());
    for (u64 leaf = 0; leaf < 9; ++leaf) {
        const u64 begin = leaf * leaf_bits;
        const bool all = leaf / 3 == 2 || leaf % 3 == 2;
        INFO("leaf " << leaf);
        CHECK(test(to, begin, begin + leaf_bits - 1) == all);
        CHECK(test(to, begin + 100, begin + 100) == (all || leaf / 3 == 1));
        CHECK(test(to, begin + 200, begin + 200) == (all || leaf % 3 == 1));
        CHECK(test(to, begin + 300, begin + 300) == all);
    }
}

TEST_CASE("a merge without memory may say more, never less", "[unit][kernel]")
{
    constexpr u64 bits = 2 * leaf_bits + 70;
    const MapPtr to = make_map(bits), from = make_map(bits);
    set(to, 3, 3);
    set(from, 5, 5);
    set(from, bits - 1, bits - 1);
    {
        const NoMemory out;
        interpose_map_merge(to.get(), from.get());
    }
    CHECK(next(to, 0, true) == 3);
    CHECK(next(to, 4, true) == 5);
    CHECK(next(to, 6, true) == 2 * leaf_bits); // the leaf between is as clear as it was in both
    CHECK(next(to, 2 * leaf_bits, false) == bits);
}

TEST_CASE("the union of maps has the bits of each, also where one is all set", "[unit][kernel]")
{
    constexpr u64 bits = 3 * leaf_bits;
    const MapPtr a = make_map(bits), b = make_map(bits), c = make_map(bits);
    set(a, 10, 20);
    set(b, 21, 30);
    {
        const NoMemory out;
        set(c, leaf_bits, leaf_bits);
    }
    set(b, leaf_bits + 77, leaf_bits + 77);
    interpose_map* const maps[] = {a.get(), b.get(), c.get()};
    const auto find = [&maps](u64 from, bool set) {
        unsigned long limit = ULONG_MAX;
        return interpose_maps_next(maps, 3, bits, from, set, &limit);
    };
    CHECK(find(0, true) == 10);
    CHECK(find(10, false) == 31);
    CHECK(find(31, true) == leaf_bits);
    CHECK(find(leaf_bits, false) == 2 * leaf_bits);
    CHECK(find(2 * leaf_bits, true) == bits);
}

TEST_CASE("a search gives up after as many leaves as it may look at, and says where", "[unit][kernel]")
{
    constexpr u64 bits = 10 * leaf_bits + 1;
    const MapPtr map = make_map(bits);
    set(map, 4 * leaf_bits + 9, 4 * leaf_bits + 9);
    interpose_map* const maps[] = {map.get()};
    unsigned long limit = 3;
    CHECK(interpose_maps_next(maps, 1, bits, 17, true, &limit) == 3 * leaf_bits);
    CHECK(limit == 0);
    CHECK(interpose_maps_next(maps, 1, bits, 17, true, &limit) == 17); // nothing left to look with
    limit = 1;
    CHECK(interpose_maps_next(maps, 1, bits, 3 * leaf_bits, true, &limit) == 4 * leaf_bits);
    CHECK(limit == 0);
    limit = 1;
    CHECK(interpose_maps_next(maps, 1, bits, 4 * leaf_bits, true, &limit) == 4 * leaf_bits + 9);
    CHECK(limit == 1);
    // A leaf with memory and no bit further on counts like an empty one.
    CHECK(interpose_maps_next(maps, 1, bits, 4 * leaf_bits + 10, true, &limit) == 5 * leaf_bits);
    CHECK(limit == 0);
    limit = 100;
    CHECK(interpose_maps_next(maps, 1, bits, 5 * leaf_bits, true, &limit) == bits);
    CHECK(limit > 0);
}

TEST_CASE("beyond the end of any map of a union everything counts as set", "[unit][kernel]")
{
    constexpr u64 now = 4 * leaf_bits + 9;
    for (u64 end : {u64{1}, u64{63}, u64{64}, u64{65}, leaf_bits - 1, leaf_bits, leaf_bits + 1, 2 * leaf_bits + 70}) {
        INFO("a map of " << end);
        const MapPtr old = make_map(end), young = make_map(now);
        interpose_map* const maps[] = {young.get(), old.get()};
        const auto find = [&maps](u64 from, bool set) {
            unsigned long limit = ULONG_MAX;
            return interpose_maps_next(maps, 2, now, from, set, &limit);
        };
        CHECK(find(0, true) == end);
        CHECK(find(end, false) == now);
        CHECK(find(now - 1, true) == now - 1);
        set(young, 0, 0);
        CHECK(find(0, false) == (end == 1 ? now : 1));
    }
}

TEST_CASE("a map that is outgrown ends earlier, and takes bits beyond its end without a word", "[unit][kernel]")
{
    constexpr u64 bits = leaf_bits + 100;
    const MapPtr map = make_map(bits);
    set(map, 5, 5);
    interpose_map_outgrow(map.get(), bits - 1);
    CHECK(map->bits == bits - 1);
    interpose_map_outgrow(map.get(), bits + 1000);
    CHECK(map->bits == bits - 1);
    interpose_map* const maps[] = {map.get()};
    unsigned long limit = ULONG_MAX;
    CHECK(interpose_maps_next(maps, 1, 10 * leaf_bits, 6, true, &limit) == bits - 1);
    CHECK(interpose_maps_next(maps, 1, 10 * leaf_bits, bits - 1, false, &limit) == 10 * leaf_bits);
    set(map, bits - 1, 9 * leaf_bits);
    set(map, 8 * leaf_bits, 9 * leaf_bits);
    CHECK(interpose_maps_next(maps, 1, 10 * leaf_bits, 6, true, &limit) == bits - 1);
    set(map, bits - 3, 9 * leaf_bits);
    CHECK(interpose_maps_next(maps, 1, 10 * leaf_bits, 6, true, &limit) == bits - 3);
}

TEST_CASE("merged with a map that ends earlier, a map ends there too", "[unit][kernel]")
{
    for (u64 end : {u64{1}, leaf_bits - 1, leaf_bits, leaf_bits + 1, 3 * leaf_bits}) {
        INFO("a map of " << end);
        const MapPtr to = make_map(3 * leaf_bits), from = make_map(end);
        {
            const NoMemory out;
            set(from, end - 1, end - 1); // the whole of its last leaf
        }
        interpose_map_merge(to.get(), from.get());
        CHECK(to->bits == end);
        CHECK(next(to, 0, true) == (end - 1) / leaf_bits * leaf_bits);
    }
}
