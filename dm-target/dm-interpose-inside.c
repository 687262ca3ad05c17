// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * A store inside its own origin: a file of the filesystem that lies there, which the filesystem itself never writes.
 *
 *   filesystem --- write ---> origin -+- elsewhere ----------------------> base
 *                                     `- where the store is: the file was moved, cut or deleted.  The snapshots
 *                                        are lost, the store has failed, and the write waits until
 *                                        nothing is under way to the store ------------------> base
 *   copies ------------------------------> store, past the origin -------> base
 *   image <--- zeros, where the store is
 *
 * Whole chunks only, so that none holds data of both.  They never pass, so each write to one comes here.  They count as
 * changed when the store comes and when it goes: what images show there is neither what was nor what will be.
 */
#include "dm-interpose.h"

/*
 * Whether a write to @range, or a discard, has to wait until nothing is under way to the store.
 * Context: the write holds the gate; any.
 */
bool interpose_inside_met(struct interpose_origin *origin, struct chunk_range range)
{
	unsigned long flags;
	bool met, waits;

	spin_lock_irqsave(&origin->lock, flags);
	met = origin->inside && interpose_map_touches(origin->inside, range);
	spin_unlock_irqrestore(&origin->lock, flags);
	if (!met)
		return false;
	interpose_origin_invalidate(origin, FAILURE_STORE_OVERWRITTEN);
	spin_lock_irqsave(&origin->lock, flags);
	if (origin->shelf)
		interpose_shelf_fail(origin->shelf);
	waits = origin->nr_copies;
	spin_unlock_irqrestore(&origin->lock, flags);
	return waits;
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

static struct interpose_map *swap_inside(struct interpose_origin *origin,
					 struct interpose_map *inside)
{
	struct interpose_map *old;

	spin_lock_irq(&origin->lock);
	old = origin->inside;
	WRITE_ONCE(origin->inside, inside);
	spin_unlock_irq(&origin->lock);
	return old;
}

/* Takes @inside over; the origin has no store.  Context: origin->change; sleeps. */
void interpose_inside_begin(struct interpose_origin *origin, struct interpose_map *inside)
{
	lockdep_assert_held(&origin->change);
	swap_inside(origin, inside);
	mark_changed(origin, inside);
}

/* Nothing is under way to the store any more, and no image is left.  Context: origin->change; sleeps. */
void interpose_inside_end(struct interpose_origin *origin)
{
	struct interpose_map *inside = swap_inside(origin, NULL);

	if (!inside)
		return;
	mark_changed(origin, inside);
	interpose_map_destroy(inside);
}
