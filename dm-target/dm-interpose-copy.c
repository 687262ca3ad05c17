// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Copies: a run of old chunks from the base into the store, read once for everybody.
 *
 *   start: memory, room in the store -> read of the base -> read_ended -> read_work
 *       -> shelf_keep -> kept: mark chunks -> finish: writes back to the head of waiting
 *
 * Copies of one origin are disjoint; a write to a chunk that is being copied joins the copy.  Each copy
 * has a write that waits for it and holds the gate, so the epoch cannot change below it.
 *
 * Memory: up to the byte budget for each origin, all or nothing, first come first served; never by waiting
 * for I/O, which may be the very write.  When there is none, the next copy waits for the end of one under
 * way; when none is under way, the origin's reserve of one chunk serves.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "dm-interpose.h"

struct interpose_copy {
	struct rb_node node; /* origin->lock: in origin->copies */
	struct interpose_origin *origin;
	struct list_head writes; /* origin->lock: waiting for us */
	struct interpose_keep keep;
	struct work_struct work;
	int error;
	bool is_reserve;
	unsigned int nr_pages;
	struct page *pages[INTERPOSE_COPY_PAGES];
};

static unsigned int copy_budget = 64;
module_param(copy_budget, uint, 0644);
MODULE_PARM_DESC(
	copy_budget,
	"MiB of old data each origin may have in memory on its way to the store (1..1024)");

static struct bio_set copy_bios;

u64 interpose_copy_budget(void)
{
	return (u64)clamp(READ_ONCE(copy_budget), 1U, 1024U) << 20;
}

void interpose_bio_add_pages(struct bio *bio, struct page **pages, unsigned int sectors)
{
	unsigned int left = sectors << SECTOR_SHIFT;

	for (; left; pages++) {
		unsigned int bytes = min_t(unsigned int, left, PAGE_SIZE);

		__bio_add_page(bio, *pages, bytes, 0);
		left -= bytes;
	}
}

static unsigned int chunk_pages(const struct interpose_origin *origin)
{
	return max(1U, (1U << origin->chunk_shift) / (unsigned int)PAGE_SECTORS);
}

/* Memory */

static void copy_free(struct interpose_copy *copy)
{
	if (!copy)
		return;
	while (copy->nr_pages)
		__free_page(copy->pages[--copy->nr_pages]);
	kfree(copy);
}

/* A copy with memory of up to @want pages, NULL if there is not even enough for one chunk. */
static struct interpose_copy *copy_alloc(struct interpose_origin *origin, unsigned int want,
					 gfp_t gfp)
{
	unsigned int pages = chunk_pages(origin);
	struct interpose_copy *copy = kzalloc(sizeof(*copy), gfp);

	if (!copy)
		return NULL;
	while (copy->nr_pages < want) {
		struct page *page = alloc_page(gfp);

		if (!page)
			break;
		copy->pages[copy->nr_pages++] = page;
	}
	while (copy->nr_pages % pages)
		__free_page(copy->pages[--copy->nr_pages]);
	if (!copy->nr_pages) {
		copy_free(copy);
		return NULL;
	}
	copy->origin = origin;
	return copy;
}

/* Context: sleeps.  Before the first snapshot. */
int interpose_copy_reserve_alloc(struct interpose_origin *origin)
{
	if (!origin->reserve) {
		origin->reserve = copy_alloc(origin, chunk_pages(origin), GFP_KERNEL);
		if (!origin->reserve)
			return -ENOMEM;
		origin->reserve->is_reserve = true;
	}
	return 0;
}

/* Context: no copy is under way. */
void interpose_copy_reserve_free(struct interpose_origin *origin)
{
	copy_free(origin->reserve);
	origin->reserve = NULL;
}

static u64 pages_bytes(unsigned int pages)
{
	return (u64)pages << PAGE_SHIFT;
}

/* Takes memory from the budget before there is any.  A single copy is always let through. */
static bool budget_take(struct interpose_origin *origin, unsigned int pages)
{
	bool granted;

	spin_lock_irq(&origin->lock);
	granted = !origin->copy_bytes ||
		  origin->copy_bytes + pages_bytes(pages) <= interpose_copy_budget();
	if (granted)
		origin->copy_bytes += pages_bytes(pages);
	spin_unlock_irq(&origin->lock);
	return granted;
}

static void budget_give(struct interpose_origin *origin, unsigned int pages)
{
	spin_lock_irq(&origin->lock);
	origin->copy_bytes -= pages_bytes(pages);
	spin_unlock_irq(&origin->lock);
}

static struct interpose_copy *reserve_take(struct interpose_origin *origin)
{
	struct interpose_copy *copy;

