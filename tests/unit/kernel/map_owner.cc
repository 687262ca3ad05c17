// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "map_owner.h"

#include <climits>
#include <new>

namespace dmsnap::test::kernel {

MapPtr make_map(u64 bits)
{
    MapPtr map(interpose_map_create(bits));
    if (!map)
        throw std::bad_alloc();
    return map;
}

u64 next(const MapPtr& map, u64 from, bool set)
{
    interpose_map* const maps[] = {map.get()};
    unsigned long limit = ULONG_MAX;
    return interpose_maps_next(maps, 1, map->bits, from, set, &limit);
}

bool holds_just(const MapPtr& map, u64 first, u64 last)
{
    return next(map, 0, true) == first && next(map, first, false) == last + 1 && next(map, last + 1, true) == map->bits;
}

} // namespace dmsnap::test::kernel
