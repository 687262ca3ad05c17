// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/attach.h"

#include "base/error.h"
#include "base/text.h"
#include "dm-interpose.h"
#include "ops/naming.h"
#include "ops/parts.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace dmsnap {
namespace {

constexpr const char* attaching = "attach";

Error refused(const Candidate& candidate, std::string reason, std::string next_step)
{
    return Error(candidate.block.name(), attaching, std::move(reason), std::move(next_step));
}

/// LVM's names for the parts of a volume; no volume of a user's may contain one.
constexpr std::string_view parts_of_volumes[] = {"_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_iorig", "_mimage",
    "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig"};

/// "LVM-", the VG's uuid and the LV's, and for some of LVM's own devices a suffix.
bool is_part_of_volume(const DmInfo& info)
{
    constexpr std::size_t uuid_of_volume = 4 + 32 + 32;
    if (!info.uuid.starts_with("LVM-"))
        return false;
    const auto name = split_lvm_name(info.name.text());
    return info.uuid.size() > uuid_of_volume ||
           (name && std::any_of(std::begin(parts_of_volumes), std::end(parts_of_volumes),
                        [&](std::string_view part) { return name->volume.find(part) != std::string::npos; }));
}

/// Who gives their devices another table whenever they like, which would end the points of one with ours in it.
constexpr std::string_view managers[] = {"LVM-", "CRYPT-", "mpath-", "stratis-"};

bool is_managed(const DmInfo& info)
{
    return std::any_of(std::begin(managers), std::end(managers),
        [&](std::string_view prefix) { return info.uuid.starts_with(prefix); });
}

/// Targets that stay where they are, and what to do about it.
struct Immovable {
    std::string_view type;
    const char* reason;
    const char* next_step;
};

constexpr Immovable immovable[] = {
    {"thin-pool", "it is a thin pool, whose metadata only one device may have", "attach the thin volumes in it"},
    {"multipath", "it is a multipath device, whose table takes no other target",
        "attach what lies on it, a logical volume for example, or --via hook"},
    {"snapshot-origin", "it has snapshots of LVM's, which could not be removed any more",
        "lvremove its snapshots, then again, or --via hook"},
    {"snapshot", "it is a snapshot of LVM's", "attach its origin, once lvremove has removed its snapshots"},
    {"snapshot-merge", "LVM is merging a snapshot into it", "again when lvs no longer shows the snapshot"},
    {"cache", "it is cached, and only one device may have the cache's metadata",
        "lvconvert --splitcache, then again, or mount its filesystem and --via hook"},
    {"writecache", "it is cached, and only one device may have the cache",
        "lvconvert --splitcache, then again, or --via hook"},
    {"mirror", "it is a mirror of the old kind, whose log only one device may have",
        "lvconvert --type raid1, then again, or --via hook"},
    {"interpose-image", "it is a snapshot of dmsnap's", "attach the device it was taken of"},
};

Error cannot_move(const Candidate& candidate, const std::string& type)
{
    for (const Immovable& target : immovable)
        if (target.type == type)
            return refused(candidate, target.reason, target.next_step);
    return refused(candidate, fmt::format("its table has the target \"{}\", which cannot be moved below another", type),
        "attach what lies above or below it");
}

/// A raid table that is loaded once more must be the same one, and begin nothing.
void require_loads_alike(const Candidate& candidate, const OtherTarget& raid)
{
    for (std::string_view word : words(raid.arguments)) {
        for (std::string_view begin : {"rebuild", "sync", "delta_disks", "data_offset", "journal_dev"})
            if (word == begin)
                throw refused(candidate,
                    fmt::format("its table says \"{}\", which would begin anew with every load of it", word),
                    "lvchange --refresh on it once lvs shows it in sync, then again");
        // dm-raid keeps half of the number it is given, and prints that.
        if (word == "max_write_behind")
            throw refused(candidate,
                "its table says \"max_write_behind\", a number that would be halved with every load of it",
                "lvchange --writebehind 0 on it, then again");
    }
}

/// A crypt table: <cipher> <key> <iv offset> <device> <offset> ...; a key in the kernel's keyring is ":size:type:name".
bool has_key_inline(const OtherTarget& crypt)
{
    const auto w = words(crypt.arguments);
    return w.size() >= 5 && !w[1].starts_with(':');
}

/// Whether all writes to it are those of a mounted filesystem that the kernel surely reaches: frozen, it has none under
/// way anywhere.
bool is_frozen(const Candidate& candidate)
{
    const auto& frozen = candidate.freeze.devices;
    return std::find(frozen.begin(), frozen.end(), candidate.block.number) != frozen.end() &&
           !candidate.freeze.doubtful.contains(candidate.block.number);
}

/// Whether writes may wait inside of its targets, where device-mapper does not count them.
bool hides_writes(const Candidate& candidate)
{
    if (is_frozen(candidate))
        return false;
    return std::any_of(candidate.table.begin(), candidate.table.end(), [](const TableLine& line) {
        const std::string type = target_type(line.target);
        return type == "thin" || type == "crypt" || type == "delay" || type == "cache";
    });
}

/// What makes the hook fit, of a device that has a table.
std::string way_to_hook(const Candidate& candidate)
{
    if (candidate.physical_volume)
        return "attach the logical volumes on it";
    return hides_writes(candidate) ? "mount its filesystem first" : "--via hook";
}

/// Throws unless the table may be loaded in two devices at once, and may leave the one it is in.
void require_movable(const Candidate& candidate)
{
    for (const TableLine& line : candidate.table) {
        const auto* other = std::get_if<OtherTarget>(&line.target);
        if (std::holds_alternative<Linear>(line.target) || std::holds_alternative<Striped>(line.target) ||
            (other != nullptr && other->type == "thin"))
            continue;
        if (other == nullptr || (other->type != "crypt" && other->type != "raid"))
            throw cannot_move(candidate, target_type(line.target));
        if (other->type == "crypt" && !has_key_inline(*other))
            throw refused(candidate, "its encryption key is in the kernel's keyring and cannot be copied",
                "attach the device below, or open it with cryptsetup --disable-keyring, or " + way_to_hook(candidate));
        if (other->type == "raid")
            require_loads_alike(candidate, *other);
    }
}

/// Whatever the method.
void require_live(const Candidate& candidate)
{
    if (candidate.info && candidate.info->uuid.starts_with(uuid_prefix))
        throw refused(candidate, "it is dmsnap's own", "attach the device it belongs to");
    if (candidate.block.suspended || (candidate.info && candidate.info->suspended))
        throw refused(candidate, "it is suspended",
            fmt::format("dmsetup resume {}, once you know who suspended it", candidate.block.name()));
    if (candidate.block.read_only || (candidate.info && candidate.info->read_only))
        throw refused(candidate, "it is read-only: nothing on it changes", "mount it, or copy it, as it is");
    if (candidate.block.zoned)
        throw refused(candidate, "it is a zoned device", "attach what lies on it");
}

void require_no_other_table(const Candidate& candidate)
{
    if (candidate.info && candidate.info->inactive_table)
        throw refused(candidate, "somebody has loaded another table for it that is not active yet",
            fmt::format("dmsetup clear {}, once you know whose it is", candidate.block.name()));
}

void require_tabled(const Candidate& candidate)
{
    if (!candidate.info)
        throw refused(candidate, "it is no device-mapper device, and has no table", "--via hook");
    require_live(candidate);
    require_no_other_table(candidate);
    if (candidate.table.empty())
        throw refused(candidate, "it has no table", "dmsetup info, which shows its state");
    require_movable(candidate);
    if (is_part_of_volume(*candidate.info))
        throw refused(candidate, "it is a part of a logical volume", "attach the volume itself");
}

/// A disk and its partitions are one thing to the hook.
void require_no_overlap(const Machine& machine, const Candidate& candidate)
{
    for (const OriginState& origin : machine.origins)
        if (origin.live && (candidate.block.disk == origin.live->number || origin.live->disk == candidate.block.number))
            throw refused(candidate,
                candidate.block.disk == origin.live->number
                    ? fmt::format("its disk {} is attached, and it with that", origin.device().text())
                    : fmt::format("its partition {} is attached", origin.device().text()),
                fmt::format("dmsnap detach {} first", shell_word(origin.device().text())));
}

/// Below a table that stands in its place, or in that of its disk or of a part of it, it is not what its users see.
void require_no_endpoint(const Machine& machine, const Candidate& candidate)
{
    for (const EndpointState& endpoint : machine.endpoints)
        if (endpoint.live &&
            (candidate.block.number == endpoint.live->number || candidate.block.disk == endpoint.live->number ||
                endpoint.live->disk == candidate.block.number))
            throw refused(candidate, fmt::format("another table stands in the place of {}", endpoint.device().text()),
                fmt::format("dmsnap detach {} first", shell_word(endpoint.device().text())));
}

/// Whether writes may wait in a control group's throttle, before anything of the device counts them.
bool holds_writes_back(const Candidate& candidate) { return !candidate.write_limit.empty() && !is_frozen(candidate); }

/// What changes without a write to the device itself would be seen by nobody.
void require_written_from_above(const Candidate& candidate)
{
    for (const TableLine& line : candidate.table)
        if (const std::string type = target_type(line.target); type == "thin-pool" || type == "snapshot-merge")
            throw cannot_move(candidate, type);
    if (candidate.info && is_part_of_volume(*candidate.info))
        throw refused(candidate, "it is a part of a logical volume", "attach the volume itself");
}

/// Whether it is better off with its own table, whoever manages it: LVM, which passes by what lies on its own volumes, would
/// find the label of one again on dmsnap's devices.
bool stays_tabled(const Candidate& candidate)
{
    return candidate.info && (candidate.physical_volume || hides_writes(candidate) || holds_writes_back(candidate));
}

/// The way out for a device that has a table, if that can be moved.
std::string or_by_table(const Candidate& candidate, std::string next_step)
{
    try {
        require_tabled(candidate);
        return next_step + ", or --via table";
    } catch (const Error&) {
        return next_step;
    }
}

bool single_linear(const Table& table) { return table.size() == 1 && std::holds_alternative<Linear>(table[0].target); }

Table interpose_table(Sectors length, Interpose line) { return {{Sectors{0}, length, std::move(line)}}; }

std::string joined(const std::vector<std::string>& names)
{
    std::string text;
    for (const std::string& name : names)
        text += (text.empty() ? "" : ", ") + name;
    return text;
}

std::string names_of(const std::vector<const Point*>& points)
{
    std::vector<std::string> names;
    for (const Point* point : points)
        names.push_back(point->name.text());
    return joined(names);
}

std::string names_of(const std::vector<ImageState>& images)
{
    std::vector<std::string> names;
    for (const ImageState& image : images)
        names.push_back(image.info.name.text());
    return joined(names);
}

std::vector<const Point*> snapshots_of(const OriginState& origin)
{
    std::vector<const Point*> found;
    for (const Point& point : origin.points)
        if (point.kind == PointKind::snapshot)
            found.push_back(&point);
    return found;
}

/// What somebody else has suspended, or loaded, is his: a detach would resume the one and overwrite the other.
void require_detachable(const OriginState& origin)
{
    const std::string& name = origin.name().text();
    if (origin.info.suspended)
        throw Error(name, "detach", "it is suspended",
            fmt::format("dmsetup resume {}, once you know who suspended it", shell_word(name)));
    if (origin.info.inactive_table && (origin.live || origin.inactive != original_table(origin)))
        throw Error(name, "detach", "somebody has loaded another table for it that is not active yet",
            fmt::format("dmsetup clear {}, once you know whose it is", shell_word(name)));
}

void require_free(const Machine& machine, const Candidate& candidate, const DmName& name)
{
    if (machine.has_name(name))
        throw refused(candidate, name.text() + " exists already", "again");
}

Error outgrown(const Candidate& candidate, const OriginState& origin)
{
    const auto snapshots = snapshots_of(origin);
    if (snapshots.empty())
        return refused(candidate, "it is attached, but has another size by now",
            "dmsnap changed, if you want its list, then dmsnap checkpoint or create, which attach it anew");
    return refused(candidate, "it is attached, but has another size by now, and snapshots of the old one",
        fmt::format("dmsnap remove {}, once they have served, then again", names_of(snapshots)));
}

/// Nothing if it is not attached.
std::optional<Attachment> present_attachment(const Machine& machine, const Candidate& candidate, const AttachWish& wish)
{
    const OriginState* origin = machine.find(candidate.block.number);
    const Interpose* line = origin != nullptr ? &origin->line : interpose_line(candidate.table);
    if (line == nullptr)
        return std::nullopt;
    const std::string name = shell_word(candidate.block.name());
    if (origin != nullptr && origin->lost())
        throw refused(candidate, "it is attached, but its chain of changes has ended: it notes nothing any more",
            fmt::format("dmsnap detach --force {}, then again", name));
    if (origin != nullptr && origin->live && !origin->hooked())
        throw refused(candidate, "what an attach that died has left could not be mended", "dmsnap recover");
    if (origin != nullptr && origin->resized())
        throw outgrown(candidate, *origin);
    if (wish.chunk && *wish.chunk != line->chunk)
        throw refused(candidate, fmt::format("it is attached with chunks of {}", exact_size(line->chunk)),
            fmt::format("dmsnap detach {}, which ends its points, then again", name));
    if (origin != nullptr && wish.via != Via::automatic && (wish.via == Via::hook) != origin->live.has_value())
        throw refused(candidate, fmt::format("it is attached by {}", origin->live ? "the hook" : "its table"),
            fmt::format("dmsnap detach {}, which ends its points, then again", name));
    return Attachment{origin != nullptr ? origin->name() : candidate.info->name, line->origin, line->chunk,
        length(origin != nullptr ? origin->table : candidate.table), line->base, line->base_start,
        origin != nullptr ? origin->table : candidate.table};
}

/// `line` wants its base.
Attachment attachment_by_table(const Machine& machine, const Candidate& candidate, Interpose line)
{
    const DmName& name = candidate.info->name;
    const Sectors size = length(candidate.table);
    if (single_linear(candidate.table)) {
        const auto& own = std::get<Linear>(candidate.table[0].target);
        line.base = own.device;
        line.base_start = own.offset;
        return {name, line.origin, line.chunk, size, line.base, line.base_start, candidate.table, {},
            {Load{name, interpose_table(size, line)}, Resume{name, candidate.table}}};
    }
    const DmName base = base_name(line.origin);
    require_free(machine, candidate, base);
    const NewDevice below{base, base_uuid(line.origin), candidate.table, Visibility::private_device, false};
    line.base = base;
    const Load load{name, interpose_table(size, line)};
    Attachment attachment{name, line.origin, line.chunk, size, line.base, line.base_start, candidate.table};
    if (runs_once(candidate.table)) {
        attachment.below = {Prepare{below}};
        attachment.plan = {load, SwapSuspended{{name, base, candidate.table, true, candidate.health}}};
    } else {
        attachment.below = {Create{below}};
        attachment.plan = {load, Resume{name, candidate.table}};
    }
    return attachment;
}

/// The device keeps the table it has, or none: of three devices only the module knows that they are one.
Attachment attachment_by_hook(
    const Machine& machine, const Candidate& candidate, Interpose line, std::chrono::milliseconds deadline)
{
    const DmName base = base_name(line.origin);
    const DmName top = top_name(line.origin);
    require_free(machine, candidate, base);
    require_free(machine, candidate, top);
    const Sectors size = candidate.block.size;
    line.base = base;
    const NewDevice below{base, base_uuid(line.origin),
        {{Sectors{0}, size, InterposeBase{candidate.block.number, Sectors{0}}}}, Visibility::private_device, false};
    Plan plan = {
        Create{{top, top_uuid(line.origin), interpose_table(size, line), Visibility::private_device, false}},
    };
    if (!candidate.freeze.mount_points.empty())
        plan.push_back(SyncFilesystems{candidate.freeze.mount_points});
    plan.push_back(
        Hook{top, candidate.block.name(), HookMessage{deadline, candidate.freeze.devices}, candidate.write_limit});
    return {top, line.origin, line.chunk, size, line.base, line.base_start, {}, {Create{below}}, std::move(plan)};
}

/// The steps from the end of what the points need.
Plan leave(const OriginState& origin)
{
    if (origin.live) {
        Plan plan;
        // Of one that was lost, writes may still be on their way back; with a module of another interface nobody knows.
        if (origin.hooked() || origin.lost() || !origin.status.details)
            plan.push_back(Unhook{origin.name(), origin.device().text(), {}});
        plan.push_back(Remove{origin.as_created()});
        return plan;
    }
    // Back would be another generation.
    if (origin.base && runs_once(origin.base->table))
        return {SwapSuspended{{origin.name(), origin.base->info.name, origin.table, false, origin.base->health}, true}};
    return {Resume{origin.name(), origin.table, true}};
}

} // namespace

