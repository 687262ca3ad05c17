// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The simple store: granules handed out from a bitmap, an index in memory, nothing to replay.
 *
 *   reserve: bitmap -> granules, slab or spares -> entries   (never waits for I/O)
 *   keep:    pages -> bio -> device -> keep_ended() -> keep_work(): index, then done()
 *   find:    index
 *   sweep:   entries of the index that no living snapshot reads go back to slab and bitmap
 *
 * An entry is in the index only while its data is on the device.  What is on the device means nothing after
 * the store is closed: volatile exceptions are the price of a write path that waits for no flush.
 *
 * Locks, outermost first:
 *   stores_mutex   the list of open stores, their shelves, and "gone"; may sleep
 *   alloc_mutex    the bitmap of one store; may sleep, so only workers allocate
 *   index->lock    of one shelf; irqs off
 */
#include <linux/bio.h>
#include <linux/bitmap.h>
#include <linux/crc32c.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include <uapi/dm-interpose.h>

#include "dm-interpose-index.h"
#include "dm-interpose-store.h"
#include "dm-interpose.h"

/* bitmap_set() counts in 32 bits.  What a larger store has beyond is not used. */
#define GRANULES_MAX ((u64)INT_MAX)

struct interpose_store {
	struct list_head list; /* stores_mutex: in stores */
	struct list_head shelves; /* stores_mutex */
	struct kref ref; /* the target, and each shelf */
	uuid_t uuid;
	struct block_device *bdev; /* open as long as the store is */
	dev_t devt;
	sector_t data; /* first sector of granule 0 */
	unsigned int granule_shift; /* log2 of sectors */
	u64 granules;

	struct mutex alloc_mutex;
	unsigned long *bitmap; /* alloc_mutex: one bit a granule */
	u64 cursor; /* alloc_mutex: where the search goes on */
	u64 used; /* alloc_mutex writes, granules */

	struct dm_table *
		table; /* stores_mutex: of the target, to tell who waits on it; NULL when it goes */
	struct work_struct event_work;
	bool full; /* told of, until there is room again */
	bool failed; /* set once: an I/O error, or its place is lost */
	bool gone; /* set once, when the target goes: no I/O starts any more */
	atomic_t writing; /* keeps between reserve and done; 1 for the open store */
	wait_queue_head_t idle; /* writing became 0 */

	/* Its own: a device that takes no more I/O holds up nobody's writes but those that it keeps. */
	struct workqueue_struct *wq;
	struct bio_set bios;
};

struct interpose_shelf {
	struct list_head list; /* stores_mutex: in store->shelves */
	struct interpose_store *store;
	unsigned int chunk_shift; /* log2 of sectors */
	unsigned int chunk_granules;
	void (*lost)(void *owner, int error);
	void *owner;
	struct interpose_index index;
};

static DEFINE_MUTEX(stores_mutex);
static LIST_HEAD(stores);

/* The store and its header */

static int read_header(struct dm_dev *dev, sector_t start, struct page *page)
{
	struct bio_vec vec;
	struct bio bio;
	int r;

	bio_init(&bio, dev->bdev, &vec, 1, REQ_OP_READ);
	bio.bi_iter.bi_sector = start;
	__bio_add_page(&bio, page, INTERPOSE_STORE_HEADER_BYTES, 0);
	r = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return r;
}

/* The first thing wrong with a header, NULL if it can be used. */
static char *header_error(struct interpose_store_header *h, sector_t device_sectors)
{
	u32 checksum = le32_to_cpu(h->checksum);
	u64 sectors = le64_to_cpu(h->sectors);
	u32 granule = le32_to_cpu(h->granule_sectors);

	if (memcmp(h->magic, INTERPOSE_STORE_MAGIC, sizeof(h->magic)))
		return "device holds no dmsnap store";
	if (le32_to_cpu(h->format) != INTERPOSE_STORE_FORMAT)
		return "store has another format";
	h->checksum = 0;
	if ((crc32c(~0, h, sizeof(*h)) ^ ~0) != checksum)
		return "checksum of the store's header is wrong";
	if (!is_power_of_2(granule) || granule < INTERPOSE_CHUNK_SECTORS_MIN ||
	    granule > INTERPOSE_CHUNK_SECTORS_MAX)
		return "granule in the store's header is no chunk size";
	if (sectors > device_sectors)
		return "store is larger than its device";
	if (sectors < INTERPOSE_STORE_SECTORS_MIN)
		return "store is smaller than " __stringify(INTERPOSE_STORE_SECTORS_MIN) " sectors";
	return NULL;
}

