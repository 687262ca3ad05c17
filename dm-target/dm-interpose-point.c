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
#include <linux/slab.h>

#include "dm-interpose.h"

/* Sets */

static DEFINE_MUTEX(sets_mutex);

/**
 * interpose_set_lock() - take the change of all
 * @set: of one, or more; another may have the same ones, in another order.
 */
void interpose_set_lock(const struct interpose_set *set)
{
	unsigned int i;

	if (set->nr == 1) {
		mutex_lock(&set->origins[0]->change);
		return;
	}
	mutex_lock(&sets_mutex);
	for (i = 0; i < set->nr; i++)
		mutex_lock_nest_lock(&set->origins[i]->change, &sets_mutex);
}

void interpose_set_unlock(const struct interpose_set *set)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		mutex_unlock(&set->origins[i]->change);
	if (set->nr > 1)
		mutex_unlock(&sets_mutex);
}

/* Gives back the references. */
void interpose_set_put(struct interpose_set *set)
{
	while (set->nr)
		interpose_origin_unref(set->origins[--set->nr]);
}

/* Points */

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
	/* Return: whether old data goes by it. */
	bool (*commit)(struct interpose_origin *origin, struct interpose_point *point,
		       const void *request);
};

/* Nobody holds two of them but with the change of all. */
static void lock_points(const struct interpose_set *set)
{
	unsigned int i;

	if (set->nr == 1) {
		mutex_lock(&set->origins[0]->mutex);
		return;
	}
	for (i = 0; i < set->nr; i++)
		mutex_lock_nest_lock(&set->origins[i]->mutex, &sets_mutex);
}

static void unlock_points(const struct interpose_set *set)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		mutex_unlock(&set->origins[i]->mutex);
}

static int find_all(const struct interpose_selection *selection, struct interpose_point **points,
		    const struct alteration *what, const void *request)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < selection->set.nr; i++) {
		struct interpose_origin *origin = selection->set.origins[i];

		points[i] = interpose_point_find(origin, selection->ids[i]);
		if (READ_ONCE(origin->gone))
			r = -ESTALE;
		else
			r = points[i] ? what->obstacle(origin, points[i], request) : -ENOENT;
	}
	return r;
}

/* All of the selection, or nothing.  Context: the change of all; sleeps. */
static int alter(const struct interpose_selection *selection, const struct alteration *what,
		 const void *request)
{
	const struct interpose_set *set = &selection->set;
	struct interpose_point *points[INTERPOSE_SET_MAX];
	bool goes[INTERPOSE_SET_MAX];
	unsigned int i;
	int r;

	lock_points(set);
	r = find_all(selection, points, what, request);
	for (i = 0; !r && i < set->nr; i++)
		goes[i] = what->commit(set->origins[i], points[i], request);
	unlock_points(set);
	for (i = 0; !r && i < set->nr; i++) {
		if (goes[i])
			interpose_origin_sweep(set->origins[i]);
		interpose_origin_event(set->origins[i]);
	}
	return r;
}

static int alter_locked(const struct interpose_selection *selection, const struct alteration *what,
			const void *request)
{
	int r;

	interpose_set_lock(&selection->set);
	r = alter(selection, what, request);
	interpose_set_unlock(&selection->set);
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
	bool snapshot = point->snapshot;

	epoch_merge(origin, point);
	list_del(&point->list);
	origin->nr_points--;
	if (snapshot)
		interpose_origin_renew_newest(origin);
	interpose_point_free(point);
	return snapshot;
}

static bool release_commit(struct interpose_origin *origin, struct interpose_point *point,
			   const void *request)
{
	bool snapshot = point->snapshot;

	point->snapshot = false;
	if (snapshot)
		interpose_origin_renew_newest(origin);
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
	return false;
}

/**
 * interpose_drop() - remove points
 * Context: sleeps.
 * Return: 0; -ENOENT, -EBUSY, -ESTALE, and nothing was done.
 */
int interpose_drop(const struct interpose_selection *selection)
{
	static const struct alteration drop = { image_obstacle, drop_commit };

	return alter_locked(selection, &drop, NULL);
}

/**
 * interpose_release() - make snapshots checkpoints
 * Context: sleeps.
 * Return: 0, also of what is one; -ENOENT, -EBUSY, -ESTALE, and nothing was done.
 */
int interpose_release(const struct interpose_selection *selection)
{
	static const struct alteration release = { image_obstacle, release_commit };

	return alter_locked(selection, &release, NULL);
}

/**
 * interpose_change() - give points another name, other tags, other data
 * Context: sleeps.
 * Return: 0; -ENOENT, -EEXIST, -ESTALE, and nothing was done.
 */
int interpose_change(const struct interpose_selection *selection,
		     const struct interpose_change_request *request)
{
	static const struct alteration change = { change_obstacle, change_commit };

	return alter_locked(selection, &change, request);
}
