// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Table and status of dm-raid, as the kernel's admin-guide/device-mapper/dm-raid.rst has them.
#pragma once

#include "base/units.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// The health word of a raid's status line, <type> <devices> <health> ...: a letter for each leg, 'D' for one that has
/// failed.  Empty if there is none.  Like the next one it may be called where nothing may be allocated.
std::string_view raid_health(std::string_view status) noexcept;
/// Whether the same legs have failed.  One that comes in sync, 'a' to 'A', does so by itself.
bool same_failures(std::string_view health, std::string_view other) noexcept;

struct RaidStatus {
    std::string level;  ///< "raid1"
    std::string health; ///< raid_health()
    Sectors synced;
    Sectors all;
    std::string action; ///< what it does just now; empty if a kernel does not tell

    bool in_sync() const { return synced == all; }
    bool operator==(const RaidStatus&) const = default;
};

/// Of a status line from its target's type on, "raid raid1 2 AA 8/8 idle 0 0 -".  Nothing if it is another target's, or cannot
/// be read.
std::optional<RaidStatus> parse_raid_status(std::string_view line);

struct RaidTable {
    std::string level;
    std::vector<std::string> data; ///< the devices, leg by leg

    bool operator==(const RaidTable&) const = default;
};

/// Of a table line behind its target's type, "raid1 2 rebuild 1 2 - 253:1 - 253:2".  Nothing if it cannot be read.
std::optional<RaidTable> parse_raid_table(std::string_view arguments);

} // namespace dmsnap
