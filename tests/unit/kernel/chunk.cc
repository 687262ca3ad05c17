// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"
#include "module.h"
#include "random.h"

#include <uapi/dm-interpose.h>

#include <algorithm>
#include <climits>

using namespace dmsnap::test::kernel;

namespace {

constexpr unsigned shift_of(unsigned sectors)
{
    unsigned shift = 0;
    while ((1U << shift) < sectors)
        ++shift;
    return shift;
}

constexpr unsigned smallest = shift_of(INTERPOSE_CHUNK_SECTORS_MIN);
constexpr unsigned largest = shift_of(INTERPOSE_CHUNK_SECTORS_MAX);
/// Sectors of the largest block device Linux can have: its bytes are counted in a signed 64-bit number.
constexpr u64 device_max = LLONG_MAX / 512;

/// One chunk as the sectors it covers on a device, found without shifts: [begin, end).
struct Extent {
    u64 begin;
    u64 end;
};

Extent extent_of(u64 chunk, u64 size, u64 length) { return {chunk * size, std::min((chunk + 1) * size, length)}; }

void check_device(u64 length, unsigned shift)
{
    const u64 size = u64{1} << shift;
    const u64 count = chunks_in(length, shift);
    INFO(length << " sectors in chunks of " << size);
    // The last chunk begins on the device and no further one would.
    REQUIRE(count > 0);
    CHECK((count - 1) * size < length);
    CHECK((length - 1) / size == count - 1);
    CHECK(chunk_nr(chunk_of_sector(length - 1, shift)) == count - 1);
    const Extent last = extent_of(count - 1, size, length);
    CHECK(chunks_sectors(chunk_at(count - 1), 1, shift, length) == last.end - last.begin);
    CHECK(chunks_sectors(chunk_at(0), count, shift, length) == length);
}

} // namespace

TEST_CASE("the chunk sizes of the interface are powers of two and the default is one of them", "[unit][kernel]")
{
    CHECK(1U << smallest == INTERPOSE_CHUNK_SECTORS_MIN);
    CHECK(1U << largest == INTERPOSE_CHUNK_SECTORS_MAX);
    CHECK(1U << shift_of(INTERPOSE_CHUNK_SECTORS_DEFAULT) == INTERPOSE_CHUNK_SECTORS_DEFAULT);
    CHECK(INTERPOSE_CHUNK_SECTORS_MIN <= INTERPOSE_CHUNK_SECTORS_DEFAULT);
    CHECK(INTERPOSE_CHUNK_SECTORS_DEFAULT <= INTERPOSE_CHUNK_SECTORS_MAX);
}

TEST_CASE("a device without sectors has no chunk", "[unit][kernel]")
{
    for (unsigned shift = smallest; shift <= largest; ++shift)
        CHECK(chunks_in(0, shift) == 0);
}

TEST_CASE("the last chunk of a device may be short, by anything", "[unit][kernel]")
{
    CHECK(chunks_in(1, 3) == 1);
    CHECK(chunks_sectors(chunk_at(0), 1, 3, 1) == 1);
    CHECK(chunks_in(65, 5) == 3);
    CHECK(chunks_sectors(chunk_at(2), 1, 5, 65) == 1);
    CHECK(chunks_sectors(chunk_at(1), 2, 5, 65) == 33);
    CHECK(chunks_sectors(chunk_at(1), 1, 5, 65) == 32);
    for (unsigned shift = smallest; shift <= largest; ++shift)
        for (u64 length = 1; length <= (u64{3} << shift) + 1; length += length < 100 ? 1 : 13)
            check_device(length, shift);
}

TEST_CASE("chunks of the largest device are counted without overflow", "[unit][kernel]")
{
    for (unsigned shift = smallest; shift <= largest; ++shift) {
        for (u64 less = 0; less <= (u64{2} << shift); ++less)
            check_device(device_max - less, shift);
        CHECK(chunks_in(device_max, shift) == u64{1} << (54 - shift));
    }
}

TEST_CASE("chunk numbers go up to the last sector that 64 bits can name", "[unit][kernel]")
{
    constexpr u64 end = ~u64{0};
    for (unsigned shift = smallest; shift <= largest; ++shift) {
        CHECK(chunks_in(end, shift) == u64{1} << (64 - shift));
        CHECK(chunk_nr(chunk_of_sector(end, shift)) == (u64{1} << (64 - shift)) - 1);
        CHECK(chunk_first_sector(chunk_of_sector(end, shift), shift) == end - ((u64{1} << shift) - 1));
        const chunk_range all = chunks_touched(0, end, shift);
        CHECK(chunk_nr(all.first) == 0);
        CHECK(chunk_nr(all.last) == (end - 1) >> shift);
        const chunk_range tail = chunks_touched(end, 1, shift);
        CHECK(chunk_nr(tail.first) == chunk_nr(tail.last));
        CHECK(chunk_nr(tail.last) == end >> shift);
    }
}

TEST_CASE("a write touches the chunks of its first and last sector", "[unit][kernel]")
{
    const auto touched = [](u64 sector, u64 sectors) {
        const chunk_range range = chunks_touched(sector, sectors, 5);
        return std::pair{chunk_nr(range.first), chunk_nr(range.last)};
    };
    using Pair = std::pair<u64, u64>;
    CHECK(touched(0, 1) == Pair{0, 0});
    CHECK(touched(0, 32) == Pair{0, 0});
    CHECK(touched(0, 33) == Pair{0, 1});
    CHECK(touched(31, 1) == Pair{0, 0});
    CHECK(touched(31, 2) == Pair{0, 1});
    CHECK(touched(32, 1) == Pair{1, 1});
    CHECK(touched(33, 31) == Pair{1, 1});
    CHECK(touched(33, 32) == Pair{1, 2});
}

TEST_CASE("a random write touches each chunk it overlaps and no other", "[unit][kernel]")
{
    Random random;
    for (int round = 0; round < 20000; ++round) {
        const unsigned shift = static_cast<unsigned>(random.between(smallest, largest));
        const u64 size = u64{1} << shift;
        const u64 length =
            random.once_in(2) ? random.between(1, size * 64) : random.between(device_max / 2, device_max);
        const u64 sector = random.below(length);
        const u64 sectors = std::min<u64>(random.between(1, size * 40), length - sector);
        const chunk_range range = chunks_touched(sector, sectors, shift);
        const u64 first = chunk_nr(range.first);
        const u64 last = chunk_nr(range.last);
        INFO(sectors << " sectors from " << sector << " on a device of " << length << ", chunks of " << size);

        REQUIRE(first <= last);
        REQUIRE(last < chunks_in(length, shift));
        const Extent head = extent_of(first, size, length);
        const Extent tail = extent_of(last, size, length);
        REQUIRE((head.begin <= sector && sector < head.end));
        REQUIRE((tail.begin < sector + sectors && sector + sectors <= tail.end));
        REQUIRE(chunks_sectors(range.first, last - first + 1, shift, length) == tail.end - head.begin);
    }
}