static void store_free(struct kref *ref)
{
	struct interpose_store *store = container_of(ref, struct interpose_store, ref);

	destroy_workqueue(store->wq);
	bioset_exit(&store->bios);
	kvfree(store->bitmap);
	kfree(store);
}

static void tell_owners(struct interpose_store *store, int error)
{
	struct interpose_shelf *shelf;

	lockdep_assert_held(&stores_mutex);
	list_for_each_entry(shelf, &store->shelves, list)
		shelf->lost(shelf->owner, error);
}

static void event_work(struct work_struct *work)
{
	struct interpose_store *store = container_of(work, struct interpose_store, event_work);

	mutex_lock(&stores_mutex);
	if (READ_ONCE(store->failed))
		tell_owners(store, -EIO);
	if (store->table)
		dm_table_event(store->table);
	mutex_unlock(&stores_mutex);
	kref_put(&store->ref, store_free);
}

/* Something to see in status has changed.  Context: any that holds the store. */
static void store_event(struct interpose_store *store)
{
	kref_get(&store->ref);
	if (!queue_work(interpose_point_wq, &store->event_work))
		kref_put(&store->ref, store_free);
}

static struct interpose_store *store_alloc(const struct interpose_store_header *h, char **error)
{
	struct interpose_store *store = kzalloc(sizeof(*store), GFP_KERNEL);

	*error = "no memory for the store";
	if (!store)
		return NULL;
	store->granule_shift = ilog2(le32_to_cpu(h->granule_sectors));
	store->granules =
		min((le64_to_cpu(h->sectors) - INTERPOSE_STORE_DATA_SECTOR) >> store->granule_shift,
		    GRANULES_MAX);
	store->bitmap = kvcalloc(BITS_TO_LONGS(store->granules), sizeof(long), GFP_KERNEL);
	if (!store->bitmap)
		goto free_store;
	store->wq = alloc_workqueue("dm-interpose-store", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!store->wq)
		goto free_bitmap;
	if (bioset_init(&store->bios, BIO_POOL_SIZE, 0, BIOSET_NEED_BVECS))
		goto destroy_wq;
	import_uuid(&store->uuid, h->uuid);
	kref_init(&store->ref);
	INIT_LIST_HEAD(&store->shelves);
	mutex_init(&store->alloc_mutex);
	INIT_WORK(&store->event_work, event_work);
	atomic_set(&store->writing, 1);
	init_waitqueue_head(&store->idle);
	return store;

destroy_wq:
	destroy_workqueue(store->wq);
free_bitmap:
	kvfree(store->bitmap);
free_store:
	kfree(store);
	return NULL;
}

static struct interpose_store *store_lookup(const uuid_t *uuid)
{
	struct interpose_store *store;

	lockdep_assert_held(&stores_mutex);
	list_for_each_entry(store, &stores, list)
		if (uuid_equal(&store->uuid, uuid))
			return store;
	return NULL;
}

static int store_publish(struct interpose_store *store, char **error)
{
	int r = 0;

	mutex_lock(&stores_mutex);
	if (store_lookup(&store->uuid)) {
		*error = "a store with this uuid is open";
		r = -EEXIST;
	} else {
		list_add_tail(&store->list, &stores);
	}
	mutex_unlock(&stores_mutex);
	return r;
}

