// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * A point is taken: of one origin, or of several at one instant.
 *
 *   message --> take (a work item, so that the caller may be killed) -----------------------------------.
 *     allocate | gates: prepare | freeze | gates: close, drain | switch | gates: open | thaw | event    |
 *     `-- all that can fail before -----------------------------'    `-- nothing can fail from here     |
 *   message <-- ids, or the error; at the latest when the deadline has passed <-------------------------'
 *
 * The instant of a set is any between the closing of its last gate and the opening of its first: a write that waited for one
 * that is not in the images is in none of them either.
 *
 * A snapshot begins on a store that is swept: should writes that freezing brings have ended the older ones, all
 * is undone as far as the maps, swept, and done again.
 *
 * Who commits the points and who gives them up is decided by one cmpxchg of take->state: a caller that answered
 * "too late" can rely on there being none.  A freeze that hangs in a filesystem keeps
 * the work item, not the caller, and ends in a thaw.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "dm-interpose.h"

enum take_state {
	TAKE_PENDING,
	TAKE_COMMITTED, /* the points are, or are about to be, taken */
	TAKE_GIVEN_UP, /* the caller has answered "too late" */
};

/* What one member of the set has ready, or has left over. */
struct take_part {
	struct interpose_origin *origin; /* a reference */
	struct interpose_member *member;
	struct interpose_point *point; /* until it is the origin's */
	struct interpose_map *pass; /* the new one, then the old one */
	struct interpose_map *orphan; /* what the last point of an earlier chain left behind */
};

struct take {
	struct kref ref; /* the caller and the work item */
	struct work_struct work;
	struct completion done;
	struct interpose_take_request request;
	uuid_t set; /* null for a point by itself */
	struct take_part parts[INTERPOSE_SET_MAX];
	ktime_t deadline;
	atomic_t state; /* enum take_state */
	int error;
};

#define for_each_part(part, take) \
	for ((part) = (take)->parts; (part) < (take)->parts + (take)->request.set.nr; (part)++)

static DEFINE_MUTEX(sets_mutex);

static void take_free(struct kref *ref)
{
	struct take *take = container_of(ref, struct take, ref);
	struct take_part *part;

	for_each_part(part, take) {
		interpose_point_free(part->point);
		interpose_map_destroy(part->pass);
		interpose_map_destroy(part->orphan);
		interpose_origin_unref(part->origin);
	}
	kfree(take);
}

static struct interpose_point *point_alloc(const struct take *take,
					   const struct interpose_member *member)
{
	const struct interpose_take_request *request = &take->request;
	struct interpose_point *point = kzalloc(sizeof(*point), GFP_KERNEL);

	if (!point)
		return NULL;
	uuid_copy(&point->uuid, &member->uuid);
	uuid_copy(&point->set, &take->set);
	point->snapshot = request->snapshot;
	point->label = request->label;
	return point;
}

static struct take *take_alloc(const struct interpose_take_request *request)
{
	struct take *take = kzalloc(sizeof(*take), GFP_KERNEL);
	unsigned int i;

	if (!take)
		return NULL;
	kref_init(&take->ref);
	take->request = *request;
	if (request->set.nr > 1)
		uuid_gen(&take->set);
	for (i = 0; i < request->set.nr; i++) {
		take->parts[i].origin = interpose_origin_ref(request->set.origins[i]);
		take->parts[i].member = &take->request.members[i];
	}
	take->deadline = ktime_add_ms(ktime_get(), request->deadline_ms);
	init_completion(&take->done);
	return take;
}

/* Context: origin->change, so that the origin does not grow; sleeps. */
static int part_alloc(const struct take *take, struct take_part *part)
{
	u64 chunks = part->origin->chunks;

	part->point = point_alloc(take, part->member);
	if (!part->point)
		return -ENOMEM;
	part->pass = interpose_map_create(chunks);
	part->point->changed = interpose_map_create(chunks);
	return part->pass && part->point->changed ? 0 : -ENOMEM;
}

/* Whether an earlier call with the same uuid has taken that point. */
static bool part_repeated(struct take_part *part)
{
	struct interpose_member *member = part->member;
	struct interpose_point *point;
	bool found = false;

	mutex_lock(&part->origin->mutex);
	list_for_each_entry(point, &part->origin->points, list) {
		if (!uuid_equal(&point->uuid, &member->uuid))
			continue;
		member->id = point->id;
		member->fs_consistent = point->fs_consistent;
		found = true;
	}
	mutex_unlock(&part->origin->mutex);
	return found;
}

/* Return: 1 if an earlier call has taken all of it, 0 if none has; -ESTALE: some of it has gone since. */
static int take_repeated(struct take *take)
{
	unsigned int found = 0;
	struct take_part *part;

	for_each_part(part, take)
		found += part_repeated(part);
	if (found && found < take->request.set.nr)
		return -ESTALE;
	return found > 0;
}

