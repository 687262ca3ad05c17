// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Whatever happens to the copy, the snapshot fails and never the origin: no writer sees an error, and the failure
// is told by `list`, `status` and a device-mapper event.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "load.h"
#include "origin.h"
#include "scsi_disk.h"
#include "wait.h"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes load_file_size = 16_MiB;

/// Waits for an event later than `seen`, and for further ones until the snapshots of the origin have failed.
void wait_for_failure(const Origin& origin, std::uint32_t seen)
{
    do {
        Background waiter({"dmsetup", "wait", "--noflush", origin.dm_name(), std::to_string(seen)});
        REQUIRE(waiter.wait(300) == 0);
        seen = origin.event_number();
    } while (!origin.status().failure);
}

/// The snapshot s1 is invalid for that reason, everywhere one can look, and stays so.
void check_failed(const Origin& origin, const std::string& reason)
{
    CHECK(list_field("s1", "reason") == reason);
    CHECK(list_field("s1", "snap_attr").substr(4, 1) == "I");
    CHECK(tool({"status", origin.device()}).find(reason) != std::string::npos);
    CHECK(origin.status().failure == reason);
    CHECK(origin.status().snapshots == 0);
    CHECK(error_of_reading(origin.image("s1")) == EIO);
}

/// How often the one store there is has told of a change.
unsigned long store_events()
{
    return std::stoul(must({"dmsetup", "info", "-c", "--noheadings", "-o", "events", "-S", "name=~^dmsnap-store-"}));
}

void clean_up(const Origin& origin)
{
    tool({"remove", "s1"});
    CHECK_FALSE(std::filesystem::exists(origin.image("s1")));
    tool({"detach", origin.device()});
}

/// Takes s1 below fio and waits for the event that `fail` or fio itself brings about.
template <typename Fail> void fail_under_load(const std::string& store, const std::string& reason, Fail fail)
{
    Random random;
    const auto origin = linear_origin(origin_disk(), 256_MiB, 2);
    Filesystem filesystem(origin->path(), "ext4");
    Load load(filesystem.directory(), load_file_size, random);
    tool({"attach", origin->device()});
    const std::uint32_t seen = origin->event_number(); // the load alone may fill the store while `create` ends
    load.start();
    tool({"create", "-n", "s1", "--store", store, origin->device()});
    fail();
    wait_for_failure(*origin, seen);
    check_failed(*origin, reason);
    wait_until("an event on the store", 30, [] { return store_events() > 0; });
    load.stop();
    clean_up(*origin);
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

} // namespace

TEST_CASE("a store that fills up costs the snapshot and nothing else", "[show4-store-full]")
{
    const DmDevice store("test-store", fmt::format("0 32768 linear {} 0", store_disk()));
    fail_under_load(store.path(), INTERPOSE_FAILURE_STORE_FULL, [] {});
}

TEST_CASE("a store that fills up while a filesystem is frozen for the next snapshot hangs nobody", "[show4-store-full]")
{
    const DmDevice store("test-store", fmt::format("0 32768 linear {} 0", store_disk()));
    const auto origin = linear_origin(origin_disk(), 128_MiB, 1);
    Filesystem filesystem(origin->path(), "ext4");
    const std::string file = "of=" + filesystem.directory() + "/file";
    must({"dd", "if=/dev/urandom", file, "bs=1M", "count=32", "conv=fsync", "status=none"});
    tool({"create", "-n", "s1", "--store", store.path(), origin->device()});
    // More than the store takes, and only the freeze writes it.
    must({"dd", "if=/dev/urandom", file, "bs=1M", "count=32", "conv=notrunc", "status=none"});
    const std::string number = must({"dmsetup", "info", "-c", "--noheadings", "-o", "major,minor", origin->dm_name()});
    const std::string take = fmt::format(
        "take dddddddd-4444-4444-8444-444444444444 snapshot s2 - 10000 {} -", number.substr(0, number.find('\n')));
    must({"timeout", "--signal=KILL", "60", "dmsetup", "message", origin->dm_name(), "0", take});
    CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_STORE_FULL);
    must({"timeout", "--signal=KILL", "30", "dd", "if=/dev/urandom", file, "bs=1M", "count=1", "conv=notrunc,fsync"});
    CHECK(list_field("s2", "valid") == "valid");
    tool({"remove", "s1", "s2"});
    tool({"detach", origin->device()});
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

