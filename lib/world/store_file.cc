// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/store_file.h"

#include "base/error.h"
#include "world/file.h"
#include "world/mounts.h"
#include "world/stack.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <memory>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

constexpr std::string_view name_prefix = ".dmsnap-store-";

bool can_hold_stores(const std::string& type) { return type == "ext4" || type == "xfs"; }

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};

struct stat status_of(const File& file)
{
    struct stat status = {};
    if (fstat(file.fd(), &status) != 0)
        throw Error(file.path(), "look at it", errno);
    return status;
}

DeviceNumber number_of(dev_t device) { return {major(device), minor(device)}; }

bool may_be_ours(const struct stat& status) { return S_ISREG(status.st_mode) && status.st_uid == 0; }

/// Sets and clears what chattr(1) shows.
void change_flags(const File& file, int set, int clear)
{
    int flags = 0;
    if (ioctl(file.fd(), FS_IOC_GETFLAGS, &flags) != 0)
        throw Error(file.path(), "read its attributes", errno);
    const int wanted = (flags | set) & ~clear;
    if (wanted != flags && ioctl(file.fd(), FS_IOC_SETFLAGS, &wanted) != 0)
        throw Error(file.path(), "change its attributes", errno);
}

/// xfs may keep the data of files on a device of its own.
void require_on_device(const File& file)
{
    fsxattr attributes{};
    if (ioctl(file.fd(), FS_IOC_FSGETXATTR, &attributes) == 0 && (attributes.fsx_xflags & FS_XFLAG_REALTIME) != 0)
        throw Error(file.path(), "make a store of it", "its data is on the filesystem's realtime device",
            "--store and a block device");
}

void allocate(const File& file, Sectors length)
{
    if (fallocate(file.fd(), 0, 0, static_cast<off_t>(length.bytes().count)) == 0)
        return;
    if (errno == EOPNOTSUPP)
        throw Error(file.path(), "make a store of it", "its filesystem allocates nothing in advance",
            "--store and a block device");
    throw Error(file.path(), "make a store of it", errno, "--store and a block device, or a smaller --size");
}

File open_ours(const fs::path& path)
{
    File file = File::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!may_be_ours(status_of(file)))
        throw Error(path, "use it as store", "it is no file of dmsnap's", "look at who made it");
    return file;
}

/// What a filesystem tells of an extent that it has no reason to write, and that is where it says.
bool is_left_alone(const fiemap_extent& extent)
{
    constexpr unsigned known = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_MERGED;
    return (extent.fe_flags & ~known) == 0 && (extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0;
}

/// As many as one call gives.
struct ExtentPage {
    static constexpr unsigned size = 512;

    alignas(fiemap) std::array<std::byte, sizeof(fiemap) + size * sizeof(fiemap_extent)> bytes{};

    fiemap& head() { return *reinterpret_cast<fiemap*>(bytes.data()); }
};

} // namespace

std::string store_mount_point(const BlockDevice& device, const Roots& roots)
{
    for (const Mount& mount : mounts_of(device, roots))
        if (mount.root == "/" && !mount.target.starts_with("/proc/"))
            return mount.target;
    return {};
}

std::optional<StoreRoom> find_store_room(const BlockDevice& device, const Roots& roots)
{
    std::optional<StoreRoom> best;
    for (const Mount& mount : mounts_of(device, roots)) {
        struct stat status = {};
        struct statvfs space = {};
        if (mount.root != "/" || mount.target.starts_with("/proc/") || stat(mount.target.c_str(), &status) != 0 ||
            statvfs(mount.target.c_str(), &space) != 0)
            continue;
        // Something else may be mounted over it.
        if (can_hold_stores(mount.type) && number_of(status.st_dev) != device.number)
            continue;
        const bool read_only = (space.f_flag & ST_RDONLY) != 0;
        if (!best || (best->read_only && !read_only))
            best = StoreRoom{mount.target, mount.type, read_only, {space.f_blocks * space.f_frsize},
                {space.f_bavail * space.f_frsize}};
    }
    return best;
}

std::string store_file_path(const std::string& mount_point, const Uuid& store)
{
    return (fs::path(mount_point) / (std::string(name_prefix) + store.text())).string();
}

