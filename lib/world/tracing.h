// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/host.h"
#include "world/roots.h"

namespace dmsnap {

/// Why the kernel's function tracing, which the hook stands on, cannot be had.
Obstacle tracing_obstacle(const Roots& roots = {});

} // namespace dmsnap
