// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/throttle.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <system_error>
#include <vector>

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

/// Groups come and go meanwhile: one that cannot be read any more limits nothing, and hides no other.
std::string find_limit_below(const fs::path& group, const std::string& disk)
{
    if (limits(group, disk))
        return group.string();
    std::error_code error;
    std::vector<fs::path> children;
    fs::directory_iterator entry(group, error);
    while (!error && entry != fs::directory_iterator()) {
        std::error_code gone;
        if (entry->is_directory(gone) && !entry->is_symlink(gone))
            children.push_back(entry->path());
        entry.increment(error);
    }
    for (const fs::path& child : children)
        if (std::string found = find_limit_below(child, disk); !found.empty())
            return found;
    return {};
}

} // namespace

std::string find_write_limit(const BlockDevice& device, const Roots& roots)
{
    const fs::path top = roots.sys / "fs/cgroup";
    const std::string found = find_limit_below(top, device.disk.value_or(device.number).text());
    return found.empty() ? found : "/" + fs::path(found).lexically_relative(top).string();
}

} // namespace dmsnap