/* Why no point of it can be taken now, 0 if one can.  Context: origin->change and origin->mutex. */
static int origin_obstacle(struct interpose_origin *origin,
			   const struct interpose_take_request *request)
{
	struct interpose_area area;

	if (READ_ONCE(origin->gone))
		return -ESTALE;
	if (origin->barred || !origin->active)
		return -EBUSY;
	if (!origin->hook &&
	    interpose_base_area(origin->active->base->bdev->bd_disk, &area) != -EINVAL)
		return -ENOLINK;
	if (interpose_point_named(origin, request->label.name, NULL))
		return -EEXIST;
	if (origin->nr_points == INTERPOSE_POINTS_MAX)
		return -ENOSPC;
	if (!request->snapshot)
		return 0;
	return origin->shelf ? interpose_shelf_ready(origin->shelf) : -ENODEV;
}

/* The live device of a member. */
static dev_t part_device(const struct take_part *part)
{
	const struct interpose_origin *origin = part->origin;

	return interpose_hook_device(origin) ?: disk_devt(dm_disk(origin->md));
}

/* What the error of a set is about, the log alone can tell. */
static void blame(const struct take *take, const struct take_part *part, int error)
{
	if (error && take->request.set.nr > 1)
		pr_warn("interpose: %u:%u: no point of the set was taken: error %d\n",
			MAJOR(part_device(part)), MINOR(part_device(part)), error);
}

/* Context: origin->change of all. */
static int take_obstacle(struct take *take)
{
	struct take_part *part;
	int r = 0;

	for_each_part(part, take) {
		struct interpose_origin *origin = part->origin;

		mutex_lock(&origin->mutex);
		r = origin_obstacle(origin, &take->request);
		mutex_unlock(&origin->mutex);
		r = r ?: part_alloc(take, part);
		blame(take, part, r);
		if (r)
			break;
	}
	return r;
}

/* Whether the store has stayed what origin_obstacle() found; 0, or why not.  Context: origin->change. */
static int part_store_ready(const struct take *take, const struct take_part *part)
{
	return take->request.snapshot ? interpose_shelf_ready(part->origin->shelf) : 0;
}

/* Begins the new epoch.  Context: the gate is drained. */
static void epoch_switch(struct take_part *part)
{
	struct interpose_origin *origin = part->origin;
	struct interpose_point *point = part->point;

	mutex_lock(&origin->mutex);
	part->orphan = list_empty(&origin->points) ? origin->changed : NULL;
	spin_lock_irq(&origin->lock);
	point->id = ++origin->last_id;
	point->length = origin->length;
	if (point->snapshot) {
		WRITE_ONCE(origin->newest, point->id);
		origin->newest_chunks = origin->chunks;
	}
	swap(origin->pass, part->pass);
	origin->changed = point->changed;
	spin_unlock_irq(&origin->lock);
	list_add_tail(&point->list, &origin->points);
	origin->nr_points++;
	point->time = ktime_get_real_seconds();
	point->fs_consistent = part->member->fs_consistent;
	part->member->id = point->id;
	part->point = NULL;
	mutex_unlock(&origin->mutex);
}

/*
 * What ended the older snapshots leaves a sweep to be done.  With a new snapshot a write that finds no room would
 * wait for it, a frozen filesystem's own writes too as it thaws, and it for origin->change.
 */
static bool part_needs_sweep(const struct take *take, const struct take_part *part)
{
	return take->request.snapshot && READ_ONCE(part->origin->sweeping);
}

/* Return: 0, or why no point can be taken of these epochs; -EAGAIN: once swept it can. */
static int take_ready(const struct take *take)
{
	const struct take_part *part;
	int r = 0;

	for_each_part(part, take) {
		r = READ_ONCE(part->origin->gone) ? -ESTALE : part_store_ready(take, part);
		blame(take, part, r);
		if (!r && part_needs_sweep(take, part))
			r = -EAGAIN;
		if (r)
			break;
	}
	return r;
}

/*
 * A store that went, or failed, before the new snapshot could be seen has told of it for the older ones only, and so has a
 * device that goes on without us; what goes later finds the new one.
 */
static void part_commit(const struct take *take, struct take_part *part)
{
	struct interpose_origin *origin = part->origin;
	int r;

	epoch_switch(part);
	r = part_store_ready(take, part);
	if (!r && part_needs_sweep(take, part))
		r = -EIO;
	if (READ_ONCE(origin->gone))
		interpose_origin_invalidate(origin, FAILURE_DETACHED);
	else if (r)
		interpose_origin_invalidate(origin, interpose_store_failure(r));
}

/* Context: as for interpose_gate_close(). */
static int part_close(const struct take *take, const struct take_part *part)
{
	struct interpose_origin *origin = part->origin;
	int r = interpose_gate_close(origin, take->deadline);

	if (r)
		pr_warn("interpose: %u:%u: no point was taken: writes do not end, %u held for copies, others in the base\n",
			MAJOR(part_device(part)), MINOR(part_device(part)),
			READ_ONCE(origin->nr_waiting));
	return r;
}

