// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Mounted filesystems and swap.
#pragma once

#include "world/block_device.h"

#include <string>
#include <vector>

namespace dmsnap {

struct Mount {
    std::string target;       ///< where it is mounted, by "/proc/PID/root" if it is in another namespace alone
    std::string type;         ///< "ext4"
    DeviceNumber device = {}; ///< as the table has it
    std::string root;         ///< what of the filesystem is mounted there: "/" all of it
};

/// All mounts of filesystems on the device, in the order of mounting, that this process's mount namespace shows; or if there is
/// none, those of one that shows any, as far as /proc has its processes.  btrfs has a device number of its own: it is
/// found by its source and, if it spans several devices, by what its driver says in sysfs.  No other filesystem's source
/// is believed.  None needs to be: the others on block devices have the number of their (first) device, bcachefs too,
/// and overlay's data is in filesystems that are found for themselves.  A further device of a bcachefs is not found
/// mounted, but held exclusively.
std::vector<Mount> mounts_of(const BlockDevice& device, const Roots& roots = {});

/// All mounts that this process's mount namespace shows; none where there is no /proc.
std::vector<Mount> all_mounts(const Roots& roots = {});

/// The devices of the filesystem that holds the file; none if it is on no block device.
std::vector<DeviceNumber> devices_of_file(const std::filesystem::path& file, const Roots& roots = {});

/// Whether the kernel swaps to the device, or to a file in the filesystem on it.
bool is_swap(const BlockDevice& device, const Roots& roots = {});

/// Writes out what the filesystems mounted there hold back (syncfs); mount points that have gone are left out.
/// Throws Error with what a filesystem said.
void sync_filesystems(const std::vector<std::string>& mount_points);

} // namespace dmsnap
