/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * A sparse bitmap, one bit a chunk, set by many and never cleared bit by bit.
 *
 *   map -> leaf[] -+- NULL      no bit set, no memory
 *                  +- page      32768 bits
 *                  `- MAP_ALL   every bit set, no memory: there was none to be had
 *
 * Memory: a pointer for each 32768 bits up front, a page for each of those that are touched.
 *
 * What is beyond a map's end counts as set where maps are united: nobody noted it.  A map ends early when
 * its device outgrows it.
 *
 * map.c is built by the unit tests as it is.
 */
#ifndef DM_INTERPOSE_MAP_H
#define DM_INTERPOSE_MAP_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "dm-interpose-chunk.h"

#define MAP_LEAF_WORDS (PAGE_SIZE / sizeof(long))
#define MAP_LEAF_BITS (MAP_LEAF_WORDS * BITS_PER_LONG)

struct interpose_map {
	u64 bits; /* only sinks */
	unsigned long leaves; /* of memory; for bits, or more */
	atomic_long_t pages; /* leaves that have memory */
	atomic_long_t *leaf[]; /* each goes from NULL to a page or to MAP_ALL, once, by cmpxchg */
};

/* What a bit becomes when there is no memory for its leaf. */
enum map_fallback {
	MAP_FALLBACK_SET, /* set, and with it its whole leaf */
	MAP_FALLBACK_CLEAR, /* left clear */
};

/* Context: may sleep. */
struct interpose_map *interpose_map_create(u64 bits);
void interpose_map_destroy(struct interpose_map *map);

/* Whether every bit of @range, which the map has, is set.  Context: any. */
bool interpose_map_test(const struct interpose_map *map, struct chunk_range range);

/* Whether any bit of @range, as far as the map has it, is set.  Context: any. */
bool interpose_map_touches(const struct interpose_map *map, struct chunk_range range);

/*
 * Sets every bit of @range that the map has.  A bit that is set already is not written, so that writers of hot chunks
 * share its cache line.  Context: any that @gfp allows.
 */
void interpose_map_set(struct interpose_map *map, struct chunk_range range,
		       enum map_fallback fallback, gfp_t gfp);

/* From @bits on every bit counts as set; also while others set bits.  Context: any. */
void interpose_map_outgrow(struct interpose_map *map, u64 bits);

/* Adds the bits of @from to @to, which had no fewer, while others set bits of @to.  Context: may sleep. */
void interpose_map_merge(struct interpose_map *to, const struct interpose_map *from);

/*
 * The first bit from @from on that is @set in the union of @maps, of @bits, which none has more of, or
 * @bits.  Looks at no more than @limit leaves and returns where it gave up, with *@limit at 0.
 */
u64 interpose_maps_next(struct interpose_map *const maps[], unsigned int nr, u64 bits, u64 from,
			bool set, unsigned long *limit);

/* Bytes in use now, and the most they can become. */
u64 interpose_map_bytes(const struct interpose_map *map);
u64 interpose_map_bytes_max(u64 bits);

#endif /* DM_INTERPOSE_MAP_H */
