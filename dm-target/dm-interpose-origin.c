// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Origins: born with the first table that names them, handed from table to table, dead with the last.
 *
 *   ctr -> get --- none of that uuid: born, with a new generation
 *            `---- active on the same device: handed over with its points
 *   preresume: active       postsuspend: not active, images fail
 *   dtr -> put --- the last table: dead, images fail for good; memory goes with the last image
 *
 * A table can only take an origin over while another table of the same device is active: what is loaded
 * while none is could not know what was written meanwhile.
 *
 * Snapshots only go from valid to invalid, all of an origin's at once, in interpose_origin_invalidate():
 * the lost copy of one chunk is a hole in every older snapshot too.
 */
#include <linux/slab.h>

#include "dm-interpose.h"

static DEFINE_MUTEX(origins_mutex);
static LIST_HEAD(origins);

const char *interpose_failure_name(enum interpose_failure failure)
{
	static const char *const names[] = {
		[FAILURE_NONE] = INTERPOSE_NONE,
		[FAILURE_STORE_FULL] = INTERPOSE_FAILURE_STORE_FULL,
		[FAILURE_STORE_ERROR] = INTERPOSE_FAILURE_STORE_ERROR,
		[FAILURE_STORE_REMOVED] = INTERPOSE_FAILURE_STORE_REMOVED,
		[FAILURE_READ_ERROR] = INTERPOSE_FAILURE_READ_ERROR,
		[FAILURE_NO_MEMORY] = INTERPOSE_FAILURE_NO_MEMORY,
		[FAILURE_DETACHED] = INTERPOSE_FAILURE_DETACHED,
	};

	return names[failure];
}

/* Events */

static void event_work(struct work_struct *work)
{
	struct interpose_origin *origin = container_of(work, struct interpose_origin, event_work);
	struct interpose_image *image;

	mutex_lock(&origin->mutex);
	if (origin->active)
		dm_table_event(origin->active->ti->table);
	list_for_each_entry(image, &origin->images, list)
		dm_table_event(image->ti->table);
	mutex_unlock(&origin->mutex);
	interpose_origin_unref(origin);
}

/* Queues work that holds the origin until it has run.  Context: any that holds the origin. */
static void origin_queue(struct interpose_origin *origin, struct work_struct *work)
{
	kref_get(&origin->ref);
	if (!queue_work(interpose_point_wq, work))
		interpose_origin_unref(origin);
}

/* Something to see in status has changed.  Context: any that holds the origin. */
void interpose_origin_event(struct interpose_origin *origin)
{
	origin_queue(origin, &origin->event_work);
}

/* Validity */

bool interpose_snapshot_valid(struct interpose_origin *origin, u64 id)
{
	return id > READ_ONCE(origin->invalid_upto);
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
	news = origin->newest;
	if (news) {
		WRITE_ONCE(origin->invalid_upto, origin->last_id);
		/* Pairs with image_usable(): who finds a write that was not kept finds the verdict. */
		smp_store_release(&origin->newest, 0);
		origin->failure = failure;
	}
	spin_unlock_irqrestore(&origin->lock, flags);
	if (!news)
		return;
	pr_err("interpose: snapshots of origin %pUb are invalid: %s\n", &origin->uuid,
	       interpose_failure_name(failure));
	origin_queue(origin, &origin->sweep_work);
	interpose_origin_event(origin);
}

static void store_removed(void *owner)
{
	interpose_origin_invalidate(owner, FAILURE_STORE_REMOVED);
}

/* Finds the newest valid snapshot anew, after points went.  Context: origin->mutex. */
void interpose_origin_renew_newest(struct interpose_origin *origin)
{
	struct interpose_point *point;
	bool invalid = false;
	u64 newest = 0;

	lockdep_assert_held(&origin->mutex);
	spin_lock_irq(&origin->lock);
	list_for_each_entry(point, &origin->points, list) {
		if (!point->snapshot)
			continue;
		if (interpose_snapshot_valid(origin, point->id))
			newest = point->id;
		else
			invalid = true;
	}
	WRITE_ONCE(origin->newest, newest);
	if (!invalid)
		origin->failure = FAILURE_NONE;
	spin_unlock_irq(&origin->lock);
}

/* Ids of the valid snapshots, ascending; returns how many. */
static unsigned int living_snapshots(struct interpose_origin *origin, u64 *living)
{
	struct interpose_point *point;
	unsigned int nr = 0;

	mutex_lock(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point->snapshot && interpose_snapshot_valid(origin, point->id))
			living[nr++] = point->id;
	mutex_unlock(&origin->mutex);
	return nr;
}

static void set_sweeping(struct interpose_origin *origin, bool sweeping)
{
	spin_lock_irq(&origin->lock);
	origin->sweeping = sweeping;
	if (!sweeping)
		queue_work(interpose_wq, &origin->write_work); /* writes that found no room */
	spin_unlock_irq(&origin->lock);
}

/* Frees what no valid snapshot reads.  Without memory it is left for the next sweep.  Context: origin->change. */
void interpose_origin_sweep(struct interpose_origin *origin)
{
	u64 *living;

	lockdep_assert_held(&origin->change);
	if (!origin->shelf)
		return;
	living = kmalloc_array(INTERPOSE_POINTS_MAX, sizeof(*living), GFP_NOIO);
	if (!living)
		return;
	/* Without a snapshot no copy starts; those under way would come into the index behind us. */
	wait_event(origin->copies_idle, READ_ONCE(origin->newest) || !READ_ONCE(origin->nr_copies));
	set_sweeping(origin, true);
	interpose_shelf_sweep(origin->shelf, living, living_snapshots(origin, living));
	set_sweeping(origin, false);
	kfree(living);
}

static void sweep_work(struct work_struct *work)
{
	struct interpose_origin *origin = container_of(work, struct interpose_origin, sweep_work);

	mutex_lock(&origin->change);
	interpose_origin_sweep(origin);
	mutex_unlock(&origin->change);
	interpose_origin_unref(origin);
}

/* The store */

static struct interpose_shelf *shelf_swap(struct interpose_origin *origin,
					  struct interpose_shelf *shelf)
{
	struct interpose_shelf *old;

	spin_lock_irq(&origin->lock);
	old = origin->shelf;
	origin->shelf = shelf;
	spin_unlock_irq(&origin->lock);
	return old;
}

/* Lets go of the shelf; nobody reads it any more.  Context: origin->change, or the last reference. */
static void shelf_drop(struct interpose_origin *origin)
{
	struct interpose_shelf *shelf;

	wait_event(origin->copies_idle, !READ_ONCE(origin->nr_copies));
	shelf = shelf_swap(origin, NULL);
	if (shelf)
		interpose_shelf_unbind(shelf);
	interpose_copy_reserve_free(origin);
}

static bool shelf_in_use(struct interpose_origin *origin)
{
	bool used;

	mutex_lock(&origin->mutex);
	used = origin->newest || !list_empty(&origin->images);
	mutex_unlock(&origin->mutex);
	return used;
}

/* Whether the store's device is the origin's own, above or below.  Deeper stacks are user space's to see. */
static bool shelf_on_origin(struct interpose_origin *origin, const struct interpose_shelf *shelf)
{
	dev_t dev = interpose_shelf_device(shelf);
	bool same;

	mutex_lock(&origin->mutex);
	same = dev == disk_devt(dm_disk(origin->md)) ||
	       (origin->active && dev == origin->active->base->bdev->bd_dev);
	mutex_unlock(&origin->mutex);
	return same;
}

/* Context: origin->change.  Errors: the message "store" in the uapi header. */
int interpose_origin_set_store(struct interpose_origin *origin, const uuid_t *uuid)
{
	struct interpose_shelf *shelf;
	int r;

	lockdep_assert_held(&origin->change);
	if (origin->shelf && uuid_equal(interpose_shelf_store_uuid(origin->shelf), uuid) &&
	    !interpose_shelf_ready(origin->shelf))
		return 0;
	if (shelf_in_use(origin))
		return -EBUSY;
	shelf_drop(origin);
	r = interpose_copy_reserve_alloc(origin);
	if (r)
		return r;
	shelf = interpose_shelf_bind(uuid, origin->chunk_shift, origin->block_bytes, store_removed,
				     origin);
	if (IS_ERR(shelf)) {
		interpose_copy_reserve_free(origin);
		return PTR_ERR(shelf);
	}
	if (shelf_on_origin(origin, shelf)) {
		interpose_shelf_unbind(shelf);
		interpose_copy_reserve_free(origin);
		return -EINVAL;
	}
	shelf_swap(origin, shelf);
	return 0;
}

/* Context: origin->change. */
int interpose_origin_unset_store(struct interpose_origin *origin)
{
	lockdep_assert_held(&origin->change);
	if (shelf_in_use(origin))
		return -EBUSY;
	shelf_drop(origin);
	return 0;
}

/* Life */

static void origin_free(struct kref *ref)
{
	struct interpose_origin *origin = container_of(ref, struct interpose_origin, ref);

	cancel_work_sync(&origin->write_work);
	shelf_drop(origin);
	interpose_points_free(origin);
	interpose_map_destroy(origin->pass);
	interpose_gate_exit(origin);
	kfree(origin);
}

void interpose_origin_unref(struct interpose_origin *origin)
{
	kref_put(&origin->ref, origin_free);
}

static struct interpose_origin *origin_alloc(struct interpose *ip, const uuid_t *uuid,
					     unsigned int chunk_shift)
{
	struct interpose_origin *origin = kzalloc(sizeof(*origin), GFP_KERNEL);

	if (!origin)
		return NULL;
	if (interpose_gate_init(origin)) {
		kfree(origin);
		return NULL;
	}
	kref_init(&origin->ref);
	uuid_copy(&origin->uuid, uuid);
	uuid_gen(&origin->generation);
	origin->length = ip->ti->len;
	origin->chunk_shift = chunk_shift;
	origin->chunks = chunks_in(ip->ti->len, chunk_shift);
	origin->block_bytes = bdev_logical_block_size(ip->base->bdev);
	origin->md = dm_table_get_md(ip->ti->table);
	mutex_init(&origin->change);
	mutex_init(&origin->mutex);
	INIT_LIST_HEAD(&origin->points);
	INIT_LIST_HEAD(&origin->images);
	spin_lock_init(&origin->lock);
	INIT_LIST_HEAD(&origin->waiting);
	origin->copies = RB_ROOT;
	init_waitqueue_head(&origin->copies_idle);
	INIT_WORK(&origin->write_work, interpose_write_work);
	INIT_WORK(&origin->sweep_work, sweep_work);
	INIT_WORK(&origin->event_work, event_work);
	return origin;
}

static struct interpose_origin *origin_find(const uuid_t *uuid)
{
	struct interpose_origin *origin;

	lockdep_assert_held(&origins_mutex);
	list_for_each_entry(origin, &origins, list)
		if (uuid_equal(&origin->uuid, uuid))
			return origin;
	return NULL;
}

/* Why @ip cannot take @origin over, NULL if it can. */
static char *handover_error(struct interpose_origin *origin, const struct interpose *ip,
			    unsigned int chunk_shift)
{
	if (origin->md != dm_table_get_md(ip->ti->table))
		return "origin uuid is in use on another device";
	if (!READ_ONCE(origin->active))
		return "origin is suspended: its table can only be replaced while it is active";
	if (origin->length != ip->ti->len)
		return "length differs from the origin's";
	if (origin->chunk_shift != chunk_shift)
		return "chunk size differs from the origin's";
	if (origin->block_bytes != bdev_logical_block_size(ip->base->bdev))
		return "logical block differs from the origin's";
	return NULL;
}

/**
 * interpose_origin_get() - the origin of a new table
 * Context: ctr; sleeps.  Undone by interpose_origin_put().
 * Return: the origin, or an ERR_PTR with *error set.
 */
struct interpose_origin *interpose_origin_get(struct interpose *ip, const uuid_t *uuid,
					      unsigned int chunk_shift, char **error)
{
	struct interpose_origin *origin;

	mutex_lock(&origins_mutex);
	origin = origin_find(uuid);
	if (origin) {
		*error = handover_error(origin, ip, chunk_shift);
		if (*error) {
			origin = ERR_PTR(-EBUSY);
			goto unlock;
		}
	} else {
		origin = origin_alloc(ip, uuid, chunk_shift);
		if (!origin) {
			*error = "no memory for the origin";
			origin = ERR_PTR(-ENOMEM);
			goto unlock;
		}
		list_add_tail(&origin->list, &origins);
	}
	origin->tables++;
unlock:
	mutex_unlock(&origins_mutex);
	return origin;
}

/* A table goes.  Context: dtr, or ctr unwinding; sleeps. */
void interpose_origin_put(struct interpose *ip)
{
	struct interpose_origin *origin = ip->origin;
	bool last;

	mutex_lock(&origins_mutex);
	last = !--origin->tables;
	if (last)
		list_del(&origin->list);
	mutex_unlock(&origins_mutex);
	if (!last)
		return;
	interpose_origin_invalidate(origin, FAILURE_DETACHED);
	interpose_origin_unref(origin);
}

/* The origin with a reference, NULL if there is none; for an image.  Context: sleeps. */
struct interpose_origin *interpose_origin_lookup(const uuid_t *uuid)
{
	struct interpose_origin *origin;

	mutex_lock(&origins_mutex);
	origin = origin_find(uuid);
	if (origin)
		kref_get(&origin->ref);
	mutex_unlock(&origins_mutex);
	return origin;
}
