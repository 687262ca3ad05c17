// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A live device that is given a longer table of the same origin: its points go on, images keep their length, and what
// it grew by counts as changed since every point there was.
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "load.h"
#include "origin.h"

#include <fmt/format.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

/// Ends within a chunk of 16 KiB.
constexpr Bytes short_size{(48 << 20) + 20 * 512};
constexpr Bytes long_size{(80 << 20) + 8 * 512};
constexpr std::uint64_t block = 4096;

/// As an administrator would: the same table, of another length.
Result reload(const Origin& origin, Bytes size)
{
    const std::string table = must({"dmsetup", "table", origin.dm_name()});
    const std::size_t end = table.find(' ', 2);
    return run(
        {"dmsetup", "load", origin.dm_name()}, fmt::format("0 {}{}", Sectors::exactly(size).count, table.substr(end)));
}

void grow(const Origin& origin, Bytes size)
{
    REQUIRE(reload(origin, size).status == 0);
    must({"dmsetup", "resume", origin.dm_name()});
    REQUIRE(origin.size().count == size.count);
}

std::string image_differences(const Origin& origin, const std::string& point, const Place& copy, Bytes length)
{
    return differences(origin.image(point), copy, length, 4_KiB, Cached::no);
}

} // namespace

TEST_CASE("a device grows with its points", "[grow]")
{
    Random random;
    const auto origin = linear_origin(origin_disk(), short_size, 1);
    const Place second{spare_disk(), 200_MiB};
    {
        const Disk live(origin->path());
        live.fill(random);
    }
    copy(origin->path(), the_copy(), short_size);
    tool({"checkpoint", "-n", "c1", origin->device()});
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    const Bytes chunk = origin->status().chunk.bytes();
    const std::string generation = origin->generation();
    ChunkSet written(long_size, chunk);
    const auto write = [&](Bytes position, Bytes length) {
        Buffer buffer(length);
        buffer.fill(random);
        Disk(origin->path()).write(position, buffer.span());
        written.add(position, length);
    };
    write(chunk, 4_KiB);

    CHECK(reload(*origin, {short_size.count - 8 * 512}).status != 0);
    grow(*origin, long_size);
    CHECK(origin->generation() == generation);
    CHECK(Disk(origin->image("s1")).size().count == short_size.count);
    CHECK(image_differences(*origin, "s1", the_copy(), short_size) == "");

    must({"dmsetup", "remove", "--retry", "dmsnap-s1"});
    tool({"recover"});
    CHECK(Disk(origin->image("s1")).size().count == short_size.count);
    CHECK(image_differences(*origin, "s1", the_copy(), short_size) == "");

    const std::uint64_t copied = origin->status().copied_chunks;
    write({short_size.count / chunk.count * chunk.count + 3 * block}, 64_KiB); // behind the image's end
    write(60_MiB, 1_MiB);
    CHECK(origin->status().copied_chunks - copied <= 1);
    write(chunk, 64_KiB);
    write({short_size.count - 2 * block}, 32_KiB);
    CHECK(image_differences(*origin, "s1", the_copy(), short_size) == "");
    ChunkSet expected = written;
    expected.add({short_size.count / chunk.count * chunk.count}, {long_size.count - short_size.count});
    for (std::uint64_t at = short_size.count; at < long_size.count; at += chunk.count)
        expected.add({at}, {512});
    expected.add({long_size.count - 512}, {512});
    for (const char* const since : {"c1", "s1"}) {
        const ChunkSet reported = parse_changed(changed(*origin, since, ""), long_size, chunk);
        INFO("since " << since);
        CHECK(expected.not_in(reported) == "");
        CHECK(reported.not_in(expected) == "");
    }

    copy(origin->path(), second, long_size);
    tool({"create", "-n", "s2", origin->device()});
    CHECK(Disk(origin->image("s2")).size().count == long_size.count);
    written = ChunkSet(long_size, chunk);
    write({0}, 64_KiB);
    write({short_size.count - 2 * block}, 32_KiB);
    write({long_size.count - block}, 4_KiB);
    for (int i = 0; i < 100; ++i)
        write({random.below(long_size.count / block) * block}, 4_KiB);
    CHECK(image_differences(*origin, "s1", the_copy(), short_size) == "");
    CHECK(image_differences(*origin, "s2", second, long_size) == "");
    const ChunkSet reported = parse_changed(changed(*origin, "s2", ""), long_size, chunk);
    CHECK(written.not_in(reported) == "");
    CHECK(reported.not_in(written) == "");

    tool({"remove", "s1"});
    CHECK(image_differences(*origin, "s2", second, long_size) == "");
    tool({"remove", "s2"}); // what changed since goes to c1
    expected.add(written);
    const ChunkSet since_c1 = parse_changed(changed(*origin, "c1", ""), long_size, chunk);
    CHECK(expected.not_in(since_c1) == "");
    CHECK(since_c1.not_in(expected) == "");
    tool({"remove", "c1"});
    tool({"detach", origin->device()});
}

TEST_CASE("a filesystem grows with its device under load, below a snapshot", "[grow]")
{
    constexpr Bytes before = 128_MiB;
    constexpr Bytes after = 256_MiB;
    Random random;
    const auto origin = linear_origin(origin_disk(), before, 1);
    Filesystem filesystem(origin->path(), "ext4");
    Load load(filesystem.directory(), 8_MiB, random);
    {
        const Frozen frozen(filesystem);
        tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
        copy(origin->path(), the_copy(), before);
    }
    load.start();
    grow(*origin, after);
    must({"resize2fs", origin->path()});
    load.stop();
    CHECK(image_differences(*origin, "s1", the_copy(), before) == "");
    check_filesystem(origin->image("s1"), "ext4");
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
    CHECK(origin->status().snapshots == 1);
    tool({"remove", "s1"});
}
