// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/dm.h"

#include <cstdint>

namespace dmsnap {

/// Dm::swap_suspended().  `base` is how udev shall treat the base when it starts, `live` the live device: the flags of
/// libdevmapper.  Internal to lib/dm.
void swap_raid(const SuspendedSwap& swap, std::uint16_t base_flags, std::uint16_t live_flags);

} // namespace dmsnap
