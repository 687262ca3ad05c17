// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "plan/query.h"

#include "base/error.h"

#include <cerrno>

namespace dmsnap {
namespace {

/// A target that sends its reader in circles must not keep it for ever.
void require_progress(bool forward, const DmName& name, const char* operation)
{
    if (!forward)
        throw Error(name.text(), operation, EPROTO, "module and tool may be of different versions");
}

} // namespace

InterposeStatus read_status(Dm& dm, const DmName& name)
{
    const auto lines = dm.status(name);
    if (lines.size() != 1 || lines.front().type != INTERPOSE_TARGET)
        throw Error(name.text(), "read its status", "it is not attached", "dmsnap status, which shows what is");
    return parse_interpose_status(lines.front().text);
}

Points read_points(Dm& dm, const DmName& name)
{
    Points result;
    std::uint64_t first = 0;
    for (;;) {
        PointsPage page = parse_points_page(dm.message(name, PointsMessage{first}));
        result.generation = page.generation;
        for (Point& point : page.points)
            result.points.push_back(std::move(point));
        if (!page.next_id)
            return result;
        require_progress(*page.next_id > first, name, "read its points");
        first = *page.next_id;
    }
}

std::vector<Run> read_changed(Dm& dm, const DmName& name, const PointId& since, std::optional<std::uint64_t> until)
{
    std::vector<Run> result;
    Sectors first{0};
    for (;;) {
        const ChangedPage page =
            parse_changed_page(dm.message(name, ChangedMessage{since.generation, since.id, until, first}));
        require_progress(page.generation == since.generation, name, "read its changes");
        for (const Run& run : page.runs) {
            if (!result.empty() && result.back().start + result.back().length == run.start) {
                result.back().length = result.back().length + run.length;
                continue;
            }
            require_progress(
                result.empty() || result.back().start + result.back().length < run.start, name, "read its changes");
            result.push_back(run);
        }
        if (!page.next)
            return result;
        require_progress(*page.next > first, name, "read its changes");
        first = *page.next;
    }
}

} // namespace dmsnap
