// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/recover.h"
#include "plan/execute.h"

#include <functional>
#include <string>
#include <vector>

namespace dmsnap {

/// What became of all that was left.
struct Reconciled {
    std::vector<Repair> done;
    std::vector<Error> failed;           ///< each repair that did not work, by its device
    std::vector<std::string> left_to_do; ///< the shell commands still to run, if one failed half-way
    std::vector<Problem> in_the_way;
    std::vector<std::string> remarks = {}; ///< on what did not stop a repair
};

/// Bars others from live devices before their tables are touched.
struct BarOthers {
    /// Whether they are, or nobody has to be.
    std::function<bool(const DmInfo& live)> done;
    /// Waits for it: what was read of the device may have changed.  Throws Error if it cannot be now: that repair has
    /// failed then.
    std::function<void(const DmInfo& live)> act;
};

/// Looks, and carries out what plan_recover() finds, until nothing is left that was not tried.  Needs the lock that
/// keeps other dmsnaps away.
Reconciled reconcile(Dm& dm, Host& host, const std::function<Machine()>& look, const BarOthers& bar_others,
    const Progress& progress = {});

} // namespace dmsnap
