/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * dm-interpose: the objects and who may touch them.
 *
 *   table X: interpose --.                                  .-- table: interpose-image (many)
 *   (next table of X) ---+--> origin --> points, newest last
 *                             | gate, pass, changed         `-- each owns the map of its epoch
 *                             `--> shelf in a store
 *
 * An origin outlives its tables' reloads; it dies when the device goes on without one of them, and its
 * memory goes with the last image.  A point lives until it is dropped, and not while an image of it exists.
 *
 * Locks, outermost first:
 *   hooks_mutex     dm-interpose-hook.h: which origins have a hook, and redirects; held while one comes or goes
 *   sets_mutex      dm-interpose-take.c: one set at a time, which holds the change of several origins
 *   origins_mutex   the list of origins; which tables belong to one
 *   origin->change  one change of points, or of the store, at a time; held through a whole take; those of a set without
 *                   sets_mutex only by trying
 *   origin->mutex   points, images, active; short, may sleep for memory only; several with the change of all
 *   stores_mutex, alloc_mutex: dm-interpose-store.c
 *   origin->lock    what writes wait for: irqs off; then index->lock
 */
#ifndef DM_INTERPOSE_H
#define DM_INTERPOSE_H

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/device-mapper.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu-refcount.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/uuid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/dm-interpose.h>

#include "dm-interpose-chunk.h"
#include "dm-interpose-map.h"
#include "dm-interpose-module.h"
#include "dm-interpose-store.h"

/* Pages of one copy: the largest chunk, and what one bio holds. */
#define INTERPOSE_COPY_PAGES 256
/* A map's array of leaves stays below 256 MiB: 16 PiB in chunks of 16 KiB. */
#define INTERPOSE_CHUNKS_MAX (1ULL << 40)

/* What made snapshots invalid; an origin remembers the latest.  The names are in the uapi header. */
enum interpose_failure {
	FAILURE_NONE,
	FAILURE_STORE_FULL,
	FAILURE_STORE_ERROR,
	FAILURE_STORE_REMOVED,
	FAILURE_STORE_OVERWRITTEN,
	FAILURE_READ_ERROR,
	FAILURE_NO_MEMORY,
	FAILURE_DETACHED,
};

struct interpose_copy;
struct interpose_hook;

/* What a point carries for its users, who may change it. */
struct interpose_label {
	char name[INTERPOSE_NAME_MAX + 1];
	char tags[INTERPOSE_TAGS_MAX + 1];
	unsigned int data_bytes;
	u8 data[INTERPOSE_DATA_MAX];
};

struct interpose_point {
	struct list_head list; /* origin->mutex: in origin->points, ids rising */
	u64 id;
	uuid_t uuid;
	uuid_t set; /* null if it was taken by itself */
	sector_t length; /* of the origin when it was taken */
	bool snapshot; /* origin->mutex: release makes it a checkpoint */
	bool fs_consistent;
	time64_t time;
	unsigned int images; /* origin->mutex */
	struct interpose_map *changed; /* origin->mutex: of the epoch that begins here */
	struct interpose_label label; /* origin->mutex; the name: change, too */
};

struct interpose_origin {
	struct list_head list; /* origins_mutex: in origins, while it has tables */
	struct kref ref;
	uuid_t uuid; /* the tool's */
	uuid_t generation; /* ours, drawn at birth */
	sector_t length; /* change and mutex write, while the device is suspended: it may grow */
	unsigned int chunk_shift; /* log2 of sectors */
	u64 chunks; /* of length */
	unsigned int block_bytes; /* logical block of the base */
	char name[16]; /* of the live device, as device-mapper logs it: major:minor */
	struct mapped_device *md; /* the live device; outlives its tables, and so us */
	unsigned int tables; /* origins_mutex */
	const struct interpose
		*latest; /* change writes: active, or the last that was; to compare with */
	dev_t base; /* change writes: of the latest table */
	sector_t start; /* likewise */
	bool gone; /* lock writes, once: the device went on without us */
	struct interpose_hook *hook; /* hooks_mutex writes: NULL without */
	bool hooked; /* change writes: once it had one */
	atomic_t hooks; /* there are, with one whose last writes have not ended */
	wait_queue_head_t unhooked; /* hooks became 0 */

