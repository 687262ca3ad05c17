// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Points: taken, dropped, compared.
 *
 *   message --> take (a work item, so that the caller may be killed) -------------------------------.
 *     allocate | gate: prepare | freeze | gate: close, drain | switch | gate: open | thaw | event   |
 *     `-- all that can fail before --------------------------'    `-- nothing can fail from here    |
 *   message <-- id, or the error; at the latest when the deadline has passed <---------------------'
 *
 * A snapshot begins on a store that is swept: should writes that freezing brings have ended the older ones, all
 * is undone as far as the maps, swept, and done again.
 *
 * Who commits the point and who gives it up is decided by one cmpxchg of take->state: a caller that answered
 * "too late" can rely on there being no point.  A freeze that hangs in a filesystem keeps
 * the work item, not the caller, and ends in a thaw.
 *
 * Each point owns the map of what changed since it.  When a point goes, its map and its elder's become
 * one: into the newer of the two, which may be the one that writes are setting bits in now.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "dm-interpose.h"

enum take_state {
	TAKE_PENDING,
	TAKE_COMMITTED, /* the point is, or is about to be, taken */
	TAKE_GIVEN_UP, /* the caller has answered "too late" */
};

struct take {
	struct kref ref; /* the caller and the work item */
	struct work_struct work;
	struct completion done;
	struct interpose_origin *origin;
	struct interpose_take_request request;
	struct interpose_point *point; /* until it is the origin's */
	struct interpose_map *pass; /* the new one, then the old one */
	struct interpose_map *orphan; /* what the last point of an earlier chain left behind */
	ktime_t deadline;
	atomic_t state; /* enum take_state */
	int error;
	u64 id;
	bool fs_consistent;
};

struct interpose_point *interpose_point_find(struct interpose_origin *origin, u64 id)
{
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point->id == id)
			return point;
	return NULL;
}

static void point_free(struct interpose_point *point)
{
	if (!point)
		return;
	interpose_map_destroy(point->changed);
	kfree(point);
}

/* Context: the origin's last reference. */
void interpose_points_free(struct interpose_origin *origin)
{
	struct interpose_point *point, *next;

	if (list_empty(&origin->points))
		interpose_map_destroy(origin->changed);
	list_for_each_entry_safe(point, next, &origin->points, list)
		point_free(point);
}

u64 interpose_points_map_bytes(struct interpose_origin *origin)
{
	u64 bytes = interpose_map_bytes(origin->pass);
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	if (list_empty(&origin->points))
		bytes += interpose_map_bytes(origin->changed);
	list_for_each_entry(point, &origin->points, list)
		bytes += interpose_map_bytes(point->changed);
	return bytes;
}

/* The maps of the epochs from point @since to point @until; returns how many.  Context: origin->mutex. */
unsigned int interpose_points_epochs(struct interpose_origin *origin, u64 since, u64 until,
				     struct interpose_map **maps)
{
	struct interpose_point *point;
	unsigned int nr = 0;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point->id >= since && point->id < until)
			maps[nr++] = point->changed;
	return nr;
}

/* Taking */

static void take_free(struct kref *ref)
{
	struct take *take = container_of(ref, struct take, ref);

	point_free(take->point);
	interpose_map_destroy(take->pass);
	interpose_map_destroy(take->orphan);
	interpose_origin_unref(take->origin);
	kfree(take);
}

static struct interpose_point *point_alloc(const struct interpose_take_request *request)
{
	struct interpose_point *point = kzalloc(sizeof(*point), GFP_KERNEL);

	if (!point)
		return NULL;
	uuid_copy(&point->uuid, &request->uuid);
	point->snapshot = request->snapshot;
	point->label = request->label;
	return point;
}

