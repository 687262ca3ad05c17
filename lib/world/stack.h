// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What sits on what: device-mapper and md devices on their members, partitions on their disk, loop devices
/// on the device whose filesystem holds their file.
#pragma once

#include "world/block_device.h"

#include <set>
#include <vector>

namespace dmsnap {

/// What sits directly on the device.
std::vector<BlockDevice> directly_above(const BlockDevice& device, const Roots& roots = {});
/// What the device sits on directly.
std::vector<BlockDevice> directly_below(const BlockDevice& device, const Roots& roots = {});

/// Everything that sits on the device, at any depth, each once and before whatever it sits on.
std::vector<BlockDevice> all_above(const BlockDevice& device, const Roots& roots = {});
/// Everything the device sits on, at any depth, each once and after whatever it sits on: the disks first.
std::vector<BlockDevice> all_below(const BlockDevice& device, const Roots& roots = {});

/// The same as numbers.
std::set<DeviceNumber> numbers_below(const BlockDevice& device, const Roots& roots = {});

/// Whether `upper` sits on `lower`, at any depth; a device does not sit on itself.
bool lies_on(const BlockDevice& upper, const BlockDevice& lower, const Roots& roots = {});

/// The devices whose filesystems must be frozen for a consistent point of `device`: those of it and of
/// everything above it that have a mount, top first.
std::vector<BlockDevice> freeze_list(const BlockDevice& device, const Roots& roots = {});

} // namespace dmsnap