struct interpose_store *interpose_store_open(struct dm_target *ti, struct dm_dev *dev,
					     sector_t start)
{
	struct interpose_store *store = NULL;
	struct page *page = alloc_page(GFP_KERNEL);
	int r = -ENOMEM;

	ti->error = "no memory for the store's header";
	if (!page)
		return ERR_PTR(r);
	ti->error = "the store's header cannot be read";
	r = read_header(dev, start, page);
	if (r)
		goto free_page;
	r = -EINVAL;
	ti->error = header_error(page_address(page), ti->len);
	if (ti->error)
		goto free_page;
	r = -ENOMEM;
	store = store_alloc(page_address(page), &ti->error);
	if (!store)
		goto free_page;
	store->bdev = dev->bdev;
	store->devt = dev->bdev->bd_dev;
	store->data = start + INTERPOSE_STORE_DATA_SECTOR;
	store->table = ti->table;
	r = store_publish(store, &ti->error);
	if (r)
		kref_put(&store->ref, store_free);
free_page:
	__free_page(page);
	return r ? ERR_PTR(r) : store;
}

/* Whoever writes holds the store's memory too: close() frees it as soon as writing is 0. */
static bool store_writing_get(struct interpose_store *store)
{
	if (!atomic_inc_not_zero(&store->writing))
		return false;
	kref_get(&store->ref);
	return true;
}

static void store_writing_put(struct interpose_store *store)
{
	if (atomic_dec_and_test(&store->writing))
		wake_up(&store->idle);
	kref_put(&store->ref, store_free);
}

void interpose_store_close(struct interpose_store *store)
{
	mutex_lock(&stores_mutex);
	list_del(&store->list);
	WRITE_ONCE(store->gone, true);
	store->table = NULL;
	tell_owners(store, -ENODEV);
	mutex_unlock(&stores_mutex);

	kref_get(&store->ref);
	store_writing_put(store);
	wait_event(store->idle, !atomic_read(&store->writing));
	kref_put(&store->ref, store_free);
}

void interpose_store_status(struct interpose_store *store, struct interpose_store_status *status)
{
	struct interpose_shelf *shelf;

	memset(status, 0, sizeof(*status));
	uuid_copy(&status->uuid, &store->uuid);
	status->failed = READ_ONCE(store->failed);
	status->used = READ_ONCE(store->used) << store->granule_shift;
	status->usable = store->granules << store->granule_shift;
	mutex_lock(&stores_mutex);
	list_for_each_entry(shelf, &store->shelves, list) {
		u64 bytes, bound;

		interpose_shelf_status(shelf, &bytes, &bound);
		status->origins++;
		status->exceptions += READ_ONCE(shelf->index.count);
		status->index_bytes += bytes;
		status->index_bound += bound;
	}
	mutex_unlock(&stores_mutex);
	status->index_bytes += BITS_TO_LONGS(store->granules) * sizeof(long);
	status->index_bound += BITS_TO_LONGS(store->granules) * sizeof(long);
}

/* Granules */

/* Takes up to @chunks chunks in a row; returns how many, with the first granule in *slot. */
static unsigned int granules_take(struct interpose_shelf *shelf, unsigned int chunks, u64 *slot)
{
	struct interpose_store *store = shelf->store;
	unsigned int n = shelf->chunk_granules, got = 0;
	unsigned long at;

	mutex_lock(&store->alloc_mutex);
	at = bitmap_find_next_zero_area(store->bitmap, store->granules, store->cursor, n, 0);
	if (at >= store->granules)
		at = bitmap_find_next_zero_area(store->bitmap, store->granules, 0, n, 0);
	if (at < store->granules) {
		unsigned long end = find_next_bit(
			store->bitmap, min_t(u64, at + (u64)n * chunks, store->granules), at);

		got = (end - at) / n;
		bitmap_set(store->bitmap, at, got * n);
		store->used += got * n;
		store->cursor = at + got * n;
		*slot = at;
	}
	mutex_unlock(&store->alloc_mutex);
	return got;
}

