// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Files whose blocks hold a store: allocated, never written by their filesystem (unwritten extents read as zeros, so it has no
/// reason to), and immutable, so that it does not move them either.  They lie in the root of their filesystem, under a name
/// that says whose they are: nobody has to remember where.
#pragma once

#include "base/device_number.h"
#include "base/units.h"
#include "base/uuid.h"
#include "table/messages.h"
#include "world/block_device.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// A mounted filesystem on a device, seen as a place for a store.
struct StoreRoom {
    std::string mount_point;
    std::string type;
    bool read_only = false;
    Bytes size;
    Bytes free; ///< for users without privilege
};

/// One whose store nobody may know any more.
struct StoreFile {
    std::string path;
    Uuid store;
    DeviceNumber device; ///< that its filesystem lies on
    bool operator==(const StoreFile&) const = default;
};

/// Where all of the device's filesystem is mounted in this process's mount namespace; empty if it is not.  No filesystem is
/// asked.
std::string store_mount_point(const BlockDevice& device, const Roots& roots = {});

/// The filesystem that is mounted there; nothing if it is not that device's.  Waits for it as long as it likes.
std::optional<StoreRoom> find_store_room(const BlockDevice& device, const Roots& roots = {});

/// "MOUNT_POINT/.dmsnap-store-UUID"
std::string store_file_path(const std::string& mount_point, const Uuid& store);

/// Makes such a file, of at least `length`, in the filesystem on `device`, and makes that durable.  What fails leaves none
/// behind.  Throws Error.
void make_store_file(const std::filesystem::path& path, Sectors length, DeviceNumber device);

/// Where on its device the file's blocks are, in the order of the file.  Throws Error if it is none of ours, or one that its
/// filesystem may have reason to write.
std::vector<Run> store_file_extents(const std::filesystem::path& path);

/// Of the filesystem on `device`.  No error if it is not there; throws Error if it is none of ours, or cannot be removed.
void remove_store_file(const std::filesystem::path& path, DeviceNumber device);

/// Those in the roots of mounted filesystems that can be written and answer.
std::vector<StoreFile> find_store_files(const Roots& roots = {});

} // namespace dmsnap
