/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * Chunk arithmetic, on plain integers: the unit tests build this very file.
 *
 *   sectors  |0 . . . . . . 31|32 . . . . . 63|64 . .|   the last chunk of a device may be short
 *   chunks   |       0        |       1       |  2   |
 *
 * A chunk number is a type of its own, so that sparse tells it from a sector.
 */
#ifndef DM_INTERPOSE_CHUNK_H
#define DM_INTERPOSE_CHUNK_H

#include <linux/types.h>

typedef u64 __bitwise chunk_t;

/* Chunks first to last, both included; never empty. */
struct chunk_range {
	chunk_t first;
	chunk_t last;
};

static inline u64 chunk_nr(chunk_t chunk)
{
	return (__force u64)chunk;
}

static inline chunk_t chunk_at(u64 nr)
{
	return (__force chunk_t)nr;
}

/* @shift: log2 of the sectors of a chunk, here and below. */
static inline chunk_t chunk_of_sector(u64 sector, unsigned int shift)
{
	return chunk_at(sector >> shift);
}

static inline u64 chunk_first_sector(chunk_t chunk, unsigned int shift)
{
	return chunk_nr(chunk) << shift;
}

/* Chunks a device of @sectors has, the short one at its end included. */
static inline u64 chunks_in(u64 sectors, unsigned int shift)
{
	return (sectors >> shift) + !!(sectors & ((1ULL << shift) - 1));
}

/* The chunks touched by @sectors (> 0) from @sector on. */
static inline struct chunk_range chunks_touched(u64 sector, u64 sectors, unsigned int shift)
{
	return (struct chunk_range){
		.first = chunk_of_sector(sector, shift),
		.last = chunk_of_sector(sector + sectors - 1, shift),
	};
}

/* Sectors that @chunks chunks from @first on cover, on a device of @length sectors. */
static inline u64 chunks_sectors(chunk_t first, u64 chunks, unsigned int shift, u64 length)
{
	u64 begin = chunk_first_sector(first, shift);
	u64 end = begin + (chunks << shift);

	return (end < length ? end : length) - begin;
}

#endif /* DM_INTERPOSE_CHUNK_H */