static struct take *take_alloc(struct interpose_origin *origin,
			       const struct interpose_take_request *request)
{
	struct take *take = kzalloc(sizeof(*take), GFP_KERNEL);

	if (!take)
		return NULL;
	kref_init(&take->ref);
	kref_get(&origin->ref);
	take->origin = origin;
	take->request = *request;
	take->deadline = ktime_add_ms(ktime_get(), request->deadline_ms);
	init_completion(&take->done);
	take->point = point_alloc(request);
	if (!take->point) {
		kref_put(&take->ref, take_free);
		return NULL;
	}
	return take;
}

/* Context: origin->change, so that the origin does not grow; sleeps. */
static int take_alloc_maps(struct take *take)
{
	u64 chunks = take->origin->chunks;

	take->pass = interpose_map_create(chunks);
	take->point->changed = interpose_map_create(chunks);
	return take->pass && take->point->changed ? 0 : -ENOMEM;
}

/* The point of an earlier call with the same uuid, NULL if there is none. */
static struct interpose_point *take_repeated(struct interpose_origin *origin, const uuid_t *uuid)
{
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (uuid_equal(&point->uuid, uuid))
			return point;
	return NULL;
}

/* Whether a point other than @but, which may be NULL, has that name. */
static bool name_taken(struct interpose_origin *origin, const char *name,
		       const struct interpose_point *but)
{
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point != but && !strcmp(point->label.name, name))
			return true;
	return false;
}

/* Why no point can be taken now, 0 if one can.  Context: origin->change and origin->mutex. */
static int take_obstacle(struct take *take)
{
	struct interpose_origin *origin = take->origin;
	struct interpose_area area;

	if (origin->barred || !origin->active)
		return -EBUSY;
	if (!origin->hook && !interpose_base_area(origin->active->base->bdev->bd_disk, &area))
		return -ENOLINK;
	if (name_taken(origin, take->point->label.name, NULL))
		return -EEXIST;
	if (origin->nr_points == INTERPOSE_POINTS_MAX)
		return -ENOSPC;
	if (!take->request.snapshot)
		return 0;
	return origin->shelf ? interpose_shelf_ready(origin->shelf) : -ENODEV;
}

/* Whether the store has stayed what take_obstacle() found; 0, or why not.  Context: origin->change. */
static int take_store_ready(const struct take *take)
{
	return take->request.snapshot ? interpose_shelf_ready(take->origin->shelf) : 0;
}

/* Begins the new epoch.  Context: the gate is drained. */
static void epoch_switch(struct take *take)
{
	struct interpose_origin *origin = take->origin;
	struct interpose_point *point = take->point;

	mutex_lock(&origin->mutex);
	take->orphan = list_empty(&origin->points) ? origin->changed : NULL;
	spin_lock_irq(&origin->lock);
	point->id = ++origin->last_id;
	point->length = origin->length;
	if (point->snapshot) {
		WRITE_ONCE(origin->newest, point->id);
		origin->newest_chunks = origin->chunks;
	}
	swap(origin->pass, take->pass);
	origin->changed = point->changed;
	spin_unlock_irq(&origin->lock);
	list_add_tail(&point->list, &origin->points);
	origin->nr_points++;
	point->time = ktime_get_real_seconds();
	point->fs_consistent = take->fs_consistent;
	take->id = point->id;
	take->point = NULL;
	mutex_unlock(&origin->mutex);
}

/*
 * What ended the older snapshots leaves a sweep to be done.  With a new snapshot a write that finds no room would
 * wait for it, a frozen filesystem's own writes too as it thaws, and it for origin->change.
 */
static bool take_needs_sweep(const struct take *take)
{
	return take->request.snapshot && READ_ONCE(take->origin->sweeping);
}

/*
 * A store that went, or failed, before the new snapshot could be seen has told of it for the older ones only; one
 * that goes later finds the new one.
 */
static void take_commit(struct take *take)
{
	int r;

	epoch_switch(take);
	r = take_store_ready(take);
	if (!r && take_needs_sweep(take))
		r = -EIO;
	if (r)
		interpose_origin_invalidate(take->origin, interpose_store_failure(r));
}

