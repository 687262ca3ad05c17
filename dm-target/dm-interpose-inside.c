// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * A store inside its own origin: a file of the filesystem that lies there, which the filesystem itself never writes.
 *
 *   filesystem --- write ---> origin -+- elsewhere ----------------------> base
 *                                     `- where the store is: the file was moved, cut or deleted.  The snapshots
 *                                        are lost, the store has failed, and the write waits until
 *                                        nothing is under way to the store ------------------> base
 *                                        (a discard is dropped instead)
 *   copies ------------------------------> store, past the origin -------> base
 *   image <--- zeros, where the store is
 *
 * Whole chunks only, so that none holds data of both.  From the first point on they never pass, so each write to one comes
 * here.  They count as changed when the store comes and when it goes: what images show there is neither what was nor what
 * will be.
 */
#include "dm-interpose.h"

/*
 * Whether a write to @range, or a discard, has to wait until nothing is under way to the store.  One locked section: what is
 * met, what fails and what is waited for are one store's.
 * Context: the write holds the gate; any.
 */
bool interpose_inside_met(struct interpose_origin *origin, struct chunk_range range)
{
	bool waits = false, news = false;
	unsigned long flags;

	spin_lock_irqsave(&origin->lock, flags);
	if (origin->inside && interpose_map_touches(origin->inside, range)) {
		news = interpose_origin_set_invalid(origin, FAILURE_STORE_OVERWRITTEN);
		interpose_shelf_fail(origin->shelf);
		waits = origin->nr_copies;
	}
	spin_unlock_irqrestore(&origin->lock, flags);
	if (news)
		interpose_origin_tell_invalid(origin, FAILURE_STORE_OVERWRITTEN);
	return waits;
}

/* Whether a held write to @range meets what is under way to the store.  Context: origin->lock. */
bool interpose_inside_waits(const struct interpose_origin *origin, struct chunk_range range)
{
	return origin->inside && origin->nr_copies && interpose_map_touches(origin->inside, range);
}

/* Context: an image of the origin holds the store; any. */
bool interpose_inside_holds(const struct interpose_origin *origin, chunk_t chunk)
{
	return origin->inside &&
	       interpose_map_touches(origin->inside, (struct chunk_range){ chunk, chunk });
}

/* Context: origin->change. */
static void mark_changed(struct interpose_origin *origin, struct interpose_map *inside)
{
	unsigned long limit = ULONG_MAX;
	u64 bits = inside->bits, first, end;

	if (!origin->changed)
		return;
	for (first = 0;; first = end) {
		first = interpose_maps_next(&inside, 1, bits, first, true, &limit);
		if (first == bits)
			break;
		end = interpose_maps_next(&inside, 1, bits, first, false, &limit);
		interpose_map_set(origin->changed,
				  (struct chunk_range){ chunk_at(first), chunk_at(end - 1) },
				  MAP_FALLBACK_SET, GFP_KERNEL);
	}
}

/* Takes @inside over, of the store that the origin has just been given.  Context: origin->change; sleeps. */
void interpose_inside_begin(struct interpose_origin *origin, struct interpose_map *inside)
{
	lockdep_assert_held(&origin->change);
	spin_lock_irq(&origin->lock);
	WRITE_ONCE(origin->inside, inside);
	spin_unlock_irq(&origin->lock);
	mark_changed(origin, inside);
}

/* Nothing is under way to the store any more, and no image is left.  Context: origin->change; sleeps. */
void interpose_inside_end(struct interpose_origin *origin)
{
	struct interpose_map *inside = origin->inside;

	if (!inside)
		return;
	spin_lock_irq(&origin->lock);
	WRITE_ONCE(origin->inside, NULL);
	spin_unlock_irq(&origin->lock);
	mark_changed(origin, inside);
	interpose_map_destroy(inside);
}