	struct mutex change;
	bool barred; /* change: the device is being suspended, no point may be taken */
	struct mutex mutex;
	struct interpose
		*active; /* mutex and lock write: the table that takes the device's writes */
	unsigned long writes; /* mutex: of the device, when its last table became inactive */
	struct list_head points; /* mutex */
	struct list_head images; /* mutex */
	unsigned int nr_points; /* mutex */

	/* The gate: every write holds it from map() to end_io(). */
	struct percpu_ref gate;
	struct completion drained;
	bool closed; /* lock */
	struct bio_list gated; /* lock: came while it was closed */
	unsigned int nr_gated; /* lock */
	struct bio_list opened; /* lock: gated ones on their way, each holding the gate */

	/* The epoch: changes only while the gate is drained. */
	struct interpose_map *pass; /* NULL before the first point */
	struct interpose_map *changed; /* the newest point's, or what the last one left behind */

	/* What snapshots need: lock writes, the fast path reads. */
	u64 last_id; /* of the newest point ever */
	u64 newest; /* id of the newest valid snapshot, 0: nothing is to be kept */
	u64 newest_chunks; /* how many it has: what grew since is not to be kept */
	u64 invalid_upto; /* snapshots with ids up to this are invalid; only rises */
	enum interpose_failure failure;

	/* The slow path. */
	spinlock_t lock; /* irqs off */
	struct list_head waiting; /* lock: writes to look at, first come first served */
	unsigned int nr_waiting; /* lock: with those that wait for a copy */
	struct rb_root copies; /* lock: under way, disjoint, by chunk */
	unsigned int nr_copies; /* lock */
	u64 copy_bytes; /* lock: what they hold */
	u64 copied; /* lock: chunks, ever */
	wait_queue_head_t copies_idle; /* nr_copies became 0 */
	struct interpose_shelf *shelf; /* change and lock write */
	struct interpose_map
		*inside; /* change and lock write: the chunks that the store lies in; or NULL */
	struct interpose_copy *reserve; /* lock: memory for one chunk, for when there is no other */

	struct bio_list parked; /* lock: reads of images, while active is NULL */

	bool sweeping; /* lock: the store may soon have room, and a sweep is due or under way */
	u64 *living; /* change: for the sweep, INTERPOSE_POINTS_MAX */
	struct work_struct write_work; /* looks at opened and waiting writes */
	struct work_struct sweep_work; /* frees what went or became invalid */
	struct work_struct event_work; /* tells who waits on the device and on its images */
	struct work_struct unpark_work; /* parked reads go on, or fail */
	struct work_struct unhook_work; /* the last table went, and left the hook */
};

/* Target interpose: one table of a live device. */
struct interpose {
	struct dm_target *ti;
	struct dm_dev *base;
	sector_t start;
	bool provisional; /* what the table says, for the tool */
	struct interpose_origin *origin;
	struct interpose_map *pass; /* for an origin that grows; its own from preresume on */
};

/* Target interpose-image. */
struct interpose_image {
	struct list_head list; /* origin->mutex */
	struct dm_target *ti;
	struct dm_dev *base;
	sector_t start;
	struct dm_dev *store;
	struct interpose_origin *origin;
	struct interpose_point *point;
	u64 id;
};

/* Per-bio data of interpose. */
struct interpose_write {
	struct list_head list; /* in origin->waiting or copy->writes */
	const struct interpose *ip; /* the table it came through, and goes on through */
	bool counted; /* holds the gate */
	struct interpose_hook *sent; /* by this one's way to its live device; only then: */
	bio_end_io_t *end_io;
	chunk_t next; /* the first chunk not known to be kept */
	chunk_t last;
	u64 birth; /* of the copy to start */
};

extern struct target_type interpose_target;
extern struct target_type interpose_base_target;
extern struct target_type interpose_image_target;
extern struct target_type interpose_store_target;

/* dm-interpose-target.c */
int interpose_parse_sector(const char *word, sector_t *sector);
char *interpose_area_error(const struct dm_target *ti, const struct dm_dev *dev, sector_t start);
void interpose_remap(struct interpose_write *write, struct bio *bio);
struct bio *interpose_write_bio(struct interpose_write *write);
struct interpose_write *interpose_bio_write(struct bio *bio);

/* dm-interpose-origin.c */
struct interpose_origin *interpose_origin_get(struct interpose *ip, const uuid_t *uuid,
					      unsigned int chunk_shift, char **error);
