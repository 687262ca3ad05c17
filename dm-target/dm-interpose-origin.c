// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Origins: born with the first table that names them, handed from table to table, dead with the last.
 *
 *   ctr -> get --- none of that uuid: born, with a new generation
 *            `---- active on the same device, and not longer: handed over with its points
 *   preresume -> activate: it may have grown, parked reads of images go on
 *   postsuspend -> deactivate: reads of images are parked, as those of the device itself are
 *   dtr -> put --- the last table, or the one that was active and nobody of ours after it: gone,
 *                  images fail for good; memory goes with the last image
 *
 * A table can only take an origin over while another table of the same device is active: what is loaded
 * while none is could not know what was written meanwhile.  A stranger's resume that was under way at that
 * time is found out by the dtr of the table it took off: device-mapper destroys it after the stranger has
 * begun to take writes, so whoever asks about the time between is kept waiting until then.  Should a table of ours
 * be resumed still earlier, the device's own count of writes tells.
 */
#include <linux/part_stat.h>
#include <linux/slab.h>

#include "dm-interpose.h"

/* How long "store" and "unstore" wait for copies to the store they let go of. */
#define STORE_WAIT (5 * HZ)

static DEFINE_MUTEX(origins_mutex);
static LIST_HEAD(origins);

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
static void origin_queue(struct interpose_origin *origin, struct workqueue_struct *wq,
			 struct work_struct *work)
{
	kref_get(&origin->ref);
	if (!queue_work(wq, work))
		interpose_origin_unref(origin);
}

/* Something to see in status has changed.  Context: any that holds the origin. */
void interpose_origin_event(struct interpose_origin *origin)
{
	origin_queue(origin, interpose_point_wq, &origin->event_work);
}

/* A worker takes the hook away.  Context: any that holds the origin. */
void interpose_origin_unhook_soon(struct interpose_origin *origin)
{
	origin_queue(origin, interpose_point_wq, &origin->unhook_work);
}

static void unpark_work(struct work_struct *work)
{
	struct interpose_origin *origin = container_of(work, struct interpose_origin, unpark_work);

	interpose_image_unpark(origin);
	interpose_origin_unref(origin);
}

/* Reads of images that were parked are looked at again.  Context: any that holds the origin. */
void interpose_origin_unpark(struct interpose_origin *origin)
{
	origin_queue(origin, interpose_wq, &origin->unpark_work);
}

static void store_lost(void *owner, int error)
{
	interpose_origin_invalidate(owner, interpose_store_failure(error));
}

/* Fills origin->living with the ids of the valid snapshots, ascending; returns how many. */
static unsigned int living_snapshots(struct interpose_origin *origin)
{
	struct interpose_point *point;
	unsigned int nr = 0;

	lockdep_assert_held(&origin->change);

	mutex_lock(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point->snapshot && interpose_snapshot_valid(origin, point->id))
			origin->living[nr++] = point->id;
	mutex_unlock(&origin->mutex);
	return nr;
}

static void sweep_done(struct interpose_origin *origin)
{
	spin_lock_irq(&origin->lock);
	origin->sweeping = false;
	queue_work(interpose_wq, &origin->write_work); /* writes that found no room */
	spin_unlock_irq(&origin->lock);
}

/*
 * Whether copies under way would come into the index behind a sweep: without a snapshot none starts, and the
 * end of the last one brings the sweep back, see copies_put().
 */
static bool sweep_too_early(struct interpose_origin *origin)
{
	bool early;

	spin_lock_irq(&origin->lock);
	early = !origin->newest && origin->nr_copies;
	spin_unlock_irq(&origin->lock);
	return early;
}

/* Frees what no valid snapshot reads, now or as soon as that can be.  Context: origin->change. */
void interpose_origin_sweep(struct interpose_origin *origin)
{
	lockdep_assert_held(&origin->change);
	if (sweep_too_early(origin))
		return;
	if (origin->shelf)
		interpose_shelf_sweep(origin->shelf, origin->living, living_snapshots(origin));
	sweep_done(origin);
}

/* Context: any that holds the origin. */
void interpose_origin_sweep_soon(struct interpose_origin *origin)
{
	origin_queue(origin, interpose_point_wq, &origin->sweep_work);
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

/*
 * Lets go of the shelf; nobody reads it any more, and no copy is under way.  Context: origin->change, or the
 * last reference.
 */
static void shelf_drop(struct interpose_origin *origin)
{
	struct interpose_shelf *shelf;

	interpose_inside_end(origin);
	shelf = shelf_swap(origin, NULL);
	if (shelf)
		interpose_shelf_unbind(shelf);
	interpose_copy_reserve_free(origin);
}

/**
 * interpose_origin_await_copies() - give copies nobody needs any more time to end
 * They end when the store does its I/O, which may be never: whoever goes on asks again.
 * Context: not origin->change, for which a suspend would wait; sleeps up to STORE_WAIT.
 * Return: 0, or -EINTR: killed.
 */
int interpose_origin_await_copies(struct interpose_origin *origin)
{
	long r = wait_event_killable_timeout(
		origin->copies_idle, READ_ONCE(origin->newest) || !READ_ONCE(origin->nr_copies),
		STORE_WAIT);

	return r < 0 ? -EINTR : 0;
}

static bool shelf_in_use(struct interpose_origin *origin)
{
	bool used;

	mutex_lock(&origin->mutex);
	spin_lock_irq(&origin->lock);
	used = origin->newest || origin->nr_copies || !list_empty(&origin->images);
	spin_unlock_irq(&origin->lock);
	mutex_unlock(&origin->mutex);
	return used;
}

/* Whether the store's device is the origin's own, above, below or hooked.  Deeper stacks are user space's to see. */
static bool shelf_on_origin(const struct interpose *ip, const struct interpose_shelf *shelf)
{
	dev_t dev = interpose_shelf_device(shelf);

	return dev == disk_devt(dm_disk(ip->origin->md)) || dev == ip->base->bdev->bd_dev ||
	       dev == interpose_hook_device(ip->origin);
}

/*
 * @inside: the chunks of the origin that the store lies in, or NULL; taken over, and then NULL.
 * Context: origin->change; @ip is in use.  Errors: the message "store" in the uapi header.
 */
int interpose_origin_set_store(struct interpose *ip, const uuid_t *uuid,
			       struct interpose_map **inside)
{
	struct interpose_origin *origin = ip->origin;
	struct interpose_shelf *shelf;
	int r;

	lockdep_assert_held(&origin->change);
	if (origin->shelf && uuid_equal(interpose_shelf_store_uuid(origin->shelf), uuid) &&
	    !interpose_shelf_ready(origin->shelf))
		return !*inside == !origin->inside ? 0 : -EINVAL;
	if (shelf_in_use(origin))
		return -EBUSY;
	shelf_drop(origin);
	r = interpose_copy_reserve_alloc(origin);
	if (r)
		return r;
	shelf = interpose_shelf_bind(uuid, origin->chunk_shift, origin->block_bytes, store_lost,
				     origin);
	if (IS_ERR(shelf)) {
		interpose_copy_reserve_free(origin);
		return PTR_ERR(shelf);
	}
	if (shelf_on_origin(ip, shelf)) {
		interpose_shelf_unbind(shelf);
		interpose_copy_reserve_free(origin);
		return -EINVAL;
	}
	shelf_swap(origin, shelf);
	if (*inside)
		interpose_inside_begin(origin, *inside);
	*inside = NULL;
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
	/* Nobody asks any more what it makes of the changes. */
	interpose_map_destroy(origin->inside);
	origin->inside = NULL;
	shelf_drop(origin);
	interpose_points_free(origin);
	interpose_map_destroy(origin->pass);
	interpose_gate_exit(origin);
	kfree(origin->living);
	kfree(origin);
}

struct interpose_origin *interpose_origin_ref(struct interpose_origin *origin)
{
	kref_get(&origin->ref);
	return origin;
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
	origin->living = kmalloc_array(INTERPOSE_POINTS_MAX, sizeof(*origin->living), GFP_KERNEL);
	if (!origin->living || interpose_gate_init(origin)) {
		kfree(origin->living);
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
	strscpy(origin->name, dm_device_name(origin->md), sizeof(origin->name));
	mutex_init(&origin->change);
	mutex_init(&origin->mutex);
	INIT_LIST_HEAD(&origin->points);
	INIT_LIST_HEAD(&origin->images);
	spin_lock_init(&origin->lock);
	INIT_LIST_HEAD(&origin->waiting);
	bio_list_init(&origin->parked);
	origin->copies = RB_ROOT;
	init_waitqueue_head(&origin->copies_idle);
	init_waitqueue_head(&origin->unhooked);
	INIT_WORK(&origin->write_work, interpose_write_work);
	INIT_WORK(&origin->sweep_work, sweep_work);
	INIT_WORK(&origin->event_work, event_work);
	INIT_WORK(&origin->unpark_work, unpark_work);
	INIT_WORK(&origin->unhook_work, interpose_unhook_work);
	return origin;
}

static struct interpose_origin *origin_find(const uuid_t *uuid)
{
	struct interpose_origin *origin;

	lockdep_assert_held(&origins_mutex);
	list_for_each_entry(origin, &origins, list)
		if (!READ_ONCE(origin->gone) && uuid_equal(&origin->uuid, uuid))
			return origin;
	return NULL;
}

/* Why @ip cannot take @origin over, NULL if it can. */
static char *handover_error(struct interpose_origin *origin, const struct interpose *ip,
			    unsigned int chunk_shift)
{
	if (origin->md != dm_table_get_md(ip->ti->table))
		return "origin uuid is in use on another device";
	if (READ_ONCE(origin->hook))
		return "origin has a hook: its table cannot be replaced";
	if (!READ_ONCE(origin->active))
		return "origin is suspended: its table can only be replaced while it is active";
	if (ip->ti->len < READ_ONCE(origin->length))
		return "length is less than the origin's";
	if (origin->chunk_shift != chunk_shift)
		return "chunk size differs from the origin's";
	if (origin->block_bytes != bdev_logical_block_size(ip->base->bdev))
		return "logical block differs from the origin's";
	return NULL;
}

/* Memory for what must not fail once the device is suspended. */
static int prepare_growth(struct interpose_origin *origin, struct interpose *ip,
			  unsigned int chunk_shift)
{
	if (ip->ti->len == READ_ONCE(origin->length))
		return 0;
	ip->pass = interpose_map_create(chunks_in(ip->ti->len, chunk_shift));
	return ip->pass ? 0 : -ENOMEM;
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
		if (prepare_growth(origin, ip, chunk_shift)) {
			*error = "no memory for the origin to grow";
			origin = ERR_PTR(-ENOMEM);
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

/**
 * interpose_origin_forsake() - the device goes on, or has gone on, without us: nobody knows what is written
 * Never undone.
 * Context: any that holds the origin.
 * Return: whether that is news.
 */
bool interpose_origin_forsake(struct interpose_origin *origin)
{
	unsigned long flags;
	bool news;

	spin_lock_irqsave(&origin->lock, flags);
	news = !origin->gone;
	WRITE_ONCE(origin->gone, true);
	spin_unlock_irqrestore(&origin->lock, flags);
	if (news) {
		interpose_origin_invalidate(origin, FAILURE_DETACHED);
		interpose_origin_event(origin);
	}
	return news;
}

/* Whether @ip was the last table to be active, and is no longer. */
static bool was_replaced(struct interpose_origin *origin, const struct interpose *ip)
{
	return READ_ONCE(origin->latest) == ip && !READ_ONCE(origin->active);
}

/* A table goes.  Context: dtr, or ctr unwinding; sleeps. */
void interpose_origin_put(struct interpose *ip)
{
	struct interpose_origin *origin = ip->origin;
	bool last, gone = false;

	mutex_lock(&origins_mutex);
	last = !--origin->tables;
	if (last)
		list_del(&origin->list);
	if (last || was_replaced(origin, ip))
		gone = interpose_origin_forsake(origin);
	mutex_unlock(&origins_mutex);
	if (gone)
		dm_table_event(ip->ti->table); /* the device still listens to the table it lost */
	interpose_map_destroy(ip->pass);
	if (!last)
		return;
	if (READ_ONCE(origin->hook))
		interpose_origin_unhook_soon(origin);
	interpose_origin_unref(origin);
}

/* Suspend and resume: a point under way ends first, and none begins until this device takes I/O again. */

void interpose_origin_bar(struct interpose_origin *origin, bool barred)
{
	mutex_lock(&origin->change);
	origin->barred = barred;
	mutex_unlock(&origin->change);
}

/*
 * What the origin grew by counts as changed in every epoch there is, and so does the chunk that was short.
 * The fast path begins anew.
 */
static void origin_grow(struct interpose_origin *origin, struct interpose *ip)
{
	u64 known = origin->length >> origin->chunk_shift;
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		interpose_map_outgrow(point->changed, known);
	if (origin->changed)
		interpose_map_outgrow(origin->changed, known);
	if (origin->pass) {
		interpose_map_destroy(origin->pass);
		origin->pass = ip->pass;
		ip->pass = NULL;
	}
	WRITE_ONCE(origin->length, ip->ti->len);
	origin->chunks = chunks_in(ip->ti->len, origin->chunk_shift);
	interpose_origin_event(origin);
}

static void set_active(struct interpose_origin *origin, struct interpose *ip)
{
	lockdep_assert_held(&origin->mutex);
	spin_lock_irq(&origin->lock);
	WRITE_ONCE(origin->active, ip);
	spin_unlock_irq(&origin->lock);
}

/* Writes that the device has finished, as its statistics say; all there were once it is suspended. */
static unsigned long device_writes(const struct interpose_origin *origin)
{
	struct block_device *bdev = dm_disk(origin->md)->part0;

	return part_stat_read(bdev, ios[STAT_WRITE]) + part_stat_read(bdev, ios[STAT_DISCARD]);
}

/* A table that is shorter was loaded before the origin grew: what it leaves out cannot be shown. */
static bool can_take_over(const struct interpose_origin *origin, const struct interpose *ip)
{
	if (READ_ONCE(origin->gone) || ip->ti->len < origin->length)
		return false;
	return !origin->latest || device_writes(origin) == origin->writes;
}

/*
 * Images read the base they were made on.  What the latest table had is noted, not asked: a table that a stranger's
 * replaced may be freed while ours is resumed.
 */
static bool images_stay_behind(struct interpose_origin *origin, const struct interpose *ip)
{
	struct interpose_image *image;

	if (!origin->latest ||
	    (origin->base == ip->base->bdev->bd_dev && origin->start == ip->start))
		return false;
	list_for_each_entry(image, &origin->images, list)
		if (interpose_snapshot_valid(origin, image->id))
			return true;
	return false;
}

static void take_over(struct interpose_origin *origin, struct interpose *ip)
{
	if (images_stay_behind(origin, ip))
		interpose_origin_invalidate(origin, FAILURE_DETACHED);
	if (ip->ti->len > origin->length)
		origin_grow(origin, ip);
	/* The base may have had no table yet, and so no blocks of its own, when ours was loaded. */
	WRITE_ONCE(origin->block_bytes, bdev_logical_block_size(ip->base->bdev));
	origin->base = ip->base->bdev->bd_dev;
	origin->start = ip->start;
	set_active(origin, ip);
	WRITE_ONCE(origin->latest, ip);
	origin->barred = false;
}

/* The table takes the device's writes for nobody; it may be longer than the map. */
static void take_nothing_over(struct interpose_origin *origin)
{
	interpose_map_destroy(origin->pass);
	origin->pass = NULL;
}

/**
 * interpose_origin_activate() - a table begins to take the device's writes
 * Context: preresume; sleeps.
 */
void interpose_origin_activate(struct interpose *ip)
{
	struct interpose_origin *origin = ip->origin;

	mutex_lock(&origin->change);
	mutex_lock(&origin->mutex);
	if (can_take_over(origin, ip)) {
		take_over(origin, ip);
	} else {
		take_nothing_over(origin);
		/* It is not active, and so its device would not be told. */
		if (interpose_origin_forsake(origin))
			dm_table_event(ip->ti->table);
	}
	mutex_unlock(&origin->mutex);
	mutex_unlock(&origin->change);
	interpose_origin_unpark(origin);
}

/* From here on another table may take the device's writes.  Context: postsuspend; sleeps. */
void interpose_origin_deactivate(struct interpose *ip)
{
	struct interpose_origin *origin = ip->origin;

	mutex_lock(&origin->mutex);
	origin->writes = device_writes(origin);
	set_active(origin, NULL);
	mutex_unlock(&origin->mutex);
	if (READ_ONCE(origin->hooked))
		synchronize_rcu(); /* the callback looks at no map of ours from here on */
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
