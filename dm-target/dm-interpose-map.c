// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Sparse bitmaps: see the header.  Bits are set a word at a time by an atomic OR; no lock anywhere.
 */
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "dm-interpose-map.h"

#define MAP_ALL ((atomic_long_t *)1UL)

static unsigned long leaves_for(u64 bits)
{
	return (bits + MAP_LEAF_BITS - 1) / MAP_LEAF_BITS;
}

struct interpose_map *interpose_map_create(u64 bits)
{
	unsigned long leaves = leaves_for(bits);
	struct interpose_map *map = kvzalloc(struct_size(map, leaf, leaves), GFP_KERNEL);

	if (map) {
		map->bits = bits;
		map->leaves = leaves;
	}
	return map;
}

void interpose_map_destroy(struct interpose_map *map)
{
	unsigned long i;

	if (!map)
		return;
	for (i = 0; i < map->leaves; i++)
		if (map->leaf[i] != MAP_ALL)
			free_page((unsigned long)map->leaf[i]);
	kvfree(map);
}

static atomic_long_t *leaf_read(const struct interpose_map *map, unsigned long i)
{
	return smp_load_acquire(&map->leaf[i]);
}

/* The leaf to set bits in, made if need be; MAP_ALL if none are left to set, NULL if none can be. */
static atomic_long_t *leaf_to_set(struct interpose_map *map, unsigned long i,
				  enum map_fallback fallback, gfp_t gfp)
{
	atomic_long_t *leaf = leaf_read(map, i), *fresh, *old;

	if (leaf)
		return leaf;
	fresh = (atomic_long_t *)get_zeroed_page(gfp | __GFP_NOWARN);
	if (!fresh) {
		if (fallback == MAP_FALLBACK_CLEAR)
			return NULL;
		fresh = MAP_ALL;
	}
	old = cmpxchg(&map->leaf[i], NULL, fresh);
	if (!old) {
		if (fresh != MAP_ALL)
			atomic_long_inc(&map->pages);
		return fresh;
	}
	if (fresh != MAP_ALL)
		free_page((unsigned long)fresh);
	return old;
}

/* The bits of word @word of the map that lie in @range. */
static unsigned long word_mask(u64 word, struct chunk_range range)
{
	unsigned long mask = ~0UL;
	u64 begin = word * BITS_PER_LONG;

	if (chunk_nr(range.first) > begin)
		mask &= ~0UL << (chunk_nr(range.first) - begin);
	if (chunk_nr(range.last) < begin + BITS_PER_LONG - 1)
		mask &= ~0UL >> (begin + BITS_PER_LONG - 1 - chunk_nr(range.last));
	return mask;
}

static bool test_one(const struct interpose_map *map, u64 bit)
{
	const atomic_long_t *leaf = leaf_read(map, bit / MAP_LEAF_BITS);
	u64 word = bit / BITS_PER_LONG;

	if (!leaf || leaf == MAP_ALL)
		return leaf;
	return atomic_long_read(&leaf[word % MAP_LEAF_WORDS]) >> (bit % BITS_PER_LONG) & 1;
}

bool interpose_map_test(const struct interpose_map *map, struct chunk_range range)
{
	u64 word = chunk_nr(range.first) / BITS_PER_LONG;
	u64 last = chunk_nr(range.last) / BITS_PER_LONG;

	if (chunk_nr(range.first) == chunk_nr(range.last)) /* as most writes */
		return test_one(map, chunk_nr(range.first));
	for (; word <= last; word++) {
		const atomic_long_t *leaf = leaf_read(map, word / MAP_LEAF_WORDS);
		unsigned long mask = word_mask(word, range);

		if (!leaf)
			return false;
		if (leaf == MAP_ALL)
			continue;
		if (~atomic_long_read(&leaf[word % MAP_LEAF_WORDS]) & mask)
			return false;
	}
	return true;
}

bool interpose_map_touches(const struct interpose_map *map, struct chunk_range range)
{
	u64 word = chunk_nr(range.first) / BITS_PER_LONG;
	u64 last = min(chunk_nr(range.last), map->bits - 1) / BITS_PER_LONG;

	if (chunk_nr(range.first) >= map->bits)
		return false;
	while (word <= last) {
		const atomic_long_t *leaf = leaf_read(map, word / MAP_LEAF_WORDS);

		if (!leaf) {
			word += MAP_LEAF_WORDS - word % MAP_LEAF_WORDS;
			continue;
		}
		if (leaf == MAP_ALL)
			return true;
		if (atomic_long_read(&leaf[word % MAP_LEAF_WORDS]) & word_mask(word, range))
			return true;
		word++;
	}
	return false;
}

static void word_set(atomic_long_t *word, unsigned long mask)
{
	if (~atomic_long_read(word) & mask)
		atomic_long_or(mask, word);
}

