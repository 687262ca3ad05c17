// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/error.h"
#include "plan/dm.h"
#include "plan/host.h"
#include "plan/step.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// How a plan ended.
struct Outcome {
    std::optional<Error> error;    ///< nothing: all of it was done
    std::vector<TakenPoint> taken; ///< what Take was answered
    /// With an error: the shell commands still to run, by a human, and remarks on what was left alone because it is
    /// somebody else's by now.  Empty: all is as it was before.
    std::vector<std::string> left_to_do;
    /// On what did not stop the plan.
    std::vector<std::string> remarks = {};

    bool done() const { return !error; }
    bool undone() const { return error && left_to_do.empty(); }
};

/// Called before each step and each undo with a line to log.
using Progress = std::function<void(const std::string& line)>;

/// Carries out a plan; the only loop that asks the kernel for changes.  When a step fails, it and the ones before it
/// are undone, newest first.  A step without a way back (Drop, Release, a final Resume) is different: what fails
/// after it leaves the steps not done, as commands, in `left_to_do`.  Only Errors are caught.
Outcome execute(const Plan& plan, Dm& dm, Host& host, const Progress& progress = {});

} // namespace dmsnap