static void granules_give(struct interpose_shelf *shelf, u64 slot, unsigned int chunks)
{
	struct interpose_store *store = shelf->store;
	unsigned int n = chunks * shelf->chunk_granules;

	if (!n)
		return;
	mutex_lock(&store->alloc_mutex);
	bitmap_clear(store->bitmap, slot, n);
	store->used -= n;
	WRITE_ONCE(store->full, false);
	mutex_unlock(&store->alloc_mutex);
}

/* Finding and forgetting */

bool interpose_shelf_find(struct interpose_shelf *shelf, chunk_t chunk, u64 id,
			  struct interpose_place *place)
{
	struct interpose_store *store = shelf->store;
	u64 slot;

	if (!interpose_index_find(&shelf->index, chunk, id, &slot))
		return false;
	if (place) {
		place->bdev = store->bdev;
		place->sector = store->data + (slot << store->granule_shift);
	}
	return true;
}

void interpose_shelf_sweep(struct interpose_shelf *shelf, const u64 *living, unsigned int nr_living)
{
	unsigned long i;

	for (i = 0; i < shelf->index.buckets; i++) {
		struct exception *dead = interpose_index_sweep(&shelf->index, i, living, nr_living),
				 *e;

		for (e = dead; e; e = e->next)
			granules_give(shelf, e->slot, 1);
		interpose_index_free(dead);
		cond_resched();
	}
}

/* Shelves */

/* The most chunks a shelf can have in its store. */
static u64 shelf_chunks(const struct interpose_shelf *shelf)
{
	return shelf->store->granules / shelf->chunk_granules;
}

static struct interpose_shelf *shelf_alloc(struct interpose_store *store, unsigned int chunk_shift)
{
	struct interpose_shelf *shelf = kzalloc(sizeof(*shelf), GFP_KERNEL);

	if (!shelf)
		return ERR_PTR(-ENOMEM);
	shelf->store = store;
	shelf->chunk_shift = chunk_shift;
	shelf->chunk_granules = 1U << (chunk_shift - store->granule_shift);
	if (interpose_index_init(&shelf->index, shelf_chunks(shelf))) {
		kfree(shelf);
		return ERR_PTR(-ENOMEM);
	}
	return shelf;
}

struct interpose_shelf *interpose_shelf_bind(const uuid_t *uuid, unsigned int chunk_shift,
					     unsigned int block_bytes,
					     void (*lost)(void *owner, int error), void *owner)
{
	struct interpose_shelf *shelf = ERR_PTR(-ENODEV);
	struct interpose_store *store;

	mutex_lock(&stores_mutex);
	store = store_lookup(uuid);
	if (!store)
		goto unlock;
	shelf = ERR_PTR(-EIO);
	if (READ_ONCE(store->failed))
		goto unlock;
	shelf = ERR_PTR(-EINVAL);
	if (chunk_shift < store->granule_shift ||
	    bdev_logical_block_size(store->bdev) > block_bytes)
		goto unlock;
	shelf = shelf_alloc(store, chunk_shift);
	if (IS_ERR(shelf))
		goto unlock;
	shelf->lost = lost;
	shelf->owner = owner;
	kref_get(&store->ref);
	list_add_tail(&shelf->list, &store->shelves);
unlock:
	mutex_unlock(&stores_mutex);
	return shelf;
}

const uuid_t *interpose_shelf_store_uuid(const struct interpose_shelf *shelf)
{
	return &shelf->store->uuid;
}

dev_t interpose_shelf_device(const struct interpose_shelf *shelf)
{
	return shelf->store->devt;
}

void interpose_shelf_status(struct interpose_shelf *shelf, u64 *bytes, u64 *bound)
{
	*bytes = interpose_index_bytes(&shelf->index);
	*bound = interpose_index_bound(&shelf->index, shelf_chunks(shelf));
}

int interpose_shelf_ready(struct interpose_shelf *shelf)
{
	if (READ_ONCE(shelf->store->gone))
		return -ENODEV;
	return READ_ONCE(shelf->store->failed) ? -EIO : 0;
}

