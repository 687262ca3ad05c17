// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Images of devices of every shape: chunks and sectors of all sizes, an end that is no whole chunk, one store for
// chunks of two sizes.
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "origin.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

struct Shape {
    std::string chunk; ///< as typed
    Bytes bytes;       ///< of a chunk
    bool disk_4k;      ///< on 4096-byte sectors
    bool short_end;    ///< its last chunk is not whole
};

std::string disk_of(const Shape& shape) { return shape.disk_4k ? disk_4k() : origin_disk(); }

Bytes size_of(const Shape& shape, Random& random)
{
    const Bytes whole{rounds("image_shapes_mib") << 20};
    const Bytes sector = Disk(disk_of(shape)).sector();
    return shape.short_end ? Bytes{whole.count + sector.count * random.between(1, shape.bytes.count / sector.count - 1)}
                           : whole;
}

/// A device of one shape, and all that its snapshots have to show.
class Subject {
public:
    /// `copies`: where on the spare disk there is room for what snapshots are compared with.
    Subject(const std::string& name, const Shape& shape, Bytes copies, Random& random)
        : random_(random), chunk_(shape.bytes), size_(size_of(shape, random)), copies_(copies),
          origin_(linear_origin(disk_of(shape), size_, 1, name)), disk_(origin_->path()), changes_(size_, chunk_)
    {
        disk_.fill(random_);
        tool({"attach", "--chunksize", shape.chunk, origin_->device()});
    }

    void create(const std::string& name)
    {
        const Place place(spare_disk(), copies_);
        copies_.count += (128_MiB).count;
        copy(origin_->path(), place, size_);
        tool({"create", "-n", name, "--store", store_disk(), origin_->device()});
        changes_.take(name);
        snapshots_.push_back({name, place});
    }

    /// `name` is the oldest.
    void remove(const std::string& name)
    {
        tool({"remove", name});
        changes_.remove(name);
        snapshots_.pop_front();
    }

    /// The last sector alone, and ranges anywhere, aligned to nothing.
    void write(void (*at_end)(const Disk&, Bytes position, Bytes length))
    {
        const Bytes sector = disk_.sector();
        const Range last{{size_.count - sector.count}, sector};
        at_end(disk_, last.position, last.length);
        changes_.note(last);
        for (std::uint64_t i = rounds("image_shapes_writes"); i > 0; --i)
            changes_.note(write_at_random(disk_, random_));
    }

    void compare(Cached cached) const
    {
        INFO("size " << size_.count << ", chunk " << chunk_.count << ", sector " << disk_.sector().count);
        for (const auto& [name, place] : snapshots_) {
            INFO(name);
            const std::string image = origin_->image(name);
            CHECK(Disk(image).size() == size_);
            CHECK(differences(image, place, size_, chunk_, cached) == "");
            CHECK(odd_reads(image, place) == "");
        }
        CHECK(origin_->status().snapshots == snapshots_.size());
    }

    /// Between each two points, and since each.
    void compare_changes() const
    {
        const auto points = changes_.points();
        for (std::size_t since = 0; since < points.size(); ++since)
            for (std::size_t until = since + 1; until <= points.size(); ++until) {
                const std::string end = until < points.size() ? points[until] : "";
                INFO("chunk " << chunk_.count << ", since " << points[since] << " until " << end);
                CHECK(changes_.difference(points[since], end, changed(*origin_, points[since], end)) == "");
            }
    }

private:
    struct Snapshot {
        std::string name;
        Place place;
    };

    /// Reads from anywhere of any length; the first that shows something else, empty if none does.
    std::string odd_reads(const std::string& image, const Place& place) const
    {
        constexpr Bytes longest = 96_KiB;
        const Disk left(image);
        const Disk right(place.path);
        const std::uint64_t sector = disk_.sector().count;
        Buffer a(longest);
        Buffer b(longest);
        for (int i = 0; i < 16; ++i) {
            const Bytes length{sector * random_.between(1, longest.count / sector)};
            const std::uint64_t last = (size_.count - length.count) / sector;
            const std::uint64_t at = sector * (i == 0 ? last : random_.below(last + 1)); // the end, and anywhere
            left.read({at}, a.first(length));
            right.read({place.start.count + at}, b.first(length));
            if (!std::ranges::equal(a.first(length), b.first(length)))
                return fmt::format("{} bytes at {}", length.count, at);
        }
        return {};
    }

    Random& random_;
    Bytes chunk_;
    Bytes size_;
    Bytes copies_;
    std::unique_ptr<Origin> origin_;
    Disk disk_;
    Changes changes_;
    std::deque<Snapshot> snapshots_; ///< oldest first
};

// What is done to the last sector.
void overwrite(const Disk& disk, Bytes position, Bytes length)
{
    Buffer buffer(4_KiB);
    const auto bytes = buffer.first(length);
    std::ranges::fill(bytes, std::byte{0x5a});
    disk.write(position, bytes);
}
void zero(const Disk& disk, Bytes position, Bytes length) { disk.zero_out(position, length); }
void discard(const Disk& disk, Bytes position, Bytes length) { REQUIRE(disk.discard(position, length)); }

constexpr Bytes default_chunk{INTERPOSE_CHUNK_SECTORS_DEFAULT * 512};

} // namespace

TEST_CASE("an image equals its copy whatever chunk, sector and end its device has", "[image-shapes]")
{
    const Shape shape = GENERATE(Shape{"4k", 4_KiB, false, true}, Shape{"16k", default_chunk, false, true},
        Shape{"1m", 1_MiB, false, false}, Shape{"1m", 1_MiB, false, true}, Shape{"4k", 4_KiB, true, false},
        Shape{"16k", default_chunk, true, true}, Shape{"1m", 1_MiB, true, true});
    Random random;
    Subject subject("test-origin", shape, 1_MiB, random);
    subject.create("s1");
    subject.write(overwrite);
    subject.compare(Cached::no);
    subject.create("s2");
    subject.write(zero);
    subject.compare(Cached::no);
    subject.write(discard);
    drop_caches();
    subject.compare(Cached::yes);
    subject.compare_changes();
}

TEST_CASE("origins with chunks of different sizes share one store", "[image-shared-store]")
{
    Random random;
    Subject small("test-small", {"4k", 4_KiB, false, true}, 1_MiB, random);
    Subject large("test-large", {"1m", 1_MiB, true, true}, 513_MiB, random);
    const auto compare = [&] {
        for (Subject* subject : {&small, &large}) {
            subject->compare(Cached::no);
            subject->compare_changes();
        }
    };
    small.create("small1");
    large.create("large1");
    for (Subject* subject : {&small, &large, &small, &large})
        subject->write(overwrite);
    compare();
    // What the small chunks held is scattered, and the large ones move in.
    small.create("small2");
    large.create("large2");
    small.remove("small1");
    for (Subject* subject : {&large, &small})
        subject->write(zero);
    compare();
    // And the other way round.
    large.remove("large1");
    small.create("small3");
    for (Subject* subject : {&small, &large})
        subject->write(discard);
    compare();
}
