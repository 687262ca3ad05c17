// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/dm.h"

#include <cstdint>

namespace dmsnap {

/// Dm::swap_quiet().  `flags` is how udev shall treat private devices when they resume: the flags of libdevmapper.
/// Internal to lib/dm.
void swap_quiet(const QuietSwap& swap, std::uint16_t flags);

} // namespace dmsnap
