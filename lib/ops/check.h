// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "ops/recover.h"

#include <vector>

namespace dmsnap {

/// All that is not well: with attached devices, their snapshots and stores, and with what nobody needs.  With `only`,
/// nothing that is another attached device's.
std::vector<Problem> find_problems(const Machine& machine, const OriginState* only = nullptr);

/// Of these, what is with a device in whose place a table stands.
std::vector<Problem> find_problems_of(const Machine& machine, const EndpointState& endpoint);

/// Of these, what is no attached device's: what a dead command has left, for one.
std::vector<Problem> find_orphans(const Machine& machine);

} // namespace dmsnap
