// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/users.h"

#include "base/text.h"
#include "world/file.h"
#include "world/stack.h"

#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

/// The process, if it has the device open. A link's text is looked at first: a stat() of every open file would wait
/// for network filesystems that do not answer.
std::optional<Process> opener(const fs::path& process, DeviceNumber device, const Roots& roots)
{
    const auto pid = parse_u32(process.filename().string());
    // Whoever started this program may have handed it the device open.
    if (!pid || *pid == static_cast<std::uint32_t>(getpid()))
        return std::nullopt;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(process / "fd", error)) {
        const fs::path target = fs::read_symlink(entry.path(), error);
        if (!error && is_device_path(target, roots) && number_behind(target, roots) == device)
            return Process{*pid, first_line(process / "comm")};
    }
    return std::nullopt;
}

std::vector<Process> find_processes(DeviceNumber device, const Roots& roots)
{
    std::vector<Process> processes;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(roots.proc, error)) {
        if (auto process = opener(entry.path(), device, roots))
            processes.push_back(std::move(*process));
        if (processes.size() == processes_named_max)
            break;
    }
    return processes;
}

} // namespace

Users find_users(const BlockDevice& device, const Roots& roots)
{
    Users users;
    users.mounts = mounts_of(device, roots);
    users.holders = directly_above(device, roots);
    users.swap = is_swap(device, roots);
    if (users.none())
        users.processes = find_processes(device.number, roots);
    return users;
}

std::string to_text(const Users& users)
{
    std::vector<std::string> parts;
    for (const Mount& mount : users.mounts)
        parts.push_back(fmt::format("mounted on {}", printable(mount.target)));
    for (const BlockDevice& holder : users.holders)
        parts.push_back(fmt::format("used by {}", printable(holder.name())));
    if (users.swap)
        parts.emplace_back("used as swap");
    for (const Process& process : users.processes)
        parts.push_back(fmt::format("open in {} (pid {})", printable(process.name), process.pid));
    return fmt::format("{}", fmt::join(parts, ", "));
}

} // namespace dmsnap
