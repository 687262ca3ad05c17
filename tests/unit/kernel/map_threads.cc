// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"
#include "map_owner.h"
#include "memory.h"
#include "module.h"

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

using namespace dmsnap::test::kernel;

// Each thread owns every fourth bit, so that all of them are after the same words and the same leaves at the same time.

namespace {

constexpr unsigned setters = 4;
constexpr u64 bits = 2 * leaf_bits;
/// Bits on either side of the border of the two leaves; both leaves are made anew in each round.
constexpr u64 low = leaf_bits - 1024;
constexpr u64 high = leaf_bits + 1024;

/// Runs `setter(i)` for each i below `setters`, and `beside()`, all at once.
template <typename Setter, typename Beside> void together(Setter setter, Beside beside)
{
    std::barrier start(setters + 1);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < setters; ++i)
        threads.emplace_back([&start, &setter, i] {
            start.arrive_and_wait();
            setter(i);
        });
    start.arrive_and_wait();
    beside();
    for (std::thread& thread : threads)
        thread.join();
}

void set_own(const MapPtr& map, unsigned i, map_fallback fallback)
{
    for (u64 bit = low + i; bit < high; bit += setters)
        set(map, bit, bit, fallback, GFP_NOWAIT);
}

u64 count_set(const MapPtr& map)
{
    u64 count = 0;
    for (u64 bit = next(map, 0, true); bit < bits; bit = next(map, bit + 1, true))
        ++count;
    return count;
}

} // namespace

TEST_CASE("no bit is lost when threads set bits of the same words, and no leaf is made twice", "[unit][kernel]")
{
    for (int round = 0; round < 200; ++round) {
        const MapPtr map = make_map(bits);
        together([&map](unsigned i) { set_own(map, i, MAP_FALLBACK_SET); }, [] {});
        INFO("round " << round);
        REQUIRE(holds_just(map, low, high - 1));
        REQUIRE(pages_in_use() == 2);
        REQUIRE(interpose_map_bytes(map.get()) == interpose_map_bytes_max(bits));
    }
    CHECK(pages_in_use() == 0);
}

TEST_CASE("a bit is seen by others as soon as it has been set", "[unit][kernel]")
{
    std::atomic<unsigned> missed = 0;
    for (int round = 0; round < 200; ++round) {
        const MapPtr map = make_map(bits);
        std::atomic<u64> reached[setters] = {};
        const auto setter = [&map, &reached](unsigned i) {
            for (u64 bit = low + i; bit < high; bit += setters) {
                set(map, bit, bit);
                reached[i].store(bit, std::memory_order_release);
            }
        };
        const auto watch = [&] {
            for (bool more = true; more;) {
                more = false;
                for (const std::atomic<u64>& position : reached) {
                    const u64 bit = position.load(std::memory_order_acquire);
                    more = more || bit < high - setters;
                    if (bit != 0 && !test(map, bit, bit))
                        ++missed;
                }
            }
        };
        together(setter, watch);
    }
    CHECK(missed == 0);
}

TEST_CASE("threads that run out of memory lose no bit that must not be lost", "[unit][kernel]")
{
    unsigned given_up = 0;
    for (int round = 0; round < 200; ++round) {
        const MapPtr map = make_map(bits);
        {
            const ScarceMemory scarce(2);
            together([&map](unsigned i) { set_own(map, i, MAP_FALLBACK_SET); }, [] {});
        }
        INFO("round " << round);
        REQUIRE(test(map, low, high - 1));
        for (u64 leaf = 0; leaf < 2; ++leaf) {
            // Either as it was asked for, or all of it.
            const u64 outside = leaf == 0 ? 0 : bits - 1;
            given_up += test(map, outside, outside);
            REQUIRE(test(map, outside, outside) == test(map, leaf * leaf_bits, (leaf + 1) * leaf_bits - 1));
        }
        REQUIRE(interpose_map_bytes(map.get()) == interpose_map_bytes_max(bits) - (2 - pages_in_use()) * PAGE_SIZE);
    }
    CHECK(given_up > 0);
    CHECK(pages_in_use() == 0);
}

TEST_CASE("threads that run out of memory set no bit that must not be set", "[unit][kernel]")
{
    for (int round = 0; round < 200; ++round) {
        const MapPtr map = make_map(bits);
        {
            const ScarceMemory scarce(3);
            together([&map](unsigned i) { set_own(map, i, MAP_FALLBACK_CLEAR); }, [] {});
        }
        INFO("round " << round);
        const u64 first = next(map, 0, true);
        REQUIRE(first >= low);
        REQUIRE(next(map, high, true) == bits);
        REQUIRE(count_set(map) <= high - low);
        // With memory the same again brings the rest.
        together([&map](unsigned i) { set_own(map, i, MAP_FALLBACK_CLEAR); }, [] {});
        REQUIRE(holds_just(map, low, high - 1));
    }
}

TEST_CASE("a merge into a map that is being written loses nothing of either", "[unit][kernel]")
{
    const MapPtr from = make_map(bits);
    // Every third bit: in each word some that the setters set too and some that they do not.
    for (u64 bit = low / 2; bit < bits; bit += 3)
        set(from, bit, bit);
    for (int round = 0; round < 100; ++round) {
        const MapPtr to = make_map(bits);
        together([&to](unsigned i) { set_own(to, i, MAP_FALLBACK_SET); },
            [&to, &from] {
                // Again and again, to be at the same words as the setters at some time.
                for (int merge = 0; merge < 50; ++merge)
                    interpose_map_merge(to.get(), from.get());
            });
        INFO("round " << round);
        REQUIRE(test(to, low, high - 1));
        u64 wrong = 0;
        for (u64 bit = 0; bit < bits; ++bit) {
            const bool wanted = (bit >= low && bit < high) || (bit >= low / 2 && (bit - low / 2) % 3 == 0);
            wrong += test(to, bit, bit) != wanted;
        }
        REQUIRE(wrong == 0);
    }
}
