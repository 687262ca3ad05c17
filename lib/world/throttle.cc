// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/throttle.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <system_error>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

/// A file of limits, a line a disk, "MAJOR:MINOR" and then words; which of them limit writes.
struct LimitFile {
    const char* name;
    bool (*limits)(std::string_view word);
};

bool is_write_limit(std::string_view word)
{
    return (word.starts_with("wbps=") || word.starts_with("wiops=")) && !word.ends_with("=max");
}

bool is_number(std::string_view word) { return parse_u64(word).value_or(0) != 0; }

constexpr std::array<LimitFile, 3> limit_files = {{
    {"io.max", is_write_limit},
    {"blkio.throttle.write_bps_device", is_number},
    {"blkio.throttle.write_iops_device", is_number},
}};

bool limits(const fs::path& group, const std::string& disk)
{
    for (const LimitFile& limit : limit_files) {
        std::ifstream file(group / limit.name);
        for (std::string line; std::getline(file, line);) {
            const auto all = words(line);
            if (!all.empty() && all.front() == disk && std::any_of(all.begin() + 1, all.end(), limit.limits))
                return true;
        }
    }
    return false;
}

} // namespace

std::string find_write_limit(const BlockDevice& device, const Roots& roots)
{
    const std::string disk = device.disk.value_or(device.number).text();
    const fs::path top = roots.sys / "fs/cgroup";
    std::error_code error;
    // Groups come and go meanwhile.
    const auto options = fs::directory_options::skip_permission_denied;
    for (auto entry = fs::recursive_directory_iterator(top, options, error);
         !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
        if (entry->is_directory(error) && limits(entry->path(), disk))
            return "/" + entry->path().lexically_relative(top).string();
    return {};
}

} // namespace dmsnap
