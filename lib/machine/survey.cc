// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/survey.h"

#include "base/error.h"
#include "ops/naming.h"
#include "plan/query.h"
#include "world/mounts.h"
#include "world/stack.h"
#include "world/users.h"

#include <algorithm>
#include <cerrno>

namespace dmsnap {
namespace {

struct Device {
    DmInfo info;
    Table table;
};

/// Nothing if it went away meanwhile.
std::optional<Device> read_device(Dm& dm, const DmName& name)
{
    try {
        if (auto info = dm.info(name))
            return Device{*info, info->live_table ? dm.table(name) : Table{}};
    } catch (const Error& error) {
        if (error.number() != ENXIO)
            throw;
    }
    return std::nullopt;
}

template <typename Line> const Line* only_line(const Table& table)
{
    return table.size() == 1 ? std::get_if<Line>(&table.front().target) : nullptr;
}

std::string status_text(Dm& dm, const DmName& name)
{
    const auto lines = dm.status(name);
    return lines.size() == 1 ? lines.front().text : std::string();
}

OriginState read_origin(Dm& dm, const Device& device, const Interpose& line)
{
    OriginState origin{device.info, device.table, line, read_status(dm, device.info.name), {}, {}, {}};
    if (origin.status.details)
        origin.points = read_points(dm, device.info.name).points;
    return origin;
}

std::string device_name(const DeviceRef& device, const Roots& roots)
{
    const auto* number = std::get_if<DeviceNumber>(&device);
    if (number == nullptr)
        return to_text(device);
    try {
        return node_path(read_block_device(*number, roots), roots).string();
    } catch (const Error&) {
        return number->text();
    }
}

std::string users_of(const DmInfo& info, const Roots& roots)
{
    try {
        return info.open_count > 0 ? to_text(find_users(read_block_device(info.number, roots), roots)) : "";
    } catch (const Error&) {
        return {}; // the count alone must do
    }
}

bool is_private(const DmInfo& info) { return info.uuid.starts_with(uuid_prefix); }

/// What an image tells of an origin that has lost its table.
void add_gone(Machine& machine, Dm& dm, const Device& device, const InterposeImage& line, const Roots& roots)
{
    const auto name = point_of_image_name(device.info.name.text());
    const auto uuid = point_of_image_uuid(device.info.uuid);
    if (!name || !uuid || !line.point)
        return;
    const ImageStatus status = parse_image_status(status_text(dm, device.info.name));
    OriginState gone{device.info, device.table, Interpose{DeviceNumber{}, {}, line.origin, {}}, {}, {}, {}, {}};
    gone.status.interface = status.interface;
    gone.status.generation = line.point->generation;
    gone.status.details.emplace().failure = status.details ? status.details->failure : std::nullopt;
    gone.points.push_back(
        Point{line.point->id, PointKind::snapshot, false, 0, *uuid, Consistency::crash, 1, *name, {}});
    gone.images.push_back({device.info, device.table, line, users_of(device.info, roots)});
    machine.gone.push_back(std::move(gone));
}

NewDevice as_found(const Device& device)
{
    return {device.info.name, device.info.uuid, device.table, Visibility::private_device, device.info.read_only};
}

bool has_origin(const Machine& machine, const Uuid& uuid)
{
    return std::any_of(machine.origins.begin(), machine.origins.end(),
        [&](const OriginState& origin) { return origin.line.origin == uuid; });
}

/// Whether a device of ours belongs to nobody.
bool is_leftover(const Machine& machine, const Device& device)
{
    if (!is_private(device.info) || device.info.open_count > 0)
        return false;
    if (device.table.empty())
        return true;
    if (const auto uuid = origin_of_base(device.info.uuid))
        return !has_origin(machine, *uuid);
    if (only_line<InterposeStore>(device.table) == nullptr)
        return false;
    for (const StoreState& store : machine.stores)
        if (store.info.number == device.info.number)
            return store.status.details && store.status.details->origins == 0 &&
                   machine.users_of(store.status.store) == 0;
    return false;
}

} // namespace

Machine survey(Dm& dm, const Roots& roots)
{
    Machine machine;
    machine.udev = dm.udev_runs();
    machine.names = dm.list();
    std::sort(machine.names.begin(), machine.names.end());
    std::vector<Device> devices;
    for (const DmName& name : machine.names)
        if (auto device = read_device(dm, name))
            devices.push_back(std::move(*device));

    for (const Device& device : devices) {
        if (const auto* line = only_line<Interpose>(device.table))
            machine.origins.push_back(read_origin(dm, device, *line));
        else if (const auto* store = only_line<InterposeStore>(device.table))
            machine.stores.push_back({device.info, device.table, *store,
                parse_store_status(status_text(dm, device.info.name)), device_name(store->device, roots)});
    }
    for (OriginState& origin : machine.origins)
        for (const Device& device : devices) {
            const auto* line = only_line<InterposeImage>(device.table);
            if (line != nullptr && line->origin == origin.line.origin)
                origin.images.push_back({device.info, device.table, *line, users_of(device.info, roots)});
            if (origin_of_base(device.info.uuid) == origin.line.origin)
                origin.base = BaseState{device.info, device.table};
        }
    for (const Device& device : devices)
        if (const auto* line = only_line<InterposeImage>(device.table);
            line != nullptr && !has_origin(machine, line->origin))
            add_gone(machine, dm, device, *line, roots);
    for (const Device& device : devices)
        if (is_leftover(machine, device))
            machine.leftovers.push_back(as_found(device));
    return machine;
}

Candidate read_candidate(Dm& dm, const BlockDevice& block)
{
    Candidate candidate{block, std::nullopt, {}};
    if (!block.is_dm())
        return candidate;
    candidate.info = dm.info(block.number);
    if (candidate.info && candidate.info->live_table)
        candidate.table = dm.table(candidate.info->name);
    return candidate;
}

FreezeFacts read_freeze_facts(const BlockDevice& block, const Roots& roots)
{
    FreezeFacts facts;
    for (const BlockDevice& device : freeze_list(block, roots)) {
        facts.devices.push_back(device.number);
        // One mount point is enough to reach a filesystem.
        if (const auto mounts = mounts_of(device, roots); !mounts.empty())
            facts.mount_points.push_back(mounts.front().target);
    }
    return facts;
}

std::optional<ImageNames> read_image_names(Dm& dm, DeviceNumber image)
{
    const auto info = dm.info(image);
    if (!info || !info->uuid.starts_with(uuid_prefix))
        return std::nullopt;
    const Table table = dm.table(info->name);
    const auto* line = only_line<InterposeImage>(table);
    const auto point = point_of_image_name(info->name.text());
    if (line == nullptr || !point)
        return std::nullopt;
    for (const DmName& name : dm.list()) {
        const auto device = read_device(dm, name);
        const auto* origin = device ? only_line<Interpose>(device->table) : nullptr;
        if (origin != nullptr && origin->origin == line->origin)
            return ImageNames{point->text(), link_component(name)};
    }
    return std::nullopt;
}

} // namespace dmsnap
