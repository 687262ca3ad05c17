// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"
#include "map_owner.h"
#include "memory.h"
#include "module.h"
#include "random.h"

#include <algorithm>
#include <climits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

using namespace dmsnap::test::kernel;

namespace {

/// What a map is, said as simply as can be.
class Model {
public:
    explicit Model(u64 bits) : bits_(bits), leaves_(leaves_of(bits)) {}

    bool operator[](u64 bit) const { return bits_[bit]; }
    u64 size() const { return bits_.size(); }

    void set(u64 first, u64 last, map_fallback fallback, bool memory)
    {
        for (u64 leaf = first / leaf_bits; leaf <= last / leaf_bits; ++leaf) {
            const u64 begin = leaf * leaf_bits;
            make(leaf, fallback, memory);
            if (leaves_[leaf] == Leaf::page)
                std::fill(at(std::max(first, begin)), at(std::min(last, begin + leaf_bits - 1) + 1), true);
        }
    }

    void merge(const Model& from, bool memory)
    {
        for (u64 leaf = 0; leaf < leaves_.size(); ++leaf) {
            if (from.leaves_[leaf] == Leaf::none)
                continue;
            make(leaf, MAP_FALLBACK_SET, memory);
            for (u64 bit = leaf * leaf_bits; bit < std::min((leaf + 1) * leaf_bits, size()); ++bit)
                bits_[bit] = bits_[bit] || from.bits_[bit];
        }
    }

    bool test(u64 first, u64 last) const
    {
        return std::all_of(
            bits_.begin() + offset(first), bits_.begin() + offset(last + 1), [](bool bit) { return bit; });
    }

    u64 pages() const { return static_cast<u64>(std::count(leaves_.begin(), leaves_.end(), Leaf::page)); }

private:
    enum class Leaf { none, page, all };

    static std::ptrdiff_t offset(u64 bit) { return static_cast<std::ptrdiff_t>(bit); }
    std::vector<bool>::iterator at(u64 bit) { return bits_.begin() + offset(std::min(bit, size())); }

    void make(u64 leaf, map_fallback fallback, bool memory)
    {
        if (leaves_[leaf] != Leaf::none)
            return;
        if (memory) {
            leaves_[leaf] = Leaf::page;
        } else if (fallback == MAP_FALLBACK_SET) {
            leaves_[leaf] = Leaf::all;
            std::fill(at(leaf * leaf_bits), at((leaf + 1) * leaf_bits), true);
        }
    }

    std::vector<bool> bits_;
    std::vector<Leaf> leaves_;
};

/// Several maps of one size, each with its model.
class Pairs {
public:
    static constexpr unsigned count = 3;

    Pairs(u64 bits, Random& random) : bits_(bits), random_(random), models_(count, Model(bits))
    {
        for (MapPtr& map : maps_)
            map = make_map(bits);
    }

    void set()
    {
        const unsigned i = any();
        const auto [first, last] = range();
        const map_fallback fallback = random_.once_in(2) ? MAP_FALLBACK_SET : MAP_FALLBACK_CLEAR;
        const bool memory = !random_.once_in(4);
        {
            std::optional<NoMemory> out;
            if (!memory)
                out.emplace();
            dmsnap::test::kernel::set(maps_[i], first, last, fallback);
        }
        models_[i].set(first, last, fallback, memory);
    }

    void merge()
    {
        const unsigned to = any(), from = any();
        if (to == from)
            return;
        const bool memory = !random_.once_in(4);
        {
            std::optional<NoMemory> out;
            if (!memory)
                out.emplace();
            interpose_map_merge(maps_[to].get(), maps_[from].get());
        }
        models_[to].merge(models_[from], memory);
    }

    void check_test()
    {
        const unsigned i = any();
        const auto [first, last] = range();
        INFO("map " << i << ", bits " << first << " to " << last);
        REQUIRE(test(maps_[i], first, last) == models_[i].test(first, last));
    }

