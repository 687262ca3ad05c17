// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "kinds.h"

#include "base/text.h"
#include "command.h"
#include "disk.h"
#include "scsi_disk.h"
#include "wait.h"

#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <vector>

namespace dmsnap::test {
namespace {

using namespace dmsnap::literals;

/// Away from the disk's start, where LVM would take the disk itself for the physical volume.
std::string half_of_disk(unsigned half)
{
    const Sectors start = Sectors::exactly(1_MiB);
    const Sectors size{Sectors::exactly(Disk(origin_disk()).size()).count / 2 - start.count};
    return fmt::format("0 {} linear {} {}\n", size.count, origin_disk(), start.count + half * size.count);
}

std::string in_bytes(Bytes size) { return fmt::format("{}b", size.count); }

/// A VG "test" of two physical volumes.
class VolumeGroup {
public:
    VolumeGroup() : first_("test-pv-1", half_of_disk(0)), second_("test-pv-2", half_of_disk(1))
    {
        must({"vgcreate", "--quiet", "--yes", "test", first_.path(), second_.path()});
    }
    ~VolumeGroup()
    {
        try_to({"vgremove", "--quiet", "--force", "--yes", "test"});
        try_to({"pvremove", "--quiet", "--yes", first_.path(), second_.path()});
    }
    VolumeGroup(const VolumeGroup&) = delete;
    VolumeGroup& operator=(const VolumeGroup&) = delete;

private:
    DmDevice first_;
    DmDevice second_;
};

/// An LV "test/origin", made by these commands.
class VolumeOrigin : public Origin {
public:
    explicit VolumeOrigin(const std::vector<Arguments>& lvcreate)
    {
        for (const Arguments& arguments : lvcreate) {
            Arguments command = {"lvcreate", "--quiet", "--yes"};
            command.insert(command.end(), arguments.begin(), arguments.end());
            must(command);
        }
    }
    ~VolumeOrigin() override { try_to({"dmsnap", "detach", "--force", "--yes", device()}); }

    std::string device() const override { return "test/origin"; }
    Arguments method() const override { return {"--via", "table"}; }
    std::string dm_name() const override { return attached_device("test-origin"); }
    std::string link_name() const override { return "test-origin"; }
    std::string path() const override { return "/dev/test/origin"; }

private:
    VolumeGroup group_;
};

/// A part of the origin disk; several lie one behind the other, from a number of 1 on.
std::unique_ptr<DmDevice> piece_of_disk(const std::string& name, Bytes size, unsigned number = 1)
{
    const Sectors length = Sectors::exactly(size);
    return std::make_unique<DmDevice>(
        name, fmt::format("0 {} linear {} {}\n", length.count, origin_disk(), 2048 + (number - 1) * length.count));
}

class CryptOrigin : public Origin {
public:
    CryptOrigin(Bytes size, Key key) : disk_(piece_of_disk("test-crypt-disk", {size.count + (16_MiB).count}))
    {
        std::ofstream("/tmp/key") << "not very secret";
        must({"cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2",
            "--pbkdf-force-iterations", "1000", disk_->path(), "/tmp/key"});
        Arguments open = {"cryptsetup", "open", "--key-file", "/tmp/key", disk_->path(), "test-origin"};
        if (key == Key::in_table)
            open.push_back("--disable-keyring");
        must(open);
    }
    ~CryptOrigin() override
    {
        try_to({"dmsnap", "detach", "--force", "--yes", device()});
        try_to({"cryptsetup", "close", "test-origin"});
    }

    std::string device() const override { return path(); }
    Arguments method() const override { return {"--via", "table"}; }
    std::string dm_name() const override { return attached_device("test-origin"); }
    std::string path() const override { return "/dev/mapper/test-origin"; }
    std::string link_name() const override { return "test-origin"; }

private:
    std::unique_ptr<DmDevice> disk_;
};

class MultipathOrigin : public Origin {
public:
    explicit MultipathOrigin(Bytes size)
        : device_("test-origin", fmt::format("0 {} multipath 0 0 1 1 round-robin 0 1 1 {} 1\n",
                                     Sectors::exactly(size).count, origin_disk()))
    {
    }

    ~MultipathOrigin() override { try_to({"dmsnap", "detach", "--force", "--yes", device()}); }

