// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// One point of several devices, by both methods: each image holds a prefix of what was written to all of them in turn, and the
// same one; if one device cannot take the point, none does.
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "dm_ioctl.h"
#include "dm_state.h"
#include "environment.h"
#include "kinds.h"
#include "load.h"
#include "origin.h"
#include "records.h"
#include "wait.h"
#include "worker.h"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes member_bytes{96 << 20};

/// Two partitions of the origin disk.
class Partitions {
public:
    Partitions()
    {
        must({"sfdisk", "--quiet", "--wipe", "always", origin_disk()},
            fmt::format("label: gpt\nsize={0}MiB\nsize={0}MiB\n", member_bytes.count >> 20));
        must({"udevadm", "settle"});
    }
    ~Partitions()
    {
        try_to({"dmsnap", "detach", "--force", "--yes", path(1)});
        try_to({"dmsnap", "detach", "--force", "--yes", path(2)});
        try_to({"partx", "--delete", origin_disk()});
    }
    Partitions(const Partitions&) = delete;
    Partitions& operator=(const Partitions&) = delete;

    static std::string path(int number) { return origin_disk() + std::to_string(number); }
    static std::string image(const std::string& set, int number)
    {
        return "/dev/dmsnap/" + set + path(number).substr(path(number).rfind('/'));
    }
};

Arguments joined(Arguments words, const Arguments& more)
{
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// How many points there are, of whatever device.
std::size_t points()
{
    const std::string list = tool({"list", "--noheadings", "-o", "snap_name"});
    return static_cast<std::size_t>(std::count(list.begin(), list.end(), '\n'));
}

std::string dmesg_since(const std::string& mark)
{
    const std::string all = must({"dmesg"});
    return all.substr(all.rfind(mark));
}

void mark_dmesg(const std::string& mark) { std::ofstream("/dev/kmsg") << mark << std::endl; }

/// The same record is in all of the rings, or the last ones lack it: it was on its way.
void check_one_instant(const std::vector<Ring>& rings)
{
    for (const Ring& ring : rings)
        CHECK(ring.fault == "");
    for (std::size_t i = 1; i < rings.size(); ++i) {
        CHECK(rings[i].records <= rings[i - 1].records);
        CHECK(rings[i].records + 1 >= rings.front().records);
    }
}

/// A dm-delay under a linear device: how long a write takes can be changed under way.
class SlowDevice {
public:
    SlowDevice()
        : below_("test-delay", table(0)),
          device_("test-slow", fmt::format("0 {} linear /dev/mapper/test-delay 0\n", length()))
    {
    }
    ~SlowDevice() { try_to({"dmsnap", "detach", "--force", "--yes", path()}); }
    SlowDevice(const SlowDevice&) = delete;
    SlowDevice& operator=(const SlowDevice&) = delete;

    std::string path() const { return device_.path(); }
    void delay_writes(unsigned ms) const { below_.replace_table(table(ms)); }

private:
    static std::uint64_t length() { return Sectors::exactly(48_MiB).count; }
    static std::string table(unsigned ms)
    {
        return fmt::format("0 {0} delay {1} 2048 0 {1} 2048 {2}\n", length(), spare_disk(), ms);
    }

    DmDevice below_;
    DmDevice device_;
};

} // namespace

TEST_CASE("the images of a set hold the same prefix of records written to all its devices in turn", "[set]")
{
    Random random;
    const Partitions parts;
    const auto volume = lvm_origin(spare_disk(), member_bytes);
    const Arguments devices = {parts.path(1), parts.path(2), volume->device()};
    Filesystem first(parts.path(1), "ext4");
    Filesystem second(parts.path(2), "xfs");
    Filesystem third(volume->path(), "ext4");
    const std::vector<const Filesystem*> all = {&first, &second, &third};
    tool({"attach", "--via", "table", volume->device()}); // the others come to be attached by the hook

    std::vector<std::string> files;
    for (const Filesystem* filesystem : all)
        files.push_back(filesystem->directory() + "/records");
    RecordWriter writer(files);
    writer.write_on(1);
    for (const Filesystem* filesystem : all)
        must({"sync", "--file-system", filesystem->directory()});
    Load load(first.directory(), 2_MiB, random);
    load.start();

    for (std::uint64_t i = 0; i < rounds("sets"); ++i) {
        const std::string set = fmt::format("set{}", i);
        INFO(set);
        writer.write_on(random.between(1, 10));
        const std::uint64_t durable = writer.durable();
        tool(joined({"create", "-n", set, "--store", store_disk()}, devices));
        const std::uint64_t begun = writer.begun();
        CHECK(points() == 3);
        std::vector<Ring> rings;
        const std::vector<std::string> images = {parts.image(set, 1), parts.image(set, 2), volume->image(set)};
        for (std::size_t m = 0; m < all.size(); ++m) {
            const MountedImage image(images[m], all[m]->type());
            rings.push_back(read_ring(image.directory() + "/records"));
        }
        CHECK(rings.back().records >= durable);
        CHECK(rings.front().records <= begun);
        check_one_instant(rings);
        tool({"remove", set});
        CHECK(points() == 0);
    }

    tool(joined({"checkpoint", "-n", "c1"}, devices));
    CHECK(points() == 3);
    tool({"rename", "c1", "c2"});
    tool({"change", "--addtag", "daily", "c2"});
    const std::string rows = tool({"list", "--noheadings", "-o", "snap_name,snap_tags"});
    CHECK(std::count(rows.begin(), rows.end(), '2') == 3);
    tool({"remove", "c2"});
    CHECK(points() == 0);

    load.stop();
    writer.stop();
    for (std::size_t m = 0; m < all.size(); ++m)
        CHECK(read_ring(files[m]).fault == "");
    first.unmount();
    second.unmount();
    third.unmount();
    check_filesystem(parts.path(1), "ext4");
    check_filesystem(parts.path(2), "xfs");
    check_filesystem(volume->path(), "ext4");
    tool(joined({"detach"}, devices));
}

