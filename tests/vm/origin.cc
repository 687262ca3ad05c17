// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "origin.h"

#include "base/text.h"
#include "dm/libdevmapper.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>

namespace dmsnap::test {
namespace {

Dm& device_mapper()
{
    static const std::unique_ptr<Dm> dm = make_libdevmapper();
    return *dm;
}

InterposeStatus interpose_status(const std::string& dm_name)
{
    for (const StatusLine& line : device_mapper().status(DmName(dm_name)))
        if (line.type == INTERPOSE_TARGET)
            return parse_interpose_status(line.text);
    throw std::runtime_error(dm_name + " is not attached");
}

std::string make_directory(const std::string& kind)
{
    std::string name = "/mnt/" + kind + "-XXXXXX";
    if (mkdtemp(name.data()) == nullptr)
        throw std::runtime_error("cannot make " + name);
    return name;
}

void unmount_and_remove(const std::string& directory)
{
    must({"umount", directory});
    std::filesystem::remove(directory);
}

void give_up_mount(const std::string& directory)
{
    try_to({"umount", directory});
    std::error_code ignored;
    std::filesystem::remove(directory, ignored);
}

std::string linear_line(Bytes at, Bytes length, const std::string& disk, Bytes offset)
{
    return fmt::format("{} {} linear {} {}\n", Sectors::exactly(at).count, Sectors::exactly(length).count, disk,
        Sectors::exactly(offset).count);
}

/// Segments of equal length, the last one first on the disk, with a gap of 4 MiB before each.
std::string scattered_table(const std::string& disk, Bytes size, unsigned segments)
{
    using namespace dmsnap::literals;
    const Bytes length{size.count / segments};
    std::string table;
    for (unsigned i = 0; i < segments; ++i) {
        const Bytes offset{(segments - i) * (4_MiB).count + (segments - 1 - i) * length.count};
        table += linear_line({i * length.count}, length, disk, offset);
    }
    return table;
}

class LinearOrigin : public Origin {
public:
    LinearOrigin(const std::string& name, const std::string& table) : device_(name, table) {}
    ~LinearOrigin() override { try_to({"dmsnap", "detach", "--force", "--yes", device_.path()}); }

    std::string device() const override { return device_.path(); }
    std::string dm_name() const override { return device_.name(); }
    std::string path() const override { return device_.path(); }

private:
    DmDevice device_;
};

class LvmOrigin : public Origin {
public:
    LvmOrigin(std::string disk, Bytes size) : disk_(std::move(disk))
    {
        must({"vgcreate", "--quiet", "--yes", "test", disk_});
        must({"lvcreate", "--quiet", "--yes", "--name", "origin", "--size", fmt::format("{}b", size.count), "test"});
    }
    ~LvmOrigin() override
    {
        try_to({"dmsnap", "detach", "--force", "--yes", device()});
        try_to({"vgremove", "--quiet", "--force", "--yes", "test"});
        try_to({"pvremove", "--quiet", "--yes", disk_});
    }

    std::string device() const override { return "test/origin"; }
    Arguments method() const override { return {"--via", "table"}; }
    std::string dm_name() const override { return attached_device("test-origin"); }
    std::string link_name() const override { return "test-origin"; }
    std::string path() const override { return "/dev/test/origin"; }

private:
    std::string disk_;
};

} // namespace

DmDevice::DmDevice(std::string name, const std::string& table) : name_(std::move(name))
{
    must({"dmsetup", "create", name_}, table);
}

DmDevice::~DmDevice() { try_to({"dmsetup", "remove", "--retry", name_}); }

void DmDevice::replace_table(const std::string& table) const
{
    must({"dmsetup", "load", name_}, table);
    must({"dmsetup", "suspend", "--noflush", "--nolockfs", name_});
    must({"dmsetup", "resume", name_});
}

std::string attached_device(const std::string& dm_name)
{
    const std::string tables = must({"dmsetup", "table"});
    std::string found;
    for (const std::string_view line : lines(tables)) {
        const std::string name(line.substr(0, line.find(':')));
        if (line.find(" interpose ") != std::string_view::npos &&
            (name == dm_name || (found.empty() && name.starts_with("dmsnap-top-"))))
            found = name;
    }
    if (found.empty())
        throw std::runtime_error(dm_name + " is not attached");
    return found;
}

Arguments Origin::attaching(const Arguments& verb) const
{
    Arguments words = verb;
    const Arguments options = method();
    words.insert(words.end(), options.begin(), options.end());
    words.push_back(device());
    return words;
}

Bytes Origin::size() const { return Disk(path()).size(); }

InterposeStatus::Details Origin::status() const { return interpose_status(dm_name()).details.value(); }

std::string Origin::generation() const { return interpose_status(dm_name()).generation.text(); }

std::uint32_t Origin::event_number() const { return device_mapper().info(DmName(dm_name())).value().event_number; }

std::unique_ptr<Origin> linear_origin(const std::string& disk, Bytes size, unsigned segments, const std::string& name)
{
    return std::make_unique<LinearOrigin>(name, scattered_table(disk, size, segments));
}

std::unique_ptr<Origin> whole_disk_origin(const std::string& disk)
{
    return std::make_unique<LinearOrigin>("test-origin", linear_line({0}, Disk(disk).size(), disk, {0}));
}

std::unique_ptr<Origin> lvm_origin(const std::string& disk, Bytes size)
{
    return std::make_unique<LvmOrigin>(disk, size);
}

Filesystem::Filesystem(const std::string& device, std::string type)
    : type_(std::move(type)), directory_(make_directory("filesystem"))
{
    // XFS does not like devices below 300 MiB, which the debug kernel does.
    if (type_ == "xfs")
        must({"mkfs.xfs", "-q", "-f", "--unsupported", device});
    else
        must({"mkfs", "-t", type_, "-q", "-F", device});
    must({"mount", "-t", type_, device, directory_});
}

Filesystem::~Filesystem()
{
    if (!directory_.empty())
        give_up_mount(directory_);
}

void Filesystem::unmount()
{
    unmount_and_remove(directory_);
    directory_.clear();
}

Frozen::Frozen(const Filesystem& filesystem) : directory_(filesystem.directory())
{
    must({"fsfreeze", "--freeze", directory_});
}

Frozen::~Frozen() { try_to({"fsfreeze", "--unfreeze", directory_}); }

MountedImage::MountedImage(const std::string& image, const std::string& type) : directory_(make_directory("image"))
{
    // XFS leaves its log to be replayed even when frozen, and refuses a second filesystem with the same uuid.
    const std::string options = type == "xfs" ? "ro,norecovery,nouuid" : "ro";
    must({"mount", "-t", type, "-o", options, image, directory_});
}

MountedImage::~MountedImage() { give_up_mount(directory_); }

void check_filesystem(const std::string& device, const std::string& type)
{
    if (type == "xfs")
        must({"xfs_repair", "-n", device});
    else
        must({"e2fsck", "-f", "-n", device});
}

void check_frozen_copy(const Place& copy, Bytes length, const std::string& type)
{
    const DmDevice device("test-copy", linear_line({0}, length, copy.path, copy.start));
    if (type == "xfs") {
        const std::string directory = make_directory("copy");
        must({"mount", "-t", type, "-o", "nouuid", device.path(), directory});
        unmount_and_remove(directory);
    }
    check_filesystem(device.path(), type);
}

} // namespace dmsnap::test
