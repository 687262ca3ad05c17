// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// A map of the module with an owner.
#pragma once

#include "module.h"

#include <memory>

namespace dmsnap::test::kernel {

struct DestroyMap {
    void operator()(interpose_map* map) const { interpose_map_destroy(map); }
};

using MapPtr = std::unique_ptr<interpose_map, DestroyMap>;

/// Throws std::bad_alloc.
MapPtr make_map(u64 bits);

/// One page of a map: what it has memory for, or gives up, at once.
constexpr u64 leaf_bits = MAP_LEAF_BITS;

inline u64 leaves_of(u64 bits) { return (bits + leaf_bits - 1) / leaf_bits; }

inline bool test(const MapPtr& map, u64 first, u64 last) { return interpose_map_test(map.get(), chunks(first, last)); }

inline bool touches(const MapPtr& map, u64 first, u64 last)
{
    return interpose_map_touches(map.get(), chunks(first, last));
}

inline void set(
    const MapPtr& map, u64 first, u64 last, map_fallback fallback = MAP_FALLBACK_SET, gfp_t gfp = GFP_KERNEL)
{
    interpose_map_set(map.get(), chunks(first, last), fallback, gfp);
}

/// interpose_maps_next() of one map, without a limit.
u64 next(const MapPtr& map, u64 from, bool set);

/// The only bits set in `map` are those from `first` to `last`.
bool holds_just(const MapPtr& map, u64 first, u64 last);

} // namespace dmsnap::test::kernel
