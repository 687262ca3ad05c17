// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// LVM and others at work on an attached volume, with an image mounted and fio writing: whoever loads another table
// ends the snapshots and the chain of changes at that instant, and hurts nothing else.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "load.h"
#include "origin.h"
#include "wait.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <thread>
#include <utility>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes volume_size = 80_MiB;
constexpr Bytes load_file_size = 8_MiB;

void shell(const std::string& command) { must({"bash", "-c", command}); }
void try_shell(const std::string& command) { try_to({"bash", "-c", command}); }

/// An LV in a VG of two PVs, on which it can be moved about.
class Volume : public Origin {
public:
    explicit Volume(std::string via)
        : via_(std::move(via)), first_("test-pv1", fmt::format("0 524288 linear {} 8192", origin_disk())),
          second_("test-pv2", fmt::format("0 524288 linear {} 1048576", origin_disk()))
    {
        // An earlier one may have lost a PV, and left the label on it.
        shell("wipefs -q -a /dev/mapper/test-pv1 /dev/mapper/test-pv2");
        shell("vgcreate -q -y test /dev/mapper/test-pv1 /dev/mapper/test-pv2");
        shell(fmt::format("lvcreate -q -y -n origin -L {}b test /dev/mapper/test-pv1", volume_size.count));
    }
    ~Volume() override
    {
        try_shell(
            "udevadm settle; dmsnap detach --force --yes test/origin; vgchange -q -an test; vgremove -q -ff -y test;"
            "pvremove -q -y /dev/mapper/test-pv1 /dev/mapper/test-pv2");
    }

    std::string device() const override { return "test/origin"; }
    Arguments method() const override { return {"--via", via_}; }
    std::string dm_name() const override { return attached_device("test-origin"); }
    std::string path() const override { return "/dev/test/origin"; }
    std::string link_name() const override { return "test-origin"; }
    bool attached() const { return must({"dmsetup", "table"}).find(" interpose ") != std::string::npos; }

private:
    std::string via_;
    DmDevice first_;
    DmDevice second_;
};

std::string events_of_image(const std::string& point)
{
    return must({"dmsetup", "info", "-c", "--noheadings", "-o", "events", "dmsnap-" + point});
}

/// How a scene is left.
enum class Attached { yes, no };

/// An attached volume with a filesystem at work and, in turns, a snapshot whose image is mounted.
class Scene {
public:
    explicit Scene(const std::string& via)
        : volume_(via), filesystem_(volume_.path(), "ext4"), load_(filesystem_.directory(), load_file_size, random_),
          user_(std::in_place, Arguments{"sh", "-c", "cd \"$0\" && exec sleep 1000", filesystem_.directory()})
    {
        load_.start();
    }

    const Volume& volume() const { return volume_; }

    /// Takes the snapshot `s1`, keeps a copy to compare it with, and mounts it.
    void begin()
    {
        {
            const Frozen frozen(filesystem_);
            copy(volume_.path(), the_copy(), volume_size);
            tool(volume_.attaching({"create", "-n", "s1", "--store", store_disk()}));
        }
        generation_ = volume_.generation();
        image_ = volume_.image("s1");
        mounted_.emplace(image_, "ext4");
        events_ = events_of_image("s1");
        REQUIRE(load_.running());
    }

