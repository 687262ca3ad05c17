// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "world/block_device.h"

namespace dmsnap {

/// Whether it can be told how many writes a device has under way: by the queue of the disk it is on, or by a driver that
/// notes them in the disk's statistics, which *queue/iostats* can switch off.  Device-mapper of Linux 6.1 notes them in any
/// case (its dm-io accounting; later kernels ask the queue); md's "linear" never does, nor did NVMe's multipath before 6.4.
bool counts_writes(const BlockDevice& device, const Roots& roots = {});

} // namespace dmsnap