/* Closes the gate around the switch.  Context: filesystems are frozen, memalloc_noio. */
static int take_drained(struct take *take)
{
	struct interpose_origin *origin = take->origin;
	int r = interpose_gate_close(origin, take->deadline);

	if (r)
		pr_warn("interpose: %s: no point was taken: writes do not end, %u held for copies, others in the base\n",
			origin->name, READ_ONCE(origin->nr_waiting));
	r = r ?: take_store_ready(take);
	if (!r && take_needs_sweep(take))
		r = -EAGAIN;
	if (!r && atomic_cmpxchg(&take->state, TAKE_PENDING, TAKE_COMMITTED) != TAKE_PENDING)
		r = -ETIMEDOUT;
	if (!r)
		take_commit(take);
	interpose_gate_open(origin);
	return r;
}

/* Somebody thawed a filesystem under us: the point is, but only as after a power cut. */
static void point_was_not_frozen(struct take *take)
{
	struct interpose_origin *origin = take->origin;

	mutex_lock(&origin->mutex);
	take->fs_consistent = false;
	interpose_point_find(origin, take->id)->fs_consistent = false;
	mutex_unlock(&origin->mutex);
}

static int take_frozen(struct take *take)
{
	struct interpose_frozen frozen;
	int r;

	r = interpose_freeze(&take->request.freeze, &frozen, take->deadline);
	if (!r) {
		take->fs_consistent = frozen.all_fs;
		r = take_drained(take);
		if (!interpose_thaw(&frozen) && !r)
			point_was_not_frozen(take);
	}
	return r;
}

/* Context: origin->change. */
static int take_point(struct take *take)
{
	struct interpose_origin *origin = take->origin;
	struct interpose_point *earlier;
	int r = 0;

	mutex_lock(&origin->mutex);
	earlier = take_repeated(origin, &take->request.uuid);
	if (earlier) {
		take->id = earlier->id;
		take->fs_consistent = earlier->fs_consistent;
	} else {
		r = take_obstacle(take);
	}
	mutex_unlock(&origin->mutex);
	if (earlier || r)
		return r;
	if (atomic_read(&take->state) != TAKE_PENDING || ktime_after(ktime_get(), take->deadline))
		return -ETIMEDOUT;
	r = take_alloc_maps(take);
	if (r)
		return r;
	do {
		if (take_needs_sweep(take))
			interpose_origin_sweep(origin);
		interpose_gate_prepare(origin);
		r = take_frozen(take);
		interpose_gate_relax(origin);
	} while (r == -EAGAIN && ktime_before(ktime_get(), take->deadline));
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

static void take_work(struct work_struct *work)
{
	struct take *take = container_of(work, struct take, work);
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&take->origin->change);
	take->error = take_point(take);
	mutex_unlock(&take->origin->change);
	memalloc_noio_restore(noio);
	if (!take->error)
		interpose_origin_event(take->origin);
	complete_all(&take->done);
	kref_put(&take->ref, take_free);
}

/* Waits for the work item until shortly after the deadline; 0: it has ended. */
static int take_wait(struct take *take)
{
	long left = wait_for_completion_killable_timeout(
		&take->done, msecs_to_jiffies(take->request.deadline_ms + 1000));

	if (left > 0)
		return 0;
	if (left < 0)
		return -EINTR; /* the same uuid asks for the answer */
	if (atomic_cmpxchg(&take->state, TAKE_PENDING, TAKE_GIVEN_UP) == TAKE_PENDING)
		return -ETIMEDOUT;
	wait_for_completion(&take->done);
	return 0;
}

/**
 * interpose_take() - take a point
 * Context: sleeps until the point is taken or the deadline has passed.
 * Return: 0 with *id and *fs_consistent; errors: the message "take" in the uapi header.
 */
