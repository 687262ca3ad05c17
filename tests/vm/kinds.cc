// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "kinds.h"

#include "base/text.h"
#include "command.h"
#include "disk.h"
#include "wait.h"

#include <fmt/format.h>
#include <fstream>
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
    std::string dm_name() const override { return "test-origin"; }
    std::string path() const override { return "/dev/test/origin"; }

private:
    VolumeGroup group_;
};

class CryptOrigin : public Origin {
public:
    CryptOrigin(const std::string& disk, Key key)
    {
        std::ofstream("/tmp/key") << "not very secret";
        must({"cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2",
            "--pbkdf-force-iterations", "1000", disk, "/tmp/key"});
        Arguments open = {"cryptsetup", "open", "--key-file", "/tmp/key", disk, dm_name()};
        if (key == Key::in_table)
            open.push_back("--disable-keyring");
        must(open);
    }
    ~CryptOrigin() override
    {
        try_to({"dmsnap", "detach", "--force", "--yes", device()});
        try_to({"cryptsetup", "close", dm_name()});
    }

    std::string device() const override { return path(); }
    std::string dm_name() const override { return "test-origin"; }
    std::string path() const override { return "/dev/mapper/test-origin"; }
};

class MultipathOrigin : public Origin {
public:
    MultipathOrigin()
        : device_("test-origin", fmt::format("0 {} multipath 0 0 1 1 round-robin 0 1 1 {} 1\n",
                                     Sectors::exactly(Disk(origin_disk()).size()).count, origin_disk()))
    {
    }

    std::string device() const override { return device_.path(); }
    std::string dm_name() const override { return device_.name(); }
    std::string path() const override { return device_.path(); }

private:
    DmDevice device_;
};

class PartitionOrigin : public Origin {
public:
    PartitionOrigin(const std::string& disk, Bytes size) : disk_(disk)
    {
        const Sectors start = Sectors::exactly(1_MiB);
        const Sectors length = Sectors::exactly(size);
        must({"sfdisk", "--quiet", "--wipe", "always", disk_},
            fmt::format("label: gpt\nstart={}, size={}\nstart={}, size={}\n", start.count, length.count,
                (start + length).count, Sectors::exactly(8_MiB).count));
        must({"udevadm", "settle"});
    }
    ~PartitionOrigin() override
    {
        try_to({"dmsnap", "detach", "--force", "--yes", device()});
        try_to({"partx", "--delete", disk_});
    }

    std::string device() const override { return path(); }
    std::string path() const override { return disk_ + "1"; }
    std::string link_name() const override { return path().substr(path().rfind('/') + 1); }
    std::string dm_name() const override
    {
        const std::string all = must({"dmsetup", "info", "--columns", "--noheadings", "--options", "name"});
        for (const std::string_view name : lines(all))
            if (name.starts_with("dmsnap-top-"))
                return std::string(name);
        throw std::runtime_error(path() + " is not attached");
    }

private:
    std::string disk_;
};

} // namespace

std::unique_ptr<Origin> striped_origin(Bytes size)
{
    return std::make_unique<VolumeOrigin>(
        std::vector<Arguments>{{"--name", "origin", "--size", in_bytes(size), "--stripes", "2", "test"}});
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

std::unique_ptr<Origin> crypt_origin(const std::string& disk, Key key)
{
    return std::make_unique<CryptOrigin>(disk, key);
}

std::unique_ptr<Origin> partition_origin(const std::string& disk, Bytes size)
{
    return std::make_unique<PartitionOrigin>(disk, size);
}

std::unique_ptr<Origin> multipath_origin() { return std::make_unique<MultipathOrigin>(); }

} // namespace dmsnap::test