    std::string device() const override { return device_.path(); }
    std::string dm_name() const override { return attached_device(device_.name()); }
    std::string path() const override { return device_.path(); }
    std::string link_name() const override { return device_.name(); }

private:
    DmDevice device_;
};

/// Whatever it is, it is attached by the hook.
class HookedOrigin : public Origin {
public:
    explicit HookedOrigin(std::unique_ptr<Origin> live) : live_(std::move(live)) {}

    std::string device() const override { return live_->device(); }
    Arguments method() const override { return {"--via", "hook"}; }
    std::string dm_name() const override { return live_->dm_name(); }
    std::string path() const override { return live_->path(); }
    std::string link_name() const override { return live_->link_name(); }

private:
    std::unique_ptr<Origin> live_;
};

/// What is no device-mapper device: only the hook can attach it. Whoever derives detaches it before it goes.
class PlainOrigin : public Origin {
public:
    std::string device() const override { return path(); }
    std::string dm_name() const override { return attached_device(path()); }
    std::string link_name() const override { return path().substr(path().rfind('/') + 1); }

protected:
    void detach() const { try_to({"dmsnap", "detach", "--force", "--yes", path()}); }
};

/// All of a disk, however large.
class DiskOrigin : public PlainOrigin {
public:
    explicit DiskOrigin(std::string path) : path_(std::move(path)) {}
    ~DiskOrigin() override { detach(); }

    std::string path() const override { return path_; }

private:
    std::string path_;
};

class PartitionOrigin : public PlainOrigin {
public:
    PartitionOrigin(std::string disk, Bytes size) : disk_(std::move(disk))
    {
        must({"sfdisk", "--quiet", "--wipe", "always", disk_},
            fmt::format("label: gpt\nsize={}MiB\nsize=8MiB\n", size.count >> 20));
        must({"udevadm", "settle"});
    }
    ~PartitionOrigin() override
    {
        detach();
        try_to({"partx", "--delete", disk_});
    }

    std::string path() const override { return disk_ + (disk_.back() >= '0' && disk_.back() <= '9' ? "p1" : "1"); }

private:
    std::string disk_;
};

/// A partition of a disk in the guest's memory with sectors of 4 KiB.
class ScsiOrigin : public PlainOrigin {
public:
    explicit ScsiOrigin(Bytes size)
        : disk_({size.count + (16_MiB).count}, 4_KiB), partition_(std::make_unique<PartitionOrigin>(disk_.path(), size))
    {
    }

    std::string path() const override { return partition_->path(); }

private:
    ScsiDisk disk_;
    std::unique_ptr<Origin> partition_;
};

/// Of md, over parts of the origin disk.
class MdOrigin : public PlainOrigin {
public:
    MdOrigin(const std::string& level, unsigned members, Bytes member_size)
    {
        Arguments create = {"mdadm", "--create", path(), "--run", "--quiet", "--metadata", "1.2", "--level", level,
            "--raid-devices", std::to_string(members)};
        if (level == "1" || level == "5" || level == "10")
            create.insert(create.end(), {"--assume-clean", "--bitmap", "none"});
        for (unsigned i = 1; i <= members; ++i) {
            members_.push_back(
                piece_of_disk(fmt::format("test-member-{}", i), {member_size.count + (16_MiB).count}, i));
            create.push_back(members_.back()->path());
        }
        must(create);
        must({"udevadm", "settle"});
    }
    ~MdOrigin() override
    {
        detach();
        try_to({"mdadm", "--stop", path()});
        for (const auto& member : members_)
            try_to({"mdadm", "--zero-superblock", member->path()});
        try_to({"udevadm", "settle"});
    }

    std::string path() const override { return "/dev/md100"; }

private:
    std::vector<std::unique_ptr<DmDevice>> members_;
};

/// Over a file in a filesystem on the origin disk.
class LoopOrigin : public PlainOrigin {
public:
    explicit LoopOrigin(Bytes size) : filesystem_(origin_disk(), "ext4")
    {
        const std::string file = filesystem_.directory() + "/disk";
        must({"fallocate", "--length", std::to_string(size.count), file});
        const std::string found = must({"losetup", "--find", "--show", file});
        path_ = found.substr(0, found.find('\n'));
    }
    ~LoopOrigin() override
    {
        detach();
        try_to({"udevadm", "settle"}); // else the device would go later than this says, when udev has read it
        try_to({"losetup", "--detach", path_});
    }

