// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The index of exceptions: see the header.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "dm-interpose-index.h"
#include "dm-interpose-module.h"

#define BUCKET_LOAD 4
#define BUCKETS_MIN 64UL
#define BUCKETS_MAX (1UL << 21)
/* 128 KiB. */
#define SPARES 4096

static struct kmem_cache *exception_cache;

/* Entries */

void interpose_index_free(struct exception *list)
{
	while (list) {
		struct exception *next = list->next;

		kmem_cache_free(exception_cache, list);
		list = next;
	}
}

static void spare_add(struct interpose_index *index, struct exception *e)
{
	unsigned long flags;

	spin_lock_irqsave(&index->lock, flags);
	e->next = index->spare;
	index->spare = e;
	index->spares++;
	spin_unlock_irqrestore(&index->lock, flags);
}

static struct exception *spare_take(struct interpose_index *index)
{
	struct exception *e;
	unsigned long flags;

	spin_lock_irqsave(&index->lock, flags);
	e = index->spare;
	if (e) {
		index->spare = e->next;
		index->spares--;
	}
	spin_unlock_irqrestore(&index->lock, flags);
	return e;
}

/* Context: sleeps, but not for writes: a resume may wait for who waits for us. */
static int spares_fill(struct interpose_index *index)
{
	while (READ_ONCE(index->spares) < SPARES) {
		struct exception *e = kmem_cache_alloc(exception_cache, GFP_NOIO);

		if (!e)
			return -ENOMEM;
		spare_add(index, e);
	}
	return 0;
}

static void refill_work(struct work_struct *work)
{
	spares_fill(container_of(work, struct interpose_index, refill));
}

static struct exception *entry_alloc(struct interpose_index *index)
{
	struct exception *e = kmem_cache_alloc(exception_cache, INTERPOSE_GFP_WRITE);

	if (!e) {
		e = spare_take(index);
		queue_work(interpose_point_wq, &index->refill);
	}
	return e;
}

unsigned int interpose_index_alloc(struct interpose_index *index, struct exception **list,
				   unsigned int n)
{
	unsigned int got;

	for (got = 0; got < n; got++) {
		struct exception *e = entry_alloc(index);

		if (!e)
			break;
		e->next = *list;
		*list = e;
	}
	return got;
}

/* Life */

static unsigned long buckets_for(u64 entries)
{
	return roundup_pow_of_two(clamp_t(u64, entries / BUCKET_LOAD, BUCKETS_MIN, BUCKETS_MAX));
}

int interpose_index_init(struct interpose_index *index, u64 entries)
{
	spin_lock_init(&index->lock);
	INIT_WORK(&index->refill, refill_work);
	index->buckets = buckets_for(entries);
	index->bucket = kvcalloc(index->buckets, sizeof(*index->bucket), GFP_KERNEL);
	if (index->bucket && !spares_fill(index))
		return 0;
	interpose_index_exit(index);
	return -ENOMEM;
}

void interpose_index_exit(struct interpose_index *index)
{
	cancel_work_sync(&index->refill);
	interpose_index_free(index->spare);
	kvfree(index->bucket);
}

u64 interpose_index_bound(const struct interpose_index *index, u64 entries)
{
	return index->buckets * sizeof(*index->bucket) +
	       (entries + SPARES) * sizeof(struct exception);
}

u64 interpose_index_bytes(const struct interpose_index *index)
{
	return interpose_index_bound(index, READ_ONCE(index->count));
}

/* Use */

static struct exception **bucket_of(struct interpose_index *index, u64 chunk)
{
	return &index->bucket[hash_64(chunk, ilog2(index->buckets))];
}

void interpose_index_insert(struct interpose_index *index, const struct interpose_index_run *run)
{
	struct exception *e = run->entries;
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&index->lock, flags);
	for (i = 0; i < run->chunks; i++) {
		struct exception *next = e->next, **bucket;

		e->chunk = chunk_nr(run->chunk) + i;
		e->birth = run->birth;
		e->slot = run->slot + (u64)i * run->step;
		bucket = bucket_of(index, e->chunk);
		e->next = *bucket;
		*bucket = e;
		e = next;
	}
	index->count += run->chunks;
	spin_unlock_irqrestore(&index->lock, flags);
}

bool interpose_index_find(struct interpose_index *index, chunk_t chunk, u64 id, u64 *slot)
{
	struct exception *e;
	unsigned long flags;

	spin_lock_irqsave(&index->lock, flags);
	e = births_find(*bucket_of(index, chunk_nr(chunk)), chunk_nr(chunk), id);
	if (e)
		*slot = e->slot;
	spin_unlock_irqrestore(&index->lock, flags);
	return e;
}

struct exception *interpose_index_sweep(struct interpose_index *index, unsigned long i,
					const u64 *living, unsigned int nr_living)
{
	struct exception *dead = NULL, **at = &index->bucket[i];
	unsigned long flags;

	if (!READ_ONCE(*at))
		return NULL;
	spin_lock_irqsave(&index->lock, flags);
	while (*at) {
		struct exception *e = *at;

		if (births_needed(e, living, nr_living)) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		e->next = dead;
		dead = e;
		index->count--;
	}
	spin_unlock_irqrestore(&index->lock, flags);
	return dead;
}

int __init interpose_index_module_init(void)
{
	exception_cache =
		kmem_cache_create("interpose_exception", sizeof(struct exception), 0, 0, NULL);
	return exception_cache ? 0 : -ENOMEM;
}

void interpose_index_module_exit(void)
{
	kmem_cache_destroy(exception_cache);
}
