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

namespace dmsnap {
namespace {

constexpr const char* attaching = "attach";

Error refused(const Candidate& candidate, std::string reason, std::string next_step = {})
{
    return Error(candidate.block.name(), attaching, std::move(reason), std::move(next_step));
}

/// A crypt table: <cipher> <key> <iv offset> <device> <offset> ...; a key in the kernel's keyring is ":size:type:name".
bool has_key_inline(const OtherTarget& crypt)
{
    const auto w = words(crypt.arguments);
    return w.size() >= 5 && !w[1].starts_with(':');
}

/// Throws unless the table may be active in two devices at once, and may leave the one it is in.
void require_movable(const Candidate& candidate)
{
    for (const TableLine& line : candidate.table) {
        const auto* other = std::get_if<OtherTarget>(&line.target);
        if (std::holds_alternative<Linear>(line.target) || std::holds_alternative<Striped>(line.target) ||
            (other != nullptr && other->type == "thin"))
            continue;
        if (other == nullptr || other->type != "crypt")
            throw refused(candidate,
                fmt::format(
                    "its table has the target \"{}\", which cannot be moved below another", target_type(line.target)),
                "attach what lies above or below it");
        if (!has_key_inline(*other))
            throw refused(candidate, "its encryption key is in the kernel's keyring and cannot be copied",
                "attach the device below, or open it with cryptsetup --disable-keyring");
    }
}

void require_attachable(const Candidate& candidate)
{
    if (!candidate.info)
        throw refused(candidate, "it is no device-mapper device",
            "the hook method for plain disks does not exist yet: use a logical volume, or a dm-linear device made "
            "before the disk is mounted");
    if (candidate.info->uuid.starts_with(uuid_prefix))
        throw refused(candidate, "it is dmsnap's own");
    if (candidate.info->suspended)
        throw refused(candidate, "it is suspended",
            fmt::format("dmsetup resume {}, once you know who suspended it", candidate.block.name()));
    if (candidate.info->inactive_table)
        throw refused(candidate, "somebody has loaded another table for it that is not active yet",
            fmt::format("dmsetup clear {}, once you know whose it is", candidate.block.name()));
    if (candidate.block.read_only || candidate.info->read_only)
        throw refused(candidate, "it is read-only: nothing on it changes");
    if (candidate.block.zoned)
        throw refused(candidate, "it is a zoned device");
    if (candidate.table.empty())
        throw refused(candidate, "it has no table");
    require_movable(candidate);
}

bool single_linear(const Table& table) { return table.size() == 1 && std::holds_alternative<Linear>(table[0].target); }

Table interpose_table(Sectors length, const DeviceRef& base, Sectors base_start, const Uuid& origin, Sectors chunk)
{
    return {{Sectors{0}, length, Interpose{base, base_start, origin, chunk}}};
}

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

Table original_table(const OriginState& origin)
{
    if (origin.base)
        return origin.base->table;
    return {{Sectors{0}, length(origin.table), Linear{origin.line.base, origin.line.base_start}}};
}

} // namespace

Plan plan_attach(
    const Machine& machine, const Candidate& candidate, std::optional<Sectors> chunk, const Uuid& new_origin)
{
    if (const Interpose* line = interpose_line(candidate.table); line != nullptr) {
        if (chunk && *chunk != line->chunk)
            throw refused(candidate, fmt::format("it is attached with chunks of {}", exact_size(line->chunk)),
                fmt::format("dmsnap detach {}, which ends its points, then again", candidate.block.name()));
        return {};
    }
    require_attachable(candidate);
    const Sectors used_chunk = checked_chunk(chunk.value_or(Sectors{INTERPOSE_CHUNK_SECTORS_DEFAULT}));
    const DmName& name = candidate.info->name;
    const Sectors size = length(candidate.table);
    if (single_linear(candidate.table)) {
        const auto& line = std::get<Linear>(candidate.table[0].target);
        return {
            Load{name, interpose_table(size, line.device, line.offset, new_origin, used_chunk)},
            Resume{name, candidate.table},
        };
    }
    const DmName base = base_name(new_origin);
    if (machine.has_name(base))
        throw refused(candidate, base.text() + " exists already", "again");
    return {
        Create{{base, base_uuid(new_origin), candidate.table, Visibility::private_device, false}},
        Load{name, interpose_table(size, base, Sectors{0}, new_origin, used_chunk)},
        Resume{name, candidate.table},
    };
}

Plan plan_detach(const Machine& machine, const OriginState& origin, bool force)
{
    for (const ImageState& image : origin.images)
        require_unused(image);
    const auto snapshots = snapshots_of(origin);
    if (!snapshots.empty() && !force)
        throw Error(origin.name().text(), "detach", "it has snapshots: " + names_of(snapshots),
            "dmsnap remove them, or detach --force, which removes them too");
    // Without a common interface the points are unknown, and the images tell that there are some.
    if (!origin.status.details && !origin.images.empty() && !force)
        throw Error(origin.name().text(), "detach", "it has images: " + names_of(origin.images),
            "detach --force, which removes them");
    Plan plan;
    for (const ImageState& image : origin.images)
        for (Step& step : plan_remove_image(machine, origin, image))
            plan.push_back(std::move(step));
    for (const Point* snapshot : snapshots)
        plan.push_back(Drop{origin.name(), origin.id_of(*snapshot)});
    if (const auto store = origin.store())
        plan.push_back(LeaveStore{origin.name(), *store});
    plan.push_back(Load{origin.name(), original_table(origin)});
    // Back would be another generation.
    plan.push_back(Resume{origin.name(), origin.table, true});
    if (origin.base)
        plan.push_back(Remove{origin.base->as_created()});
    if (const auto store = origin.store())
        for (Step& step : plan_close_store(machine, origin, *store))
            plan.push_back(std::move(step));
    return plan;
}

std::size_t checkpoints_of(const OriginState& origin)
{
    return static_cast<std::size_t>(std::count_if(origin.points.begin(), origin.points.end(),
        [](const Point& point) { return point.kind == PointKind::checkpoint; }));
}

} // namespace dmsnap
