// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Limits that hold writes back before a device's queue has seen them.
#pragma once

#include "world/block_device.h"

#include <string>

namespace dmsnap {

/// The control group that limits how fast or how often the device, or the disk it is on, is written (io.max, or
/// blkio.throttle of the first version); as its path below the mount point. Empty if none does.
std::string find_write_limit(const BlockDevice& device, const Roots& roots = {});

} // namespace dmsnap
