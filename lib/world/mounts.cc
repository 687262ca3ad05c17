// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/mounts.h"

#include "base/error.h"
#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <libmount.h>
#include <memory>
#include <set>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <system_error>
#include <unistd.h>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

struct UnrefTable {
    void operator()(libmnt_table* table) const { mnt_unref_table(table); }
};
using TablePtr = std::unique_ptr<libmnt_table, UnrefTable>;

struct FreeIter {
    void operator()(libmnt_iter* iter) const { mnt_free_iter(iter); }
};
using IterPtr = std::unique_ptr<libmnt_iter, FreeIter>;

TablePtr open_table(const fs::path& path) { return TablePtr(mnt_new_table_from_file(path.c_str())); }

TablePtr read_table(const fs::path& path)
{
    TablePtr table = open_table(path);
    if (!table)
        throw Error(path, "read the table of mounts", errno != 0 ? errno : EIO, "mount -t proc proc /proc");
    return table;
}

template <typename Visit> void for_each_filesystem(libmnt_table& table, Visit visit)
{
    const IterPtr iter(mnt_new_iter(MNT_ITER_FORWARD));
    if (!iter)
        throw std::bad_alloc();
    libmnt_fs* filesystem = nullptr;
    while (mnt_table_next_fs(&table, iter.get(), &filesystem) == 0)
        visit(*filesystem);
}

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

/// The members of the btrfs filesystem that the device belongs to; just the device if there is none.
std::vector<DeviceNumber> members_of_filesystem_on(DeviceNumber device, const Roots& roots)
{
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(roots.sys / "fs/btrfs", error)) {
        std::vector<DeviceNumber> members;
        for (const BlockDevice& member : read_listed_devices(entry.path() / "devices", "", roots))
            members.push_back(member.number);
        if (std::find(members.begin(), members.end(), device) != members.end())
            return members;
    }
    return {device};
}

/// A number with major 0 was drawn by the filesystem itself.  Then the source tells more, but of btrfs alone, whose
/// driver prints it: elsewhere whoever mounts writes there what he likes, and FUSE lets any user mount.
std::optional<DeviceNumber> device_of(libmnt_fs& filesystem, const Roots& roots)
{
    const dev_t number = mnt_fs_get_devno(&filesystem);
    if (major(number) != 0)
        return DeviceNumber{major(number), minor(number)};
    const std::string source = text_or_empty(mnt_fs_get_source(&filesystem));
    if (text_or_empty(mnt_fs_get_fstype(&filesystem)) != "btrfs" || !is_device_path(source, roots))
        return std::nullopt;
    return number_behind(source, roots);
}

/// Whether the file lies in the tree that begins at the directory.
bool is_under(const std::string& file, const std::string& directory)
{
    return directory == "/" || (file.starts_with(directory) && file.substr(directory.size()).starts_with('/'));
}

Mount mount_of(libmnt_fs& filesystem, const std::string& root)
{
    const dev_t number = mnt_fs_get_devno(&filesystem);
    return {root + text_or_empty(mnt_fs_get_target(&filesystem)), text_or_empty(mnt_fs_get_fstype(&filesystem)),
        {major(number), minor(number)}, text_or_empty(mnt_fs_get_root(&filesystem))};
}

/// Those on any of the devices; `root` is where the directories that the table names begin.
std::vector<Mount> mounts_in(
    libmnt_table& table, const std::string& root, const std::vector<DeviceNumber>& devices, const Roots& roots)
{
    std::vector<Mount> mounts;
    for_each_filesystem(table, [&](libmnt_fs& filesystem) {
        const auto number = device_of(filesystem, roots);
        if (number && std::find(devices.begin(), devices.end(), *number) != devices.end())
            mounts.push_back(mount_of(filesystem, root));
    });
    return mounts;
}

/// What one of the other mount namespaces shows, by the directory of a process in it.  Those end at any time.
std::vector<Mount> mounts_elsewhere(const std::vector<DeviceNumber>& devices, const Roots& roots)
{
    std::error_code error;
    std::set<fs::path> seen = {fs::read_symlink(roots.proc / "self/ns/mnt", error)};
    for (const fs::directory_entry& entry : fs::directory_iterator(roots.proc, error)) {
        const fs::path& process = entry.path();
        const fs::path name_space = fs::read_symlink(process / "ns/mnt", error);
        if (error || !parse_u32(process.filename().string()) || seen.contains(name_space))
            continue;
        const TablePtr table = open_table(process / "mountinfo");
        if (!table)
            continue;
        seen.insert(name_space);
        if (auto mounts = mounts_in(*table, (process / "root").string(), devices, roots); !mounts.empty())
            return mounts;
    }
    return {};
}

} // namespace

std::vector<Mount> mounts_of(const BlockDevice& device, const Roots& roots)
{
    const std::vector<DeviceNumber> members = members_of_filesystem_on(device.number, roots);
    const TablePtr table = read_table(roots.proc / "self/mountinfo");
    auto mounts = mounts_in(*table, "", members, roots);
    return mounts.empty() ? mounts_elsewhere(members, roots) : mounts;
}

std::vector<Mount> all_mounts(const Roots& roots)
{
    const TablePtr table = open_table(roots.proc / "self/mountinfo");
    std::vector<Mount> mounts;
    if (table)
        for_each_filesystem(*table, [&](libmnt_fs& filesystem) { mounts.push_back(mount_of(filesystem, "")); });
    return mounts;
}

std::vector<DeviceNumber> devices_of_file(const fs::path& file, const Roots& roots)
{
    const TablePtr table = read_table(roots.proc / "self/mountinfo");
    std::optional<DeviceNumber> number;
    std::size_t longest = 0;
    for_each_filesystem(*table, [&](libmnt_fs& filesystem) {
        const std::string target = text_or_empty(mnt_fs_get_target(&filesystem));
        // Not shorter: where several are mounted one over the other, the last one is seen.
        if (!is_under(file, target) || target.size() < longest)
            return;
        longest = target.size();
        number = device_of(filesystem, roots);
    });
    return number ? members_of_filesystem_on(*number, roots) : std::vector<DeviceNumber>{};
}

namespace {

/// What the kernel swaps to, and what that lies on if it is a file.
std::vector<DeviceNumber> devices_of_swap(const std::string& source, const Roots& roots)
{
    const auto number = number_behind(source, roots);
    return number ? std::vector{*number} : devices_of_file(source, roots);
}

} // namespace

bool is_swap(const BlockDevice& device, const Roots& roots)
{
    const fs::path path = roots.proc / "swaps";
    if (!fs::exists(path))
        return false; // a kernel without swap
    const TablePtr table(mnt_new_table());
    if (!table)
        throw std::bad_alloc();
    if (mnt_table_parse_swaps(table.get(), path.c_str()) != 0)
        throw Error(path, "read the table of swap", EIO);
    bool found = false;
    for_each_filesystem(*table, [&](libmnt_fs& swap) {
        const auto below = devices_of_swap(text_or_empty(mnt_fs_get_source(&swap)), roots);
        found = found || std::find(below.begin(), below.end(), device.number) != below.end();
    });
    return found;
}

void sync_filesystems(const std::vector<std::string>& mount_points)
{
    for (const std::string& mount_point : mount_points) {
        // Not blocking: somebody may have mounted over it with a FIFO.
        const int fd = open(mount_point.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
            continue;
        const int error = fd < 0 || syncfs(fd) != 0 ? errno : 0;
        if (fd >= 0)
            close(fd);
        if (error != 0)
            throw Error(mount_point, "write out the filesystem", error);
    }
}

} // namespace dmsnap