void interpose_origin_put(struct interpose *ip);
void interpose_origin_bar(struct interpose_origin *origin, bool barred);
void interpose_origin_activate(struct interpose *ip);
void interpose_origin_deactivate(struct interpose *ip);
void interpose_origin_unpark(struct interpose_origin *origin);
struct interpose_origin *interpose_origin_lookup(const uuid_t *uuid);
struct interpose_origin *interpose_origin_ref(struct interpose_origin *origin);
void interpose_origin_unref(struct interpose_origin *origin);
bool interpose_origin_forsake(struct interpose_origin *origin);
void interpose_origin_unhook_soon(struct interpose_origin *origin);
void interpose_origin_event(struct interpose_origin *origin);
void interpose_origin_sweep(struct interpose_origin *origin);
void interpose_origin_sweep_soon(struct interpose_origin *origin);
int interpose_origin_await_copies(struct interpose_origin *origin);
int interpose_origin_set_store(struct interpose *ip, const uuid_t *uuid,
			       struct interpose_map **inside);
int interpose_origin_unset_store(struct interpose_origin *origin);

/* dm-interpose-validity.c */
bool interpose_origin_set_invalid(struct interpose_origin *origin, enum interpose_failure failure);
void interpose_origin_tell_invalid(struct interpose_origin *origin, enum interpose_failure failure);
void interpose_origin_invalidate(struct interpose_origin *origin, enum interpose_failure failure);
bool interpose_snapshot_valid(struct interpose_origin *origin, u64 id);
const char *interpose_failure_name(enum interpose_failure failure);
enum interpose_failure interpose_store_failure(int error);
void interpose_origin_renew_newest(struct interpose_origin *origin);

/* dm-interpose-gate.c */
int interpose_gate_init(struct interpose_origin *origin);
void interpose_gate_exit(struct interpose_origin *origin);
bool interpose_gate_enter(struct interpose_origin *origin, struct bio *bio);

static inline void interpose_gate_leave(struct interpose_origin *origin)
{
	percpu_ref_put(&origin->gate);
}

void interpose_gate_prepare(struct interpose_origin *origin);
int interpose_gate_close(struct interpose_origin *origin, ktime_t deadline);
void interpose_gate_open(struct interpose_origin *origin);
void interpose_gate_relax(struct interpose_origin *origin);

/* dm-interpose-base.c */
struct interpose_base;

struct interpose_area {
	dev_t live;
	sector_t first; /* of the live device's disk */
	sector_t sectors;
};

void interpose_base_end_io(struct bio *bio);
bool interpose_base_sent(struct bio *bio, const struct gendisk *through);
void interpose_base_hold(struct interpose_base *base, bool holds);
int interpose_base_area(const struct gendisk *disk, struct interpose_area *area);

/* dm-interpose-write.c */
bool interpose_write_noted(struct interpose_origin *origin, enum req_op op,
			   struct chunk_range range);

/**
 * interpose_write_goes() - whether a write that holds the gate may go to the base at once; it is noted then
 * Context: any; never sleeps.
 */
static inline bool interpose_write_goes(struct interpose_origin *origin, enum req_op op,
					struct chunk_range range)
{
	if (!origin->pass && !READ_ONCE(origin->inside))
		return true;
	return interpose_write_noted(origin, op, range);
}

int interpose_write(struct interpose_origin *origin, struct bio *bio,
		    struct interpose_write *write);
void interpose_bio_detach(struct bio *bio);
void interpose_write_work(struct work_struct *work);
void interpose_mark_kept(struct interpose_origin *origin, struct chunk_range range);

/* dm-interpose-copy.c */
int interpose_copy_init(void);
void interpose_copy_exit(void);
int interpose_copy_reserve_alloc(struct interpose_origin *origin);
void interpose_copy_reserve_free(struct interpose_origin *origin);
u64 interpose_copy_gap(struct interpose_origin *origin, chunk_t chunk);
bool interpose_copy_join(struct interpose_origin *origin, struct interpose_write *write);
int interpose_copy_start(struct interpose_origin *origin, struct interpose_write *write,
			 u64 chunks);
u64 interpose_copy_budget(void);
void interpose_bio_add_pages(struct bio *bio, struct page **pages, unsigned int sectors);