TEST_CASE("the points of a set go, or change, in one step or not at all", "[set]")
{
    const auto first = linear_origin(origin_disk(), 16_MiB, 1, "test-first");
    const auto second = linear_origin(spare_disk(), 16_MiB, 1, "test-second");
    const auto selected = [](const Origin& origin, const std::string& id) {
        const std::string uuid(words(must({"dmsetup", "table", origin.dm_name()})).at(5));
        return fmt::format("{}/{}/{}", uuid, origin.generation(), id);
    };
    const auto send = [&](const std::string& verb, const std::string& ids, const std::string& more = "") {
        return send_message(first->dm_name(),
            fmt::format("{} {} {}{} {}", verb, first->generation(), ids.front(), more, selected(*second, {ids.back()})))
            .error;
    };
    tool({"create", "-n", "s1", "--store", store_disk(), first->device(), second->device()});
    tool({"checkpoint", "-n", "c1", first->device(), second->device()});
    tool({"checkpoint", "-n", "c2", second->device()});
    const std::string before = device_mapper_state();

    CHECK(send("drop", "11") == EBUSY);
    CHECK(send("drop", "21") == EBUSY); // the first could go, the second is in use
    CHECK(send("drop", "24") == ENOENT);
    CHECK(send("release", "21") == EBUSY);
    CHECK(send("change", "22", " c2 = =") == EEXIST); // it is another's of the second alone
    CHECK(send("change", "24", " x = =") == ENOENT);
    const std::string stale = selected(*first, "2").replace(37, 36, std::string(selected(*second, "2"), 37, 36));
    CHECK(send_message(second->dm_name(), fmt::format("drop {} 2 {}", second->generation(), stale)).error == ESTALE);
    for (const std::string word : {"", "-", "x", "-1", "0x1", "1/", "18446744073709551616"})
        CHECK(send_message(first->dm_name(), fmt::format("drop {} 2 {}", first->generation(), selected(*second, word)))
                  .error == EINVAL);
    CHECK(device_mapper_state() == before);

    CHECK(send("change", "22", " c9 daily 00ff") == 0);
    const std::string rows = tool({"list", "--noheadings", "-o", "snap_name,snap_tags"});
    CHECK(std::count(rows.begin(), rows.end(), '9') == 2);
    CHECK(send("drop", "22") == 0);
    CHECK(points() == 3);
    must({"dmsetup", "remove", "dmsnap-s1-test-first", "dmsnap-s1-test-second"});
    CHECK(send("release", "11") == 0);
    CHECK(first->status().snapshots == 0);
    CHECK(second->status().snapshots == 0);
    CHECK(send("drop", "11") == 0);
    CHECK(points() == 1);
}

TEST_CASE("a set may have sixteen devices", "[set]")
{
    std::vector<std::unique_ptr<DmDevice>> all;
    Arguments paths;
    for (unsigned i = 0; i <= INTERPOSE_SET_MAX; ++i) {
        all.push_back(std::make_unique<DmDevice>(
            fmt::format("test-{}", i), fmt::format("0 8192 linear {} {}\n", spare_disk(), 8192 * i)));
        paths.push_back(all.back()->path());
    }
    CHECK(run_tool(joined({"checkpoint", "-n", "c1"}, paths)).status == 3);
    paths.pop_back();
    tool(joined({"checkpoint", "-n", "c1"}, paths));
    CHECK(points() == INTERPOSE_SET_MAX);
    tool({"rename", "c1", "c2"});
    tool({"change", "--addtag", "daily", "c2"});
    const std::string rows = tool({"list", "--noheadings", "-o", "snap_name,snap_tags"});
    CHECK(std::count(rows.begin(), rows.end(), '2') == INTERPOSE_SET_MAX);
    CHECK(std::count(rows.begin(), rows.end(), 'y') == INTERPOSE_SET_MAX);
    tool({"remove", "c2"});
    CHECK(points() == 0);
    tool(joined({"detach"}, paths));
}

