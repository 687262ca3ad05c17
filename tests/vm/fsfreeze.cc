// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A filesystem that somebody holds frozen with fsfreeze(8): attach, create and detach use it as it is, do not hang,
// and leave it frozen; so they do when it is thawed under them.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"
#include "records.h"
#include "wait.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr int never_longer = 60; // seconds

/// Runs dmsnap, which must be done in time, and succeed.
void must_end(const Arguments& arguments)
{
    Arguments command = {"dmsnap"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Background tool(command);
    const int status = tool.wait(never_longer);
    INFO(tool.output());
    CHECK(status == 0);
}

/// Whether somebody holds it frozen: a second one is refused then.
bool is_frozen(const Filesystem& filesystem)
{
    if (run({"fsfreeze", "--freeze", filesystem.directory()}).status != 0)
        return true;
    must({"fsfreeze", "--unfreeze", filesystem.directory()});
    return false;
}

/// Waits until a writer has run into the frozen filesystem.
void wait_until_blocked(const RecordWriter& writer)
{
    std::uint64_t seen = 0;
    wait_until("the writer is blocked", never_longer, [&] {
        const std::uint64_t before = std::exchange(seen, writer.begun());
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return before == seen && writer.begun() == seen;
    });
}

void use_frozen(const std::string& type)
{
    const auto origin = origin_under_test(64_MiB);
    Filesystem filesystem(origin->path(), type);
    const DmDevice store("test-store", fmt::format("0 262144 linear {} 0", store_disk()));
    RecordWriter writer(filesystem.directory() + "/records");
    writer.write_on(3);
    {
        const Frozen frozen(filesystem);
        wait_until_blocked(writer);
        const std::uint64_t durable = writer.durable();
        must_end(origin->attaching({"attach"}));
        CHECK(is_frozen(filesystem));
        must_end(origin->attaching({"create", "-n", "s1", "--store", store.path()}));
        CHECK(is_frozen(filesystem));
        CHECK(list_field("s1", "consistency") == "fs");
        copy(origin->path(), the_copy(), origin->size());
        CHECK(differences(origin->image("s1"), the_copy(), origin->size(), 16_KiB, Cached::no) == "");
        must_end({"detach", "--force", origin->device()});
        CHECK(is_frozen(filesystem));
        must_end(origin->attaching({"create", "-n", "s2", "--store", store.path()})); // attaches as well
        CHECK(is_frozen(filesystem));
        CHECK(writer.durable() == durable);
    }
    writer.write_on(5);
    CHECK(differences(origin->image("s2"), the_copy(), origin->size(), 16_KiB, Cached::no) == "");
    must_end({"detach", "--force", origin->device()});
    writer.write_on(5);
    writer.stop();
    filesystem.unmount();
    check_filesystem(origin->path(), type);
    check_frozen_copy(the_copy(), origin->size(), type);
}

/// Writes on the device that take as long as its base does, one after the other, and change nothing.
class SlowWrites {
public:
    explicit SlowWrites(const Origin& origin)
        : writes_({"sh", "-c", "touch /tmp/slow; while [ -e /tmp/slow ] && dd $0; do :; done",
              fmt::format("if={0} of={0} bs=4k count=1 iflag=direct oflag=direct conv=notrunc skip={1} seek={1}",
                  origin.path(), origin.size().count / 4096 - 1)})
    {
    }
    /// Lets the last one end.
    void stop()
    {
        std::filesystem::remove("/tmp/slow");
        writes_.wait(never_longer);
    }

private:
    Background writes_;
};

/// Whether a process is inside that function of the kernel.
bool stack_has(int pid, const std::string& function)
{
    return run({"grep", "-q", function, fmt::format("/proc/{}/stack", pid)}).status == 0;
}

/// Whether an ext4 on this device is as after a power cut, not as a freeze leaves it.
bool needs_replay(const std::string& device)
{
    return must({"dumpe2fs", "-h", device}).find("needs_recovery") != std::string::npos;
}

/// Whether dmsnap is in the middle of taking a point.
bool point_under_way()
{
    return run({"sh", "-c", "grep -q interpose_take /proc/$(pidof -s dmsnap)/stack"}).status == 0;
}

/// Writes to the filesystem's files, which stops as long as it is frozen.
class FileWrites {
public:
    explicit FileWrites(const Filesystem& filesystem)
        : writes_({"sh", "-c", "while [ -e $0 ]; do echo >>$0; done", made(filesystem.directory() + "/file-writes")})
    {
    }
    bool stopped_by_freeze() const { return stack_has(writes_.pid(), "percpu_rwsem_wait"); }

private:
    static std::string made(const std::string& path)
    {
        must({"touch", path});
        return path;
    }

    Background writes_;
};

/// Begins to take a point and returns at the moment `now`, which is while the point waits for a write under way.
std::unique_ptr<Background> create_until(
    const std::string& name, const Origin& origin, const std::function<bool()>& now)
{
    for (int tries = 20; tries > 0; --tries) {
        auto create = std::make_unique<Background>(
            Arguments{"dmsnap", "create", "-n", name, "--deadline", "60", origin.device()});
        wait_until("the moment to thaw", never_longer, [&] { return now() || !create->running(); });
        if (create->running())
            return create;
        // It came between two writes and had none to wait for.
        INFO(create->output());
        REQUIRE(create->wait(never_longer) == 0);
        tool({"remove", name});
    }
    throw std::runtime_error("no point waited for a write");
}

/// 64 MiB of the disk, writes to which take so many milliseconds.
std::string delayed(unsigned milliseconds)
{
    return fmt::format("0 131072 delay {0} 0 0 {0} 0 {1}\n", origin_disk(), milliseconds);
}

/// Takes a point that waits for a write under way, and thaws the filesystem meanwhile.
void create_and_thaw(
    const std::string& name, const Origin& origin, const Filesystem& filesystem, const std::function<bool()>& now)
{
    SlowWrites writes(origin);
    const auto create = create_until(name, origin, now);
    Background thaw({"fsfreeze", "--unfreeze", filesystem.directory()}); // may wait for the point
    const int status = create->wait(never_longer);
    INFO(create->output());
    CHECK(status == 0);
    thaw.wait(never_longer);
    writes.stop();
    CHECK_FALSE(is_frozen(filesystem));
}

/// Takes a point and sees that it stops what is written to the filesystem.
void create_frozen(const std::string& name, const Origin& origin, const Filesystem& filesystem)
{
    SlowWrites writes(origin);
    const FileWrites file(filesystem);
    const auto create = create_until(name, origin, [&] { return file.stopped_by_freeze(); });
    const int status = create->wait(never_longer);
    INFO(create->output());
    CHECK(status == 0);
    writes.stop();
}

} // namespace

