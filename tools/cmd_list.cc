// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "dm/report.h"
#include "json.h"
#include "log.h"
#include "ops/list.h"
#include "session.h"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>
#include <set>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"options,o", "FIELDS",
        "fields to show, separated by commas; with + in front besides the usual ones; help lists them"},
    {"noheadings", nullptr, "leave the headings out"},
    {"units", "UNIT", "unit of sizes: r h b s k m g t p e, in upper case of 1000"},
};

/// The field list that -o asks for.
std::string fields_of(const Arguments& arguments)
{
    const std::string* wanted = arguments.value("options");
    if (wanted == nullptr)
        return default_list_fields;
    return wanted->starts_with("+") ? std::string(default_list_fields) + "," + wanted->substr(1) : *wanted;
}

std::string fields_help()
{
    std::string text;
    for (const ListField& field : list_fields())
        text += fmt::format("  {:<13} {}\n", field.id, field.text);
    return text;
}

std::vector<const ListField*> parse_fields(const std::string& text)
{
    std::vector<const ListField*> wanted;
    for (std::string_view id : split(text, ',')) {
        const auto& all = list_fields();
        const auto field = std::find_if(all.begin(), all.end(), [&](const ListField& f) { return f.id == id; });
        if (field == all.end())
            throw Error("field \"" + printable(id) + "\"", "show it", "there is no such field", "dmsnap list -o help");
        wanted.push_back(&*field);
    }
    return wanted;
}

std::string basic(
    const std::vector<ListedPoint>& rows, const std::string& fields, const ListStyle& style, bool headings)
{
    std::vector<ReportColumn> columns;
    for (const ListField& field : list_fields())
        columns.push_back({field.id, field.heading, field.text, field.number});
    std::vector<std::vector<std::string>> cells;
    for (const ListedPoint& row : rows) {
        cells.emplace_back();
        for (const ListField& field : list_fields())
            cells.back().push_back(printable(field.value(row, style), 2 * INTERPOSE_DATA_MAX));
    }
    return render_report(columns, cells, {fields, headings});
}

std::string json(
    const std::vector<ListedPoint>& rows, const std::vector<const ListField*>& fields, const ListStyle& style)
{
    nlohmann::ordered_json snaps = nlohmann::ordered_json::array();
    for (const ListedPoint& row : rows) {
        nlohmann::ordered_json snap;
        for (const ListField* field : fields)
            snap[field->id] = field->value(row, style);
        snaps.push_back(std::move(snap));
    }
    return report_text("snap", std::move(snaps));
}

bool names_device(const std::string& object)
{
    try {
        resolve(object);
        return true;
    } catch (const Error&) {
        return false;
    }
}

/// Whether name_unread() will say the same.
bool is_named_unread(const Machine& machine, const Error& error)
{
    return std::any_of(machine.unread.begin(), machine.unread.end(),
        [&](const Error& unread) { return std::string_view(unread.what()) == error.what(); });
}

/// What DEVICE or POINT means; a name means the points of that name on all devices.
std::set<const Point*> meant_by(const std::string& object, const Machine& machine, const std::vector<ListedPoint>& all)
{
    const PointRef ref(object);
    std::set<const Point*> meant;
    for (const ListedPoint& row : all)
        if (ref.means(*row.origin, *row.point) || row.origin->device().text() == object)
            meant.insert(row.point);
    if (!meant.empty())
        return meant;
    if (ref.by_name() && names_device(object)) {
        const OriginState& origin = require_attached(machine, object, "list its points");
        for (const Point& point : origin.points)
            meant.insert(&point);
    } else if (!ref.by_name() || object.find(':') != std::string::npos) {
        for (const FoundPoint& found : require_points(machine, object, nullptr, "list its points"))
            meant.insert(found.point);
    } else {
        throw Error("\"" + printable(object) + "\"", "list it", "it is neither a point nor a device", "dmsnap list");
    }
    return meant;
}

/// The rows that DEVICE and POINT arguments ask for.  `missing`: what was asked for and is not there.
std::vector<ListedPoint> chosen(
    const Machine& machine, const std::vector<std::string>& objects, std::vector<Error>& missing)
{
    auto rows = listed_points(machine);
    if (objects.empty())
        return rows;
    std::set<const Point*> wanted;
    for (const std::string& object : objects) {
        try {
            wanted.merge(meant_by(object, machine, rows));
        } catch (const Error& error) {
            if (!is_named_unread(machine, error))
                missing.push_back(error);
        }
    }
    std::erase_if(rows, [&](const ListedPoint& row) { return !wanted.contains(row.point); });
    return rows;
}

ListStyle style_of(const Arguments& arguments, bool as_json)
{
    ListStyle style{'r', as_json};
    if (const std::string* units = arguments.value("units")) {
        if (units->size() != 1)
            throw Error("units \"" + printable(*units) + "\"", "use it", "it is more than one letter", "--units b")
                .as(Fault::usage);
        show_size({}, units->front()); // throws for a letter that is no unit
        style = {units->front(), false};
    }
    return style;
}

int run_list(const Arguments& arguments)
{
    const std::string fields = fields_of(arguments);
    if (fields == "help") {
        std::cerr << fields_help(); // as LVM has it
        return exit_done;
    }
    const bool as_json = wants_json(arguments);
    const ListStyle style = style_of(arguments, as_json);
    const auto wanted = parse_fields(fields);

    const auto dm = start();
    const Machine machine = survey(*dm);
    warn_of_other_interfaces(machine);
    std::vector<Error> missing;
    const auto rows = chosen(machine, arguments.objects(), missing);
    print(as_json ? json(rows, wanted, style) : basic(rows, fields, style, !arguments.has("noheadings")));
    int worst = exit_done;
    for (const Error& error : missing)
        worst = std::max(worst, exit_code_of(error));
    return name_unread(machine, worst);
}

} // namespace

const Command list_command = {
    .name = "list",
    .synopsis = "[-o FIELDS] [--noheadings] [--units UNIT] [--reportformat basic|json] [OPTIONS] [DEVICE|POINT...]",
    .summary = "list the points of attached devices",
    .options = options,
    .group = Group::reports,
    .hidden = false,
    .run = run_list,
};

} // namespace dmsnap::tool
