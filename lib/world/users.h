// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Who uses a device, in words a user can act on.
#pragma once

#include "world/block_device.h"
#include "world/mounts.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dmsnap {

struct Process {
    std::uint32_t pid = 0;
    std::string name;
};

struct Users {
    std::vector<Mount> mounts;
    std::vector<BlockDevice> holders; ///< directly above
    bool swap = false;
    std::vector<Process> processes; ///< see find_users()

    /// Whether it is in use by what does not go by itself.
    bool lasting() const { return !mounts.empty() || !holders.empty() || swap; }
    /// Whether somebody has it open, and may only be looking.
    bool passing() const { return !lasting() && !processes.empty(); }
    bool none() const { return mounts.empty() && holders.empty() && !swap && processes.empty(); }
};

/// Processes named at most: enough to know whom to ask.
inline constexpr std::size_t processes_named_max = 8;

/// Looks for whoever uses the device. Open files are searched last and only if nothing else was found: that
/// means reading /proc of every process. At most `processes_named_max` are named.
Users find_users(const BlockDevice& device, const Roots& roots = {});

/// "mounted on /home", "used by vg-home", "used as swap", "open in cat (pid 12)"; several joined by ", ";
/// empty if there are none.
std::string to_text(const Users& users);

} // namespace dmsnap
