// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The gate: lets a point fall between two sets of writes.
 *
 *   write -> enter -+- open:   counted until its end_io -> leave
 *                   `- closed: gated, until open() counts it in the new epoch
 *
 *   prepare (atomic counting, still open) -> close (nobody new; wait for the rest) -> open -> relax
 *
 * While the gate is open, a write costs one per-cpu reference.  The grace period that stops per-cpu
 * counting falls into prepare(), where writes still flow.
 *
 * closed is set before the reference dies and cleared after it lives again, so that a write that found it
 * dead either sees closed, under the lock, or may try again.
 */
#include "dm-interpose.h"

static void gate_drained(struct percpu_ref *gate)
{
	complete(&container_of(gate, struct interpose_origin, gate)->drained);
}

int interpose_gate_init(struct interpose_origin *origin)
{
	bio_list_init(&origin->gated);
	bio_list_init(&origin->opened);
	init_completion(&origin->drained);
	return percpu_ref_init(&origin->gate, gate_drained, PERCPU_REF_ALLOW_REINIT, GFP_KERNEL);
}

void interpose_gate_exit(struct interpose_origin *origin)
{
	percpu_ref_exit(&origin->gate);
}

/**
 * interpose_gate_enter() - count a write, or keep it
 * Context: map(); any.
 * Return: true: counted, the caller's; false: gated, no longer the caller's.
 */
bool interpose_gate_enter(struct interpose_origin *origin, struct bio *bio)
{
	unsigned long flags;

	while (!percpu_ref_tryget_live(&origin->gate)) {
		bool closed;

		interpose_bio_detach(bio);
		spin_lock_irqsave(&origin->lock, flags);
		closed = origin->closed;
		if (closed) {
			bio_list_add(&origin->gated, bio);
			origin->nr_gated++;
		}
		spin_unlock_irqrestore(&origin->lock, flags);
		if (closed)
			return false;
	}
	return true;
}

/* Context: sleeps for a grace period; writes flow. */
void interpose_gate_prepare(struct interpose_origin *origin)
{
	percpu_ref_switch_to_atomic_sync(&origin->gate);
}

/**
 * interpose_gate_close() - no new writes, and wait for those under way
 * To be followed by interpose_gate_open(), also after an error.
 * Context: after prepare; sleeps up to @deadline.
 * Return: 0: no write of the old epoch is left; -ETIMEDOUT.
 */
int interpose_gate_close(struct interpose_origin *origin, ktime_t deadline)
{
	s64 left = max_t(s64, ktime_ms_delta(deadline, ktime_get()), 1);

	reinit_completion(&origin->drained);
	spin_lock_irq(&origin->lock);
	origin->closed = true;
	spin_unlock_irq(&origin->lock);
	percpu_ref_kill(&origin->gate);
	return wait_for_completion_timeout(&origin->drained, msecs_to_jiffies(left)) ? 0
										     : -ETIMEDOUT;
}

/*
 * Counts every gated write in the epoch that is now, before any of them can be finished.  A worker
 * submits them: filesystems wait for their thaw behind us, and a submission may wait for a tag.
 */
void interpose_gate_open(struct interpose_origin *origin)
{
	percpu_ref_resurrect(&origin->gate);
	spin_lock_irq(&origin->lock);
	origin->closed = false;
	percpu_ref_get_many(&origin->gate, origin->nr_gated);
	origin->nr_gated = 0;
	bio_list_merge(&origin->opened, &origin->gated);
	bio_list_init(&origin->gated);
	queue_work(interpose_wq, &origin->write_work);
	spin_unlock_irq(&origin->lock);
}

/* Back to per-cpu counting. */
void interpose_gate_relax(struct interpose_origin *origin)
{
	percpu_ref_switch_to_percpu(&origin->gate);
}
