// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/survey.h"

#include "base/error.h"
#include "base/text.h"
#include "ops/mirror.h"
#include "ops/naming.h"
#include "plan/query.h"
#include "table/raid.h"
#include "world/apart.h"
#include "world/in_flight.h"
#include "world/mounts.h"
#include "world/signature.h"
#include "world/stack.h"
#include "world/throttle.h"
#include "world/users.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <iterator>
#include <system_error>

namespace fs = std::filesystem;

namespace dmsnap {
namespace {

std::string health_of(const std::vector<StatusLine>& status)
{
    std::string health;
    for (const StatusLine& line : status)
        if (line.type == "raid")
            health += raid_health(line.text);
    return health;
}

/// Of a table that must run once.
std::string read_health(Dm& dm, const DmName& name, const Table& table)
{
    return runs_once(table) ? health_of(dm.status(name)) : std::string();
}

/// Nothing if it went away meanwhile.
std::optional<DeviceState> read_device(Dm& dm, const DmName& name)
{
    try {
        const auto info = dm.info(name);
        if (!info)
            return std::nullopt;
        DeviceState device{*info, {}, {}, {}, {}};
        if (info->live_table) {
            device.table = dm.table(name);
            device.health = read_health(dm, name, device.table);
        }
        if (info->inactive_table) {
            device.inactive = dm.inactive_table(name);
            if (runs_once(device.inactive))
                device.loaded_health = health_of(dm.inactive_status(name));
        }
        return device;
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

/// All lines of it.
std::string whole_status(Dm& dm, const DmName& name)
{
    std::string text;
    for (const StatusLine& line : dm.status(name))
        text += fmt::format("{}{} {}", text.empty() ? "" : "; ", line.type, line.text);
    return text;
}

OriginState read_origin(Dm& dm, const DeviceState& device, const Interpose& line)
{
    OriginState origin{device.info, device.table, device.inactive, device.loaded_health, line,
        read_status(dm, device.info.name), {}, {}, {}};
    if (origin.status.details && !origin.lost())
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

std::set<DeviceNumber> numbers_at_and_below(const DeviceRef& device, const Roots& roots)
{
    const auto* number = std::get_if<DeviceNumber>(&device);
    if (number == nullptr)
        return {};
    const auto block = find_block_device(*number, roots);
    std::set<DeviceNumber> numbers = block ? numbers_below(*block, roots) : std::set<DeviceNumber>();
    numbers.insert(*number);
    return numbers;
}

ImageState read_image(const DeviceState& device, const InterposeImage& line, const Roots& roots)
{
    ImageState image{device.info, device.table, line, {}, false};
    try {
        if (device.info.open_count > 0) {
            const Users users = find_users(read_block_device(device.info.number, roots), roots);
            image.users = to_text(users);
            image.in_lasting_use = users.lasting();
        }
    } catch (const Error&) {
        // The count alone must do.
    }
    return image;
}

/// "/dev/dmsnap/NAME/DEVICE", as plans call them.
std::set<std::string> read_links(const Roots& roots)
{
    std::set<std::string> links;
    std::error_code error;
    for (const auto& folder : fs::directory_iterator(roots.dev / "dmsnap", error))
        for (const auto& link : fs::directory_iterator(folder.path(), error))
            links.insert(
                fmt::format("/dev/dmsnap/{}/{}", folder.path().filename().string(), link.path().filename().string()));
    return links;
}

/// What an image tells of its point, where the origin tells nothing any more.
std::optional<Point> ended_point(const DmInfo& image, const Table& table, const InterposeImage& line)
{
    const auto name = point_of_image_name(image.name.text(), image.uuid);
    const auto uuid = point_of_image_uuid(image.uuid);
    if (!name || !uuid || !line.point)
        return std::nullopt;
    return Point{
        line.point->id, PointKind::snapshot, false, 0, *uuid, Consistency::crash, 1, *name, {}, {}, length(table)};
}

void add_ended_points(OriginState& origin)
{
    for (const ImageState& image : origin.images)
        if (auto point = ended_point(image.info, image.table, image.line))
            origin.points.push_back(std::move(*point));
    std::sort(origin.points.begin(), origin.points.end(), [](const Point& a, const Point& b) { return a.id < b.id; });
}

/// What an image tells of an origin that has lost its table; a valid one's has not, even if it was not found.
void add_gone(Machine& machine, Dm& dm, const DeviceState& device, const InterposeImage& line, const Roots& roots)
{
    auto point = ended_point(device.info, device.table, line);
    if (!point)
        return;
    const ImageStatus status = parse_image_status(status_text(dm, device.info.name));
    if (status.validity == INTERPOSE_VALIDITY_VALID)
        return;
    OriginState gone{device.info, device.table, {}, {}, Interpose{DeviceNumber{}, {}, line.origin, {}}, {}, {}, {}, {}};
    gone.status.interface = status.interface;
    gone.status.generation = line.point->generation;
    gone.status.details.emplace().failure = status.details ? status.details->failure : std::nullopt;
    gone.points.push_back(std::move(*point));
    gone.images.push_back(read_image(device, line, roots));
    machine.gone.push_back(std::move(gone));
}

FreezeFacts read_freeze_facts(const BlockDevice& block, const Roots& roots)
{
    FreezeFacts facts;
    for (const BlockDevice& device : freeze_list(block, roots)) {
        facts.devices.push_back(device.number);
        // One mount point is enough to reach a filesystem.
        if (const auto mounts = mounts_of(device, roots); !mounts.empty()) {
            facts.mount_points.push_back(mounts.front().target);
            if (mounts.front().type == "btrfs")
                facts.doubtful.insert(device.number);
        }
        std::vector<BlockDevice> written = all_below(device, roots);
        written.push_back(device);
        for (const BlockDevice& part : written)
            if (part.suspended &&
                std::find(facts.suspended.begin(), facts.suspended.end(), part.name()) == facts.suspended.end())
                facts.suspended.push_back(part.name());
    }
    return facts;
}

/// A device and its partitions, or a partition alone.
std::vector<BlockDevice> with_partitions(const BlockDevice& block, const std::vector<BlockDevice>& above)
{
    std::vector<BlockDevice> areas = {block};
    std::copy_if(above.begin(), above.end(), std::back_inserter(areas),
        [&](const BlockDevice& upper) { return upper.disk == block.number; });
    return areas;
}

/// Whether such a device sits directly on one of these.
bool is_below(
    const std::vector<BlockDevice>& areas, const std::function<bool(const BlockDevice&)>& is_such, const Roots& roots)
{
    return std::any_of(areas.begin(), areas.end(), [&](const BlockDevice& area) {
        const auto above = directly_above(area, roots);
        return std::any_of(above.begin(), above.end(), is_such);
    });
}

/// Whether its table takes requests and sends them on, whatever made it.
bool is_multipath(Dm& dm, const BlockDevice& device)
{
    if (!device.is_dm())
        return false;
    const auto state = read_device(dm, DmName(device.dm_name));
    return state && std::any_of(state->table.begin(), state->table.end(), [](const TableLine& line) {
        const auto* other = std::get_if<OtherTarget>(&line.target);
        return other != nullptr && other->type == "multipath";
    });
}

/// Whether one of these, or the disk of one, is a path of a multipath device.
bool has_path(Dm& dm, std::vector<BlockDevice> areas, const Roots& roots)
{
    for (std::size_t i = 0, count = areas.size(); i < count; ++i)
        if (auto disk = areas[i].disk ? find_block_device(*areas[i].disk, roots) : std::nullopt)
            areas.push_back(std::move(*disk));
    const auto sends_on = [&](const BlockDevice& upper) { return is_multipath(dm, upper); };
    return is_below(areas, sends_on, roots);
}

/// Whether a read of it would.
bool waits_for_resume(const BlockDevice& block, const Roots& roots)
{
    const auto below = all_below(block, roots);
    return block.suspended ||
           std::any_of(below.begin(), below.end(), [](const BlockDevice& lower) { return lower.suspended; });
}

/// Of a physical volume.  What cannot be read has none that anybody could use.
bool has_label(const BlockDevice& block, const Roots& roots)
{
    try {
        const auto signature = find_signature(node_path(block, roots));
        return signature && signature->physical_volume;
    } catch (const Error&) {
        return false;
    }
}

/// As its users call it; of one that was pulled, only its number is left.
BlockDevice live_device(DeviceNumber number, const Roots& roots)
{
    if (auto block = find_block_device(number, roots))
        return std::move(*block);
    BlockDevice gone;
    gone.number = number;
    gone.kernel_name = number.text();
    return gone;
}

/// The device that the hook sees for a base; nothing if its table is a device's own.
std::optional<BlockDevice> live_above(const Table& base, const Roots& roots)
{
    const auto* line = only_line<InterposeBase>(base);
    const auto* number = line != nullptr ? std::get_if<DeviceNumber>(&line->live) : nullptr;
    return number != nullptr ? std::optional(live_device(*number, roots)) : std::nullopt;
}

/// Nothing if the origin's table is the live device's own.
std::optional<BlockDevice> live_of(const OriginState& origin, const Roots& roots)
{
    if (origin.info.uuid != top_uuid(origin.line.origin))
        return std::nullopt;
    if (origin.hooked())
        return live_device(*origin.status.details->hooked, roots);
    if (auto live = origin.base ? live_above(origin.base->table, roots) : std::nullopt)
        return live;
    BlockDevice unknown; // somebody has given its base another table
    unknown.kernel_name = origin.name().text();
    return unknown;
}

/// One look at everything.
class Survey {
public:
    Survey(Dm& dm, const Roots& roots) : dm_(dm), roots_(roots) {}

    Machine run()
    {
        machine_.udev = dm_.udev_runs();
        machine_.names = dm_.list();
        std::sort(machine_.names.begin(), machine_.names.end());
        for (const DmName& name : machine_.names) {
            std::optional<DeviceState> device;
            const bool whole = read(name, [&] {
                device = read_device(dm_, name);
                if (device)
                    take(*device);
            });
            if (!device)
                continue;
            if (const auto* line = only_line<Interpose>(device->table); line != nullptr && !whole)
                machine_.unread_origins.insert(line->origin);
            machine_.devices.push_back(std::move(*device));
        }
        for (OriginState& origin : machine_.origins)
            for (const DeviceState& device : machine_.devices)
                add_parts(origin, device);
        for (EndpointState& endpoint : machine_.endpoints)
            for (const DeviceState& device : machine_.devices)
                if (device.info.uuid == base_uuid(endpoint.redirect) && device.info.live_table)
                    read(device.name(), [&] { add_base(endpoint, device); });
                else if (device.info.uuid == leg_uuid(endpoint.redirect))
                    add_leg(endpoint, device);
                else if (device.info.uuid == meta_uuid(endpoint.redirect))
                    endpoint.meta = device;
        for (OriginState& origin : machine_.origins) {
            origin.live = live_of(origin, roots_);
            if (origin.lost())
                add_ended_points(origin);
        }
        for (const DeviceState& device : machine_.devices)
            if (const auto* line = only_line<InterposeImage>(device.table);
                line != nullptr && machine_.find_origin(line->origin) == nullptr &&
                machine_.unread_origins.count(line->origin) == 0)
                read(device.name(), [&] { add_gone(machine_, dm_, device, *line, roots_); });
        machine_.links = read_links(roots_);
        for (StoreState& store : machine_.stores)
            add_file(store);
        return std::move(machine_);
    }

private:
    /// Others swap tables and remove devices meanwhile: what does not fit together is looked at again.  False if it
    /// never did.
    template <typename Look> bool read(const DmName& name, Look look)
    {
        constexpr int looks = 3;
        for (int i = 1;; ++i) {
            try {
                look();
                return true;
            } catch (const Error& error) {
                if (i < looks)
                    continue;
                // What cannot be understood is told in the name of a line, not of the device.
                machine_.unread.push_back(error.subject() == name.text()
                                              ? error
                                              : Error(name.text(), "read what it is", error.what(), error.next_step()));
                return false;
            }
        }
    }

    void take(const DeviceState& device)
    {
        const auto redirect = redirect_of_endpoint(device.info.uuid);
        if (redirect && device.info.live_table)
            machine_.endpoints.push_back({device.info, device.table, device.inactive,
                whole_status(dm_, device.info.name), *redirect, {}, {}, false});
        else if (const auto* line = only_line<Interpose>(device.table))
            machine_.origins.push_back(read_origin(dm_, device, *line));
        else if (const auto* store = only_line<InterposeStore>(device.table))
            machine_.stores.push_back(
                {device.info, device.table, *store, parse_store_status(status_text(dm_, device.info.name)),
                    device_name(store->device, roots_), numbers_at_and_below(store->device, roots_)});
    }

    void add_file(StoreState& store)
    {
        const DeviceState* device = machine_.find_device(file_uuid(store.status.store));
        if (device == nullptr)
            return;
        store.file = device->table;
        for (const OriginState& origin : machine_.origins) {
            const auto live =
                origin.store() == store.status.store ? find_block_device(origin.number(), roots_) : std::nullopt;
            if (!live)
                continue;
            store.holder = live->number;
            // Nobody sees by the base that it leads to this.
            store.below.merge(numbers_below(*live, roots_));
            if (const std::string mount_point = store_mount_point(*live, roots_); !mount_point.empty())
                store.device = store.path = store_file_path(mount_point, store.status.store);
        }
    }

    void add_base(EndpointState& endpoint, const DeviceState& device)
    {
        endpoint.base = BaseState{device.info, device.table, device.health};
        if (!endpoint.base->leads_to_live())
            return;
        endpoint.live = live_above(device.table, roots_);
        endpoint.takes_bios = parse_base_status(status_text(dm_, device.info.name)).endpoint == endpoint.info.number;
    }

    void add_leg(EndpointState& endpoint, const DeviceState& device)
    {
        endpoint.leg = device;
        const auto target = target_of_leg(device.table);
        const auto block = target ? find_block_device(*target, roots_) : std::nullopt;
        if (!block)
            return;
        endpoint.target = node_path(*block, roots_).string();
        endpoint.target_size = block->size;
    }

    void add_parts(OriginState& origin, const DeviceState& device)
    {
        const auto* line = only_line<InterposeImage>(device.table);
        if (line != nullptr && line->origin == origin.line.origin)
            origin.images.push_back(read_image(device, *line, roots_));
        if (origin_of_base(device.info.uuid) == origin.line.origin)
            origin.base = device.info.live_table ? BaseState{device.info, device.table, device.health}
                                                 : BaseState{device.info, device.inactive, device.loaded_health};
    }

    Dm& dm_;
    const Roots& roots_;
    Machine machine_;
};

/// Throws Error if they do not answer in time.
std::vector<StoreFile> look_for_store_files()
{
    const auto act = [] {
        std::string text;
        for (const StoreFile& file : find_store_files())
            text += fmt::format("{} {} {}\n", file.store.text(), file.device.text(), file.path);
        return text;
    };
    std::vector<StoreFile> files;
    const std::string text =
        run_apart("the mounted filesystems", "look for stores", std::chrono::seconds(10), act, [] {});
    for (const std::string_view line : lines(text)) {
        const auto first = line.find(' ');
        const auto second = line.find(' ', first + 1);
        const auto store = Uuid::from_text(line.substr(0, first));
        const auto device = DeviceNumber::from_text(line.substr(first + 1, second - first - 1));
        if (store && device)
            files.push_back({std::string(line.substr(second + 1)), *store, *device});
    }
    return files;
}

} // namespace

Machine survey(Dm& dm, const Roots& roots) { return Survey(dm, roots).run(); }

Machine survey_with_files(Dm& dm)
{
    Machine machine = survey(dm);
    try {
        machine.files = look_for_store_files();
    } catch (const Error& error) {
        machine.unread.push_back(error);
    }
    return machine;
}

Candidate read_candidate(Dm& dm, const BlockDevice& block, const Roots& roots)
{
    Candidate candidate{block, std::nullopt, {}, {}, numbers_below(block, roots), {}, false};
    if (!block.is_dm())
        return candidate;
    candidate.info = dm.info(block.number);
    if (candidate.info && candidate.info->live_table) {
        candidate.table = dm.table(candidate.info->name);
        candidate.health = read_health(dm, candidate.info->name, candidate.table);
    }
    return candidate;
}

void read_use(Dm& dm, Candidate& candidate, bool for_hook, const Roots& roots)
{
    const BlockDevice& block = candidate.block;
    candidate.freeze = read_freeze_facts(block, roots);
    if (!for_hook)
        return;
    const std::vector<BlockDevice> above = all_above(block, roots);
    candidate.swap = is_swap(block, roots) || std::any_of(above.begin(), above.end(),
                                                  [&](const BlockDevice& upper) { return is_swap(upper, roots); });
    const std::vector<BlockDevice> areas = with_partitions(block, above);
    candidate.multipath = has_path(dm, areas, roots);
    candidate.write_limit = find_write_limit(block, roots);
    candidate.uncounted = !counts_writes(block, roots);
    candidate.physical_volume =
        is_below(
            areas, [](const BlockDevice& upper) { return upper.dm_uuid.starts_with("LVM-"); }, roots) ||
        (!waits_for_resume(block, roots) &&
            std::any_of(areas.begin(), areas.end(), [&](const BlockDevice& area) { return has_label(area, roots); }));
}

std::optional<ImageNames> read_image_names(Dm& dm, DeviceNumber image)
{
    const auto info = dm.info(image);
    if (!info || !info->uuid.starts_with(uuid_prefix))
        return std::nullopt;
    const Table table = dm.table(info->name);
    const auto* line = only_line<InterposeImage>(table);
    if (line == nullptr)
        return std::nullopt;
    for (const DmName& name : dm.list()) {
        const auto device = read_device(dm, name);
        const auto* origin = device ? only_line<Interpose>(device->table) : nullptr;
        if (origin == nullptr || origin->origin != line->origin)
            continue;
        const auto base =
            device->info.uuid == top_uuid(origin->origin) ? read_device(dm, base_name(origin->origin)) : std::nullopt;
        const auto live = base ? live_above(base->table, {}) : std::nullopt;
        const DmName origin_name = live ? DmName(live->name()) : name;
        if (const auto point = point_of_image_name(info->name.text(), info->uuid))
            return ImageNames{point->text(), link_component(origin_name)};
        return std::nullopt;
    }
    return std::nullopt;
}

} // namespace dmsnap
