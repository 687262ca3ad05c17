/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * Births: which exception an old snapshot reads, and when nobody needs one any more.
 *
 * An exception holds a chunk as it was before its first write after a snapshot.  It remembers the newest
 * snapshot alive at that time, its birth, for ever:
 *
 *   snapshots      S3        S7        S9
 *   time       ----+---------+----x----+----->       x: first write of chunk c since S7
 *   exception                     (c, 7)             read by S7, and by S3 if c was not written before
 *
 * So the image of S at c is the exception of c with the smallest birth >= S, or, if there is none,
 * the base.  One copy serves every snapshot, and taking or dropping one rekeys nothing.
 *
 * In a bucket the exceptions of one chunk stand newest birth first: births of a chunk only rise, for the copy
 * of one epoch is in the index before the next point can be taken, and an entry is put in at the head.
 *
 * Plain C on plain integers: the unit tests build this very file.
 */
#ifndef DM_INTERPOSE_BIRTHS_H
#define DM_INTERPOSE_BIRTHS_H

#include <linux/types.h>

/* One chunk kept.  32 bytes: this is what a kept chunk costs in memory. */
struct exception {
	struct exception *next; /* in its bucket */
	u64 chunk;
	u64 birth; /* id of a snapshot, > 0 */
	u64 slot; /* where the store has it, in granules */
};

/* The next exception of @chunk in a bucket, from @e on. */
static inline struct exception *births_next(struct exception *e, u64 chunk)
{
	while (e && e->chunk != chunk)
		e = e->next;
	return e;
}

/* What snapshot @id reads of @chunk: an exception of the bucket @head, or NULL for the base. */
static inline struct exception *births_find(struct exception *head, u64 chunk, u64 id)
{
	struct exception *e, *best = NULL;

	for (e = births_next(head, chunk); e && e->birth >= id; e = births_next(e->next, chunk))
		best = e;
	return best;
}

/*
 * Whether a living snapshot reads @e: one that is not older than the exception before it.
 * @living: ids of the living snapshots, ascending.
 */
static inline bool births_needed(const struct exception *e, const u64 *living,
				 unsigned int nr_living)
{
	const struct exception *before = births_next(e->next, e->chunk);
	unsigned int low = 0, high = nr_living;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (before && living[middle] <= before->birth)
			low = middle + 1;
		else
			high = middle;
	}
	return low < nr_living && living[low] <= e->birth;
}

#endif /* DM_INTERPOSE_BIRTHS_H */