    std::string path() const override { return path_; }

private:
    Filesystem filesystem_;
    std::string path_;
};

std::unique_ptr<Origin> by_hook(std::unique_ptr<Origin> live)
{
    return std::make_unique<HookedOrigin>(std::move(live));
}

std::unique_ptr<Origin> striped_origin(Bytes size)
{
    return std::make_unique<VolumeOrigin>(
        std::vector<Arguments>{{"--name", "origin", "--size", in_bytes(size), "--stripes", "2", "test"}});
}

std::unique_ptr<Origin> md_origin(const std::string& level, unsigned members, unsigned data_members, Bytes size)
{
    return std::make_unique<MdOrigin>(level, members, Bytes{size.count / data_members});
}

struct Kind {
    std::string_view name;
    std::function<std::unique_ptr<Origin>(Bytes)> make;
};

/// The kinds of device that a test may be run on.
const Kind all_kinds[] = {
    // by their table
    {"linear", [](Bytes size) { return linear_origin(origin_disk(), size, 1); }},
    {"segments", [](Bytes size) { return linear_origin(origin_disk(), size, 4); }},
    {"segments-4k", [](Bytes size) { return linear_origin(disk_4k(), size, 3); }},
    {"lv", [](Bytes size) { return lvm_origin(origin_disk(), size); }},
    {"striped", striped_origin},
    {"thin", thin_origin},
    {"raid1", raid1_origin},
    {"crypt", [](Bytes size) { return crypt_origin(size, Key::in_table); }},
    // by the hook
    {"partition", [](Bytes size) { return std::make_unique<PartitionOrigin>(origin_disk(), size); }},
    {"disk", [](Bytes) { return std::make_unique<DiskOrigin>(nvme_disk()); }},
    {"nvme", [](Bytes size) { return std::make_unique<PartitionOrigin>(nvme_disk(), size); }},
    {"scsi-4k", [](Bytes size) { return std::make_unique<ScsiOrigin>(size); }},
    {"md-raid0", [](Bytes size) { return md_origin("0", 2, 2, size); }},
    {"md-linear", [](Bytes size) { return md_origin("linear", 2, 2, size); }},
    {"md-raid1", [](Bytes size) { return md_origin("1", 2, 1, size); }},
    {"md-raid10", [](Bytes size) { return md_origin("10", 4, 2, size); }},
    {"md-raid5", [](Bytes size) { return md_origin("5", 3, 2, size); }},
    {"loop", [](Bytes size) { return std::make_unique<LoopOrigin>(size); }},
    {"lv-hook", [](Bytes size) { return by_hook(lvm_origin(origin_disk(), size)); }},
    {"multipath", [](Bytes size) { return by_hook(multipath_origin(size)); }},
    {"luks2", [](Bytes size) { return by_hook(crypt_origin(size, Key::in_keyring)); }},
};

} // namespace

std::unique_ptr<Origin> origin_under_test(Bytes size)
{
    const std::string name = kind();
    for (const Kind& one : all_kinds)
        if (one.name == name)
            return one.make(size);
    throw std::runtime_error(fmt::format("no kind of device \"{}\" in kinds.cc", name));
}

std::unique_ptr<Origin> thin_origin(Bytes size)
{
    return std::make_unique<VolumeOrigin>(
        std::vector<Arguments>{{"--type", "thin-pool", "--name", "pool", "--size", in_bytes({2 * size.count}), "test"},
            {"--name", "origin", "--virtualsize", in_bytes(size), "--thinpool", "test/pool"}});
}

std::unique_ptr<Origin> raid1_origin(Bytes size)
{
    auto origin = std::make_unique<VolumeOrigin>(std::vector<Arguments>{
        {"--type", "raid1", "--mirrors", "1", "--name", "origin", "--size", in_bytes(size), "test"}});
    wait_until("the mirror is in sync", 120, [] {
        return must({"lvs", "--noheadings", "-o", "copy_percent", "test/origin"}).find("100.00") != std::string::npos;
    });
    return origin;
}

std::unique_ptr<Origin> lvm_snapshot_origin(Bytes size)
{
    return std::make_unique<VolumeOrigin>(std::vector<Arguments>{{"--name", "origin", "--size", in_bytes(size), "test"},
        {"--snapshot", "--name", "snap", "--size", "16m", "test/origin"}});
}

std::unique_ptr<Origin> crypt_origin(Bytes size, Key key) { return std::make_unique<CryptOrigin>(size, key); }

std::unique_ptr<Origin> multipath_origin(Bytes size) { return std::make_unique<MultipathOrigin>(size); }

} // namespace dmsnap::test
