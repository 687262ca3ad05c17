// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A store that is a file of the filesystem on its own origin: nothing but the device itself is needed for a snapshot.
//
//   create makes the file ... fio ... freeze, copy, point, thaw ... compare, with zeros where the file is
//   a write to the file's blocks, as of a filesystem that has moved it: the snapshots are lost, and nothing else
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "kinds.h"
#include "load.h"
#include "origin.h"
#include "table/file_table.h"
#include "wait.h"
#include "worker.h"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace fs = std::filesystem;

namespace {

constexpr Bytes load_file_size = 4_MiB;

constexpr Bytes origin_size = 160_MiB;
/// For what two snapshots keep of fio's files, the journal and the rest.
constexpr Bytes store_size = 72_MiB;

/// The files of stores in a directory.
std::vector<fs::path> store_files(const std::string& directory)
{
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(directory))
        if (entry.path().filename().string().starts_with(".dmsnap-store-"))
            files.push_back(entry.path());
    return files;
}

/// The one device-mapper device whose name begins so.
std::string device_named(const std::string& beginning)
{
    return first_line({"dmsetup", "info", "-c", "--noheadings", "-o", "name", "-S", "name=~^" + beginning});
}

/// Where in the origin its store lies.
std::vector<Run> where_store_lies(const Origin& origin)
{
    const Table below = parse_table(must({"dmsetup", "table", origin.dm_name()}));
    const Interpose* line = interpose_line(below);
    REQUIRE(line != nullptr);
    const auto runs =
        runs_of(parse_table(must({"dmsetup", "table", device_named("dmsnap-file-")})), line->base, line->base_start);
    REQUIRE_FALSE(runs.empty());
    return runs;
}

void zero(const Place& copy, const std::vector<Run>& runs)
{
    const Disk disk(copy.path);
    for (const Run& run : runs)
        disk.zero_out({copy.start.count + run.start.bytes().count}, run.length.bytes());
}

/// Where in the origin the chunk lies that has gone into the store last, as long as none has been given back.
Sectors newest_kept(const std::vector<Run>& inside, Sectors chunk)
{
    const std::string status = first_line({"dmsetup", "status", "--noflush", device_named("dmsnap-store-")});
    const auto details = parse_store_status(status.substr(status.find("interpose-store ") + 16)).details;
    Sectors at = Sectors{INTERPOSE_STORE_DATA_SECTOR} + details.value().used - chunk;
    for (const Run& run : inside) {
        if (at < run.length)
            return run.start + at;
        at = at - run.length;
    }
    throw std::runtime_error("the store has kept more than it is long");
}

bool is_immutable(const fs::path& file)
{
    return first_line({"lsattr", "-d", file.string()}).substr(0, 20).find('i') != std::string::npos;
}

/// A write as of somebody who takes the file's blocks for his own.
void overwrite(const Origin& origin, Sectors at)
{
    Random random;
    Buffer written(4_KiB);
    written.fill(random);
    const Disk live(origin.path());
    live.write(at.bytes(), written.span());
    Buffer now(4_KiB);
    live.read(at.bytes(), now.span());
    CHECK(std::equal(now.span().begin(), now.span().end(), written.span().begin()));
}

/// Its words say why the snapshot is invalid, and its image fails.
void check_failed(const Origin& origin, const std::string& point, const std::string& reason)
{
    CHECK(list_field(point, "reason") == reason);
    CHECK(origin.status().failure == reason);
    CHECK(error_of_reading(origin.image(point)) == EIO);
}

