// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "table/file_table.h"

#include <algorithm>

namespace dmsnap {
namespace {

/// A filesystem may tell of what is one in parts.
std::vector<Run> joined(const std::vector<Run>& extents)
{
    std::vector<Run> runs;
    for (const Run& extent : extents)
        if (!runs.empty() && runs.back().start + runs.back().length == extent.start)
            runs.back().length = runs.back().length + extent.length;
        else
            runs.push_back(extent);
    return runs;
}

} // namespace

std::vector<Run> whole_chunks(const std::vector<Run>& extents, Sectors chunk, Sectors device)
{
    const Sectors last = round_down(device - Sectors{1}, chunk);
    std::vector<Run> runs;
    for (const Run& run : joined(extents)) {
        const Sectors first = std::max(chunk, round_down(run.start + chunk - Sectors{1}, chunk));
        const Sectors end = std::min(last, round_down(run.start + run.length, chunk));
        if (first < end)
            runs.push_back({first, end - first});
    }
    return runs;
}

std::vector<Run> first_of(const std::vector<Run>& runs, Sectors length)
{
    std::vector<Run> first;
    for (const Run& run : runs) {
        if (length.count == 0)
            break;
        first.push_back({run.start, std::min(run.length, length)});
        length = length - first.back().length;
    }
    return first;
}

Table table_of(const std::vector<Run>& runs, const DeviceRef& base, Sectors base_start)
{
    Table table;
    Sectors start{0};
    for (const Run& run : runs) {
        table.push_back({start, run.length, Linear{base, base_start + run.start}});
        start = start + run.length;
    }
    return table;
}

std::vector<Run> runs_of(const Table& table, const DeviceRef& base, Sectors base_start)
{
    std::vector<Run> runs;
    for (const TableLine& line : table) {
        const auto* linear = std::get_if<Linear>(&line.target);
        if (linear == nullptr || linear->device != base || linear->offset < base_start)
            return {};
        runs.push_back({linear->offset - base_start, line.length});
    }
    return runs;
}

Sectors length(const std::vector<Run>& runs)
{
    Sectors sum{0};
    for (const Run& run : runs)
        sum = sum + run.length;
    return sum;
}

} // namespace dmsnap