void require_hookable(const Machine& machine, const Candidate& candidate)
{
    require_live(candidate);
    require_written_from_above(candidate);
    require_no_other_table(candidate);
    if (hides_writes(candidate))
        throw refused(candidate,
            "writes under way in its table cannot be waited for, since no filesystem on it is mounted",
            or_by_table(candidate, "mount its filesystem first"));
    if (holds_writes_back(candidate))
        throw refused(candidate,
            fmt::format("the control group {} limits writes to it, and those that wait there cannot be waited for",
                printable(candidate.write_limit)),
            or_by_table(
                candidate, "lift that limit (io.max) for the moment of the attach, or mount its filesystem first"));
    if (candidate.uncounted && !is_frozen(candidate))
        throw refused(candidate, "the kernel does not count its writes, so that those under way cannot be waited for",
            "mount its filesystem first, or set queue/iostats to 1 in its folder of sysfs, unless it is md linear or NVMe");
    if (candidate.swap)
        throw refused(candidate, "the kernel swaps to it, or to what lies on it",
            or_by_table(candidate, "swapoff first, or attach a part of it"));
    if (candidate.multipath)
        throw refused(candidate, "it is one path of a multipath device, whose requests pass by",
            "attach the multipath device, with --via hook");
    if (candidate.physical_volume)
        throw refused(candidate, "it is an LVM physical volume, for which LVM would take dmsnap's private devices too",
            "attach the logical volumes on it");
    if (candidate.block.dax)
        throw refused(candidate, "programs may write to it past the block layer (DAX)", "another device");
    if (candidate.block.integrity)
        throw refused(candidate, "it keeps checksums beside its blocks", or_by_table(candidate, "another device"));
    if (candidate.block.size.count == 0)
        throw refused(candidate, "it has no size", "a device with a medium in it");
    if (!candidate.freeze.suspended.empty())
        throw refused(candidate,
            fmt::format("{}, which its filesystems need, is suspended", candidate.freeze.suspended.front()),
            fmt::format("dmsetup resume {}, once you know who suspended it", candidate.freeze.suspended.front()));
    require_freezable(candidate, attaching);
    require_no_overlap(machine, candidate);
    require_no_endpoint(machine, candidate);
}

