// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/in_flight.h"

#include "world/file.h"

#include <filesystem>
#include <sstream>
#include <utility>

namespace dmsnap {

namespace {

/// Whether the running kernel is older than that version.
bool is_before(int major, int minor, const Roots& roots)
{
    int running_major = 0;
    int running_minor = 0;
    std::istringstream release(first_line(roots.proc / "sys/kernel/osrelease"));
    release >> running_major;
    release.ignore(); // the dot
    release >> running_minor;
    return std::pair(running_major, running_minor) < std::pair(major, minor);
}

} // namespace

bool counts_writes(const BlockDevice& device, const Roots& roots)
{
    const std::filesystem::path disk = sysfs_directory(device.disk.value_or(device.number), roots);
    if (std::filesystem::exists(disk / "mq"))
        return true;
    if (device.is_dm() && is_before(6, 2, roots))
        return true;
    if (device.kernel_name.starts_with("nvme") && is_before(6, 4, roots))
        return false;
    return first_line(disk / "queue/iostats") != "0" && first_line(disk / "md/level") != "linear";
}

} // namespace dmsnap
