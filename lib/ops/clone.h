// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// The snapshot that a copy of a device is made from.  It says so itself, by a tag, so that one whose program was killed
/// is known for what it is.
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

namespace dmsnap {

/// How the tags begin that nobody else gives.
inline constexpr const char* own_tags = "dmsnap/";
/// What such a snapshot is tagged with, and with what besides if its device was attached for it.
inline constexpr const char* clone_tag = "dmsnap/clone";
inline constexpr const char* clone_detach_tag = "dmsnap/clone/detach";

/// Whether one that is taken now is to be tagged with both: the device is not attached, or only for other copies.
bool attaches_for_clone(const Machine& machine, DeviceNumber device);

bool is_clone(const Point& point);

/// Whether it is such a snapshot, and nobody reads its image any more.  Of one just taken nobody does yet: for one who
/// has the lock that its maker would need.  Of one with an image that was not finished, or not read, it is not told.
bool is_dead_clone(const OriginState& origin, const Point& point);

/// Removes it; with `detach`, which its tag says as long as there are tags, detaches the device too if there is nothing
/// else on it but others like it that are dead.  Throws Error.
Plan plan_end_clone(const Machine& machine, const OriginState& origin, const Point& point, bool detach);

} // namespace dmsnap
