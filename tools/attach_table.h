// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "command.h"
#include "ops/facts.h"

namespace dmsnap::tool {

/// A table that copies must not meet a write that began before it and is in no filesystem that can be frozen.  Throws Error.
void require_no_raw_writer(const Candidate& candidate);

/// `dmsnap attach --table FILE DEVICE`.  Throws Error.
int attach_table(const Arguments& arguments);

} // namespace dmsnap::tool