static void store_fail(struct interpose_store *store)
{
	if (!xchg(&store->failed, true))
		store_event(store);
}

void interpose_shelf_fail(struct interpose_shelf *shelf)
{
	store_fail(shelf->store);
}

void interpose_shelf_unbind(struct interpose_shelf *shelf)
{
	struct interpose_store *store = shelf->store;

	mutex_lock(&stores_mutex);
	list_del(&shelf->list);
	mutex_unlock(&stores_mutex);
	interpose_shelf_sweep(shelf, NULL, 0);
	interpose_index_exit(&shelf->index);
	kfree(shelf);
	kref_put(&store->ref, store_free);
}

void interpose_shelf_queue(struct interpose_shelf *shelf, struct work_struct *work)
{
	queue_work(shelf->store->wq, work);
}

/* Keeping */

int interpose_shelf_reserve(struct interpose_shelf *shelf, struct interpose_keep *keep)
{
	struct interpose_store *store = shelf->store;
	unsigned int entries, granted;
	int r;

	if (!store_writing_get(store))
		return -ENODEV;
	r = interpose_shelf_ready(shelf);
	if (r)
		goto put_writing;
	keep->shelf = shelf;
	r = -ENOSPC;
	granted = granules_take(shelf, keep->chunks, &keep->slot);
	if (!granted) {
		if (!xchg(&store->full, true))
			store_event(store);
		goto put_writing;
	}
	keep->chunks = granted;
	entries = interpose_index_alloc(&shelf->index, &keep->entries, granted);
	granules_give(shelf, keep->slot + (u64)entries * shelf->chunk_granules, granted - entries);
	keep->chunks = entries;
	if (entries)
		return 0;
	r = -ENOMEM;
put_writing:
	store_writing_put(store);
	return r;
}

void interpose_shelf_cancel(struct interpose_keep *keep)
{
	interpose_index_free(keep->entries);
	keep->entries = NULL;
	granules_give(keep->shelf, keep->slot, keep->chunks);
	store_writing_put(keep->shelf->store);
}

static void keep_index(struct interpose_keep *keep)
{
	struct interpose_index_run run = {
		.entries = keep->entries,
		.chunk = keep->chunk,
		.chunks = keep->chunks,
		.birth = keep->birth,
		.slot = keep->slot,
		.step = keep->shelf->chunk_granules,
	};

	keep->entries = NULL;
	interpose_index_insert(&keep->shelf->index, &run);
}

static void keep_work(struct work_struct *work)
{
	struct interpose_keep *keep = container_of(work, struct interpose_keep, work);
	struct interpose_store *store = keep->shelf->store;

	if (keep->error) {
		store_fail(store);
		interpose_index_free(keep->entries);
		granules_give(keep->shelf, keep->slot, keep->chunks);
	} else {
		keep_index(keep);
	}
	keep->done(keep, keep->error);
	store_writing_put(store);
}

static void keep_ended(struct bio *bio)
{
	struct interpose_keep *keep = bio->bi_private;

	keep->error = blk_status_to_errno(bio->bi_status);
	bio_put(bio);
	queue_work(interpose_wq, &keep->work);
}

void interpose_shelf_keep(struct interpose_keep *keep)
{
	struct interpose_store *store = keep->shelf->store;
	unsigned int pages = DIV_ROUND_UP(keep->sectors, PAGE_SECTORS);
	struct bio *bio =
		bio_alloc_bioset(store->bdev, pages, REQ_OP_WRITE, GFP_NOIO, &store->bios);

	INIT_WORK(&keep->work, keep_work);
	bio->bi_iter.bi_sector = store->data + (keep->slot << store->granule_shift);
	bio->bi_private = keep;
	bio->bi_end_io = keep_ended;
	interpose_bio_add_pages(bio, keep->pages, keep->sectors);
	submit_bio(bio);
}

int __init interpose_store_init(void)
{
	return interpose_index_module_init();
}

void interpose_store_exit(void)
{
	interpose_index_module_exit();
}
