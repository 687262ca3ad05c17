// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "catch.h"
#include "world/block_device.h"
#include "world/in_flight.h"
#include "world/mounts.h"
#include "world/stack.h"
#include "world/throttle.h"
#include "world/tracing.h"
#include "world/users.h"
#include "world_tree.h"

#include <cerrno>
#include <filesystem>
#include <functional>

using namespace dmsnap;
using dmsnap::test::FakeMachine;

namespace {

/// A disk with a partition; on that two volumes, on one of these a third device; and a disk apart.
///
///     crypt (254:2)
///     vg-home (254:0)   my--vg-lv--1 (254:1)
///     sda1 (8:1)
///     sda (8:0)         sdb (8:16)
struct Server : FakeMachine {
    Server()
    {
        add_device("sda", "8:0");
        add_partition("sda", "sda1", "8:1");
        add_device("sdb", "8:16");
        add_device("dm-0", "254:0", "vg-home");
        add_device("dm-1", "254:1", "my--vg-lv--1");
        add_device("dm-2", "254:2", "crypt");
        stack("dm-0", "sda1");
        stack("dm-1", "sda1");
        stack("dm-2", "dm-0");
    }
    BlockDevice device(const std::string& spec) const { return resolve(spec, roots()); }
};

std::vector<std::string> names(const std::vector<BlockDevice>& devices)
{
    std::vector<std::string> result;
    for (const BlockDevice& device : devices)
        result.push_back(device.name());
    return result;
}

using Names = std::vector<std::string>;

int error_number(const std::function<void()>& call)
{
    try {
        call();
    } catch (const Error& error) {
        return error.number();
    }
    return 0;
}

} // namespace

TEST_CASE("a device is found by each of its names", "[unit]")
{
    const Server server;
    const std::string dev = server.roots().dev;
    for (const std::string& spec : {std::string("254:0"), std::string("vg-home"), std::string("vg/home"),
             dev + "/mapper/vg-home", dev + "/vg/home", dev + "/dm-0"}) {
        INFO(spec);
        CHECK(server.device(spec).number == DeviceNumber{254, 0});
    }
    CHECK(server.device("my-vg/lv-1").name() == "my--vg-lv--1");
    CHECK(server.device(dev + "/sda1").number == DeviceNumber{8, 1});
    CHECK(server.device("sda1").number == DeviceNumber{8, 1});
}

TEST_CASE("what names no block device is refused with its reason", "[unit]")
{
    const Server server;
    for (const char* spec :
        {"", "nothing", "vg/nothing", "99:99", "/", "vg/", "/nonexistent/path", "254:0:1", "-1:0"}) {
        INFO(spec);
        CHECK(error_number([&] { server.device(spec); }) == (std::string_view(spec) == "/" ? ENOTBLK : ENXIO));
    }
    CHECK(error_number([&] { server.device("/proc/self/mountinfo"); }) == ENOTBLK);
}

TEST_CASE("what a device is comes from sysfs", "[unit]")
{
    Server server;
    server.set("sdb", "queue/logical_block_size", "4096");
    server.set("sdb", "queue/zoned", "host-managed");
    server.set("sdb", "ro", "1");
    const BlockDevice disk = server.device("8:16");
    CHECK(disk.kernel_name == "sdb");
    CHECK_FALSE(disk.is_dm());
    CHECK(disk.size == Sectors{2048});
    CHECK(disk.logical_block == Bytes{4096});
    CHECK(disk.read_only);
    CHECK(disk.zoned);
    CHECK_FALSE(disk.disk);

    server.set("dm-0", "dm/uuid", "LVM-abc");
    server.set("dm-0", "dm/suspended", "1");
    const BlockDevice volume = server.device("vg/home");
    CHECK(volume.dm_uuid == "LVM-abc");
    CHECK(volume.suspended);
    CHECK_FALSE(volume.read_only);
    CHECK_FALSE(volume.zoned);
}

TEST_CASE("a partition has its disk's block size and zones", "[unit]")
{
    Server server;
    server.set("sda", "queue/logical_block_size", "4096");
    server.set("sda", "queue/zoned", "host-aware");
    const BlockDevice partition = server.device("8:1");
    CHECK(partition.logical_block == Bytes{4096});
    CHECK(partition.zoned);
    CHECK(partition.disk == DeviceNumber{8, 0});
}

TEST_CASE("a slash in a node's name is an exclamation mark in sysfs", "[unit]")
{
    Server server;
    server.add_device("cciss!c0d0", "104:0");
    const BlockDevice disk = server.device("104:0");
    CHECK(node_path(disk, server.roots()) == server.roots().dev / "cciss/c0d0");
    CHECK(server.device(server.roots().dev.string() + "/cciss/c0d0").number == disk.number);
}

