// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A device that changes under an attached origin: it shrinks, it goes away, it becomes read-only. The users of the
// live device see what they would see without dmsnap, and dmsnap can be taken off.
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"
#include "records.h"
#include "scsi_disk.h"
#include "wait.h"

#include <cerrno>
#include <fmt/format.h>
#include <system_error>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

void check_nothing_left()
{
    CHECK(must({"dmsetup", "ls"}).find("dmsnap") == std::string::npos);
    CHECK(must({"dmsetup", "table"}).find(INTERPOSE_TARGET) == std::string::npos);
}

/// How a write of a sector ends: 0 or an errno value.
int error_of_writing(const std::string& path, Bytes position)
{
    try {
        Buffer buffer(4_KiB);
        Disk(path).write(position, buffer.span());
    } catch (const std::exception&) {
        return EIO;
    }
    return 0;
}

} // namespace

TEST_CASE("a volume that shrinks ends its snapshots and the chain", "[resize-shrink]")
{
    const auto origin = lvm_origin(origin_disk(), 64_MiB);
    const DmDevice store("test-store", fmt::format("0 131072 linear {} 0", store_disk()));
    tool(origin->attaching({"create", "-n", "s1", "--store", store.path()}));
    must({"lvreduce", "--quiet", "--force", "--yes", "--size", "32m", "test/origin"});
    CHECK(origin->size() == 32_MiB);
    CHECK(error_of_reading("/dev/mapper/dmsnap-s1") == EIO);
    CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_DETACHED);
    CHECK(run_tool({"changed", "--since", "s1", origin->device()}).status == 7);
    CHECK(error_of_writing(origin->path(), 0_MiB) == 0);
    // The shorter one has its own points.
    tool(origin->attaching({"create", "-n", "s2", "--store", store.path(), "--yes"}));
    CHECK(Disk(origin->image("s2")).size() == 32_MiB);
    CHECK(error_of_reading(origin->image("s2")) == 0);
    CHECK(error_of_reading("/dev/mapper/dmsnap-s1") == EIO);
    tool({"remove", "s1", "s2"});
    tool({"detach", origin->device()});
    check_nothing_left();
}

TEST_CASE("a table of ours that is shorter is refused", "[resize-shrink]")
{
    const auto origin = linear_origin(origin_disk(), 64_MiB, 1);
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    const std::string table = must({"dmsetup", "table", origin->dm_name()});
    const std::string shorter = "0 65536" + table.substr(table.find(" interpose"));
    CHECK(run({"dmsetup", "load", origin->dm_name()}, shorter).status != 0);
    CHECK(must({"dmsetup", "table", origin->dm_name()}) == table);
    CHECK(must({"dmsetup", "table", "--inactive", origin->dm_name()}).find(INTERPOSE_TARGET) == std::string::npos);
    CHECK(list_field("s1", "valid") == INTERPOSE_VALIDITY_VALID);
    CHECK(error_of_reading(origin->image("s1")) == 0);
}

TEST_CASE(
    "a device attached by the hook keeps its points when it grows, and ends them when it shrinks", "[resize-hook]")
{
    const auto origin = origin_under_test(64_MiB);
    const std::string found = must({"losetup", "--noheadings", "--output", "BACK-FILE", origin->path()});
    const std::string file(lines(found).at(0));
    const auto resize = [&](const char* size) {
        must({"truncate", "--size", size, file});
        must({"losetup", "--set-capacity", origin->path()});
        must({"udevadm", "settle"});
    };
    copy(origin->path(), the_copy(), 64_MiB);
    tool(origin->attaching({"create", "-n", "s1", "--store", store_disk()}));
    resize("80M");
    CHECK(origin->size() == 80_MiB);
    for (const Bytes position : {1_MiB, 64_MiB, 70_MiB})
        CHECK(error_of_writing(origin->path(), position) == 0);
    CHECK(list_field("s1", "valid") == INTERPOSE_VALIDITY_VALID);
    CHECK(differences(origin->image("s1"), the_copy(), 64_MiB, 16_KiB, Cached::no) == "");
    CHECK(tool({"changed", "--since", "s1", origin->device()}) ==
          fmt::format("{} {}\n{} {}\n", (1_MiB).count, 16384, (64_MiB).count, (16_MiB).count));
    resize("32M");
    CHECK(origin->size() == 32_MiB);
    CHECK(error_of_writing(origin->path(), 0_MiB) == 0);
    CHECK(list_field("s1", "valid") == INTERPOSE_VALIDITY_INVALID);
    CHECK(error_of_reading(origin->image("s1")) == EIO);
    CHECK(run_tool({"changed", "--since", "s1", origin->device()}).status == 7);
    tool({"detach", "--force", "--yes", origin->device()});
    CHECK(error_of_writing(origin->path(), 0_MiB) == 0);
    check_nothing_left();
}

