// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/local_host.h"

#include "base/error.h"
#include "world/apart.h"
#include "world/block_device.h"
#include "world/copy.h"
#include "world/file.h"
#include "world/mounts.h"
#include "world/signature.h"
#include "world/store_file.h"
#include "world/store_header.h"
#include "world/tracing.h"

#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <system_error>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

/// For a filesystem to remove a file.
constexpr std::chrono::seconds removal_deadline{30};

} // namespace

void LocalHost::format_store(const StoreFormat& store)
{
    // The number that was checked, whatever the path leads to by now.
    const DeviceNumber device = std::get<DeviceNumber>(store.device);
    const fs::path node = node_path(read_block_device(device));
    dmsnap::format_store(node, device,
        {store.store, static_cast<std::uint64_t>(std::time(nullptr)), store.length, store.granule}, !store.blank);
}

void LocalHost::make_store_file(
    const std::string& path, Sectors length, DeviceNumber device, std::chrono::milliseconds deadline)
{
    run_apart(
        path, "make a store of it", deadline,
        [&] {
            dmsnap::make_store_file(path, length, device);
            return std::string();
        },
        [&] { dmsnap::remove_store_file(path, device); });
}

std::vector<Run> LocalHost::store_file_extents(const std::string& path) { return dmsnap::store_file_extents(path); }

void LocalHost::remove_store_file(const std::string& path, DeviceNumber device)
{
    run_apart(
        path, "remove it", removal_deadline,
        [&] {
            dmsnap::remove_store_file(path, device);
            return std::string();
        },
        [] {});
}

void LocalHost::blank_ends(const Blank& blank)
{
    const int flags = O_RDWR | O_DIRECT | (blank.exclusive ? O_EXCL : 0);
    const File file = File::open(node_path(read_block_device(blank.device)), flags);
    dmsnap::blank_ends(file, blank.length.bytes(), blank.end.bytes());
}

void LocalHost::erase_signatures(const std::string& path)
{
    const File file = File::open(path, O_RDWR);
    dmsnap::erase_signatures(file.fd(), path);
    file.sync();
}

void LocalHost::sync_filesystems(const std::vector<std::string>& mount_points)
{
    dmsnap::sync_filesystems(mount_points);
}

Obstacle LocalHost::tracing_obstacle() { return dmsnap::tracing_obstacle(); }

void LocalHost::make_link(const std::string& path, const DmName& device)
{
    const fs::path link(path);
    std::error_code error;
    fs::create_directories(link.parent_path(), error);
    fs::remove(link, error);
    fs::create_symlink("../../mapper/" + device.text(), link, error);
    if (error)
        throw Error(path, "make the link", error.value());
}

void LocalHost::remove_link(const std::string& path)
{
    const fs::path link(path);
    std::error_code error;
    fs::remove(link, error);
    if (error)
        throw Error(path, "remove the link", error.value());
    // Fails as long as there are other links in it, which is right.
    fs::remove(link.parent_path(), error);
}

} // namespace dmsnap
