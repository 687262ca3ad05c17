// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// The module's own files, as they are.
#pragma once

extern "C" {
#include "dm-interpose-births.h"
#include "dm-interpose-chunk.h"
#include "dm-interpose-index.h"
#include "dm-interpose-map.h"
#include <linux/gfp.h>
}

namespace dmsnap::test::kernel {

inline chunk_range chunks(u64 first, u64 last) { return {chunk_at(first), chunk_at(last)}; }

} // namespace dmsnap::test::kernel