void images_equal_copies(const std::string& type)
{
    Random random;
    const auto origin = origin_under_test(origin_size);
    Filesystem filesystem(origin->path(), type);
    tool(origin->attaching({"create", "-n", "s0", "-L", "72m"}));
    const auto files = store_files(filesystem.directory());
    REQUIRE(files.size() == 1);
    CHECK(is_immutable(files.front()));
    CHECK(run({"rm", "-f", files.front().string()}).status != 0);
    CHECK(tool({"status", origin->device()}).find(files.front().string()) != std::string::npos);
    const std::vector<Run> inside = where_store_lies(*origin);
    CHECK(length(inside) == Sectors::exactly(store_size));

    Load load(filesystem.directory(), load_file_size, random);
    load.start();
    wait_until("the first pass of fio", 300, [&] { return load.passes() > 0 || !load.running(); });
    {
        const Frozen frozen(filesystem);
        copy(origin->path(), the_copy(), origin->size());
        tool({"create", "-n", "s1", origin->device()});
    }
    CHECK(store_files(filesystem.directory()).size() == 1);
    zero(the_copy(), inside);
    const Bytes chunk = origin->status().chunk.bytes();
    const auto different = [&](Cached cached) {
        return differences(origin->image("s1"), the_copy(), origin->size(), chunk, cached);
    };
    CHECK(different(Cached::no) == "");
    const unsigned passes = load.passes();
    wait_until("another pass of fio", 300, [&] { return load.passes() > passes + 1 || !load.running(); });
    CHECK(different(Cached::yes) == "");
    drop_caches();
    CHECK(different(Cached::yes) == "");
    {
        const MountedImage mounted(origin->image("s1"), type);
        CHECK(fs::file_size(mounted.directory() + "/direct.0.0") == load_file_size.count);
    }
    if (type == "ext4")
        check_filesystem(origin->image("s1"), type);

    overwrite(*origin, inside.back().start);
    check_failed(*origin, "s0", INTERPOSE_FAILURE_STORE_OVERWRITTEN);
    check_failed(*origin, "s1", INTERPOSE_FAILURE_STORE_OVERWRITTEN);
    CHECK(run_tool({"create", "-n", "s2", origin->device()}).status == 5);
    load.stop();
    tool({"remove", "s0", "s1"});
    CHECK(store_files(filesystem.directory()).empty());
    tool({"detach", origin->device()});
    filesystem.unmount();
    check_filesystem(origin->path(), type);
    check_frozen_copy(the_copy(), origin->size(), type);
}

} // namespace

TEST_CASE("with a store in the device's own ext4 an image equals a copy", "[store-file-ext4]")
{
    images_equal_copies("ext4");
}

TEST_CASE("with a store in the device's own xfs an image equals a copy", "[store-file-xfs]")
{
    images_equal_copies("xfs");
}

