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

/* What snapshot @id reads of @chunk: an exception of the bucket @head, or NULL for the base. */
static inline struct exception *births_find(struct exception *head, u64 chunk, u64 id)
{
	struct exception *e, *best = NULL;

	for (e = head; e; e = e->next)
		if (e->chunk == chunk && e->birth >= id && (!best || e->birth < best->birth))
			best = e;
	return best;
}

/* The largest birth of @chunk below @birth in the bucket @head, 0 if there is none. */
static inline u64 births_before(const struct exception *head, u64 chunk, u64 birth)
{
	const struct exception *e;
	u64 before = 0;

	for (e = head; e; e = e->next)
		if (e->chunk == chunk && e->birth < birth && e->birth > before)
			before = e->birth;
	return before;
}

/*
 * Whether a living snapshot reads @e: one that is not older than the exception before it.
 * @living: ids of the living snapshots, in any order.
 */
static inline bool births_needed(const struct exception *head, const struct exception *e,
				 const u64 *living, unsigned int nr_living)
{
	u64 before = births_before(head, e->chunk, e->birth);
	unsigned int i;

	for (i = 0; i < nr_living; i++)
		if (living[i] > before && living[i] <= e->birth)
			return true;
	return false;
}

#endif /* DM_INTERPOSE_BIRTHS_H */
