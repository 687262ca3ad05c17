// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Target interpose-base: a live device below its interposer, for what has to reach it past the hook.
 *
 *   bio -> map: its bi_end_io becomes ours -> live device -> hook: one of its own, it passes
 *           `-- a write, while a redirect begins: held
 *
 * The device is opened beside its users, for reading: a claim would be refused while it is mounted, and bios do not
 * ask what the opener wanted.  So device-mapper does not know that we hold it; it only sees the limits.
 */
#include <linux/blk-integrity.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "dm-interpose.h"

struct interpose_base {
	struct list_head list; /* bases_mutex */
	struct dm_target *ti;
	struct dm_dev live;
	struct file *handle;
	sector_t start;
	bool active; /* bases_mutex: the table that takes the device's bios */
	spinlock_t lock; /* irqs off */
	bool holds; /* lock writes */
	struct bio_list held; /* lock */
};

/* Per-bio data. */
struct base_bio {
	bio_end_io_t *end_io;
	const struct gendisk *through; /* the base device */
};

static DEFINE_MUTEX(bases_mutex);
static LIST_HEAD(bases);

static struct gendisk *base_disk(const struct interpose_base *base)
{
	return dm_disk(dm_table_get_md(base->ti->table));
}

static struct base_bio *base_bio(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct base_bio));
}

/* Not called, but compared with, by others. */
void interpose_base_end_io(struct bio *bio)
{
	bio->bi_end_io = base_bio(bio)->end_io;
	bio->bi_end_io(bio);
}

/**
 * interpose_base_sent() - whether the base device @through has sent @bio to its live device
 * A stack of bio-based devices hands bios on with their bi_end_io: who sent it tells for whom it passes.
 * Context: any.
 */
bool interpose_base_sent(struct bio *bio, const struct gendisk *through)
{
	return bio->bi_end_io == interpose_base_end_io && base_bio(bio)->through == through;
}

/**
 * interpose_base_area() - where the live device of a base device is
 * Context: sleeps.
 * Return: 0; -EINVAL: @disk is no base device; -EBUSY: it is, and does not run.
 */
int interpose_base_area(const struct gendisk *disk, struct interpose_area *area)
{
	struct interpose_base *base;
	int r = -EINVAL;

	mutex_lock(&bases_mutex);
	list_for_each_entry(base, &bases, list) {
		if (base_disk(base) != disk)
			continue;
		r = -EBUSY;
		if (!base->active)
			continue;
		area->live = base->live.bdev->bd_dev;
		area->first = base->live.bdev->bd_start_sect + base->start;
		area->sectors = base->ti->len;
		r = 0;
		break;
	}
	mutex_unlock(&bases_mutex);
	return r;
}

static void send(const struct interpose_base *base, struct bio *bio)
{
	bio_set_dev(bio, base->live.bdev);
	bio->bi_iter.bi_sector += base->start;
}

static bool keep_held(struct interpose_base *base, struct bio *bio)
{
	unsigned long flags;
	bool holds;

	/* Its control group is the submitter's, not that of whoever lets it go. */
	interpose_bio_detach(bio);
	spin_lock_irqsave(&base->lock, flags);
	holds = base->holds;
	if (holds)
		bio_list_add(&base->held, bio);
	spin_unlock_irqrestore(&base->lock, flags);
	return holds;
}

/**
 * interpose_base_hold() - the writes that a base gets wait in it, or go on
 * Context: sleeps.
 */
void interpose_base_hold(struct interpose_base *base, bool holds)
{
	struct bio_list held;
	struct bio *bio;

	spin_lock_irq(&base->lock);
	WRITE_ONCE(base->holds, holds);
	held = base->held;
	bio_list_init(&base->held);
	spin_unlock_irq(&base->lock);
	while ((bio = bio_list_pop(&held))) {
		send(base, bio);
		submit_bio_noacct(bio);
	}
}

static char *live_error(const struct interpose_base *base)
{
	struct block_device *live = base->live.bdev;
	char *error = interpose_area_error(base->ti, &base->live, base->start);

	if (error)
		return error;
	if (bdev_is_zoned(live))
		return "zoned live device is not supported";
	if (blk_get_integrity(live->bd_disk))
		return "live device with integrity data is not supported";
	if (compat_has_rw_page(live->bd_disk))
		return "live device that writes pages without bios is not supported";
	return NULL;
}

static int open_live(struct interpose_base *base, char *word)
{
	struct dm_dev *live = &base->live;
	dev_t dev;

	base->ti->error = "live device must be major:minor";
	if (interpose_parse_dev(word, &dev))
		return -EINVAL;
	base->ti->error = "live device cannot be opened";
	base->handle = bdev_file_open_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(base->handle))
		return PTR_ERR(base->handle);
	compat_dm_dev_set_file(live, base->handle);
	live->bdev = file_bdev(base->handle);
	live->mode = BLK_OPEN_READ;
	format_dev_t(live->name, dev);
	base->ti->error = live_error(base);
	if (!base->ti->error)
		return 0;
	bdev_fput(base->handle);
	return -EINVAL;
}

/* interpose-base <live device> <first sector> */
static int base_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct interpose_base *base;
	int r = -EINVAL;
	sector_t start;

	ti->error = "arguments must be: live device, first sector";
	if (argc != 2)
		return r;
	ti->error = "first sector must be a number";
	if (interpose_parse_sector(argv[1], &start))
		return r;
	ti->error = "no memory for the target";
	base = kzalloc(sizeof(*base), GFP_KERNEL);
	if (!base)
		return -ENOMEM;
	base->ti = ti;
	base->start = start;
	spin_lock_init(&base->lock);
	bio_list_init(&base->held);
	r = open_live(base, argv[0]);
	if (r) {
		kfree(base);
		return r;
	}
	mutex_lock(&bases_mutex);
	list_add(&base->list, &bases);
	mutex_unlock(&bases_mutex);
	ti->private = base;
	ti->per_io_data_size = sizeof(struct base_bio);
	ti->num_flush_bios = 1;
	ti->flush_supported = 1; /* the live device decides, whose cache may be switched any time */
	ti->num_discard_bios = 1;
	ti->num_secure_erase_bios = 1;
	ti->num_write_zeroes_bios = 1;
	return 0;
}

static void base_dtr(struct dm_target *ti)
{
	struct interpose_base *base = ti->private;

	mutex_lock(&bases_mutex);
	list_del(&base->list);
	mutex_unlock(&bases_mutex);
	bdev_fput(base->handle);
	kfree(base);
}

static int base_map(struct dm_target *ti, struct bio *bio)
{
	struct interpose_base *base = ti->private;
	struct base_bio *own = base_bio(bio);

	own->end_io = bio->bi_end_io;
	own->through = base_disk(base);
	bio->bi_end_io = interpose_base_end_io;
	if (READ_ONCE(base->holds) && op_is_write(bio_op(bio)) && keep_held(base, bio))
		return DM_MAPIO_SUBMITTED;
	send(base, bio);
	return DM_MAPIO_REMAPPED;
}

/* redirect <endpoint> <deadline ms> <freeze list>|- */
static int message_redirect(struct interpose_base *base, char **args)
{
	struct interpose_hook_request request;
	dev_t endpoint;
	int r = interpose_parse_dev(args[0], &endpoint);

	r = r ?: interpose_parse_hook(args + 1, &request);
	return r ?: interpose_redirect(base, base_disk(base), endpoint, &request);
}

/* direct <deadline ms> */
static int message_direct(struct interpose_base *base, const char *word)
{
	unsigned int deadline_ms;
	int r = interpose_parse_deadline(word, &deadline_ms);

	return r ?: interpose_direct(base_disk(base), deadline_ms);
}

/* Memory comes without waiting for the live device's writes, which may wait for us. */
static int base_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
			unsigned int maxlen)
{
	struct interpose_base *base = ti->private;
	unsigned int noio = memalloc_noio_save();
	int r = -EINVAL;

	if (argc == 4 && !strcmp(argv[0], INTERPOSE_MSG_REDIRECT))
		r = message_redirect(base, argv + 1);
	else if (argc == 2 && !strcmp(argv[0], INTERPOSE_MSG_DIRECT))
		r = message_direct(base, argv[1]);
	memalloc_noio_restore(noio);
	return r;
}

static void set_active(struct interpose_base *base, bool active)
{
	mutex_lock(&bases_mutex);
	base->active = active;
	mutex_unlock(&bases_mutex);
}

static void base_presuspend(struct dm_target *ti)
{
	set_active(ti->private, false); /* no hook begins from here on */
	interpose_hook_lose_base(base_disk(ti->private));
}

static void base_presuspend_undo(struct dm_target *ti)
{
	set_active(ti->private, true);
}

static int base_preresume(struct dm_target *ti)
{
	set_active(ti->private, true);
	return 0;
}

/* INFO: the uapi header has the grammar; TABLE: what the ctr takes. */
static void base_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
			unsigned int maxlen)
{
	struct interpose_base *base = ti->private;
	unsigned int sz = 0;
	dev_t endpoint;

	switch (type) {
	case STATUSTYPE_INFO:
		endpoint = interpose_endpoint(base_disk(base));
		DMEMIT("%u ", INTERPOSE_INTERFACE);
		if (endpoint)
			DMEMIT("%u:%u", MAJOR(endpoint), MINOR(endpoint));
		else
			DMEMIT(INTERPOSE_NONE);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %llu", base->live.name, (unsigned long long)base->start);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device_name=%s,start=%llu;", base->live.name,
		       (unsigned long long)base->start);
		break;
	}
}

static int base_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct interpose_base *base = ti->private;

	return fn(ti, &base->live, base->start, ti->len, data);
}

struct target_type interpose_base_target = {
	.name = INTERPOSE_TARGET_BASE,
	.version = { INTERPOSE_INTERFACE, INTERPOSE_VERSION_MINOR, INTERPOSE_VERSION_PATCH },
	.features = DM_TARGET_SINGLETON | DM_TARGET_NOWAIT | DM_TARGET_ATOMIC_WRITES,
	.module = THIS_MODULE,
	.ctr = base_ctr,
	.dtr = base_dtr,
	.map = base_map,
	.presuspend = base_presuspend,
	.presuspend_undo = base_presuspend_undo,
	.preresume = base_preresume,
	.status = base_status,
	.message = base_message,
	.iterate_devices = base_iterate_devices,
};