	spin_lock_irq(&origin->lock);
	copy = origin->reserve;
	origin->reserve = NULL;
	spin_unlock_irq(&origin->lock);
	return copy;
}

/* Memory for a copy of up to @chunks chunks, within the budget; NULL: when another copy has ended. */
static struct interpose_copy *copy_get(struct interpose_origin *origin, u64 chunks)
{
	unsigned int pages = min_t(u64, chunks * chunk_pages(origin), INTERPOSE_COPY_PAGES);
	struct interpose_copy *copy;

	if (!budget_take(origin, pages))
		return NULL;
	copy = copy_alloc(origin, pages, INTERPOSE_GFP_WRITE) ?: reserve_take(origin);
	budget_give(origin, pages - (copy ? copy->nr_pages : 0));
	return copy;
}

/* Copies under way */

static u64 copy_first(const struct interpose_copy *copy)
{
	return chunk_nr(copy->keep.chunk);
}

static u64 copy_end(const struct interpose_copy *copy)
{
	return copy_first(copy) + copy->keep.chunks;
}

/* The first copy that ends after @chunk, NULL if none does. */
static struct interpose_copy *copy_at_or_after(struct interpose_origin *origin, u64 chunk)
{
	struct rb_node *node = origin->copies.rb_node;
	struct interpose_copy *found = NULL;

