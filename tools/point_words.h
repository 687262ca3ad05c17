// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "command.h"

#include "base/names.h"
#include "base/text.h"
#include "ops/attach.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap::tool {

// What a point carries besides its name, how long it may take, and how its device is attached for it, as the command
// line gives it.

/// What --data names; nothing if it was not given.  Throws Error.
std::optional<Blob> data_of(const Arguments& arguments);

/// What --deadline says, or the default.  Throws Error (Fault::usage).
std::chrono::milliseconds deadline_of(const Arguments& arguments);

/// What --via says, or that it is for dmsnap to choose.  Throws Error (Fault::usage).
Via via_of(const Arguments& arguments);

/// The values of an option that takes a tag.  Throws Error (Fault::usage).
std::vector<Tag> tags_of(const Arguments& arguments, const std::string& option);

} // namespace dmsnap::tool
