// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "command.h"

namespace dmsnap::tool {

/// `dmsnap attach --table FILE DEVICE`.  Throws Error.
int attach_table(const Arguments& arguments);

} // namespace dmsnap::tool
