// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm/report.h"

#include "base/error.h"
#include "dm/session.h"

#include <array>
#include <bit>
#include <cstring>
#include <libdevmapper.h>
#include <memory>
#include <utility>

namespace dmsnap {
namespace {

/// One row as the engine sees it: an object with a text for each column.
using Row = std::vector<std::string>;

struct FreeReport {
    void operator()(dm_report* report) const { dm_report_free(report); }
};

void* row_of(void* object) { return object; }

template <std::size_t Size> void copy_text(char (&to)[Size], const std::string& from)
{
    std::strncpy(to, from.c_str(), Size - 1);
}

// The engine hands a field's function the object plus the field's offset.  All offsets are 0; which column it is
// about comes from the function itself.
template <std::size_t Column>
int show_column(
    dm_report* report, dm_pool* /*memory*/, dm_report_field* field, const void* data, void* /*private_data*/)
{
    const Row& row = *static_cast<const Row*>(data);
    const char* text = row[Column].c_str();
    return dm_report_field_string(report, field, &text);
}

using Show = int (*)(dm_report*, dm_pool*, dm_report_field*, const void*, void*);

template <std::size_t... Columns> constexpr std::array<Show, sizeof...(Columns)> shows(std::index_sequence<Columns...>)
{
    return {show_column<Columns>...};
}

constexpr std::size_t columns_max = 40;
constexpr auto show_functions = shows(std::make_index_sequence<columns_max>());

/// dm_report_field_type, whose texts are const, before it is one.
struct FieldType {
    std::uint32_t type = 1;
    std::uint32_t flags = DM_REPORT_FIELD_TYPE_STRING;
    std::uint32_t offset = 0;
    std::int32_t width = 0;
    char id[32] = "";
    char heading[32] = "";
    Show show = nullptr;
    const char* text = nullptr;
};

std::vector<dm_report_field_type> field_types(const std::vector<ReportColumn>& columns)
{
    std::vector<dm_report_field_type> types;
    for (const ReportColumn& column : columns) {
        FieldType type;
        type.flags |= column.number ? DM_REPORT_FIELD_ALIGN_RIGHT : DM_REPORT_FIELD_ALIGN_LEFT;
        type.width = static_cast<std::int32_t>(column.heading.size());
        copy_text(type.id, column.id);
        copy_text(type.heading, column.heading);
        type.show = show_functions.at(types.size());
        type.text = column.text.c_str();
        types.push_back(std::bit_cast<dm_report_field_type>(type));
    }
    types.push_back(std::bit_cast<dm_report_field_type>(FieldType{.flags = 0})); // the end
    return types;
}

} // namespace

std::string render_report(
    const std::vector<ReportColumn>& columns, const std::vector<Row>& rows, const ReportOptions& options)
{
    const DmSession session;
    CapturedOutput output;
    const dm_report_object_type objects[] = {{1, "snap", "", row_of}, {0, "", "", nullptr}};
    const auto types = field_types(columns);
    std::uint32_t kinds = 0;
    const std::uint32_t flags =
        DM_REPORT_OUTPUT_ALIGNED | DM_REPORT_OUTPUT_BUFFERED | (options.headings ? DM_REPORT_OUTPUT_HEADINGS : 0U);
    const std::unique_ptr<dm_report, FreeReport> report(
        dm_report_init(&kinds, objects, types.data(), options.fields.c_str(), " ", flags, "", nullptr));
    if (!report)
        throw Error("report", "show it", "no such field among \"" + options.fields + "\"", "-o help lists the fields");
    for (const Row& row : rows)
        if (dm_report_object(report.get(), const_cast<Row*>(&row)) == 0)
            throw Error("report", "show it", "libdevmapper has no memory for it", "again when there is memory");
    if (!rows.empty() && dm_report_output(report.get()) == 0)
        throw Error("report", "show it", "libdevmapper cannot print it", "--reportformat json");
    return output.text;
}

} // namespace dmsnap