void interpose_map_set(struct interpose_map *map, struct chunk_range range,
		       enum map_fallback fallback, gfp_t gfp)
{
	u64 bits = READ_ONCE(map->bits), word, last;

	if (chunk_nr(range.first) >= bits)
		return;
	range.last = chunk_at(min(chunk_nr(range.last), bits - 1));
	word = chunk_nr(range.first) / BITS_PER_LONG;
	last = chunk_nr(range.last) / BITS_PER_LONG;
	for (; word <= last; word++) {
		atomic_long_t *leaf = leaf_to_set(map, word / MAP_LEAF_WORDS, fallback, gfp);

		if (leaf && leaf != MAP_ALL)
			word_set(&leaf[word % MAP_LEAF_WORDS], word_mask(word, range));
	}
}

void interpose_map_outgrow(struct interpose_map *map, u64 bits)
{
	WRITE_ONCE(map->bits, min(map->bits, bits));
}

void interpose_map_merge(struct interpose_map *to, const struct interpose_map *from)
{
	unsigned long i, w;

	interpose_map_outgrow(to, from->bits);
	for (i = 0; i < leaves_for(to->bits); i++) {
		atomic_long_t *source = leaf_read(from, i), *leaf;
		u64 first = (u64)i * MAP_LEAF_BITS;

		if (!source)
			continue;
		if (source == MAP_ALL) {
			u64 last = min_t(u64, first + MAP_LEAF_BITS, to->bits) - 1;

			interpose_map_set(to,
					  (struct chunk_range){ chunk_at(first), chunk_at(last) },
					  MAP_FALLBACK_SET, GFP_KERNEL);
			continue;
		}
		leaf = leaf_to_set(to, i, MAP_FALLBACK_SET, GFP_KERNEL);
		for (w = 0; leaf != MAP_ALL && w < MAP_LEAF_WORDS; w++)
			word_set(&leaf[w], atomic_long_read(&source[w]));
		cond_resched();
	}
}

/* Word @w of leaf @i of the union. */
static unsigned long union_word(struct interpose_map *const maps[], unsigned int nr,
				unsigned long i, unsigned long w)
{
	u64 first = (u64)i * MAP_LEAF_BITS + w * BITS_PER_LONG;
	unsigned long bits = 0;
	unsigned int m;

	for (m = 0; m < nr; m++) {
		const atomic_long_t *leaf;
		u64 end = READ_ONCE(maps[m]->bits);

		if (first >= end)
			return ~0UL;
		if (end - first < BITS_PER_LONG)
			bits |= ~0UL << (end - first);
		leaf = leaf_read(maps[m], i);
		if (leaf == MAP_ALL)
			return ~0UL;
		if (leaf)
			bits |= atomic_long_read(&leaf[w]);
	}
	return bits;
}

/* Whether no map of the union has memory for leaf @i, or ends in it: then every word of it is the same. */
static bool union_is_flat(struct interpose_map *const maps[], unsigned int nr, unsigned long i)
{
	u64 first = (u64)i * MAP_LEAF_BITS;
	unsigned int m;

	for (m = 0; m < nr; m++) {
		const atomic_long_t *leaf;
		u64 end = READ_ONCE(maps[m]->bits);

		if (first >= end)
			continue;
		if (end - first < MAP_LEAF_BITS)
			return false;
		leaf = leaf_read(maps[m], i);
		if (leaf && leaf != MAP_ALL)
			return false;
	}
	return true;
}

u64 interpose_maps_next(struct interpose_map *const maps[], unsigned int nr, u64 bits, u64 from,
			bool set, unsigned long *limit)
{
	while (from < bits && *limit) {
		unsigned long i = from / MAP_LEAF_BITS;
		unsigned long w = from % MAP_LEAF_BITS / BITS_PER_LONG;
		unsigned long word = union_word(maps, nr, i, w);

		if (!set)
			word = ~word;
		word &= ~0UL << (from % BITS_PER_LONG);
		if (word)
			return min_t(u64, from - from % BITS_PER_LONG + __ffs(word), bits);
		if (union_is_flat(maps, nr, i) || w == MAP_LEAF_WORDS - 1) {
			from = (u64)(i + 1) * MAP_LEAF_BITS;
			--*limit;
		} else {
			from += BITS_PER_LONG - from % BITS_PER_LONG;
		}
	}
	return min(from, bits);
}

u64 interpose_map_bytes(const struct interpose_map *map)
{
	return map ? struct_size(map, leaf, map->leaves) + atomic_long_read(&map->pages) * PAGE_SIZE
		   : 0;
}

u64 interpose_map_bytes_max(u64 bits)
{
	return sizeof(struct interpose_map) + leaves_for(bits) * (sizeof(void *) + PAGE_SIZE);
}