TEST_CASE("a frozen ext4 is used as it is and left frozen", "[fsfreeze-ext4]") { use_frozen("ext4"); }
TEST_CASE("a frozen xfs is used as it is and left frozen", "[fsfreeze-xfs]") { use_frozen("xfs"); }

TEST_CASE("a filesystem thawed while a point is taken hangs nobody", "[fsfreeze-thaw]")
{
    const DmDevice slow("test-slow", delayed(0));
    const auto origin = whole_disk_origin(slow.path());
    Filesystem filesystem(origin->path(), "ext4");
    tool({"create", "-n", "first", "--store", store_disk(), origin->device()});
    must({"sync", "--file-system", filesystem.directory()});

    must({"fsfreeze", "--freeze", filesystem.directory()});
    slow.replace_table(delayed(2000));
    create_and_thaw("theirs", *origin, filesystem, point_under_way);

    // Frozen by the point itself, and thawed as soon as it is: a point as after a power cut.
    const Arguments thaw = {"fsfreeze", "--unfreeze", filesystem.directory()};
    create_and_thaw("ours", *origin, filesystem, [&] { return run(thaw).status == 0; });
    CHECK(list_field("ours", "consistency") == "crash");

    // What was thawed can be frozen again, and is.
    slow.replace_table(delayed(300));
    create_frozen("kept", *origin, filesystem);
    CHECK(list_field("kept", "consistency") == "fs");

    slow.replace_table(delayed(0));
    CHECK_FALSE(is_frozen(filesystem));
    must({"touch", filesystem.directory() + "/still-writable"});
    filesystem.unmount();
    CHECK_NOTHROW(MountedImage(origin->path(), "ext4"));
    check_filesystem(origin->path(), "ext4");
    for (const std::string point : {"theirs", "ours", "kept"}) {
        copy(origin->image(point), the_copy(), origin->size());
        const DmDevice device("test-copy",
            fmt::format("0 131072 linear {} {}\n", the_copy().path, Sectors::exactly(the_copy().start).count));
        CHECK(run({"e2fsck", "-f", "-p", device.path()}).status <= 1); // replays a journal, finds no fault
    }
}