void make_store_file(const fs::path& path, Sectors length, DeviceNumber device)
{
    const File folder = File::open(path.parent_path(), O_RDONLY | O_DIRECTORY);
    if (number_of(status_of(folder).st_dev) != device)
        throw Error(path.parent_path(), "make a store in it", "another filesystem is mounted there by now", "again");
    const std::string name = path.filename().string();
    if (syncfs(folder.fd()) != 0) // what it would wait for, else, while it holds up others
        throw Error(path.parent_path(), "write out the filesystem", errno);
    const File file = File::open_in(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    try {
        require_on_device(file);
        allocate(file, length);
        change_flags(file, FS_IMMUTABLE_FL | FS_NODUMP_FL, 0);
        file.sync();
        folder.sync();
    } catch (const Error&) {
        try {
            change_flags(file, 0, FS_IMMUTABLE_FL);
        } catch (const Error&) {
            // It was not set then.
        }
        unlinkat(folder.fd(), name.c_str(), 0);
        throw;
    }
}

std::vector<Run> store_file_extents(const fs::path& path)
{
    const File file = open_ours(path);
    std::vector<Run> extents;
    const auto page = std::make_unique<ExtentPage>();
    for (std::uint64_t next = 0;;) {
        fiemap& head = page->head();
        head = {};
        head.fm_start = next;
        head.fm_length = FIEMAP_MAX_OFFSET - next;
        head.fm_flags = FIEMAP_FLAG_SYNC;
        head.fm_extent_count = ExtentPage::size;
        if (ioctl(file.fd(), FS_IOC_FIEMAP, &head) != 0)
            throw Error(path, "find its blocks", errno);
        if (head.fm_mapped_extents == 0)
            return extents;
        for (unsigned i = 0; i < head.fm_mapped_extents; ++i) {
            const fiemap_extent& extent = head.fm_extents[i];
            if (!is_left_alone(extent))
                throw Error(path, "make a store of it",
                    "its filesystem keeps it in a way that leaves its blocks to nobody else",
                    "--store and a block device");
            extents.push_back({Sectors::exactly({extent.fe_physical}), Sectors::exactly({extent.fe_length})});
            next = extent.fe_logical + extent.fe_length;
            if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0)
                return extents;
        }
    }
}

void remove_store_file(const fs::path& path, DeviceNumber device)
{
    struct stat status = {};
    if (lstat(path.c_str(), &status) != 0 && errno == ENOENT)
        return;
    const File file = open_ours(path);
    if (number_of(status_of(file).st_dev) != device)
        return; // a copy of it, where its own filesystem was mounted
    change_flags(file, 0, FS_IMMUTABLE_FL);
    if (unlink(path.c_str()) != 0 && errno != ENOENT)
        throw Error(path, "remove it", errno);
}

namespace {

/// A copy that a backup made of it is written, or has no blocks at all; one that was not finished has no length yet.
bool is_a_store(const std::string& path)
{
    try {
        const File file = open_ours(path);
        int flags = 0;
        if (ioctl(file.fd(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_IMMUTABLE_FL) != 0)
            return true;
        return status_of(file).st_size == 0 || !store_file_extents(path).empty();
    } catch (const Error&) {
        return false;
    }
}

void add_store_files(const std::string& mount_point, DeviceNumber device, std::vector<StoreFile>& files)
{
    const std::unique_ptr<DIR, CloseFolder> folder(opendir(mount_point.c_str()));
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        std::string_view name = entry->d_name;
        if (!name.starts_with(name_prefix))
            continue;
        name.remove_prefix(name_prefix.size());
        const auto store = Uuid::from_text(name);
        if (!store)
            continue;
        const StoreFile found{store_file_path(mount_point, *store), *store, device};
        const auto same = [&](const StoreFile& other) { return other.store == *store && other.device == device; };
        if (std::none_of(files.begin(), files.end(), same) && is_a_store(found.path))
            files.push_back(found);
    }
}

/// Whoever reads there would wait for who suspended it.
bool is_suspended(DeviceNumber number, const Roots& roots)
{
    const auto block = find_block_device(number, roots);
    const auto suspended = [](const BlockDevice& device) { return device.suspended; };
    if (!block || suspended(*block))
        return true;
    const auto below = all_below(*block, roots);
    return std::any_of(below.begin(), below.end(), suspended);
}

} // namespace

std::vector<StoreFile> find_store_files(const Roots& roots)
{
    std::vector<StoreFile> files;
    for (const Mount& mount : all_mounts(roots)) {
        struct stat status = {};
        struct statvfs space = {};
        if (!can_hold_stores(mount.type) || mount.root != "/" || is_suspended(mount.device, roots) ||
            stat(mount.target.c_str(), &status) != 0 || number_of(status.st_dev) != mount.device ||
            statvfs(mount.target.c_str(), &space) != 0 || (space.f_flag & ST_RDONLY) != 0)
            continue;
        add_store_files(mount.target, mount.device, files);
    }
    return files;
}

} // namespace dmsnap