TEST_CASE("what is above comes top first, what is below bottom first", "[unit]")
{
    const Server server;
    const Roots roots = server.roots();
    CHECK(names(all_above(server.device("8:0"), roots)) == Names{"crypt", "vg-home", "my--vg-lv--1", "sda1"});
    CHECK(names(all_below(server.device("crypt"), roots)) == Names{"sda", "sda1", "vg-home"});
    CHECK(all_above(server.device("crypt"), roots).empty());
    CHECK(all_below(server.device("8:0"), roots).empty());
}

TEST_CASE("a device reached on two ways is listed once, above both", "[unit]")
{
    Server server;
    server.add_device("md0", "9:0");
    server.stack("md0", "dm-2");
    server.stack("md0", "dm-1");
    CHECK(names(all_above(server.device("8:1"), server.roots())) == Names{"md0", "crypt", "vg-home", "my--vg-lv--1"});
    CHECK(names(all_below(server.device("9:0"), server.roots())) ==
          Names{"sda", "sda1", "my--vg-lv--1", "vg-home", "crypt"});
}

TEST_CASE("a device that goes while others are listed is left out", "[unit]")
{
    Server server;
    std::filesystem::remove(server.sysfs("dm-0") / "size"); // as the kernel takes a device's files away one by one
    CHECK(names(directly_above(server.device("8:1"), server.roots())) == Names{"my--vg-lv--1"});
    CHECK(names(all_below(server.device("crypt"), server.roots())).empty());

    server.mount("8:16", "/gone", "ext4", "{dev}/sdb");
    server.add_device("loop0", "7:0");
    server.set("loop0", "loop/backing_file", "/gone/store");
    std::filesystem::remove(server.sysfs("sdb") / "size");
    CHECK(all_below(server.device("7:0"), server.roots()).empty());
}

TEST_CASE("to lie on something is not symmetric and not reflexive", "[unit]")
{
    const Server server;
    const Roots roots = server.roots();
    const BlockDevice crypt = server.device("crypt");
    const BlockDevice disk = server.device("8:0");
    CHECK(lies_on(crypt, disk, roots));
    CHECK_FALSE(lies_on(disk, crypt, roots));
    CHECK_FALSE(lies_on(disk, disk, roots));
    CHECK_FALSE(lies_on(crypt, server.device("8:16"), roots));
    CHECK_FALSE(lies_on(server.device("my-vg/lv-1"), server.device("vg/home"), roots));
}

TEST_CASE("a loop device lies on the device whose filesystem holds its file", "[unit]")
{
    Server server;
    server.mount("8:16", "/", "ext4", "{dev}/sdb");
    server.mount("254:0", "/home", "ext4", "{dev}/mapper/vg-home");
    server.add_device("loop0", "7:0");
    server.set("loop0", "loop/backing_file", "/home/images/store");
    server.add_device("loop1", "7:1");
    server.set("loop1", "loop/backing_file", "/homework/store"); // not under /home
    server.add_device("loop2", "7:2");                           // not in use
    server.add_device("loop3", "7:3");
    server.set("loop3", "loop/backing_file", server.roots().dev.string() + "/dm-1");
    const Roots roots = server.roots();
    CHECK(lies_on(server.device("7:0"), server.device("8:0"), roots));
    CHECK(names(all_above(server.device("vg/home"), roots)) == Names{"crypt", "loop0"});
    CHECK(names(all_below(server.device("7:1"), roots)) == Names{"sdb"});
    CHECK(all_below(server.device("7:2"), roots).empty());
    CHECK(names(directly_below(server.device("7:3"), roots)) == Names{"my--vg-lv--1"});
}

TEST_CASE("mounts are found by number, with escapes undone", "[unit]")
{
    Server server;
    server.mount("254:0", "/home", "ext4", "{dev}/mapper/vg-home");
    server.mount("0:22", "/proc", "proc", "proc");
    server.mount("254:0", "/mnt/two\\040words", "ext4", "{dev}/mapper/vg-home");
    const std::vector<Mount> mounts = mounts_of(server.device("vg/home"), server.roots());
    REQUIRE(mounts.size() == 2);
    CHECK(mounts[0].target == "/home");
    CHECK(mounts[0].type == "ext4");
    CHECK(mounts[1].target == "/mnt/two words");
    CHECK(mounts_of(server.device("crypt"), server.roots()).empty());
}