TEST_CASE("a disk unplugged under an attached device can be let go", "[unplug-origin]")
{
    for (const bool with_base : {false, true}) {
        INFO("with a device below: " << with_base);
        const ScsiDisk disk;
        const DmDevice store("test-store", fmt::format("0 131072 linear {} 0", store_disk()));
        // Two segments are attached with a private device below.
        DmDevice device(
            "test-origin", with_base ? fmt::format("0 8192 linear {0} 8192\n8192 8192 linear {0} 0\n", disk.path())
                                     : fmt::format("0 16384 linear {} 0\n", disk.path()));
        tool({"create", "-n", "s1", "--store", store.path(), "test-origin"});
        {
            RecordWriter writer(device.path());
            writer.write_on(3);
            disk.unplug();
            wait_until("the writer sees it", 60, [&] { return error_of_writing(device.path(), 0_MiB) != 0; });
            CHECK_THROWS_AS(writer.stop(), std::system_error);
        }
        CHECK(error_of_reading(device.path()) == EIO);
        CHECK(run_tool({"list"}).status == 0);
        CHECK(run_tool({"status"}).status == 0);
        CHECK(run_tool({"changed", "--since", "s1", "test-origin"}).status == 0);
        tool({"remove", "s1"});
        const Result detached = run_tool({"detach", "test-origin"});
        INFO(detached.err);
        if (with_base) {
            // The disk cannot be opened again, so the old table cannot be loaded; nothing is half done.
            CHECK(detached.status == 5);
            CHECK(detached.err.find("cannot load its table") != std::string::npos);
            CHECK(must({"dmsetup", "table", "test-origin"}).find(INTERPOSE_TARGET) != std::string::npos);
        } else {
            CHECK(detached.status == 0);
        }
        must({"dmsetup", "remove", "test-origin"});
        tool({"attach", "--dry-run", store.path()});
        try_to({"dmsnap", "attach", store.path()}); // whatever is left over goes with the next command
        try_to({"dmsnap", "detach", store.path()});
        CHECK(must({"dmsetup", "ls"}).find("dmsnap") == std::string::npos);
    }
}

TEST_CASE("a store unplugged costs the snapshot and nothing else", "[unplug-store]")
{
    const auto origin = linear_origin(origin_disk(), 64_MiB, 2);
    const ScsiDisk disk;
    tool({"create", "-n", "s1", "--store", disk.path(), "--yes", origin->device()});
    RecordWriter writer(origin->path());
    writer.write_on(3);
    disk.unplug();
    writer.write_on(3);
    const Disk live(origin->path());
    Buffer buffer(64_KiB);
    for (std::uint64_t i = 2; i < 32; ++i)
        live.write({i << 20}, buffer.span());
    wait_until("the snapshot fails", 60, [&] { return origin->status().failure.has_value(); });
    CHECK(origin->status().failure == INTERPOSE_FAILURE_STORE_ERROR);
    CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_STORE_ERROR);
    CHECK(error_of_reading(origin->image("s1")) == EIO);
    CHECK(run_tool({"changed", "--since", "s1", origin->device()}).status == 0);
    writer.write_on(3);
    writer.stop();
    CHECK(read_ring(origin->path()).fault == "");
    tool({"remove", "s1"});
    // With another store it goes on.
    tool({"create", "-n", "s2", "--store", store_disk(), origin->device()});
    CHECK(error_of_reading(origin->image("s2")) == 0);
    tool({"remove", "s2"});
    tool({"detach", origin->device()});
    check_nothing_left();
}

TEST_CASE("a base made read-only behaves as it would without dmsnap", "[read-only]")
{
    const auto origin = linear_origin(origin_disk(), 64_MiB, 2);
    must({"blockdev", "--setro", origin_disk()});
    const int without = error_of_writing(origin->path(), 1_MiB);
    must({"blockdev", "--setrw", origin_disk()});
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    copy(origin->path(), the_copy(), origin->size());
    must({"blockdev", "--setro", origin_disk()});
    CHECK(error_of_writing(origin->path(), 1_MiB) == without);
    CHECK(error_of_writing(origin->path(), 8_MiB) == without);
    CHECK(differences(origin->image("s1"), the_copy(), origin->size(), 16_KiB, Cached::no) == "");
    CHECK(list_field("s1", "valid") == INTERPOSE_VALIDITY_VALID);
    CHECK(run_tool({"detach", "--force", origin->device()}).status == 0);
    CHECK(error_of_writing(origin->path(), 16_MiB) == without);
    must({"blockdev", "--setrw", origin_disk()});
    CHECK(error_of_writing(origin->path(), 16_MiB) == 0);
    check_nothing_left();
}

TEST_CASE("a live device made read-only keeps its snapshots and can be detached", "[read-only-live]")
{
    const auto origin = origin_under_test(64_MiB);
    tool(origin->attaching({"create", "-n", "s1", "--store", store_disk()}));
    must({"blockdev", "--setro", origin->path()});
    CHECK(error_of_writing(origin->path(), 1_MiB) != 0);
    CHECK(error_of_reading(origin->path()) == 0);
    CHECK(error_of_reading(origin->image("s1")) == 0);
    CHECK(run_tool({"list"}).status == 0);
    tool({"checkpoint", "-n", "c1", origin->device()});
    CHECK(tool({"changed", "--since", "s1", origin->device()}) == "");
    tool({"remove", "s1"});
    tool({"detach", origin->device()});
    CHECK(must({"blockdev", "--getro", origin->path()}) == "1\n"); // as it was found
    must({"blockdev", "--setrw", origin->path()});
    check_nothing_left();
}