	lockdep_assert_held(&origin->lock);
	while (node) {
		struct interpose_copy *copy = rb_entry(node, struct interpose_copy, node);

		if (copy_end(copy) > chunk) {
			found = copy;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/* Chunks from @chunk on up to the next copy under way.  Context: origin->lock. */
u64 interpose_copy_gap(struct interpose_origin *origin, chunk_t chunk)
{
	struct interpose_copy *copy = copy_at_or_after(origin, chunk_nr(chunk));

	return copy ? copy_first(copy) - chunk_nr(chunk) : U64_MAX;
}

/* Lets @write wait for a copy of write->next, if one is under way.  Context: origin->lock. */
bool interpose_copy_join(struct interpose_origin *origin, struct interpose_write *write)
{
	struct interpose_copy *copy = copy_at_or_after(origin, chunk_nr(write->next));

	if (!copy || copy_first(copy) > chunk_nr(write->next))
		return false;
	list_add_tail(&write->list, &copy->writes);
	return true;
}

static void copy_publish(struct interpose_copy *copy, struct interpose_write *write)
{
	struct interpose_origin *origin = copy->origin;
	struct rb_node **link, *parent = NULL;

	spin_lock_irq(&origin->lock);
	link = &origin->copies.rb_node;
	while (*link) {
		parent = *link;
		if (copy_first(copy) < copy_first(rb_entry(parent, struct interpose_copy, node)))
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&copy->node, parent, link);
	rb_insert_color(&copy->node, &origin->copies);
	list_add(&write->list, &copy->writes);
	spin_unlock_irq(&origin->lock);
}

/*
 * One copy less, of those the judge counted: its memory (@copy may be NULL) is nobody's budget any more.
 * Return: what the caller frees; not the reserve, which is its origin's again, and may be gone with it.
 */
static struct interpose_copy *copies_put(struct interpose_origin *origin,
					 struct interpose_copy *copy)
{
	lockdep_assert_held(&origin->lock);
	if (copy)
		origin->copy_bytes -= pages_bytes(copy->nr_pages);
	if (copy && copy->is_reserve) {
		origin->reserve = copy;
		copy = NULL;
	}
	if (!--origin->nr_copies) {
		wake_up(&origin->copies_idle);
		if (origin->sweeping)
			interpose_origin_sweep_soon(origin);
	}
	return copy;
}

/*
 * The end: what waited goes on, before everybody who came later.  In one locked section, the last touch of
 * the origin: the writes hold its table, and whoever frees it waits for the count and for write_work.
 */
static void copy_finish(struct interpose_copy *copy, bool kept)
{
	struct interpose_origin *origin = copy->origin;
	struct interpose_write *write;

	spin_lock_irq(&origin->lock);
	rb_erase(&copy->node, &origin->copies);
	if (kept) {
		list_for_each_entry(write, &copy->writes, list)
			write->next = chunk_at(copy_end(copy));
		origin->copied += copy->keep.chunks;
	}
	list_splice_init(&copy->writes, &origin->waiting);
	copy = copies_put(origin, copy);
	queue_work(interpose_wq, &origin->write_work);
	spin_unlock_irq(&origin->lock);
	copy_free(copy);
}

/* Steps of one copy */

static void kept(struct interpose_keep *keep, int error)
{
	struct interpose_copy *copy = container_of(keep, struct interpose_copy, keep);
	struct interpose_origin *origin = copy->origin;

	if (error)
		interpose_origin_invalidate(origin, FAILURE_STORE_ERROR);
	else
		interpose_mark_kept(
			origin, (struct chunk_range){ keep->chunk, chunk_at(copy_end(copy) - 1) });
	copy_finish(copy, !error);
}

static void read_work(struct work_struct *work)
{
	struct interpose_copy *copy = container_of(work, struct interpose_copy, work);

	if (!copy->error) {
		interpose_shelf_keep(&copy->keep);
		return;
	}
	interpose_shelf_cancel(&copy->keep);
	interpose_origin_invalidate(copy->origin, FAILURE_READ_ERROR);
	copy_finish(copy, false);
}

static void read_ended(struct bio *bio)
{
	struct interpose_copy *copy = bio->bi_private;

	copy->error = blk_status_to_errno(bio->bi_status);
	bio_put(bio);
	interpose_shelf_queue(copy->keep.shelf, &copy->work);
}

static void copy_read(struct interpose_copy *copy, const struct interpose *ip)
{
	const struct interpose_origin *origin = copy->origin;
	struct interpose_keep *keep = &copy->keep;
	struct bio *bio =
		bio_alloc_bioset(ip->base->bdev, DIV_ROUND_UP(keep->sectors, PAGE_SECTORS),
				 REQ_OP_READ, GFP_NOIO, &copy_bios);

	bio->bi_iter.bi_sector = ip->start + chunk_first_sector(keep->chunk, origin->chunk_shift);
	bio->bi_private = copy;
	bio->bi_end_io = read_ended;
	interpose_bio_add_pages(bio, copy->pages, keep->sectors);
	submit_bio(bio);
}

static void copy_prepare(struct interpose_copy *copy, const struct interpose_write *write,
			 u64 chunks)
{
	struct interpose_keep *keep = &copy->keep;

	INIT_WORK(&copy->work, read_work);
	INIT_LIST_HEAD(&copy->writes);
	memset(keep, 0, sizeof(*keep));
	keep->chunk = write->next;
	keep->chunks = min_t(u64, chunks, copy->nr_pages / chunk_pages(copy->origin));
	keep->birth = write->birth;
	keep->pages = copy->pages;
	keep->done = kept;
}

/*
 * The judge counted a copy that does not come to be: wait for the others, or give the snapshots up.
 * -EBUSY, no budget or memory while others had it, never costs a snapshot: should they have ended since,
 * nobody else brings the write back, and alone it will get the reserve.
 */
static int copy_abandon(struct interpose_origin *origin, struct interpose_copy *copy, int error)
{
	bool patience = error == -EBUSY;

	spin_lock_irq(&origin->lock);
	if (error == -ENOSPC)
		patience = origin->sweeping && origin->newest;
	else if (error == -ENOMEM)
		patience = origin->nr_copies > 1;
	copy = copies_put(origin, copy);
	if (error == -EBUSY && !origin->nr_copies)
		queue_work(interpose_wq, &origin->write_work);
	spin_unlock_irq(&origin->lock);
	copy_free(copy);
	if (patience)
		return -EBUSY;
	interpose_origin_invalidate(origin, interpose_store_failure(error));
	return -EIO;
}

/**
 * interpose_copy_start() - copy write->next and up to @chunks - 1 chunks behind it
 * @write: write->birth is the newest snapshot at the time of the judgement: were it read again here, a
 *         snapshot dropped meanwhile could give new data an old birth
 * Context: write_work, after the judge has counted the copy.
 * Return: 0: @write waits for the copy; -EBUSY: try again when another copy, or a sweep, has ended;
 * -EIO: it could not be, and the snapshots are invalid.
 */
int interpose_copy_start(struct interpose_origin *origin, struct interpose_write *write, u64 chunks)
{
	struct interpose_copy *copy = copy_get(origin, chunks);
	const struct interpose *ip;
	int r;

	if (!copy)
		return copy_abandon(origin, NULL, -EBUSY);
	copy_prepare(copy, write, chunks);
	r = interpose_shelf_reserve(origin->shelf, &copy->keep);
	if (r)
		return copy_abandon(origin, copy, r);
	copy->keep.sectors = chunks_sectors(copy->keep.chunk, copy->keep.chunks,
					    origin->chunk_shift, origin->length);
	ip = write->ip;
	copy_publish(copy, write);
	copy_read(copy, ip);
	return 0;
}

int __init interpose_copy_init(void)
{
	return bioset_init(&copy_bios, BIO_POOL_SIZE, 0, BIOSET_NEED_BVECS);
}

void interpose_copy_exit(void)
{
	bioset_exit(&copy_bios);
}
