// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/stack.h"

#include "world/file.h"
#include "world/mounts.h"

#include <algorithm>
#include <system_error>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

void append(std::vector<BlockDevice>& devices, std::vector<BlockDevice> more)
{
    devices.insert(devices.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

bool contains(const std::vector<BlockDevice>& devices, DeviceNumber number)
{
    return std::any_of(
        devices.begin(), devices.end(), [&](const BlockDevice& device) { return device.number == number; });
}

/// Without those that have gone: a filesystem can outlive its device.
std::vector<BlockDevice> read_devices(const std::vector<DeviceNumber>& numbers, const Roots& roots)
{
    std::vector<BlockDevice> devices;
    for (DeviceNumber number : numbers)
        if (auto device = find_block_device(number, roots))
            devices.push_back(std::move(*device));
    return devices;
}

/// The devices on which the loop device with this directory in sysfs has its file. By the file's name: one that
/// was moved, or that only another mount namespace sees, is not found.  A file outside /dev is looked at, as it may be
/// a device's node, only where a filesystem on a block device answers: one of the network may never do.
std::vector<DeviceNumber> numbers_below_loop(const fs::path& directory, const Roots& roots)
{
    const std::string file = first_line(directory / "loop/backing_file");
    if (file.empty())
        return {};
    const std::vector<DeviceNumber> filesystem = devices_of_file(file, roots);
    if (is_device_path(file, roots) || !filesystem.empty())
        if (const auto number = number_behind(file, roots))
            return {*number};
    return filesystem;
}

std::vector<BlockDevice> loops_above(const BlockDevice& device, const Roots& roots)
{
    std::vector<BlockDevice> loops;
    for (BlockDevice& loop : read_listed_devices(roots.sys / "class/block", "loop", roots)) {
        const auto below = numbers_below_loop(sysfs_directory(loop.number, roots), roots);
        if (std::find(below.begin(), below.end(), device.number) != below.end())
            loops.push_back(std::move(loop));
    }
    return loops;
}

/// A disk's partitions are directories in its own, named after it.
std::vector<BlockDevice> partitions_of(const BlockDevice& disk, const Roots& roots)
{
    return read_listed_devices(sysfs_directory(disk.number, roots), disk.kernel_name, roots);
}

using Step = std::vector<BlockDevice> (*)(const BlockDevice&, const Roots&);

/// Depth first: a device comes after everything its step leads to.
void collect(const BlockDevice& device, Step step, const Roots& roots, std::vector<BlockDevice>& found)
{
    for (const BlockDevice& next : step(device, roots)) {
        if (contains(found, next.number))
            continue;
        collect(next, step, roots, found);
        found.push_back(next);
    }
}

} // namespace

std::vector<BlockDevice> directly_above(const BlockDevice& device, const Roots& roots)
{
    const fs::path directory = sysfs_directory(device.number, roots);
    std::vector<BlockDevice> above = read_listed_devices(directory / "holders", "", roots);
    if (!device.disk)
        append(above, partitions_of(device, roots));
    append(above, loops_above(device, roots));
    return above;
}

std::vector<BlockDevice> directly_below(const BlockDevice& device, const Roots& roots)
{
    if (device.disk)
        return read_devices({*device.disk}, roots);
    const fs::path directory = sysfs_directory(device.number, roots);
    std::vector<BlockDevice> below = read_listed_devices(directory / "slaves", "", roots);
    append(below, read_devices(numbers_below_loop(directory, roots), roots));
    return below;
}

std::vector<BlockDevice> all_above(const BlockDevice& device, const Roots& roots)
{
    std::vector<BlockDevice> found;
    collect(device, directly_above, roots, found);
    return found;
}

std::vector<BlockDevice> all_below(const BlockDevice& device, const Roots& roots)
{
    std::vector<BlockDevice> found;
    collect(device, directly_below, roots, found);
    return found;
}

std::set<DeviceNumber> numbers_below(const BlockDevice& device, const Roots& roots)
{
    std::set<DeviceNumber> numbers;
    for (const BlockDevice& below : all_below(device, roots))
        numbers.insert(below.number);
    return numbers;
}

bool lies_on(const BlockDevice& upper, const BlockDevice& lower, const Roots& roots)
{
    return contains(all_below(upper, roots), lower.number);
}

std::vector<BlockDevice> freeze_list(const BlockDevice& device, const Roots& roots)
{
    std::vector<BlockDevice> candidates = all_above(device, roots);
    candidates.push_back(device);
    std::erase_if(candidates, [&](const BlockDevice& candidate) { return mounts_of(candidate, roots).empty(); });
    return candidates;
}

} // namespace dmsnap
