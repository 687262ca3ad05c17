// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/list.h"

#include "ops/naming.h"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>

namespace dmsnap {
namespace {

bool is_gone(const ListedPoint& row) { return row.machine->is_gone(*row.origin); }

bool is_snapshot(const ListedPoint& row) { return row.point->kind == PointKind::snapshot; }

const StoreState* store_of(const ListedPoint& row)
{
    const auto store = row.origin->store();
    return store && is_snapshot(row) ? row.machine->find_store(*store) : nullptr;
}

std::string size_text(Sectors size, const ListStyle& style)
{
    return style.plain_bytes ? std::to_string(size.bytes().count) : show_size(size.bytes(), style.units);
}

/// As lvs prints it: "2026-11-21 03:00:00 +0100".
std::string time_text(std::uint64_t seconds)
{
    const auto time = static_cast<std::time_t>(seconds);
    std::tm local{};
    char text[64] = "";
    if (seconds == 0)
        return {}; // of an origin that is gone
    if (localtime_r(&time, &local) == nullptr || std::strftime(text, sizeof(text), "%Y-%m-%d %T %z", &local) == 0)
        return std::to_string(seconds);
    return text;
}

std::string percent_text(const ListedPoint& row)
{
    const StoreState* store = store_of(row);
    if (store == nullptr || !store->status.details || store->status.details->usable.count == 0)
        return {};
    const auto& details = *store->status.details;
    return fmt::format(
        "{:.2f}", 100.0 * static_cast<double>(details.used.count) / static_cast<double>(details.usable.count));
}

/// Its link; until udev has seen to it, as after the rename of a live device, its node.
std::string path_of(const ImageState& image, const ListedPoint& row)
{
    const std::string link = image_link(row.point->name, row.origin->device());
    return row.machine->links.contains(link) ? link : "/dev/mapper/" + link_component(image.info.name);
}

} // namespace

std::string attributes(const ListedPoint& row)
{
    const ImageState* image = row.origin->image_of(*row.point);
    std::string text = "----------";
    text[0] = is_snapshot(row) ? 's' : 'c';
    text[1] = image != nullptr ? 'r' : '-';
    if (image != nullptr)
        text[4] = image->info.suspended ? 's' : 'a';
    if (!row.point->valid)
        text[4] = image != nullptr && image->info.suspended ? 'S' : 'I';
    text[5] = image != nullptr && image->info.open_count > 0 ? 'o' : '-';
    return text;
}

const std::vector<ListField>& list_fields()
{
    using Row = ListedPoint;
    using Style = ListStyle;
    static const std::vector<ListField> fields = {
        {"snap_name", "Snap", "name of the point", false,
            [](const Row& r, const Style&) { return r.point->name.text(); }},
        {"origin", "Origin", "name of the device, empty if it is gone", false,
            [](const Row& r, const Style&) { return is_gone(r) ? std::string() : r.origin->device().text(); }},
        {"snap_attr", "Attr", "attributes, places as those of lvs", false,
            [](const Row& r, const Style&) { return attributes(r); }},
        {"snap_size", "SSize", "size of the device at the point", true,
            [](const Row& r, const Style& s) {
                return size_text(r.point->length.value_or(length(r.origin->table)), s);
            }},
        {"snap_percent", "Snap%", "how full the store is", true,
            [](const Row& r, const Style&) { return percent_text(r); }},
        {"snap_time", "CTime", "when it was taken", false,
            [](const Row& r, const Style&) { return time_text(r.point->time); }},
        {"kind", "Kind", "snapshot or checkpoint", false,
            [](const Row& r, const Style&) { return std::string(to_text(r.point->kind)); }},
        {"snap_uuid", "UUID", "uuid of the point", false,
            [](const Row& r, const Style&) { return r.point->uuid.text(); }},
        {"generation", "Generation", "uuid of the attachment", false,
            [](const Row& r, const Style&) { return r.origin->status.generation.text(); }},
        {"id", "ID", "number of the point in its generation", true,
            [](const Row& r, const Style&) { return std::to_string(r.point->id); }},
        {"consistency", "Consistency", "fs or crash", false,
            [](const Row& r, const Style&) {
                // Of a point whose origin is gone nobody knows, as of its time.
                return std::string(r.point->time != 0 ? to_text(r.point->consistency) : "");
            }},
        {"valid", "Valid", "valid or invalid", false,
            [](const Row& r, const Style&) {
                return std::string(r.point->valid ? INTERPOSE_VALIDITY_VALID : INTERPOSE_VALIDITY_INVALID);
            }},
        {"reason", "Reason", "if it is invalid: the latest cause that made snapshots of its device so", false,
            [](const Row& r, const Style&) {
                const auto& details = r.origin->status.details;
                return !r.point->valid && details ? details->failure.value_or("") : std::string();
            }},
        {"store", "Store", "device-mapper name of the store", false,
            [](const Row& r, const Style&) {
                const StoreState* store = store_of(r);
                return store != nullptr ? store->info.name.text() : std::string();
            }},
        {"chunk_size", "Chunk", "unit of tracking and copying", true,
            [](const Row& r, const Style& s) { return size_text(r.origin->line.chunk, s); }},
        {"snap_path", "Path", "path of the image", false,
            [](const Row& r, const Style&) {
                const ImageState* image = is_gone(r) ? nullptr : r.origin->image_of(*r.point);
                return image != nullptr ? path_of(*image, r) : std::string();
            }},
        {"via", "Via", "how its device is attached: table or hook", false,
            [](const Row& r, const Style&) {
                return is_gone(r) ? std::string() : std::string(r.origin->live ? "hook" : "table");
            }},
        {"snap_set", "Set", "uuid of the set it was taken in, empty if by itself", false,
            [](const Row& r, const Style&) { return r.point->set ? r.point->set->text() : std::string(); }},
        {"snap_tags", "Tags", "tags, separated by commas", false,
            [](const Row& r, const Style&) { return r.point->tags.text(); }},
        {"data", "Data", "user data in hexadecimal", false,
            [](const Row& r, const Style&) { return to_hex(r.point->data); }},
    };
    return fields;
}

std::vector<ListedPoint> listed_points(const Machine& machine)
{
    std::vector<ListedPoint> rows;
    for (const OriginState& origin : machine.origins)
        for (const Point& point : origin.points)
            rows.push_back({&machine, &origin, &point});
    for (const OriginState& origin : machine.gone)
        for (const Point& point : origin.points)
            rows.push_back({&machine, &origin, &point});
    return rows;
}

} // namespace dmsnap