TEST_CASE("what is mounted in another mount namespace alone is found by a process there", "[unit]")
{
    Server server;
    server.mount("8:16", "/", "ext4", "{dev}/sdb");
    server.mount_elsewhere(77, 5, "254:0", "/data", "ext4");
    server.mount_elsewhere(78, 5, "254:0", "/data", "ext4");
    server.mount_elsewhere(79, 6, "8:16", "/", "ext4");
    const std::vector<Mount> mounts = mounts_of(server.device("vg/home"), server.roots());
    REQUIRE(mounts.size() == 1);
    CHECK(mounts[0].type == "ext4");
    CHECK(mounts[0].target.ends_with("/root/data"));
    CHECK(mounts[0].target.starts_with((server.roots().proc / "7").string()));
    CHECK(names(freeze_list(server.device("8:0"), server.roots())) == Names{"vg-home"});

    const std::vector<Mount> here = mounts_of(server.device("8:16"), server.roots());
    REQUIRE(here.size() == 1);
    CHECK(here[0].target == "/");
    CHECK(mounts_of(server.device("crypt"), server.roots()).empty());
}

TEST_CASE("btrfs is found by its source and on every one of its members", "[unit]")
{
    Server server;
    server.mount("0:42", "/data", "btrfs", "{dev}/mapper/vg-home");
    CHECK(mounts_of(server.device("vg/home"), server.roots()).size() == 1);
    CHECK(mounts_of(server.device("8:16"), server.roots()).empty());

    const auto members = server.roots().sys / "fs/btrfs/4711/devices";
    std::filesystem::create_directories(members);
    std::filesystem::create_directory_symlink(server.sysfs("dm-0"), members / "dm-0");
    std::filesystem::create_directory_symlink(server.sysfs("sdb"), members / "sdb");
    CHECK(mounts_of(server.device("vg/home"), server.roots()).size() == 1);
    CHECK(mounts_of(server.device("8:16"), server.roots()).size() == 1);
    CHECK(mounts_of(server.device("8:1"), server.roots()).empty());
}

TEST_CASE("what a filesystem says of its source is believed of btrfs alone, and of devices", "[unit]")
{
    Server server;
    const BlockDevice home = server.device("vg/home");
    for (const char* type : {"fuse", "fuse.btrfs", "fuse.sshfs", "overlay", "nfs4", "9p", "tmpfs"})
        server.mount("0:50", "/mnt", type, "{dev}/mapper/vg-home");
    server.add_device("loop0", "7:0");
    server.set("loop0", "loop/backing_file", "/mnt/store");
    CHECK(mounts_of(home, server.roots()).empty());
    CHECK(freeze_list(home, server.roots()).empty());
    CHECK(all_below(server.device("7:0"), server.roots()).empty());
    CHECK(names(all_above(home, server.roots())) == Names{"crypt"});

    server.mount("0:50", "/mnt", "btrfs", "{dev}/mapper/vg-home");
    CHECK(mounts_of(home, server.roots()).size() == 1);
    server.mount("0:51", "/srv", "btrfs", "mapper/vg-home");
    server.mount("0:51", "/srv", "btrfs", "{dev}/../mapper/vg-home");
    CHECK(mounts_of(home, server.roots()).size() == 1);
}

TEST_CASE("the filesystems to freeze are those on the device and above it, top first", "[unit]")
{
    Server server;
    server.mount("254:0", "/home", "ext4", "{dev}/mapper/vg-home");
    server.mount("254:2", "/secret", "xfs", "{dev}/mapper/crypt");
    server.mount("8:16", "/", "ext4", "{dev}/sdb");
    CHECK(names(freeze_list(server.device("8:0"), server.roots())) == Names{"crypt", "vg-home"});
    CHECK(names(freeze_list(server.device("vg/home"), server.roots())) == Names{"crypt", "vg-home"});
    CHECK(freeze_list(server.device("my-vg/lv-1"), server.roots()).empty());
}

TEST_CASE("swap is told from a mount", "[unit]")
{
    Server server;
    server.swap_on("sdb");
    CHECK(is_swap(server.device("8:16"), server.roots()));
    CHECK_FALSE(is_swap(server.device("8:0"), server.roots()));
}

TEST_CASE("a swap file is swap on the device below it", "[unit]")
{
    Server server;
    server.mount("8:16", "/", "ext4", "{dev}/sdb");
    server.mount("254:0", "/home", "ext4", "{dev}/mapper/vg-home");
    server.swap_to_file("/home/swap\\040file");
    CHECK(is_swap(server.device("vg/home"), server.roots()));
    CHECK_FALSE(is_swap(server.device("8:16"), server.roots()));
    server.swap_to_file("/swapfile");
    CHECK(is_swap(server.device("8:16"), server.roots()));
}