int interpose_take(struct interpose_origin *origin, const struct interpose_take_request *request,
		   u64 *id, bool *fs_consistent)
{
	struct take *take = take_alloc(origin, request);
	int r;

	if (!take)
		return -ENOMEM;
	kref_get(&take->ref);
	INIT_WORK(&take->work, take_work);
	queue_work(interpose_point_wq, &take->work);
	r = take_wait(take);
	if (!r)
		r = take->error;
	if (!r) {
		*id = take->id;
		*fs_consistent = take->fs_consistent;
	}
	kref_put(&take->ref, take_free);
	return r;
}

/* Dropping */

/* Credits what changed after @point to the point before it.  Context: origin->mutex. */
static void epoch_merge(struct interpose_origin *origin, struct interpose_point *point)
{
	struct interpose_point *elder = list_prev_entry(point, list);

	if (list_is_first(&point->list, &origin->points)) {
		/* Nobody asks for that epoch any more; the map of the present one is still written. */
		if (point->changed == origin->changed)
			point->changed = NULL;
		return;
	}
	interpose_map_merge(point->changed, elder->changed);
	swap(point->changed, elder->changed);
}

/**
 * interpose_drop() - remove a point
 * Context: origin->change; sleeps.
 * Return: 0, -ENOENT, -EBUSY.
 */
int interpose_drop(struct interpose_origin *origin, u64 id)
{
	struct interpose_point *point;

	lockdep_assert_held(&origin->change);
	mutex_lock(&origin->mutex);
	point = interpose_point_find(origin, id);
	if (!point || point->images) {
		mutex_unlock(&origin->mutex);
		return point ? -EBUSY : -ENOENT;
	}
	epoch_merge(origin, point);
	list_del(&point->list);
	origin->nr_points--;
	if (point->snapshot)
		interpose_origin_renew_newest(origin);
	mutex_unlock(&origin->mutex);
	if (point->snapshot)
		interpose_origin_sweep(origin);
	point_free(point);
	interpose_origin_event(origin);
	return 0;
}

/**
 * interpose_release() - make a snapshot a checkpoint
 * Context: origin->change; sleeps.
 * Return: 0, also if it is one; -ENOENT, -EBUSY.
 */
int interpose_release(struct interpose_origin *origin, u64 id)
{
	struct interpose_point *point;
	bool snapshot = false;
	int r = 0;

	lockdep_assert_held(&origin->change);
	mutex_lock(&origin->mutex);
	point = interpose_point_find(origin, id);
	if (!point) {
		r = -ENOENT;
	} else if (point->images) {
		r = -EBUSY;
	} else if (point->snapshot) {
		snapshot = true;
		point->snapshot = false;
		interpose_origin_renew_newest(origin);
	}
	mutex_unlock(&origin->mutex);
	if (snapshot) {
		interpose_origin_sweep(origin);
		interpose_origin_event(origin);
	}
	return r;
}

static int change_point(struct interpose_origin *origin, struct interpose_point *point,
			const struct interpose_change_request *request)
{
	const struct interpose_label *label = &request->label;

	if (!request->keep_name) {
		if (name_taken(origin, label->name, point))
			return -EEXIST;
		strscpy(point->label.name, label->name, sizeof(point->label.name));
	}
	if (!request->keep_tags)
		strscpy(point->label.tags, label->tags, sizeof(point->label.tags));
	if (!request->keep_data) {
		point->label.data_bytes = label->data_bytes;
		memcpy(point->label.data, label->data, label->data_bytes);
	}
	return 0;
}

/**
 * interpose_change() - give a point another name, other tags, other data
 * Context: origin->change, so that no point of that name is being taken; sleeps.
 * Return: 0, -ENOENT, -EEXIST.
 */
int interpose_change(struct interpose_origin *origin, u64 id,
		     const struct interpose_change_request *request)
{
	struct interpose_point *point;
	int r;

	lockdep_assert_held(&origin->change);
	mutex_lock(&origin->mutex);
	point = interpose_point_find(origin, id);
	r = point ? change_point(origin, point, request) : -ENOENT;
	mutex_unlock(&origin->mutex);
	if (!r)
		interpose_origin_event(origin);
	return r;
}