TEST_CASE("a device whose writes do not end in time keeps all of the set from its point", "[set]")
{
    const Partitions parts;
    Filesystem filesystem(parts.path(1), "ext4");
    SlowDevice slow;
    tool({"attach", parts.path(1), slow.path()});
    RecordWriter writer(filesystem.directory() + "/records");
    writer.write_on(1);
    slow.delay_writes(60'000); // unless it is told otherwise before
    Buffer block(4_KiB);
    const Disk disk(slow.path());
    Worker raw([&] { disk.write({0}, block.span()); });
    must({"sleep", "0.5"});

    mark_dmesg("test: slow drain");
    const Result result =
        run_tool({"create", "-n", "s1", "--store", store_disk(), "--deadline", "1", parts.path(1), slow.path()});
    CHECK(result.status == 5);
    CHECK(result.err.find("took longer than 1000 ms") != std::string::npos);
    CHECK(result.err.find("dmesg") != std::string::npos);
    CHECK(dmesg_since("test: slow drain").find("no point was taken: writes do not end") != std::string::npos);
    CHECK(points() == 0);
    writer.write_on(10); // nothing is frozen

    slow.delay_writes(0);
    raw.stop();
    CHECK(raw.error() == 0);
    tool({"create", "-n", "s1", "--store", store_disk(), parts.path(1), slow.path()});
    CHECK(points() == 2);
    CHECK(list_field("s1", "snap_set") != "");
    tool({"remove", "s1"});
    writer.stop();
}

TEST_CASE("a filesystem that does not freeze in time keeps all of the set from its point", "[set]")
{
    const Partitions parts;
    Filesystem filesystem(parts.path(1), "ext4");
    SlowDevice slow;
    tool({"attach", parts.path(1), slow.path()});
    {
        Filesystem other(slow.path(), "ext4");
        RecordWriter writer(filesystem.directory() + "/records");
        writer.write_on(1);
        must({"sync"});
        slow.delay_writes(800);
        // Dirty again after the tool has synced: somebody goes on writing.
        Worker dirty([&] { std::ofstream(other.directory() + "/file") << std::string(1 << 16, 'x'); });
        const Result result =
            run_tool({"create", "-n", "s1", "--store", store_disk(), "--deadline", "1", parts.path(1), slow.path()});
        dirty.stop();
        CHECK(result.status == 5);
        CHECK(points() == 0);
        writer.write_on(10);
        std::ofstream(other.directory() + "/thawed") << "x";
        slow.delay_writes(0);
        tool({"create", "-n", "s1", "--store", store_disk(), parts.path(1), slow.path()});
        CHECK(points() == 2);
        tool({"remove", "s1"});
        writer.stop();
    }
}

TEST_CASE("filesystems that depend on each other where nobody sees it are not left frozen", "[set-hidden]")
{
    const Partitions parts;
    Filesystem below(parts.path(1), "ext4");
    // A loop device over a file in an overlay, whose files are those of the partition: sysfs shows no way between them.
    const std::string at = below.directory();
    must({"sh", "-c",
        fmt::format("mkdir {0}/upper {0}/work {0}/lower {0}/merged && "
                    "mount -t overlay overlay -o lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work {0}/merged && "
                    "truncate -s 64M {0}/merged/disk && losetup --find --show {0}/merged/disk >/tmp/hidden-loop",
            at)});
    const std::string loop = must({"sh", "-c", "printf %s \"$(cat /tmp/hidden-loop)\""});
    {
        Filesystem above(loop, "ext4");
        const Result result = run_tool({"checkpoint", "-n", "c1", "--deadline", "3", parts.path(1), loop});
        INFO(result.err);
        CHECK(result.status == 5);
        CHECK(result.err.find("took longer than 3000 ms") != std::string::npos);
        // Neither is frozen, and each can be taken alone.
        std::ofstream(above.directory() + "/file") << "x" << std::flush;
        must({"timeout", "60", "sync", "--file-system", above.directory()});
        must({"timeout", "60", "sync", "--file-system", at});
        CHECK(points() == 0);
        tool({"checkpoint", "-n", "c1", parts.path(1)});
        tool({"checkpoint", "-n", "c2", loop});
        CHECK(points() == 2);
        // In this order the upper one is frozen first.
        tool({"checkpoint", "-n", "c3", loop, parts.path(1)});
        tool({"detach", loop, parts.path(1)});
    }
    must({"losetup", "--detach", loop});
    must({"umount", at + "/merged"});
}
