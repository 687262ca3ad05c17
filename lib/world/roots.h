// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <filesystem>

namespace dmsnap {

/// Where the world is read. The defaults are this machine; a test puts a tree of its own there.
struct Roots {
    std::filesystem::path sys = "/sys";
    std::filesystem::path proc = "/proc";
    std::filesystem::path dev = "/dev";
};

} // namespace dmsnap