/* dm-interpose-inside.c */
bool interpose_inside_met(struct interpose_origin *origin, struct chunk_range range);
bool interpose_inside_waits(const struct interpose_origin *origin, struct chunk_range range);
bool interpose_inside_holds(const struct interpose_origin *origin, chunk_t chunk);
void interpose_inside_begin(struct interpose_origin *origin, struct interpose_map *inside);
void interpose_inside_end(struct interpose_origin *origin);

/* dm-interpose-freeze.c */
struct interpose_freeze_list {
	dev_t dev[INTERPOSE_FREEZE_MAX]; /* top first */
	unsigned int nr;
};

struct interpose_frozen {
	struct file *handle[INTERPOSE_FREEZE_MAX];
	bool ours[INTERPOSE_FREEZE_MAX];
	unsigned int nr;
	u32 fs; /* those that had a filesystem, a bit each */
};

int interpose_freeze(const struct interpose_freeze_list *list, struct interpose_frozen *frozen,
		     ktime_t deadline);
bool interpose_thaw(struct interpose_frozen *frozen);

/* dm-interpose-hook.c */
struct interpose_hook_request {
	unsigned int deadline_ms;
	struct interpose_freeze_list freeze;
};

int interpose_hook(struct interpose *ip, const struct interpose_hook_request *request);
int interpose_unhook(struct interpose_origin *origin, unsigned int deadline_ms);
void interpose_unhook_work(struct work_struct *work);
void interpose_hook_lose_base(const struct gendisk *through);
bool interpose_hook_lose_top(struct interpose_origin *origin);
void interpose_hook_await_turned(struct interpose_origin *origin);
dev_t interpose_hook_device(const struct interpose_origin *origin);

/* dm-interpose-redirect.c */
int interpose_redirect(struct interpose_base *base, struct gendisk *through, dev_t endpoint,
		       const struct interpose_hook_request *request);
int interpose_direct(const struct gendisk *through, unsigned int deadline_ms);
dev_t interpose_endpoint(const struct gendisk *through);

/* dm-interpose-hooked.c */
int interpose_hooked_init(void);
void interpose_hooked_exit(void);
bool interpose_hooked_send(struct interpose_write *write, struct bio *bio);

/* dm-interpose-point.c */
/* Different origins, of each a reference. */
struct interpose_set {
	unsigned int nr;
	struct interpose_origin *origins[INTERPOSE_SET_MAX];
};

/* A point of each. */
struct interpose_selection {
	struct interpose_set set;
	u64 ids[INTERPOSE_SET_MAX];
};

/* What is not kept is taken from label. */
struct interpose_change_request {
	struct interpose_label label;
	bool keep_name, keep_tags, keep_data;
};

void interpose_set_put(struct interpose_set *set);
int interpose_drop(const struct interpose_selection *selection);
int interpose_release(const struct interpose_selection *selection);
int interpose_change(const struct interpose_selection *selection,
		     const struct interpose_change_request *request);
struct interpose_point *interpose_point_find(struct interpose_origin *origin, u64 id);
bool interpose_point_named(struct interpose_origin *origin, const char *name,
			   const struct interpose_point *but);
void interpose_point_free(struct interpose_point *point);
void interpose_points_free(struct interpose_origin *origin);
u64 interpose_points_map_bytes(struct interpose_origin *origin);
unsigned int interpose_points_epochs(struct interpose_origin *origin, u64 since, u64 until,
				     struct interpose_map **maps);

/* dm-interpose-take.c */
/* One origin's part in a set of points, and what came of it. */
struct interpose_member {
	uuid_t uuid;
	u32 freeze; /* the devices of the request's list that are its own, a bit each */
	u64 id;
	bool fs_consistent;
};

struct interpose_take_request {
	bool snapshot;
	struct interpose_label label;
	unsigned int deadline_ms;
	struct interpose_freeze_list freeze; /* of all members */
	struct interpose_set set;
	struct interpose_member members[INTERPOSE_SET_MAX];
};

int interpose_take(struct interpose_take_request *request);

/* dm-interpose-image.c */
void interpose_image_unpark(struct interpose_origin *origin);

/* dm-interpose-message.c */
int interpose_parse_dev(char *word, dev_t *dev);
int interpose_parse_deadline(const char *word, unsigned int *ms);
int interpose_parse_hook(char **args, struct interpose_hook_request *request);
int interpose_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
		      unsigned int maxlen);

#endif /* DM_INTERPOSE_H */
