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

/// The same with the files of stores that are in mounted filesystems, in use or not, for which those are asked.
Machine survey_with_files(Dm& dm);

/// All but what uses it, which read_use() adds.
Candidate read_candidate(Dm& dm, const BlockDevice& block, const Roots& roots = {});
/// The filesystems on it, and whether the kernel swaps to it; and for the hook what else it is a part of, for which the
/// device itself is read, unless that would be to wait for somebody's resume.
void read_use(Dm& dm, Candidate& candidate, bool for_hook, const Roots& roots = {});

/// What the udev rule wants to know of an image.
struct ImageNames {
    std::string point;
    std::string origin; ///< as a part of a path
};
/// Nothing if the device is no image, or its origin is gone.
std::optional<ImageNames> read_image_names(Dm& dm, DeviceNumber image);

} // namespace dmsnap