TEST_CASE("a control group that limits writes to a disk is found", "[unit]")
{
    Server server;
    const auto groups = server.roots().sys / "fs/cgroup";
    CHECK(find_write_limit(server.device("sda1"), server.roots()).empty());
    test::write_file(groups / "io.stat", "8:0 rbytes=1\n");
    test::write_file(groups / "a/io.max", "8:16 rbps=max wbps=1048576 riops=max wiops=max\n");
    test::write_file(
        groups / "b/c/io.max", "8:16 rbps=max wbps=max riops=max wiops=max\n8:0 rbps=5 wbps=max riops=9 wiops=max\n");
    CHECK(find_write_limit(server.device("sda1"), server.roots()).empty());
    CHECK(find_write_limit(server.device("sdb"), server.roots()) == "/a");
    test::write_file(groups / "b/c/io.max", "8:0 rbps=max wbps=max riops=max wiops=12\n");
    CHECK(find_write_limit(server.device("sda"), server.roots()) == "/b/c");
    CHECK(find_write_limit(server.device("sda1"), server.roots()) == "/b/c");
    CHECK(find_write_limit(server.device("vg-home"), server.roots()).empty());
    test::write_file(groups / "blkio/old/blkio.throttle.write_bps_device", "254:0 4096\n");
    CHECK(find_write_limit(server.device("vg-home"), server.roots()) == "/blkio/old");
}

TEST_CASE(
    "writes under way are counted by a queue, by device-mapper, or by a driver that was not told not to", "[unit]")
{
    Server server;
    const auto counts = [&](const std::string& name) { return counts_writes(server.device(name), server.roots()); };
    CHECK(counts("sda1"));
    server.set("sda", "queue/iostats", "0");
    server.set("dm-0", "queue/iostats", "0");
    CHECK_FALSE(counts("sda1"));
    const auto runs = [&](const char* release) {
        test::write_file(server.roots().proc / "sys/kernel/osrelease", release);
    };
    runs("6.1.0-53-amd64\n");
    CHECK(counts("vg-home"));
    runs("6.12.90+deb13-amd64\n");
    CHECK_FALSE(counts("vg-home"));
    server.set("dm-0", "queue/iostats", "1");
    CHECK(counts("vg-home"));
    server.add_device("nvme9n1", "259:90");
    CHECK(counts("nvme9n1"));
    runs("6.1.0-53-amd64\n");
    CHECK_FALSE(counts("nvme9n1"));
    std::filesystem::create_directories(server.sysfs("sda") / "mq");
    CHECK(counts("sda1"));
    server.set("sdb", "queue/iostats", "1");
    CHECK(counts("sdb"));
    server.set("sdb", "md/level", "linear");
    CHECK_FALSE(counts("sdb"));
}

TEST_CASE("users are named by what a user can undo", "[unit]")
{
    Server server;
    server.mount("254:0", "/home\\012x", "ext4", "{dev}/mapper/vg-home");
    CHECK(to_text(find_users(server.device("vg/home"), server.roots())) == "mounted on /home\\x0ax, used by crypt");
    server.swap_on("sdb");
    CHECK(to_text(find_users(server.device("8:16"), server.roots())) == "used as swap");
    CHECK(to_text(find_users(server.device("crypt"), server.roots())).empty());
}

TEST_CASE("open files are searched last", "[unit]")
{
    Server server;
    server.open_by(12, "cat", "dm-2");
    server.open_by(13, "qemu", "dm-2");
    server.open_by(14, "other", "dm-1");
    server.open_by(15, "hidden", "dm-0"); // vg-home has a holder, that is enough to know
    const Users users = find_users(server.device("crypt"), server.roots());
    REQUIRE(users.processes.size() == 2);
    CHECK_FALSE(users.none());
    CHECK(find_users(server.device("vg/home"), server.roots()).processes.empty());
}

TEST_CASE("no more processes are named than anyone would read", "[unit]")
{
    Server server;
    for (int pid = 100; pid < 120; ++pid)
        server.open_by(pid, "many", "dm-2");
    CHECK(find_users(server.device("crypt"), server.roots()).processes.size() == processes_named_max);
}

TEST_CASE("what keeps the hook from the kernel's function tracing is named", "[unit]")
{
    const FakeMachine machine;
    const auto proc = machine.roots().proc / "sys/kernel/ftrace_enabled";
    const auto reason = [&] { return tracing_obstacle(machine.roots()).reason; };
    CHECK(reason().find("without CONFIG_FUNCTION_TRACER") != std::string::npos);
    test::write_file(proc, "0\n");
    CHECK(reason() == "kernel.ftrace_enabled is 0");
    test::write_file(proc, "1\n");
    CHECK(reason().find("CONFIG_DYNAMIC_FTRACE_WITH_ARGS") != std::string::npos);
    test::write_file(machine.roots().sys / "kernel/realtime", "1\n");
    CHECK(reason().find("PREEMPT_RT") != std::string::npos);
}