    /// What must hold once another table has taken the device.
    void check_ended()
    {
        CHECK_FALSE(volume_.attached());
        CHECK(error_of_reading("/dev/mapper/dmsnap-s1") == EIO);
        CHECK(list_field("s1", "snap_attr").substr(4, 1) == "I");
        CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_DETACHED);
        CHECK(events_of_image("s1") != events_);
        CHECK(run_tool({"status", volume_.device()}).status == 5);
        check_chain_broken();
    }

    /// Attached anew it is another chain, and the old image stays what it is.
    void check_new_chain()
    {
        tool(volume_.attaching({"checkpoint", "-n", "c1"}));
        CHECK(volume_.generation() != generation_);
        check_chain_broken();
        CHECK(run_tool({"changed", "--since", generation_ + ":1", volume_.device()}).status == 7);
        CHECK(error_of_reading("/dev/mapper/dmsnap-s1") == EIO);
        CHECK(tool({"changed", "--since", "c1", volume_.device()}).size() < 1000000);
    }

    /// What must hold if it has not.
    void check_untouched()
    {
        CHECK(volume_.attached());
        CHECK(volume_.generation() == generation_);
        CHECK(list_field("s1", "valid") == INTERPOSE_VALIDITY_VALID);
        CHECK(run_tool({"changed", "--since", "s1", volume_.device()}).status == 0);
        CHECK(differences(image_, the_copy(), volume_size, 16_KiB, Cached::no) == "");
    }

    /// What must hold if it is attached still, whatever became of the store, which nobody but the module has open.
    void check_attached()
    {
        CHECK(volume_.attached());
        CHECK(volume_.generation() == generation_);
        CHECK(run_tool({"changed", "--since", "s1", volume_.device()}).status == 0);
        if (list_field("s1", "valid") != INTERPOSE_VALIDITY_VALID)
            CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_STORE_REMOVED);
        else if (std::filesystem::exists(image_))
            CHECK(differences(image_, the_copy(), volume_size, 16_KiB, Cached::no) == "");
    }

    void end(Attached left = Attached::no)
    {
        mounted_.reset();
        CHECK(load_.running());
        tool({"remove", "s1"});
        CHECK_FALSE(std::filesystem::exists("/dev/mapper/dmsnap-s1"));
        if (left == Attached::yes)
            return;
        if (volume_.attached())
            tool({"detach", volume_.device()});
        CHECK(must({"dmsetup", "ls"}).find("dmsnap") == std::string::npos);
    }

    /// Ends the load and looks whether all that was written is there.
    void finish()
    {
        load_.stop();
        user_.reset();
        filesystem_.unmount();
        check_filesystem(volume_.path(), "ext4");
    }

    const std::string& directory() const { return filesystem_.directory(); }
    const std::string& image_directory() const { return mounted_->directory(); }

private:
    void check_chain_broken()
    {
        const Result changed = run_tool({"changed", "--since", "s1", volume_.device()});
        CHECK(changed.status == 7);
        CHECK(changed.out == "");
    }

    Random random_;
    Volume volume_;
    Filesystem filesystem_;
    Load load_;
    std::optional<Background> user_; ///< fio makes pauses, in which the filesystem could be unmounted
    std::string generation_;
    std::string image_;
    std::string events_;
    std::optional<MountedImage> mounted_;
};

/// What loads another table, and how that is taken back.
struct Swap {
    std::string command;
    std::string back = {};
};

void swap_behind_our_back(const std::vector<Swap>& swaps)
{
    Scene scene("table");
    for (const Swap& swap : swaps) {
        INFO(swap.command);
        scene.begin();
        shell(swap.command);
        scene.check_ended();
        if (!swap.back.empty())
            shell(swap.back);
        scene.check_new_chain();
        scene.end();
    }
    scene.finish();
}

} // namespace

TEST_CASE("a table that LVM loads ends snapshots and chain, and hurts nothing", "[lvm-behind-reload]")
{
    swap_behind_our_back({
        {"lvchange -q --refresh test/origin"},
        {"lvextend -q -L+4m test/origin"},
        {"lvcreate -q -y -s -n thick -L 32m test/origin", "lvremove -q -y test/thick"},
    });
}

TEST_CASE("a volume that LVM moves ends snapshots and chain, and is not hurt", "[lvm-behind-move]")
{
    swap_behind_our_back({
        {"pvmove -q -i 1 -n origin /dev/mapper/test-pv1 /dev/mapper/test-pv2"},
        {"dmsetup table test-origin | sed 's/interpose \\([^ ]* [^ ]*\\) .*/linear \\1/' | dmsetup load test-origin;"
         "dmsetup suspend test-origin; dmsetup resume test-origin"},
        {"vgchange -q --refresh test"},
    });
}

