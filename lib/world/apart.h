// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What a filesystem may hold up for as long as it likes, even from being killed: done by a child, for which nobody waits longer
/// than so.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace dmsnap {

/// Runs `act` in a child that holds none of our open files; returns what it returned, throws the Error it threw.  If it takes
/// longer than `deadline`, Error(`subject`, `operation`) is thrown; should it come to an end all the same, or this process die
/// meanwhile, the child runs `undo`.
std::string run_apart(const std::string& subject, const std::string& operation, std::chrono::milliseconds deadline,
    const std::function<std::string()>& act, const std::function<void()>& undo);

} // namespace dmsnap