TEST_CASE("a tool that is killed while its point holds a filesystem frozen leaves it thawed", "[fsfreeze-kill]")
{
    const DmDevice slow("test-slow", delayed(0));
    const auto origin = whole_disk_origin(slow.path());
    Filesystem filesystem(origin->path(), "ext4");
    tool({"create", "-n", "first", "--store", store_disk(), origin->device()});
    must({"sync", "--file-system", filesystem.directory()});
    // A freeze makes several such writes, one after the other, and is not left before it is done.
    slow.replace_table(delayed(300));
    for (int i = 0; i < 2; ++i) {
        SlowWrites writes(*origin);
        const FileWrites file(filesystem);
        const auto create = create_until("killed", *origin, [&] { return file.stopped_by_freeze(); });
        REQUIRE(kill(create->pid(), SIGKILL) == 0);
        const int status = create->wait(never_longer);
        CHECK((status == 128 + SIGKILL || status == 0)); // it may have been done just before
        wait_until("files are written again", 20, [&] { return !file.stopped_by_freeze(); });
        writes.stop();
        CHECK_FALSE(is_frozen(filesystem));
        tool({"recover"});
        CHECK(tool({"check"}) == "");
        // It is there as a whole, or not at all.
        if (run_tool({"list", "killed"}).status == 0) {
            CHECK(list_field("killed", "valid") == "valid");
            tool({"remove", "killed"});
        }
    }
    slow.replace_table(delayed(0));
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

TEST_CASE("a filesystem that somebody is still freezing is frozen before the point is taken", "[fsfreeze-begun]")
{
    const DmDevice slow("test-slow", delayed(0));
    const auto origin = whole_disk_origin(slow.path());
    Filesystem filesystem(origin->path(), "ext4");
    tool({"create", "-n", "first", "--store", store_disk(), origin->device()});
    const std::string number =
        first_line({"dmsetup", "info", "-c", "--noheadings", "-o", "major,minor", origin->dm_name()});
    const std::string file = filesystem.directory() + "/direct";
    const Arguments write_directly = {
        "dd", "if=/dev/zero", "bs=4k", "count=1", "oflag=direct", "conv=notrunc", "status=none", "of=" + file};
    must(write_directly);
    must({"sync", "--file-system", filesystem.directory()});
    // The write waits as long as we like, and what the freeze writes after it takes its time.
    slow.replace_table(delayed(1000));
    must({"dmsetup", "suspend", "--noflush", "--nolockfs", slow.name()});
    Background write(write_directly);
    wait_until("a write is under way", never_longer, [&] { return stack_has(write.pid(), "dio"); });
    Background freeze({"fsfreeze", "--freeze", filesystem.directory()});
    wait_until("a freeze waits for it", never_longer, [&] { return stack_has(freeze.pid(), "freeze_super"); });
    // By hand: the tool has what is dirty written out before, and that waits for the freeze.
    Background take({"dmsetup", "message", origin->dm_name(), "0",
        fmt::format("take dddddddd-4444-4444-8444-444444444444 snapshot point - 60000 {} -", number)});
    wait_until("a point is under way", never_longer, [&] { return stack_has(take.pid(), "interpose_take"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK(write.running());
    CHECK(take.running());
    must({"dmsetup", "resume", slow.name()});
    CHECK(take.wait(never_longer) == 0);
    CHECK(is_frozen(filesystem));
    CHECK(list_field("point", "consistency") == "fs");
    slow.replace_table(delayed(0));
    CHECK(freeze.wait(never_longer) == 0);
    CHECK(write.wait(never_longer) == 0);
    const std::string uuid =
        first_line({"sh", "-c", "dmsetup table $0 | grep -oEm1 '[0-9a-f-]{36}'", origin->dm_name()});
    must({"dmsetup", "create", "test-image", "--readonly", "--table",
        fmt::format(
            "0 131072 interpose-image {} {} {}", uuid, list_field("point", "generation"), list_field("point", "id"))});
    CHECK_FALSE(needs_replay("/dev/mapper/test-image"));
    must({"dmsetup", "remove", "--retry", "test-image"});
    must({"fsfreeze", "--unfreeze", filesystem.directory()});
    must({"sync", "--file-system", filesystem.directory()});
    CHECK(needs_replay(origin->path())); // so that the one above says something
}

TEST_CASE("freezing and thawing beside points hangs nobody", "[fsfreeze-race]")
{
    const auto origin = linear_origin(origin_disk(), 64_MiB, 2);
    Filesystem filesystem(origin->path(), "ext4");
    RecordWriter writer(filesystem.directory() + "/records");
    tool({"create", "-n", "first", "--store", store_disk(), origin->device()});
    const std::string loop =
        "touch /tmp/freezes; while [ -e /tmp/freezes ]; do fsfreeze -f $0; sleep 0.0$((RANDOM % 10)); fsfreeze -u $0; done";
    Background freezer({"bash", "-c", loop, filesystem.directory()});
    for (std::uint64_t i = 0; i < rounds("fsfreeze_points"); ++i) {
        const std::string point = fmt::format("p{}", i);
        must_end({i % 2 != 0 ? "checkpoint" : "create", "-n", point, origin->device()});
        if (i % 2 == 0 && list_field(point, "consistency") == "fs")
            CHECK_FALSE(needs_replay(origin->image(point)));
    }
    std::filesystem::remove("/tmp/freezes"); // a freeze that is killed goes on, and stays
    freezer.wait(never_longer);
    CHECK_FALSE(is_frozen(filesystem));
    writer.write_on(5);
    writer.stop();
    must_end({"detach", "--force", origin->device()});
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}