void require_carries_no_store(const Machine& machine, const Candidate& candidate)
{
    for (const StoreState& store : machine.stores)
        if (store.below.count(candidate.block.number) != 0)
            throw refused(candidate, fmt::format("the store {} lies on it", store.device),
                "dmsnap remove the snapshots that use that store, then create them with --store and another device");
}

bool may_use_hook(const Candidate& candidate, Via via)
{
    return via == Via::hook || (via == Via::automatic && (!candidate.info || is_managed(*candidate.info)));
}

Table original_table(const OriginState& origin)
{
    if (origin.base)
        return origin.base->table;
    return {{Sectors{0}, length(origin.table), Linear{origin.line.base, origin.line.base_start}}};
}

Attachment plan_attachment(
    const Machine& machine, const Candidate& candidate, const Uuid& new_origin, const AttachWish& wish)
{
    if (auto present = present_attachment(machine, candidate, wish))
        return std::move(*present);
    require_no_endpoint(machine, candidate);
    const bool by_hook = may_use_hook(candidate, wish.via) && !(wish.via == Via::automatic && stays_tabled(candidate));
    if (by_hook)
        require_hookable(machine, candidate);
    else
        require_tabled(candidate);
    require_carries_no_store(machine, candidate);
    const Sectors chunk = checked_chunk(wish.chunk.value_or(Sectors{INTERPOSE_CHUNK_SECTORS_DEFAULT}));
    const Interpose line{DeviceNumber{}, Sectors{0}, new_origin, chunk, wish.purpose == AttachFor::first_point};
    return by_hook ? attachment_by_hook(machine, candidate, line, wish.deadline)
                   : attachment_by_table(machine, candidate, line);
}

