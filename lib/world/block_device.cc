// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// sysfs, as far as it is used:
//
//   dev/block/M:m    -> the device's directory: dev, size, ro, partition, dm/{name,uuid,suspended}, queue/*
//   class/block/NAME -> the same directory by name; a partition's lies in its disk's
#include "world/block_device.h"

#include "base/error.h"
#include "base/text.h"
#include "world/file.h"

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <system_error>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

std::uint64_t number_in(const fs::path& path, std::string_view device)
{
    const std::optional<std::uint64_t> value = parse_u64(first_line(path));
    if (!value)
        throw Error(std::string(device), "read " + path.string(), ENXIO);
    return *value;
}

/// "dm-3" of "/sys/devices/virtual/block/dm-3".
std::string kernel_name_of(const fs::path& directory) { return fs::weakly_canonical(directory).filename(); }

/// LVM's name of a device: hyphens within a name are doubled, one stands between the names.
std::string lvm_dm_name(std::string_view group, std::string_view volume)
{
    std::string name;
    for (char c : group)
        name.append(c == '-' ? 2 : 1, c);
    name += '-';
    for (char c : volume)
        name.append(c == '-' ? 2 : 1, c);
    return name;
}

std::optional<DeviceNumber> number_of_kernel_name(std::string name, const Roots& roots)
{
    std::replace(name.begin(), name.end(), '/', '!');
    return DeviceNumber::from_text(first_line(roots.sys / "class/block" / name / "dev"));
}

std::optional<DeviceNumber> number_of_dm_name(std::string_view name, const Roots& roots)
{
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(roots.sys / "class/block", error))
        if (!name.empty() && first_line(entry.path() / "dm/name") == name)
            return DeviceNumber::from_text(first_line(entry.path() / "dev"));
    return std::nullopt;
}

/// `text` without `root` and the slash after it; nullopt unless it starts so.
std::optional<std::string> below(const fs::path& root, const fs::path& path)
{
    const std::string prefix = root.string() + "/";
    std::string text = path.string();
    if (!text.starts_with(prefix))
        return std::nullopt;
    return text.substr(prefix.size());
}

/// The device a missing node would name: /dev/mapper/NAME, /dev/VG/LV, /dev/NAME of the kernel.
std::optional<DeviceNumber> number_of_node_name(const std::string& name, const Roots& roots)
{
    if (auto number = number_of_kernel_name(name, roots))
        return number;
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos)
        return std::nullopt;
    const std::string first = name.substr(0, slash);
    const std::string second = name.substr(slash + 1);
    return number_of_dm_name(first == "mapper" ? second : lvm_dm_name(first, second), roots);
}

std::optional<DeviceNumber> number_of_spec(std::string_view spec, const Roots& roots)
{
    if (spec.starts_with('/'))
        return number_behind(spec, roots);
    if (auto number = DeviceNumber::from_text(spec))
        return number;
    if (const std::size_t slash = spec.find('/'); slash != std::string_view::npos)
        return number_of_dm_name(lvm_dm_name(spec.substr(0, slash), spec.substr(slash + 1)), roots);
    if (auto number = number_of_dm_name(spec, roots))
        return number;
    return spec.empty() ? std::nullopt : number_of_kernel_name(std::string(spec), roots);
}

bool is_not_a_block_device(std::string_view spec)
{
    struct stat status = {};
    return spec.starts_with('/') && stat(std::string(spec).c_str(), &status) == 0 && !S_ISBLK(status.st_mode);
}

} // namespace

fs::path sysfs_directory(DeviceNumber number, const Roots& roots) { return roots.sys / "dev/block" / number.text(); }

BlockDevice read_block_device(DeviceNumber number, const Roots& roots)
{
    const std::string text = number.text();
    const fs::path directory = sysfs_directory(number, roots);
    std::error_code error;
    const fs::path real = fs::canonical(directory, error);
    if (error)
        throw Error(text, "find the device", ENXIO, "lsblk lists the block devices there are");

    // A partition has neither a queue nor a disk's features of its own.
    const bool partition = fs::exists(real / "partition", error);
    const fs::path disk = partition ? real.parent_path() : real;
    BlockDevice device;
    device.number = number;
    device.kernel_name = kernel_name_of(real);
    device.dm_name = first_line(real / "dm/name");
    device.dm_uuid = first_line(real / "dm/uuid");
    device.suspended = first_line(real / "dm/suspended") == "1";
    device.size = Sectors{number_in(real / "size", text)};
    device.logical_block = Bytes{number_in(disk / "queue/logical_block_size", text)};
    device.read_only = first_line(real / "ro") == "1";
    const std::string zoned = first_line(disk / "queue/zoned");
    device.zoned = !zoned.empty() && zoned != "none";
    device.dax = first_line(disk / "queue/dax") == "1";
    const std::string integrity = first_line(disk / "integrity/format");
    device.integrity = !integrity.empty() && integrity != "none";
    if (partition)
        device.disk = DeviceNumber::from_text(first_line(disk / "dev"));
    return device;
}

std::optional<BlockDevice> find_block_device(DeviceNumber number, const Roots& roots)
{
    try {
        return read_block_device(number, roots);
    } catch (const Error& error) {
        if (error.number() != ENXIO)
            throw;
        return std::nullopt;
    }
}

std::vector<BlockDevice> read_listed_devices(const fs::path& directory, std::string_view prefix, const Roots& roots)
{
    std::vector<BlockDevice> devices;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
        if (!entry.path().filename().string().starts_with(prefix))
            continue;
        const auto number = DeviceNumber::from_text(first_line(entry.path() / "dev"));
        if (!number)
            continue;
        if (auto device = find_block_device(*number, roots))
            devices.push_back(std::move(*device));
    }
    std::sort(
        devices.begin(), devices.end(), [](const BlockDevice& a, const BlockDevice& b) { return a.number < b.number; });
    return devices;
}

fs::path node_path(const BlockDevice& device, const Roots& roots)
{
    std::string name = device.kernel_name;
    std::replace(name.begin(), name.end(), '!', '/');
    return roots.dev / name;
}

bool is_device_path(const fs::path& path, const Roots& roots)
{
    return below(roots.dev, path.lexically_normal()).has_value();
}

std::optional<DeviceNumber> number_behind(const fs::path& path, const Roots& roots)
{
    struct stat status = {};
    if (stat(path.c_str(), &status) == 0) {
        if (!S_ISBLK(status.st_mode))
            return std::nullopt;
        return DeviceNumber{major(status.st_rdev), minor(status.st_rdev)};
    }
    const std::optional<std::string> name = below(roots.dev, path);
    return name ? number_of_node_name(*name, roots) : std::nullopt;
}

BlockDevice resolve(std::string_view spec, const Roots& roots)
{
    const std::optional<DeviceNumber> number = number_of_spec(spec, roots);
    if (number)
        return read_block_device(*number, roots);
    const int reason = is_not_a_block_device(spec) ? ENOTBLK : ENXIO;
    throw Error(spec.empty() ? "\"\"" : std::string(spec), "find the device", reason,
        "lsblk lists the block devices there are");
}

} // namespace dmsnap
