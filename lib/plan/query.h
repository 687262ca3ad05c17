// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/dm.h"
#include "table/status.h"

#include <vector>

namespace dmsnap {

// Questions whose answers come in pages, asked until the last one.

struct Points {
    Uuid generation;
    std::vector<Point> points; ///< oldest first
};

/// The status of a live device.  Throws Error if its one target is not "interpose".
InterposeStatus read_status(Dm& dm, const DmName& name);

/// All points of the origin behind a live device.
Points read_points(Dm& dm, const DmName& name);

/// What was perhaps written between two points, ascending, neighbours joined; `until` nothing means now.  Throws
/// Error(ESTALE) or Error(ENOENT) as the target does.
std::vector<Run> read_changed(Dm& dm, const DmName& name, const PointId& since, std::optional<std::uint64_t> until);

} // namespace dmsnap