TEST_CASE("a store that fails costs the snapshot and nothing else", "[show4-store-error]")
{
    const DmDevice store("test-store", fmt::format("0 1048576 linear {} 0", store_disk()));
    fail_under_load(store.path(), INTERPOSE_FAILURE_STORE_ERROR, [&] { store.replace_table("0 1048576 error"); });
}

TEST_CASE("old data that cannot be read costs the snapshot and nothing else", "[show4-read-error]")
{
    Random random;
    const ScsiDisk disk;
    const auto origin = whole_disk_origin(disk.path());
    const Disk live(origin->path());
    live.fill(random);
    copy(origin->path(), the_copy(), origin->size());
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    const Bytes chunk = origin->status().chunk.bytes();
    const Bytes bad{Sectors{ScsiDisk::bad_sector}.bytes().count / chunk.count * chunk.count};
    CHECK(differences(origin->image("s1"), the_copy(), origin->size(), chunk, Cached::no) == "");

    disk.fail_reads(true);
    const std::uint32_t seen = origin->event_number();
    const Disk expected(spare_disk());
    Buffer buffer(4_KiB);
    // Around the bad sectors, on them, and elsewhere: first the neighbour chunk, then the one that cannot be kept.
    for (const std::uint64_t position :
        {bad.count - chunk.count, bad.count, bad.count + (4_KiB).count, std::uint64_t{0}}) {
        buffer.fill(random);
        live.write({position}, buffer.span());
        expected.write({the_copy().start.count + position}, buffer.span());
    }
    wait_for_failure(*origin, seen);
    check_failed(*origin, INTERPOSE_FAILURE_READ_ERROR);
    disk.fail_reads(false);
    CHECK(differences(origin->path(), the_copy(), origin->size(), chunk, Cached::no) == "");
    clean_up(*origin);
}

TEST_CASE("a store that fails for one origin costs the snapshots of all", "[show4-shared-store]")
{
    const DmDevice store("test-store", fmt::format("0 1048576 linear {} 0", store_disk()));
    const auto writes = linear_origin(origin_disk(), 64_MiB, 1);
    const auto idle = linear_origin(spare_disk(), 64_MiB, 1, "test-idle");
    tool({"create", "-n", "s1", "--store", store.path(), idle->device()});
    tool({"create", "-n", "s2", "--store", store.path(), writes->device()});
    const std::uint32_t seen = idle->event_number();
    store.replace_table("0 1048576 error");
    Disk(writes->path()).write({0}, Buffer(4_KiB).span());
    wait_for_failure(*idle, seen);
    check_failed(*idle, INTERPOSE_FAILURE_STORE_ERROR);
    clean_up(*idle);
    tool({"remove", "s2"});
    tool({"detach", writes->device()});
}

TEST_CASE("old data that the store does not give back costs the snapshot and nothing else", "[show4-store-unread]")
{
    const DmDevice store("test-store", fmt::format("0 1048576 linear {} 0", store_disk()));
    const auto origin = linear_origin(origin_disk(), 64_MiB, 1);
    tool({"create", "-n", "s1", "--store", store.path(), origin->device()});
    Disk(origin->path()).write({0}, Buffer(4_KiB).span());
    const std::uint32_t seen = origin->event_number();
    store.replace_table("0 1048576 error");
    CHECK(error_of_reading(origin->image("s1")) == EIO);
    wait_for_failure(*origin, seen);
    check_failed(*origin, INTERPOSE_FAILURE_STORE_ERROR);
    CHECK(error_of_reading(origin->path()) == 0);
    clean_up(*origin);
}