/* Closes the gates around the switch.  Context: filesystems are frozen, memalloc_noio. */
static int take_drained(struct take *take)
{
	struct take_part *const end = take->parts + take->request.set.nr;
	struct take_part *part, *closed = take->parts;
	int r = 0;

	while (!r && closed < end)
		r = part_close(take, closed++);
	r = r ?: take_ready(take);
	if (!r && atomic_cmpxchg(&take->state, TAKE_PENDING, TAKE_COMMITTED) != TAKE_PENDING)
		r = -ETIMEDOUT;
	if (!r)
		for_each_part(part, take)
			part_commit(take, part);
	while (closed-- > take->parts)
		interpose_gate_open(closed->origin);
	return r;
}

/* Which points are to be those of filesystems at rest. */
static void note_frozen(struct take *take, const struct interpose_frozen *frozen)
{
	struct take_part *part;

	for_each_part(part, take) {
		struct interpose_member *member = part->member;

		member->fs_consistent = member->freeze && !(member->freeze & ~frozen->fs);
	}
}

/* Somebody thawed a filesystem under us: the points are, but only as after a power cut. */
static void points_were_not_frozen(struct take *take)
{
	struct take_part *part;

	for_each_part(part, take) {
		struct interpose_origin *origin = part->origin;

		mutex_lock(&origin->mutex);
		part->member->fs_consistent = false;
		interpose_point_find(origin, part->member->id)->fs_consistent = false;
		mutex_unlock(&origin->mutex);
	}
}

static int take_frozen(struct take *take)
{
	struct interpose_frozen frozen;
	int r;

	r = interpose_freeze(&take->request.freeze, &frozen, take->deadline);
	if (!r) {
		note_frozen(take, &frozen);
		r = take_drained(take);
		if (!interpose_thaw(&frozen) && !r)
			points_were_not_frozen(take);
	}
	return r;
}

/* Writes flow all the while, but for the moment that take_drained() takes. */
static int take_prepared(struct take *take)
{
	struct take_part *part;
	int r;

	for_each_part(part, take) {
		if (part_needs_sweep(take, part))
			interpose_origin_sweep(part->origin);
		interpose_gate_prepare(part->origin);
	}
	r = take_frozen(take);
	for_each_part(part, take)
		interpose_gate_relax(part->origin);
	return r;
}

/* Context: origin->change of all. */
static int take_points(struct take *take)
{
	int r = take_repeated(take);

	if (r)
		return min(r, 0);
	if (atomic_read(&take->state) != TAKE_PENDING || ktime_after(ktime_get(), take->deadline))
		return -ETIMEDOUT;
	r = take_obstacle(take);
	if (r)
		return r;
	do {
		r = take_prepared(take);
	} while (r == -EAGAIN && ktime_before(ktime_get(), take->deadline));
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

/* Two sets may have members in common, in another order. */
static void take_lock(struct take *take)
{
	struct take_part *part;

	if (take->request.set.nr == 1) {
		mutex_lock(&take->parts[0].origin->change);
		return;
	}
	mutex_lock(&sets_mutex);
	for_each_part(part, take)
		mutex_lock_nest_lock(&part->origin->change, &sets_mutex);
}

static void take_unlock(struct take *take)
{
	struct take_part *part;

	for_each_part(part, take)
		mutex_unlock(&part->origin->change);
	if (take->request.set.nr > 1)
		mutex_unlock(&sets_mutex);
}

static void take_work(struct work_struct *work)
{
	struct take *take = container_of(work, struct take, work);
	unsigned int noio = memalloc_noio_save();
	struct take_part *part;

	take_lock(take);
	take->error = take_points(take);
	take_unlock(take);
	memalloc_noio_restore(noio);
	if (!take->error)
		for_each_part(part, take)
			interpose_origin_event(part->origin);
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
 * interpose_take() - take a point of one origin, or of several at one instant
 * Context: sleeps until the points are taken or the deadline has passed.
 * Return: 0 with id and fs_consistent of the request's members; errors: the message "take" in the uapi header.
 */
int interpose_take(struct interpose_take_request *request)
{
	struct take *take = take_alloc(request);
	unsigned int i;
	int r;

	if (!take)
		return -ENOMEM;
	kref_get(&take->ref);
	INIT_WORK(&take->work, take_work);
	queue_work(interpose_point_wq, &take->work);
	r = take_wait(take);
	if (!r)
		r = take->error;
	for (i = 0; !r && i < request->set.nr; i++) {
		request->members[i].id = take->request.members[i].id;
		request->members[i].fs_consistent = take->request.members[i].fs_consistent;
	}
	kref_put(&take->ref, take_free);
	return r;
}
