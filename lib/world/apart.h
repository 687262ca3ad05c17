// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What a filesystem may hold up for as long as it likes, even from being killed: done by a child, that it is not waited for
/// longer than so.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace dmsnap {

/// Runs `act`, which may throw Error, in a child that holds none of our open files, and throws what it threw.  If it takes
/// longer than `deadline`, Error(`subject`, `operation`) is thrown; once it has come to an end all the same, or if this process died
/// meanwhile, the child runs `undo`.
void run_apart(const std::string& subject, const std::string& operation, std::chrono::milliseconds deadline,
    const std::function<void()>& act, const std::function<void()>& undo);

} // namespace dmsnap
