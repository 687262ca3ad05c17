// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"
#include "index_owner.h"
#include "module.h"
#include "random.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <vector>

using namespace dmsnap::test::kernel;

namespace {

/// The birth of what snapshot `id` reads of `chunk`; nothing: the base.
std::optional<u64> birth_read(const Index& bucket, u64 chunk, u64 id)
{
    const exception* found = births_find(bucket.head(), chunk, id);
    if (found == nullptr)
        return {};
    CHECK(found->chunk == chunk);
    return found->birth;
}

bool needed(const Index& bucket, u64 chunk, u64 birth, const std::vector<u64>& living)
{
    for (const exception* entry : bucket.entries())
        if (entry->chunk == chunk && entry->birth == birth)
            return births_needed(entry, living.data(), static_cast<unsigned>(living.size()));
    FAIL("chunk " << chunk << " has no exception of birth " << birth);
    return false;
}

/// The numbers 1.. whose bits are set.
std::set<u64> numbers(unsigned bits)
{
    std::set<u64> set;
    for (u64 i = 0; i < 32; ++i)
        if (bits >> i & 1)
            set.insert(i + 1);
    return set;
}

/// An origin of a few chunks, with everything a snapshot has to remember kept in full beside it.
class History {
public:
    static constexpr u64 chunks = 4;

    History(Random& random, Index::Buckets buckets) : random_(random), base_(chunks), index_(buckets)
    {
        for (u64& content : base_)
            content = ++last_content_;
    }

    bool can_take() const { return copies_.empty(); }
    std::size_t living() const { return images_.size(); }
    std::size_t swept() const { return swept_; }
    std::size_t copied() const { return copied_; }

    /// The gate is closed: no copy may be under way.  Checkpoints draw ids too, so that snapshots' ids have gaps.
    void take() { images_[last_id_ += random_.between(1, 3)] = base_; }

    void drop()
    {
        if (!images_.empty())
            images_.erase(std::next(images_.begin(), static_cast<std::ptrdiff_t>(random_.below(images_.size()))));
    }

    /// A write comes: judged, and either released at once or held for its copy.
    void begin_write()
    {
        const u64 chunk = random_.below(chunks);
        const u64 newest = images_.empty() ? 0 : images_.rbegin()->first;
        if (copies_.contains(chunk))
            return; // joins, and is released with it
        if (newest == 0 || index_.find(chunk, newest))
            base_[chunk] = ++last_content_;
        else
            copies_[chunk] = {newest, base_[chunk]};
    }

    /// A copy arrives in the index, and then only the writes that waited for it at the base.
    void finish_write()
    {
        if (copies_.empty())
            return;
        const auto copy = std::next(copies_.begin(), static_cast<std::ptrdiff_t>(random_.below(copies_.size())));
        index_.insert(copy->first, copy->second.birth, copy->second.content);
        check();
        base_[copy->first] = ++last_content_;
        copies_.erase(copy);
        ++copied_;
    }

    /// After this every exception left is what some living snapshot reads, and none of those is missing.
    void sweep()
    {
        std::set<u64> read; // slots: no two exceptions have the same
        for (const auto& [id, image] : images_)
            for (u64 chunk = 0; chunk < chunks; ++chunk)
                if (const auto slot = index_.find(chunk, id))
                    read.insert(*slot);
        swept_ += index_.sweep(living_ids());
        std::set<u64> left;
        for (const exception* entry : index_.entries())
            left.insert(entry->slot);
        REQUIRE(left == read);
    }

    void check()
    {
        for (const auto& [id, image] : images_)
            for (u64 chunk = 0; chunk < chunks; ++chunk) {
                INFO("snapshot " << id << ", chunk " << chunk);
                REQUIRE(index_.find(chunk, id).value_or(base_[chunk]) == image[chunk]);
            }
        // What births_find() builds on: the births of a chunk only fall along the chain.
        std::map<u64, u64> births;
        for (const exception* entry : index_.entries()) {
            const auto newer = births.find(entry->chunk);
            REQUIRE((newer == births.end() || entry->birth < newer->second));
            births[entry->chunk] = entry->birth;
        }
    }

private:
    struct Copy {
        u64 birth;
        u64 content;
    };

    std::vector<u64> living_ids() const
    {
        std::vector<u64> ids;
        for (const auto& [id, image] : images_)
            ids.push_back(id);
        return ids;
    }

    Random& random_;
    u64 last_id_ = 0;
    u64 last_content_ = 0;
    std::vector<u64> base_;                  // what each chunk holds: never the same number twice
    std::map<u64, std::vector<u64>> images_; // of each living snapshot: all it has to show
    std::map<u64, Copy> copies_;             // under way, by chunk
    Index index_;
    std::size_t swept_ = 0;
    std::size_t copied_ = 0;
};

} // namespace

TEST_CASE("a snapshot reads the oldest exception that is not older than itself", "[unit][kernel]")
{
    Index bucket;
    for (u64 birth : {3U, 7U, 9U})
        bucket.insert(5, birth, 0);
    CHECK(birth_read(bucket, 5, 1) == 3);
    CHECK(birth_read(bucket, 5, 3) == 3);
    CHECK(birth_read(bucket, 5, 4) == 7);
    CHECK(birth_read(bucket, 5, 7) == 7);
    CHECK(birth_read(bucket, 5, 8) == 9);
    CHECK(birth_read(bucket, 5, 9) == 9);
    CHECK_FALSE(birth_read(bucket, 5, 10));
}

