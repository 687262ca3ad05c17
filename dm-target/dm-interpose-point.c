// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Points: found, compared, dropped, and what they carry.
 *
 *   changed:   | point 1 ----> | point 2 ----> | point 3 ----> now
 *              `-- its map      `-- its map     `-- its map, the one that writes set bits in
 *
 * Each point owns the map of what changed since it.  When a point goes, its map and its elder's become
 * one: into the newer of the two, which may be the one that writes are setting bits in now.
 *
 * Points of several origins, as those of a set, are changed in one step: all locks are taken, all are looked at, and from then
 * on nothing can fail.
 */
#include <linux/delay.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "dm-interpose.h"

/* How long a message waits for what holds the change of an origin, such as a point being taken. */
#define CHANGE_WAIT_MS INTERPOSE_DEADLINE_MS_DEFAULT
#define CHANGE_PAUSE_MS 5

/* Gives back the references. */
void interpose_set_put(struct interpose_set *set)
{
	while (set->nr)
		interpose_origin_unref(set->origins[--set->nr]);
}

struct interpose_point *interpose_point_find(struct interpose_origin *origin, u64 id)
{
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point->id == id)
			return point;
	return NULL;
}

void interpose_point_free(struct interpose_point *point)
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
		interpose_point_free(point);
}

u64 interpose_points_map_bytes(struct interpose_origin *origin)
{
	u64 bytes = interpose_map_bytes(origin->pass) + interpose_map_bytes(origin->inside);
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

/* Whether a point other than @but, which may be NULL, has that name. */
bool interpose_point_named(struct interpose_origin *origin, const char *name,
			   const struct interpose_point *but)
{
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list)
		if (point != but && !strcmp(point->label.name, name))
			return true;
	return false;
}

/* Changing */

/* What is done to a point; context of both: change and mutex of the origin. */
struct alteration {
	/* Return: 0, or why it cannot be. */
	int (*obstacle)(struct interpose_origin *origin, struct interpose_point *point,
			const void *request);
	/* Return: whether that changed anything. */
	bool (*commit)(struct interpose_origin *origin, struct interpose_point *point,
		       const void *request);
	bool drops_point;
	bool drops_data; /* of a snapshot */
};

/* What becomes of a selected point. */
struct altered {
	struct interpose_point *point;
	bool changed;
	bool data_goes;
};

static void set_unlock(const struct interpose_set *set, unsigned int nr)
{
	while (nr)
		mutex_unlock(&set->origins[--nr]->change);
}

static bool set_trylock(const struct interpose_set *set)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		if (!mutex_trylock(&set->origins[i]->change)) {
			set_unlock(set, i);
			return false;
		}
	return true;
}

/*
 * The change of all, without waiting in it for sets that these are not of: a freeze that hangs holds those for good.
 * Return: 0, -EINTR, -EBUSY.
 */
static int set_lock_soon(const struct interpose_set *set)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), CHANGE_WAIT_MS);

	while (!set_trylock(set)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (ktime_after(ktime_get(), deadline))
			return -EBUSY;
		msleep(CHANGE_PAUSE_MS);
	}
	return 0;
}

/* Nobody holds two of them but with the change of all. */
static void lock_points(const struct interpose_set *set)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		mutex_lock_nest_lock(&set->origins[i]->mutex, &set->origins[0]->change);
}

static void unlock_points(const struct interpose_set *set)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		mutex_unlock(&set->origins[i]->mutex);
}

static int find(const struct interpose_selection *selection, unsigned int i,
		struct altered *altered, const struct alteration *what, const void *request)
{
	struct interpose_origin *origin = selection->set.origins[i];

	altered->point = interpose_point_find(origin, selection->ids[i]);
	if (READ_ONCE(origin->gone))
		return -ESTALE;
	return altered->point ? what->obstacle(origin, altered->point, request) : -ENOENT;
}

static int find_all(const struct interpose_selection *selection, struct altered *altered,
		    const struct alteration *what, const void *request)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < selection->set.nr; i++)
		r = find(selection, i, &altered[i], what, request);
	if (r && selection->set.nr > 1) /* the error cannot tell of which it is */
		pr_warn("interpose: %s: no point of the set was changed: error %d\n",
			selection->set.origins[i - 1]->name, r);
	return r;
}

/*
 * Memory is asked for before writes are made to wait for a sweep, which only comes after it.
 * Context: change and mutex of all.
 */
static void commit_all(const struct interpose_set *set, struct altered *altered,
		       const struct alteration *what, const void *request)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++) {
		altered[i].data_goes = what->drops_data && altered[i].point->snapshot;
		altered[i].changed = what->commit(set->origins[i], altered[i].point, request);
	}
	for (i = 0; i < set->nr; i++)
		if (altered[i].data_goes)
			interpose_origin_renew_newest(set->origins[i]);
}

/* Context: the change of all; sleeps. */
static void follow_up(const struct interpose_set *set, const struct altered *altered,
		      const struct alteration *what)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		if (altered[i].data_goes)
			interpose_origin_sweep(set->origins[i]);
	for (i = 0; i < set->nr; i++) {
		if (altered[i].changed)
			interpose_origin_event(set->origins[i]);
		if (what->drops_point)
			interpose_point_free(altered[i].point);
	}
}

/* All of the selection, or nothing.  Context: sleeps. */
static int alter(const struct interpose_selection *selection, const struct alteration *what,
		 const void *request)
{
	const struct interpose_set *set = &selection->set;
	struct altered altered[INTERPOSE_SET_MAX];
	int r = set_lock_soon(set);

	if (r)
		return r;
	lock_points(set);
	r = find_all(selection, altered, what, request);
	if (!r)
		commit_all(set, altered, what, request);
	unlock_points(set);
	if (!r)
		follow_up(set, altered, what);
	set_unlock(set, set->nr);
	return r;
}

static int image_obstacle(struct interpose_origin *origin, struct interpose_point *point,
			  const void *request)
{
	return point->images ? -EBUSY : 0;
}

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

static bool drop_commit(struct interpose_origin *origin, struct interpose_point *point,
			const void *request)
{
	epoch_merge(origin, point);
	list_del(&point->list);
	origin->nr_points--;
	return true;
}

static bool release_commit(struct interpose_origin *origin, struct interpose_point *point,
			   const void *request)
{
	bool snapshot = point->snapshot;

	point->snapshot = false;
	return snapshot;
}

static int change_obstacle(struct interpose_origin *origin, struct interpose_point *point,
			   const void *request)
{
	const struct interpose_change_request *change = request;

	if (!change->keep_name && interpose_point_named(origin, change->label.name, point))
		return -EEXIST;
	return 0;
}

static bool change_commit(struct interpose_origin *origin, struct interpose_point *point,
			  const void *request)
{
	const struct interpose_change_request *change = request;
	const struct interpose_label *label = &change->label;

	if (!change->keep_name)
		strscpy(point->label.name, label->name, sizeof(point->label.name));
	if (!change->keep_tags)
		strscpy(point->label.tags, label->tags, sizeof(point->label.tags));
	if (!change->keep_data) {
		point->label.data_bytes = label->data_bytes;
		memcpy(point->label.data, label->data, label->data_bytes);
	}
	return true;
}

/**
 * interpose_drop() - remove points
 * Context: sleeps.
 * Return: 0; -ENOENT, -EBUSY, -ESTALE, -EINTR, and nothing was done.
 */
int interpose_drop(const struct interpose_selection *selection)
{
	static const struct alteration drop = {
		.obstacle = image_obstacle,
		.commit = drop_commit,
		.drops_point = true,
		.drops_data = true,
	};

	return alter(selection, &drop, NULL);
}

/**
 * interpose_release() - make snapshots checkpoints
 * Context: sleeps.
 * Return: 0, also of what is one; -ENOENT, -EBUSY, -ESTALE, -EINTR, and nothing was done.
 */
int interpose_release(const struct interpose_selection *selection)
{
	static const struct alteration release = {
		.obstacle = image_obstacle,
		.commit = release_commit,
		.drops_data = true,
	};

	return alter(selection, &release, NULL);
}

/**
 * interpose_change() - give points another name, other tags, other data
 * Context: sleeps.
 * Return: 0; -ENOENT, -EEXIST, -EBUSY, -ESTALE, -EINTR, and nothing was done.
 */
int interpose_change(const struct interpose_selection *selection,
		     const struct interpose_change_request *request)
{
	static const struct alteration change = {
		.obstacle = change_obstacle,
		.commit = change_commit,
	};

	return alter(selection, &change, request);
}
