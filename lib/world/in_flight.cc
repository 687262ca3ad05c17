// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/in_flight.h"

#include "world/file.h"

#include <filesystem>

namespace dmsnap {

bool counts_writes(const BlockDevice& device, const Roots& roots)
{
    const std::filesystem::path disk = sysfs_directory(device.disk.value_or(device.number), roots);
    if (device.is_dm() || std::filesystem::exists(disk / "mq"))
        return true;
    return first_line(disk / "queue/iostats") != "0" && first_line(disk / "md/level") != "linear";
}

} // namespace dmsnap
