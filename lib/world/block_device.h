// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Block devices as sysfs shows them: which one a user means, and what it is.
#pragma once

#include "base/device_number.h"
#include "base/units.h"
#include "world/roots.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// One block device the kernel has, as it was when it was read.
struct BlockDevice {
    DeviceNumber number;
    std::string kernel_name; ///< "dm-3", "sda1"; as in sysfs: a '/' of the node's name is a '!' here
    std::string dm_name;     ///< empty unless it is a device-mapper device
    std::string dm_uuid;     ///< empty if it has none
    Sectors size;
    Bytes logical_block;
    bool read_only = false;
    bool zoned = false;
    bool dax = false;                 ///< programs may write to it past the block layer
    bool integrity = false;           ///< keeps checksums beside its blocks
    bool suspended = false;           ///< by device-mapper; reading it would wait until it is resumed
    std::optional<DeviceNumber> disk; ///< of a partition: the disk it is on

    bool is_dm() const { return !dm_name.empty(); }
    /// What a user calls it: "vg-home", "sda1".
    const std::string& name() const { return is_dm() ? dm_name : kernel_name; }
};

/// Finds what `spec` names: `VG/LV`, a path (any symlink), a device-mapper name, the kernel's name ("sda1"), or
/// `MAJOR:MINOR`.
/// /dev/mapper/NAME and /dev/VG/LV are known by their names where udevd has made no node.
/// Throws Error(ENXIO) if there is none, Error(ENOTBLK) for a path to something else.
BlockDevice resolve(std::string_view spec, const Roots& roots = {});

/// Reads a device by its number. Throws Error(ENXIO) if there is none; a device-mapper device
/// that never had a table is none yet.
BlockDevice read_block_device(DeviceNumber number, const Roots& roots = {});

/// The same, and nothing if there is none, or none any more.
std::optional<BlockDevice> find_block_device(DeviceNumber number, const Roots& roots = {});

/// The devices that a directory of sysfs lists by their kernel names (`holders`, `slaves`, `class/block`), those
/// whose names start with `prefix`, by number. One that goes meanwhile is left out.
std::vector<BlockDevice> read_listed_devices(
    const std::filesystem::path& directory, std::string_view prefix, const Roots& roots = {});

/// The device's directory in sysfs.
std::filesystem::path sysfs_directory(DeviceNumber number, const Roots& roots = {});

/// The node devtmpfs keeps for the device, `/dev/dm-3`.
std::filesystem::path node_path(const BlockDevice& device, const Roots& roots = {});

/// Whether a path leads into /dev and nowhere else, so that it can be looked at without waiting for a filesystem that
/// does not answer.
bool is_device_path(const std::filesystem::path& path, const Roots& roots = {});

/// The device behind a path as the tables of mounts and open files print it; nullopt if it is none the kernel has.
std::optional<DeviceNumber> number_behind(const std::filesystem::path& path, const Roots& roots = {});

} // namespace dmsnap