Plan plan_attach(const Machine& machine, const Candidate& candidate, const Uuid& new_origin, const AttachWish& wish)
{
    Attachment attachment = plan_attachment(machine, candidate, new_origin, wish);
    append(attachment.below, std::move(attachment.plan));
    return std::move(attachment.below);
}

Plan plan_renewal(const Machine& machine, const OriginState& origin)
{
    if (!origin.resized() || !snapshots_of(origin).empty())
        return {};
    return plan_detach(machine, origin, true);
}

Plan plan_detach(const Machine& machine, const OriginState& origin, bool force)
{
    require_detachable(origin);
    if (!origin.base && machine.has_name(base_name(origin.line.origin)))
        throw Error(origin.device().text(), "detach",
            fmt::format("{}, which has its table, cannot be read", base_name(origin.line.origin).text()), "again");
    for (const ImageState& image : origin.images)
        require_unused(image);
    const auto snapshots = snapshots_of(origin);
    if (!snapshots.empty() && !force)
        throw Error(origin.device().text(), "detach", "it has snapshots: " + names_of(snapshots),
            "dmsnap remove them, or detach --force, which removes them too");
    // Without a common interface the points are unknown, and the images tell that there are some.
    if (!origin.status.details && !origin.images.empty() && !force)
        throw Error(origin.device().text(), "detach", "it has images: " + names_of(origin.images),
            "detach --force, which removes them");
    // What ends all points ends them at once: whoever dies before it has changed nothing that cannot be made again.
    Plan plan;
    if (!origin.live)
        plan.push_back(Load{origin.name(), original_table(origin)});
    for (const ImageState& image : origin.images)
        append(plan, plan_remove_image(machine, image));
    append(plan, leave(origin));
    if (const auto store = origin.store())
        append(plan, plan_close_store(machine, {&origin}, *store));
    else if (!origin.status.details)
        append(plan, plan_close_all_stores(machine));
    else if (origin.base) // what a create that died has left
        append(plan, plan_close_files_on(machine, origin.base->info.number));
    if (origin.base)
        plan.push_back(Remove{origin.base->as_created()});
    return with_files_last(std::move(plan));
}

std::size_t checkpoints_of(const OriginState& origin)
{
    return static_cast<std::size_t>(std::count_if(origin.points.begin(), origin.points.end(),
        [](const Point& point) { return point.kind == PointKind::checkpoint; }));
}

} // namespace dmsnap
