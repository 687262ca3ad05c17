// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "plan/dm.h"
#include "world/block_device.h"

#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// Reads all that dmsnap has on this machine.  What goes away meanwhile is left out.
Machine survey(Dm& dm, const Roots& roots = {});

Candidate read_candidate(Dm& dm, const BlockDevice& block, const Roots& roots = {});

/// The filesystems that a consistent point of a device needs frozen.
struct FreezeFacts {
    std::vector<DeviceNumber> devices; ///< top first
    std::vector<std::string> mount_points;
    std::vector<std::string> suspended; ///< names of devices they write to that are: writing them out would wait
};
FreezeFacts read_freeze_facts(const BlockDevice& block, const Roots& roots = {});

/// What the udev rule wants to know of an image.
struct ImageNames {
    std::string point;
    std::string origin; ///< as a part of a path
};
/// Nothing if the device is no image, or its origin is gone.
std::optional<ImageNames> read_image_names(Dm& dm, DeviceNumber image);

} // namespace dmsnap