TEST_CASE("a chunk that is in no exception is read from the base, whatever else shares its bucket", "[unit][kernel]")
{
    Index bucket;
    CHECK_FALSE(birth_read(bucket, 5, 1));
    bucket.insert(4, 1, 0);
    bucket.insert(6, 2, 0);
    CHECK_FALSE(birth_read(bucket, 5, 1));
    CHECK(birth_read(bucket, 4, 1) == 1);
    CHECK(needed(bucket, 6, 2, {1})); // chunk 4's is not before chunk 6's
}

TEST_CASE("chunks and births of 64 bits are told apart", "[unit][kernel]")
{
    constexpr u64 top = ~u64{0};
    Index bucket;
    bucket.insert(top, top - 1, 3);
    bucket.insert(top & ~(u64{1} << 32), top, 2);
    bucket.insert(top, top, 1);
    CHECK(births_find(bucket.head(), top, 1)->slot == 3);
    CHECK(births_find(bucket.head(), top, top)->slot == 1);
    CHECK(births_find(bucket.head(), top & ~(u64{1} << 32), top)->slot == 2);
    CHECK(needed(bucket, top, top, {top}));
    CHECK_FALSE(needed(bucket, top, top, {top - 1}));
    CHECK(needed(bucket, top, top - 1, {top - 1}));
    CHECK_FALSE(needed(bucket, top, top - 1, {top}));
}

TEST_CASE("an exception is needed by the snapshots after the one before it, up to its birth", "[unit][kernel]")
{
    Index bucket;
    bucket.insert(5, 3, 0);
    bucket.insert(6, 5, 0); // another chunk's, between them
    bucket.insert(5, 7, 0);
    CHECK(needed(bucket, 5, 3, {1}));
    CHECK(needed(bucket, 5, 3, {3}));
    CHECK_FALSE(needed(bucket, 5, 3, {4, 7, 9}));
    CHECK_FALSE(needed(bucket, 5, 7, {1, 3, 8}));
    CHECK(needed(bucket, 5, 7, {4}));
    CHECK(needed(bucket, 5, 7, {7}));
    CHECK(needed(bucket, 5, 7, {1, 5, 9}));
    CHECK_FALSE(needed(bucket, 5, 3, {}));
    CHECK_FALSE(needed(bucket, 5, 7, {}));
}

TEST_CASE("with each choice of births and of snapshots, what is read is needed and nothing else is", "[unit][kernel]")
{
    constexpr unsigned ids = 6;
    Random random;
    Index bucket;
    for (unsigned births = 0; births < 1U << ids; ++births)
        for (unsigned alive = 0; alive < 1U << ids; ++alive) {
            const std::set<u64> born = numbers(births), snapshots = numbers(alive);
            bucket.sweep({});
            for (u64 birth : born) {
                // Another chunk's is in the way, in front or behind.
                const u64 first = random.between(1, 2);
                bucket.insert(first, birth, 0);
                bucket.insert(3 - first, birth, 0);
            }
            std::set<u64> read;
            for (u64 id : snapshots) {
                const auto expected = born.lower_bound(id);
                const auto found = birth_read(bucket, 1, id);
                REQUIRE(found.has_value() == (expected != born.end()));
                if (found) {
                    REQUIRE(*found == *expected);
                    read.insert(*found);
                }
            }
            const std::vector<u64> living(snapshots.begin(), snapshots.end());
            for (u64 birth : born)
                REQUIRE(needed(bucket, 1, birth, living) == read.contains(birth));

            // Also when those before it have just been taken out of the chain.
            bucket.sweep(living);
            std::set<u64> left;
            for (const exception* entry : bucket.entries())
                if (entry->chunk == 1)
                    left.insert(entry->birth);
            REQUIRE(left == read);
        }
}

TEST_CASE("through a random history each living snapshot shows what it was taken of", "[unit][kernel]")
{
    std::size_t copied = 0, swept = 0, most = 0;
    for (std::uint64_t round = 0; round < 400; ++round) {
        Random random(round);
        History history(random, round % 4 == 0 ? Index::Buckets::many : Index::Buckets::one);
        // Some histories hardly drop, others hardly take, some sweep seldom: exceptions pile up.
        const u64 drops = random.between(1, 6);
        const u64 sweeps = random.between(0, 4);
        const u64 kinds = 5 + drops + sweeps + 8;
        INFO("round " << round);
        for (int step = 0; step < 300; ++step) {
            const u64 kind = random.below(kinds);
            if (kind < 5 && history.can_take())
                history.take();
            else if (kind < 5 + drops)
                history.drop();
            else if (kind < 5 + drops + sweeps)
                history.sweep();
            else if (kind < kinds - 3)
                history.begin_write();
            else
                history.finish_write();
            history.check();
            most = std::max(most, history.living());
        }
        history.sweep();
        history.check();
        copied += history.copied();
        swept += history.swept();
    }
    // That the histories went where something can go wrong.
    CHECK(copied > 5000);
    CHECK(swept > 2500);
    CHECK(most > 5);
}
