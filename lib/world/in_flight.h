// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "world/block_device.h"

namespace dmsnap {

/// Whether it can be told how many writes a device has under way: by the queue of the disk it is on, by device-mapper, or
/// by a driver that notes them in the disk's statistics, which *queue/iostats* can switch off and md's "linear" does not do.
bool counts_writes(const BlockDevice& device, const Roots& roots = {});

} // namespace dmsnap