TEST_CASE("a store in the device's own filesystem that fills up costs the snapshot and nothing else", "[store-file]")
{
    Random random;
    const auto origin = linear_origin(origin_disk(), 128_MiB, 2);
    Filesystem filesystem(origin->path(), "ext4");
    Load load(filesystem.directory(), 8_MiB, random);
    tool({"create", "-n", "s1", "-l", "5%ORIGIN", origin->device()});
    load.start();
    wait_until("the store to be full", 300, [&] { return origin->status().failure.has_value() || !load.running(); });
    check_failed(*origin, "s1", INTERPOSE_FAILURE_STORE_FULL);
    load.stop();
    tool({"remove", "s1"});
    CHECK(store_files(filesystem.directory()).empty());
    tool({"detach", origin->device()});
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

TEST_CASE("what lies where the store is counts as changed when it comes and when it goes", "[store-file]")
{
    const auto origin = linear_origin(origin_disk(), 128_MiB, 1);
    const Filesystem filesystem(origin->path(), "ext4");
    tool({"checkpoint", "-n", "c0", origin->device()});
    tool({"create", "-n", "s1", origin->device()});
    const std::vector<Run> inside = where_store_lies(*origin);
    const Bytes chunk = origin->status().chunk.bytes();
    ChunkSet lies(origin->size(), chunk);
    for (const Run& run : inside)
        lies.add(run.start.bytes(), run.length.bytes());
    const auto unchanged = [&](const std::string& since, const std::string& until) {
        return lies.not_in(parse_changed(changed(*origin, since, until), origin->size(), chunk));
    };
    CHECK(unchanged("c0", "s1") == "");
    tool({"checkpoint", "-n", "c1", origin->device()});
    CHECK(unchanged("c1", "") != "");
    tool({"remove", "s1"});
    CHECK(unchanged("c1", "") == "");
}

TEST_CASE("what takes the store's place is not overwritten by a copy that was under way there", "[store-file]")
{
    const auto origin = linear_origin(origin_disk(), 128_MiB, 1);
    const Filesystem filesystem(origin->path(), "ext4");
    tool({"create", "-n", "s1", origin->device()});
    const std::vector<Run> inside = where_store_lies(*origin);
    // The store answers late: every line of its file's table has a delay of writes.
    const std::string file = device_named("dmsnap-file-");
    std::string slow;
    for (const TableLine& line : parse_table(must({"dmsetup", "table", file}))) {
        const auto& linear = std::get<Linear>(line.target);
        const std::string place = fmt::format("{} {}", to_text(linear.device), linear.offset.count);
        slow += fmt::format("{} {} delay {} 0 {} 2000\n", line.start.count, line.length.count, place, place);
    }
    must({"dmsetup", "load", file}, slow);
    must({"dmsetup", "resume", file});

    const Disk live(origin->path());
    const Bytes last{origin->size().count - (64_KiB).count};
    Buffer block(4_KiB);
    Worker copied([&] { live.write(last, block.span()); });
    wait_until("a copy", 30, [&] { return origin->status().copy_bytes.used > 0; });
    const Bytes newest = newest_kept(inside, origin->status().chunk).bytes();
    overwrite(*origin, Sectors::exactly(newest));
    check_failed(*origin, "s1", INTERPOSE_FAILURE_STORE_OVERWRITTEN);
    Buffer before(4_KiB);
    live.read(newest, before.span());
    must({"sleep", "3"});
    Buffer after(4_KiB);
    live.read(newest, after.span());
    CHECK(std::equal(after.span().begin(), after.span().end(), before.span().begin()));
    copied.stop();
    CHECK(copied.error() == 0);
    tool({"remove", "s1"});
}

TEST_CASE("a discard of the store's place is a write to it", "[store-file]")
{
    const auto origin = linear_origin(origin_disk(), 128_MiB, 1);
    Filesystem filesystem(origin->path(), "ext4");
    tool({"create", "-n", "s1", origin->device()});
    const std::vector<Run> inside = where_store_lies(*origin);
    must({"fstrim", filesystem.directory()}); // the file is no free space
    CHECK(list_field("s1", "reason").empty());
    REQUIRE(Disk(origin->path()).discard(inside.front().start.bytes(), 64_KiB));
    check_failed(*origin, "s1", INTERPOSE_FAILURE_STORE_OVERWRITTEN);
    tool({"remove", "s1"});
}

TEST_CASE("the file of a store that was taken away by hand is removed by the next command", "[store-file]")
{
    const auto origin = linear_origin(origin_disk(), 128_MiB, 2);
    const Filesystem filesystem(origin->path(), "ext4");
    tool({"create", "-n", "s1", origin->device()});
    for (const char* beginning : {"dmsnap-s1", "dmsnap-store-", "dmsnap-file-"})
        must({"dmsetup", "remove", "--retry", device_named(beginning)});
    REQUIRE(store_files(filesystem.directory()).size() == 1);
    CHECK(tool({"recover"}).find(".dmsnap-store-") != std::string::npos);
    CHECK(store_files(filesystem.directory()).empty());
}

TEST_CASE("a frozen filesystem is not waited for, and gets no file", "[store-file]")
{
    const auto origin = linear_origin(origin_disk(), 128_MiB, 1);
    const Filesystem filesystem(origin->path(), "ext4");
    {
        const Frozen frozen(filesystem);
        const Result result = run_tool({"create", "-n", "s1", "--deadline", "1", origin->device()});
        CHECK(result.status == 5);
        CHECK(result.err.find("it may be frozen") != std::string::npos);
        tool({"checkpoint", "-n", "c1", origin->device()}); // nobody holds a lock
    }
    tool({"create", "-n", "s1", origin->device()});
    wait_until("the file of the first try to go", 30, [&] { return store_files(filesystem.directory()).size() == 1; });
    {
        const Frozen frozen(filesystem);
        CHECK(tool({"remove", "s1"}).empty());
        CHECK(run_tool({"check"}).status == 5);
    }
    wait_until("the file of s1 to go", 30, [&] { return store_files(filesystem.directory()).empty(); });
    tool({"check"});
}

TEST_CASE("a filesystem that cannot hold a store says why", "[store-file]")
{
    const auto origin = linear_origin(origin_disk(), 128_MiB, 1);
    const auto refusal = [&](const Arguments& words) {
        const Result result = run_tool(words);
        CHECK(result.status == 3);
        CHECK(must({"dmsetup", "info", "-c", "--noheadings", "-o", "name"}).find("dmsnap-") == std::string::npos);
        return result.err;
    };
    const std::string device = origin->device();
    CHECK(refusal({"create", "-n", "s1", device}).find("none is mounted") != std::string::npos);
    const Filesystem filesystem(origin->path(), "ext4");
    CHECK(refusal({"create", "-n", "s1", "-L", "120m", device}).find("per cent left free") != std::string::npos);
    CHECK(refusal({"create", "-n", "s1", "-l", "10", device}).find("10%ORIGIN") != std::string::npos);
    CHECK(
        refusal({"create", "-n", "s1", "-L", "8m", "-l", "10%ORIGIN", device}).find("same thing") != std::string::npos);
    CHECK(refusal({"create", "-n", "s1", "--store", store_disk(), "-L", "8m", device}).find("whole") !=
          std::string::npos);
    must({"mount", "-o", "remount,ro", filesystem.directory()});
    CHECK(refusal({"create", "-n", "s1", device}).find("read-only") != std::string::npos);
    const Result elsewhere = run_tool({"create", "-n", "s1", "--store", "/tmp", device});
    CHECK(elsewhere.status == 5);
    CHECK(elsewhere.err.find("another device") != std::string::npos);
    CHECK(store_files(filesystem.directory()).empty());
}