    void check_next()
    {
        const unsigned nr = static_cast<unsigned>(random_.between(1, count));
        const u64 from = random_.once_in(4) ? random_.below(bits_ + 1) : edge();
        const bool set = random_.once_in(2);
        unsigned long limit = random_.between(1, leaves_of(bits_) + 1);
        // The first bit that is as wanted in a leaf that may be looked at, else the end of the last of those.
        const u64 end = std::min((from / leaf_bits + limit) * leaf_bits, bits_);
        u64 expected = from;
        while (expected < end && in_union(nr, expected) != set)
            ++expected;
        INFO("from " << from << " for " << set << " in " << nr << " maps, limit " << limit);
        interpose_map* const maps[] = {maps_[0].get(), maps_[1].get(), maps_[2].get()};
        REQUIRE(interpose_maps_next(maps, nr, bits_, from, set, &limit) == expected);
        if (expected < end)
            REQUIRE(limit > 0);
        else if (end < bits_)
            REQUIRE(limit == 0);
    }

    /// Runs read page by page, as the message "changed" does it, make up the whole.
    void check_pages()
    {
        std::vector<bool> read(bits_);
        interpose_map* const maps[] = {maps_[0].get(), maps_[1].get(), maps_[2].get()};
        const unsigned long patience = random_.between(1, 3);
        u64 at = 0;
        for (u64 calls = 0; at < bits_; ++calls) {
            REQUIRE(calls <= 2 * bits_); // it goes forward
            unsigned long limit = patience;
            const u64 begin = interpose_maps_next(maps, count, bits_, at, true, &limit);
            at = begin;
            if (begin == bits_ || limit == 0)
                continue;
            at = interpose_maps_next(maps, count, bits_, begin, false, &limit);
            REQUIRE(at > begin);
            std::fill(read.begin() + static_cast<std::ptrdiff_t>(begin), read.begin() + static_cast<std::ptrdiff_t>(at),
                true);
        }
        u64 bit = 0;
        while (bit < bits_ && read[bit] == in_union(count, bit))
            ++bit;
        REQUIRE(bit == bits_);
    }

    void check_memory() const
    {
        u64 pages = 0;
        for (unsigned i = 0; i < count; ++i) {
            pages += models_[i].pages();
            REQUIRE(interpose_map_bytes(maps_[i].get()) ==
                    interpose_map_bytes_max(bits_) - (leaves_of(bits_) - models_[i].pages()) * PAGE_SIZE);
        }
        REQUIRE(pages_in_use() == pages);
    }

private:
    unsigned any() { return static_cast<unsigned>(random_.below(count)); }

    bool in_union(unsigned nr, u64 bit) const
    {
        for (unsigned i = 0; i < nr; ++i)
            if (models_[i][bit])
                return true;
        return false;
    }

    /// A bit near the border of a word or of a leaf.
    u64 edge()
    {
        const u64 unit = random_.once_in(2) ? leaf_bits : BITS_PER_LONG;
        return std::min<u64>(random_.below(bits_ / unit + 1) * unit + random_.below(3), bits_);
    }

    std::pair<u64, u64> range()
    {
        const u64 first = std::min(random_.once_in(2) ? edge() : random_.below(bits_), bits_ - 1);
        const u64 longest = random_.once_in(5) ? bits_ : random_.once_in(2) ? 200 : 3;
        return {first, std::min(first + random_.below(longest), bits_ - 1)};
    }

    u64 bits_;
    Random& random_;
    MapPtr maps_[count];
    std::vector<Model> models_;
};

u64 some_size(Random& random)
{
    if (random.once_in(3))
        return random.between(1, 3 * leaf_bits);
    return random.between(1, 4) * (random.once_in(3) ? BITS_PER_LONG : leaf_bits) + random.below(5) - 2;
}

} // namespace

TEST_CASE("maps under random changes are what the simplest model says", "[unit][kernel]")
{
    for (std::uint64_t round = 0; round < 60; ++round) {
        Random random(round);
        const u64 bits = some_size(random);
        INFO("round " << round << ", maps of " << bits << " bits");
        {
            Pairs pairs(bits, random);
            for (int step = 0; step < 60; ++step) {
                random.once_in(6) ? pairs.merge() : pairs.set();
                pairs.check_test();
                pairs.check_next();
                pairs.check_memory();
            }
            pairs.check_pages();
        }
        REQUIRE(pages_in_use() == 0);
        REQUIRE(blocks_in_use() == 0);
    }
}
