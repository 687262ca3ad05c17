// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The path of a write, once it holds the gate.
 *
 *   interpose_write -+- no point yet, or every chunk passes -----------------> base
 *                    +- to where the store lies: inside.c
 *                    +- discard: mark; dropped while a snapshot lives, else -> base
 *                    +- no snapshot: mark changed, pass ---------------------> base
 *                    `- hold -> waiting -> interpose_write_work
 *   gated, then opened -> interpose_write_work -> interpose_write
 *
 *   write_work, chunk by chunk:  kept already      -> mark, next
 *                                copy under way    -> wait for it with the others
 *                                neither           -> start a copy, wait for it
 *                                no snapshot (any more) -> mark all
 *   all chunks marked -> base
 *
 * A chunk passes when changed says so for this epoch and nothing of it is left to keep.  Order: the
 * exception can be found, then changed, then pass, then the write goes.  An image that reads the write's data from
 * the base therefore finds the exception when it looks again.
 *
 * Stages can be absent: without a point there is no map to mark, without a snapshot nothing to keep.
 */
#include "dm-interpose.h"

/* Context: the gate is held by a write to @range, so the epoch stays; any. */
void interpose_mark_kept(struct interpose_origin *origin, struct chunk_range range)
{
	interpose_map_set(origin->changed, range, MAP_FALLBACK_SET, GFP_NOWAIT);
	smp_mb(); /* whoever sees a chunk pass sees it changed, and its exception */
	interpose_map_set(origin->pass, range, MAP_FALLBACK_CLEAR, GFP_NOWAIT);
}

/**
 * interpose_write_noted() - interpose_write_goes(), where there is a point or a store
 * A discard leaves pass alone: what is written there later may have to be kept.
 * Context: any; never sleeps.
 */
bool interpose_write_noted(struct interpose_origin *origin, enum req_op op,
			   struct chunk_range range)
{
	if (origin->pass && op != REQ_OP_DISCARD && interpose_map_test(origin->pass, range))
		return true;
	if (READ_ONCE(origin->inside) && interpose_inside_met(origin, range))
		return false;
	if (!origin->pass)
		return true;
	if (READ_ONCE(origin->newest))
		return false;
	if (op == REQ_OP_DISCARD)
		interpose_map_set(origin->changed, range, MAP_FALLBACK_SET, GFP_NOWAIT);
	else
		interpose_mark_kept(origin, range);
	return true;
}

/* A discard is a hint, and is dropped: copying a trimmed terabyte would fill any store. */
static int drop_discard(struct interpose_origin *origin, struct bio *bio, struct chunk_range range)
{
	interpose_map_set(origin->changed, range, MAP_FALLBACK_SET, GFP_NOWAIT);
	bio_endio(bio);
	return DM_MAPIO_SUBMITTED;
}

/*
 * Parts a write from its submitter, who neither waits nor polls for it: a worker submits it.  The submitter's control
 * group stays with it, which device-mapper leaves to whoever sends it on.
 */
void interpose_bio_detach(struct bio *bio)
{
	bio_associate_blkg(bio);
	bio->bi_opf &= ~REQ_NOWAIT;
	bio_clear_polled(bio);
	WRITE_ONCE(bio->bi_cookie, BLK_QC_T_NONE);
}

static int write_hold(struct interpose_origin *origin, struct bio *bio,
		      struct interpose_write *write, struct chunk_range range)
{
	unsigned long flags;

	interpose_bio_detach(bio);
	write->next = range.first;
	write->last = range.last;
	spin_lock_irqsave(&origin->lock, flags);
	list_add_tail(&write->list, &origin->waiting);
	origin->nr_waiting++;
	queue_work(interpose_wq, &origin->write_work);
	spin_unlock_irqrestore(&origin->lock, flags);
	return DM_MAPIO_SUBMITTED;
}

/**
 * interpose_write() - decide about a write that holds the gate
 * Context: map(), or a worker; never sleeps.
 * Return: DM_MAPIO_REMAPPED: to the base, by the caller; DM_MAPIO_SUBMITTED: taken over.
 */
int interpose_write(struct interpose_origin *origin, struct bio *bio, struct interpose_write *write)
{
	struct chunk_range range =
		chunks_touched(bio->bi_iter.bi_sector, bio_sectors(bio), origin->chunk_shift);

	if (interpose_write_goes(origin, bio_op(bio), range))
		return DM_MAPIO_REMAPPED;
	if (bio_op(bio) == REQ_OP_DISCARD)
		return drop_discard(origin, bio, range);
	return write_hold(origin, bio, write, range);
}

static void write_submit(struct interpose_write *write)
{
	struct bio *bio = interpose_write_bio(write);

	interpose_remap(write, bio);
	submit_bio_noacct(bio);
}

/* Writes that waited at the gate, and have been counted by it. */
static void submit_opened(struct interpose_origin *origin)
{
	struct bio_list opened;
	struct bio *bio;

	spin_lock_irq(&origin->lock);
	opened = origin->opened;
	bio_list_init(&origin->opened);
	spin_unlock_irq(&origin->lock);
	while ((bio = bio_list_pop(&opened))) {
		struct interpose_write *write = interpose_bio_write(bio);

		write->counted = true;
		if (interpose_write(origin, bio, write) == DM_MAPIO_REMAPPED)
			write_submit(write);
	}
}

enum verdict {
	NOTHING_TO_KEEP, /* no snapshot: the whole rest of the write may go */
	TOO_EARLY, /* it would meet what is under way to the store inside the origin */
	KEPT, /* write->next is */
	JOINED, /* a copy of write->next is under way, and the write waits for it */
	COPY, /* start one, of up to *room chunks; counted in nr_copies */
};

/* How many chunks from write->next on one copy may be of: as far as another copy, or the snapshot, goes. */
static u64 copy_room(struct interpose_origin *origin, const struct interpose_write *write)
{
	u64 end = min(chunk_nr(write->last) + 1, origin->newest_chunks);

	lockdep_assert_held(&origin->lock);
	return min3(interpose_copy_gap(origin, write->next), end - chunk_nr(write->next),
		    (u64)INTERPOSE_COPY_PAGES);
}

/*
 * How many chunks from write->next on, of @room, have to be copied.  Without the lock, and irqs on: nobody but
 * write_work starts copies.
 */
static u64 chunks_to_copy(struct interpose_origin *origin, const struct interpose_write *write,
			  u64 room)
{
	u64 n = 1;

	while (n < room && !interpose_shelf_find(origin->shelf, chunk_at(chunk_nr(write->next) + n),
						 write->birth, NULL))
		n++;
	return n;
}

static enum verdict write_judge(struct interpose_origin *origin, struct interpose_write *write,
				u64 *room)
{
	lockdep_assert_held(&origin->lock);
	if (!origin->newest)
		return interpose_inside_waits(origin,
					      (struct chunk_range){ write->next, write->last })
			       ? TOO_EARLY
			       : NOTHING_TO_KEEP;
	if (chunk_nr(write->next) >= origin->newest_chunks)
		return KEPT; /* no snapshot goes that far */
	if (interpose_copy_join(origin, write))
		return JOINED;
	if (interpose_shelf_find(origin->shelf, write->next, origin->newest, NULL))
		return KEPT;
	*room = copy_room(origin, write);
	write->birth = origin->newest;
	origin->nr_copies++;
	return COPY;
}

/* What became of a waiting write. */
enum progress {
	RELEASED, /* may go to the base */
	WAITS, /* on the list of a copy */
	STALLED, /* no room for a copy: the end of another one, or of a sweep, brings us back */
};

static enum progress write_advance(struct interpose_origin *origin, struct interpose_write *write)
{
	while (chunk_nr(write->next) <= chunk_nr(write->last)) {
		struct chunk_range done = { write->next, write->next };
		enum verdict verdict;
		u64 room = 0;
		int r;

		spin_lock_irq(&origin->lock);
		verdict = write_judge(origin, write, &room);
		spin_unlock_irq(&origin->lock);
		switch (verdict) {
		case JOINED:
			return WAITS;
		case COPY:
			r = interpose_copy_start(origin, write,
						 chunks_to_copy(origin, write, room));
			if (!r)
				return WAITS;
			if (r == -EBUSY)
				return STALLED;
			continue; /* the snapshots are invalid now */
		case TOO_EARLY:
			return STALLED;
		case NOTHING_TO_KEEP:
			done.last = write->last;
			break;
		case KEPT:
			break;
		}
		interpose_mark_kept(origin, done);
		write->next = chunk_at(chunk_nr(done.last) + 1);
	}
	return RELEASED;
}

static struct interpose_write *waiting_pop(struct interpose_origin *origin)
{
	struct interpose_write *write;

	spin_lock_irq(&origin->lock);
	write = list_first_entry_or_null(&origin->waiting, struct interpose_write, list);
	if (write)
		list_del_init(&write->list);
	spin_unlock_irq(&origin->lock);
	return write;
}

void interpose_write_work(struct work_struct *work)
{
	struct interpose_origin *origin = container_of(work, struct interpose_origin, write_work);
	struct interpose_write *write;
	struct blk_plug plug;

	blk_start_plug(&plug);
	submit_opened(origin);
	while ((write = waiting_pop(origin))) {
		enum progress progress = write_advance(origin, write);

		if (progress == WAITS)
			continue;
		spin_lock_irq(&origin->lock);
		if (progress == STALLED)
			list_add(&write->list, &origin->waiting);
		else
			origin->nr_waiting--;
		spin_unlock_irq(&origin->lock);
		if (progress == STALLED)
			break;
		write_submit(write);
	}
	blk_finish_plug(&plug);
}