TEST_CASE("a volume attached by the hook stays attached whatever LVM does to it", "[lvm-hook]")
{
    Scene scene("hook");
    scene.begin();
    for (const std::string command :
        {"lvchange -q --refresh test/origin", "lvcreate -q -y -s -n thick -L 32m test/origin",
            "lvremove -q -y test/thick", "pvmove -q -i 1 -n origin /dev/mapper/test-pv1 /dev/mapper/test-pv2",
            "vgchange -q --refresh test", "dmsetup suspend test-origin; dmsetup resume test-origin",
            "dmsetup table test-origin | dmsetup load test-origin; dmsetup suspend test-origin; dmsetup resume test-origin",
            "lvextend -q -r -L+8m test/origin"}) {
        INFO(command);
        shell(command);
        scene.check_untouched();
    }
    // What it grew by counts as changed, whether written to or not.
    must({"dd", "if=/dev/urandom", "of=" + scene.directory() + "/more", "bs=1M", "count=8", "conv=fsync",
        "status=none"});
    scene.check_untouched();
    const std::string changes = tool({"changed", "--since", "s1", scene.volume().device()});
    CHECK(changes.ends_with(fmt::format("\n{} {}\n", volume_size.count, (8_MiB).count)));
    const Result refused = run_tool({"checkpoint", "-n", "c1", scene.volume().device()});
    CHECK(refused.status == 5);
    CHECK(refused.err.find("another size") != std::string::npos);
    CHECK(run_tool({"check", scene.volume().device()}).status == 5);
    const std::string generation = scene.volume().generation();
    scene.end(Attached::yes);
    scene.begin(); // of the new size: without snapshots it is attached anew
    CHECK(scene.volume().generation() != generation);
    scene.check_untouched();
    scene.end();
    scene.finish();
}

TEST_CASE("a volume attached by the hook that shrinks has no points any more", "[lvm-hook]")
{
    const Volume volume("hook");
    tool(volume.attaching({"create", "-n", "s1", "--store", store_disk()}));
    must({"dd", "if=/dev/urandom", "of=" + volume.path(), "bs=1M", "count=8", "oflag=direct", "status=none"});
    shell("lvreduce -q -f -y -L 40m test/origin");
    must({"dd", "if=/dev/urandom", "of=" + volume.path(), "bs=1M", "count=40", "oflag=direct", "status=none"});
    CHECK(list_field("s1", "valid") == "invalid");
    CHECK(error_of_reading(volume.image("s1")) == EIO);
    CHECK(run_tool({"changed", "--since", "s1", volume.device()}).status == 7);
    tool({"detach", "--force", "--yes", volume.device()});
}

TEST_CASE("a device that is suspended for a while keeps snapshots and chain", "[lvm-behind-suspend]")
{
    Scene scene("table");
    scene.begin();
    for (const std::string options : {"", "--nolockfs", "--noflush --nolockfs"}) {
        INFO(options);
        shell("dmsetup suspend test-origin " + options);
        Background read({"dd", "if=/dev/dmsnap/s1/test-origin", "of=/dev/null", "bs=1M", "count=8", "iflag=direct"});
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        CHECK(read.running()); // it waits, as a read of the device itself does
        CHECK(run_tool({"list"}).status == 0);
        CHECK(run_tool({"status"}).status == 0);
        shell("dmsetup resume test-origin");
        const int status = read.wait(60);
        INFO(read.output());
        CHECK(status == 0);
        scene.check_untouched();
    }
    scene.end();
    scene.finish();
}

TEST_CASE("what removes unused devices leaves an attached volume alone", "[lvm-behind-remove]")
{
    const std::string via = GENERATE("table", "hook");
    INFO("by the " << via);
    Scene scene(via);
    scene.begin();
    // The store is open to nobody but the module: it goes, and the snapshot with it.
    try_shell("dmsetup remove_all");
    CHECK(scene.volume().attached());
    CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_STORE_REMOVED);
    CHECK(error_of_reading(scene.volume().image("s1")) == EIO);
    CHECK(run_tool({"changed", "--since", "s1", scene.volume().device()}).status == 0);
    scene.end();

    scene.begin();
    for (const std::string command : {"lvchange -q -an test/origin", "vgchange -q -an test",
             "lvremove -q -y test/origin", "dmsetup remove test-origin"})
        CHECK(run({"bash", "-c", command}).status != 0);
    scene.check_untouched();
    scene.end();

    // The filesystem is in use; what is not may be unmounted and removed.
    scene.begin();
    try_shell("blkdeactivate -u -l wholevg");
    scene.check_attached();
    scene.end();

    scene.begin();
    {
        const Background user({"sh", "-c", "cd \"$0\" && exec sleep 1000", scene.image_directory()});
        try_shell("blkdeactivate -u -l wholevg");
        CHECK(std::filesystem::exists(scene.volume().image("s1")));
        scene.check_attached();
    }
    scene.end();
    scene.finish();
}
