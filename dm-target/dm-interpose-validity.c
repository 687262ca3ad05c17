// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Which snapshots of an origin are valid.
 *
 *   ids   1 ... invalid_upto | ... newest ... last_id        0: nothing is to be kept
 *         `--- invalid ------'     `--- the newest valid snapshot
 *
 * Snapshots only go from valid to invalid, all of an origin's at once, in interpose_origin_set_invalid():
 * the lost copy of one chunk is a hole in every older snapshot too.
 */
#include "dm-interpose.h"

const char *interpose_failure_name(enum interpose_failure failure)
{
	static const char *const names[] = {
		[FAILURE_NONE] = INTERPOSE_NONE,
		[FAILURE_STORE_FULL] = INTERPOSE_FAILURE_STORE_FULL,
		[FAILURE_STORE_ERROR] = INTERPOSE_FAILURE_STORE_ERROR,
		[FAILURE_STORE_REMOVED] = INTERPOSE_FAILURE_STORE_REMOVED,
		[FAILURE_STORE_OVERWRITTEN] = INTERPOSE_FAILURE_STORE_OVERWRITTEN,
		[FAILURE_READ_ERROR] = INTERPOSE_FAILURE_READ_ERROR,
		[FAILURE_NO_MEMORY] = INTERPOSE_FAILURE_NO_MEMORY,
		[FAILURE_DETACHED] = INTERPOSE_FAILURE_DETACHED,
	};

	return names[failure];
}

bool interpose_snapshot_valid(struct interpose_origin *origin, u64 id)
{
	return id > READ_ONCE(origin->invalid_upto);
}

/* Return: whether that is news, to be told with origin->lock released.  Context: origin->lock. */
bool interpose_origin_set_invalid(struct interpose_origin *origin, enum interpose_failure failure)
{
	lockdep_assert_held(&origin->lock);
	if (!origin->newest)
		return false;
	WRITE_ONCE(origin->invalid_upto, origin->last_id);
	/* Pairs with image_end_io(): who finds a write that was not kept finds the verdict. */
	smp_store_release(&origin->newest, 0);
	origin->failure = failure;
	origin->sweeping = true;
	return true;
}

/* Context: any that holds the origin. */
void interpose_origin_tell_invalid(struct interpose_origin *origin, enum interpose_failure failure)
{
	pr_err("interpose: %s: its snapshots are invalid: %s\n", origin->name,
	       interpose_failure_name(failure));
	interpose_origin_sweep_soon(origin);
	interpose_origin_unpark(origin);
	interpose_origin_event(origin);
}

/**
 * interpose_origin_invalidate() - the snapshots of this origin fail, the origin goes on
 * Never undone; a second failure changes nothing.
 * Context: any that holds the origin.
 */
void interpose_origin_invalidate(struct interpose_origin *origin, enum interpose_failure failure)
{
	unsigned long flags;
	bool news;

	spin_lock_irqsave(&origin->lock, flags);
	news = interpose_origin_set_invalid(origin, failure);
	spin_unlock_irqrestore(&origin->lock, flags);
	if (news)
		interpose_origin_tell_invalid(origin, failure);
}

/* What it means for the snapshots that the store has answered with @error. */
enum interpose_failure interpose_store_failure(int error)
{
	switch (error) {
	case -ENOSPC:
		return FAILURE_STORE_FULL;
	case -ENODEV:
		return FAILURE_STORE_REMOVED;
	case -ENOMEM:
		return FAILURE_NO_MEMORY;
	default:
		return FAILURE_STORE_ERROR;
	}
}

/*
 * Finds the newest valid snapshot anew, after one went.  From here on a write that finds no room waits for the
 * sweep that follows.  Context: origin->mutex.
 */
void interpose_origin_renew_newest(struct interpose_origin *origin)
{
	struct interpose_point *point;
	u64 newest = 0, chunks = 0;
	bool invalid = false;

	lockdep_assert_held(&origin->mutex);
	spin_lock_irq(&origin->lock);
	list_for_each_entry(point, &origin->points, list) {
		if (!point->snapshot)
			continue;
		if (interpose_snapshot_valid(origin, point->id)) {
			newest = point->id;
			chunks = chunks_in(point->length, origin->chunk_shift);
		} else {
			invalid = true;
		}
	}
	WRITE_ONCE(origin->newest, newest);
	origin->newest_chunks = chunks;
	if (!invalid)
		origin->failure = FAILURE_NONE;
	origin->sweeping = true;
	spin_unlock_irq(&origin->lock);
}
