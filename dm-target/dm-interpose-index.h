/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * The index of one origin's exceptions: chunk and snapshot to slot, in memory.
 *
 *   bucket of (chunk) -> entry -> entry -> ...        births of one chunk newest first: births.h
 *
 * Memory: 32 bytes an entry, heads for chains of 4 when all is full (at most 16 MiB of them), and a stock of
 * entries for when the slab has none.
 *
 * Locks: index->lock, irqs off, for images look things up in end_io.
 */
#ifndef DM_INTERPOSE_INDEX_H
#define DM_INTERPOSE_INDEX_H

#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dm-interpose-births.h"
#include "dm-interpose-chunk.h"

struct interpose_index {
	spinlock_t lock; /* irqs off */
	unsigned long buckets;
	struct exception **bucket; /* lock */
	u64 count; /* lock writes: entries */
	struct exception *spare; /* lock: entries in stock */
	unsigned int spares; /* lock */
	struct work_struct refill; /* fills the stock up */
};

/* A run of chunks kept together: one birth, slots @step apart. */
struct interpose_index_run {
	struct exception *entries; /* a list, from interpose_index_alloc() */
	chunk_t chunk;
	unsigned int chunks;
	u64 birth;
	u64 slot;
	unsigned int step;
};

int interpose_index_module_init(void);
void interpose_index_module_exit(void);

/* An index for up to @entries entries.  Context: sleeps. */
int interpose_index_init(struct interpose_index *index, u64 entries);
/* Whatever is in it must have been swept. */
void interpose_index_exit(struct interpose_index *index);

/*
 * Adds up to @n entries to *list; returns how many.  Context: worker, in the path of a write: does not
 * wait for I/O.
 */
unsigned int interpose_index_alloc(struct interpose_index *index, struct exception **list,
				   unsigned int n);
void interpose_index_free(struct exception *list);

/* Uses up run->entries.  Context: any. */
void interpose_index_insert(struct interpose_index *index, const struct interpose_index_run *run);

/* What snapshot @id reads of @chunk: true and its slot, or false: the base.  Context: any. */
bool interpose_index_find(struct interpose_index *index, chunk_t chunk, u64 id, u64 *slot);

/*
 * Takes from bucket @i what no snapshot of @living (ascending) reads; returned as a list, the caller's.
 */
struct exception *interpose_index_sweep(struct interpose_index *index, unsigned long i,
					const u64 *living, unsigned int nr_living);

/* Bytes it has now, and the most it can have with @entries entries. */
u64 interpose_index_bytes(const struct interpose_index *index);
u64 interpose_index_bound(const struct interpose_index *index, u64 entries);

#endif /* DM_INTERPOSE_INDEX_H */
