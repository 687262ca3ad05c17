// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Target interpose-image: an origin as it was at a snapshot.
 *
 *   read -> map -+- exception? -> store ------------------------------------> end
 *                `- none       -> base -> end_io: look again -+- still none -> end
 *                                                             `- exception -> store (worker)
 *   no table of the origin is active, at map or when the base has answered: parked
 *      -> one is again: from the start      -> another has taken the device: EIO
 *      -> the image is suspended without flush: back to device-mapper
 *
 * A write goes to the base only after its chunk's exception can be found.  So data that came from the base is
 * old if, after it has arrived, there still is no exception, and a table of ours stands watch.  While none does,
 * nobody knows what the base is being made to hold.  A read that ends after the snapshot became invalid
 * fails.
 *
 * Where a store lies inside its own origin there are zeros.
 *
 * Reads do not cross chunks: device-mapper splits them at max_io_len.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "dm-interpose.h"

/* Per-bio data: what a second attempt needs. */
struct image_read {
	struct work_struct work; /* for a chunk whose exception came meanwhile */
	struct interpose_image *image;
	struct bvec_iter iter; /* as it came, sectors of the image */
	unsigned short flags;
	bool from_base;
};

static struct image_read *bio_read_data(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct image_read));
}

/* Takes the point, so that it cannot be dropped, and learns where its data is. */
static int image_hold_point(struct interpose_image *image, u64 id, dev_t *base, dev_t *store,
			    char **error)
{
	struct interpose_origin *origin = image->origin;
	struct interpose_point *point;
	int r = -EINVAL;

	mutex_lock(&origin->mutex);
	point = interpose_point_find(origin, id);
	*error = "no snapshot with this id";
	if (!point || !point->snapshot)
		goto unlock;
	*error = "snapshot is invalid";
	if (!interpose_snapshot_valid(origin, id))
		goto unlock;
	*error = "length differs from the origin's at the snapshot";
	if (image->ti->len != point->length)
		goto unlock;
	*error = "origin is suspended";
	if (!origin->active)
		goto unlock;
	*base = origin->active->base->bdev->bd_dev;
	image->start = origin->active->start;
	spin_lock_irq(&origin->lock);
	*store = interpose_shelf_device(origin->shelf);
	spin_unlock_irq(&origin->lock);
	point->images++;
	image->point = point;
	image->id = id;
	list_add_tail(&image->list, &origin->images);
	r = 0;
unlock:
	mutex_unlock(&origin->mutex);
	return r;
}

static void image_release_point(struct interpose_image *image)
{
	mutex_lock(&image->origin->mutex);
	image->point->images--;
	list_del(&image->list);
	mutex_unlock(&image->origin->mutex);
}

static int image_get_device(struct interpose_image *image, dev_t dev, struct dm_dev **result,
			    char *error)
{
	char name[24];
	int r;

	scnprintf(name, sizeof(name), "%u:%u", MAJOR(dev), MINOR(dev));
	r = dm_get_device(image->ti, name, BLK_OPEN_READ, result);
	if (r)
		image->ti->error = error;
	return r;
}

static int image_check_base(struct interpose_image *image)
{
	image->ti->error = interpose_area_error(image->ti, image->base, image->start);
	return image->ti->error ? -EINVAL : 0;
}

static int image_find_origin(struct interpose_image *image, char **argv)
{
	struct dm_target *ti = image->ti;
	uuid_t uuid, generation;

	ti->error = "origin and generation must be uuids";
	if (strlen(argv[0]) != UUID_STRING_LEN || uuid_parse(argv[0], &uuid) ||
	    strlen(argv[1]) != UUID_STRING_LEN || uuid_parse(argv[1], &generation))
		return -EINVAL;
	ti->error = "no such origin";
	image->origin = interpose_origin_lookup(&uuid);
	if (!image->origin)
		return -ENODEV;
	ti->error = "snapshot is of another generation";
	if (uuid_equal(&image->origin->generation, &generation))
		return 0;
	interpose_origin_unref(image->origin);
	return -ESTALE;
}

/* interpose-image <origin uuid> <generation> <id> */
static int image_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct interpose_image *image;
	dev_t base, store;
	int r = -EINVAL;
	u64 id;

	ti->error = "arguments must be: origin uuid, generation, id";
	if (argc != 3)
		return r;
	ti->error = "an image is read-only, and so must be its table";
	if (dm_table_get_mode(ti->table) & BLK_OPEN_WRITE)
		return r;
	ti->error = "id must be a number";
	if (kstrtou64(argv[2], 10, &id))
		return r;
	ti->error = "no memory for the target";
	image = kzalloc(sizeof(*image), GFP_KERNEL);
	if (!image)
		return -ENOMEM;
	image->ti = ti;
	r = image_find_origin(image, argv);
	if (r)
		goto free_image;
	r = image_hold_point(image, id, &base, &store, &ti->error);
	if (r)
		goto unref_origin;
	r = image_get_device(image, base, &image->base, "the origin's base cannot be opened");
	if (r)
		goto release_point;
	r = image_check_base(image);
	if (r)
		goto put_base;
	r = image_get_device(image, store, &image->store, "the store's device cannot be opened");
	if (r)
		goto put_base;
	r = dm_set_target_max_io_len(ti, 1U << image->origin->chunk_shift);
	if (r)
		goto put_store;
	ti->private = image;
	ti->per_io_data_size = sizeof(struct image_read);
	return 0;

put_store:
	dm_put_device(ti, image->store);
put_base:
	dm_put_device(ti, image->base);
release_point:
	image_release_point(image);
unref_origin:
	interpose_origin_unref(image->origin);
free_image:
	kfree(image);
	return r;
}

static void image_dtr(struct dm_target *ti)
{
	struct interpose_image *image = ti->private;

	dm_put_device(ti, image->store);
	dm_put_device(ti, image->base);
	image_release_point(image);
	interpose_origin_unref(image->origin);
	kfree(image);
}

static bool image_valid(const struct interpose_image *image)
{
	return interpose_snapshot_valid(image->origin, image->id);
}

/*
 * Keeps a read while no table of the origin is active; but the image's own suspend without flush does not
 * wait for it, and device-mapper keeps it instead.
 * Return: DM_MAPIO_SUBMITTED: kept, DM_MAPIO_REQUEUE; DM_MAPIO_REMAPPED: neither, it goes on.
 */
static int image_park(struct interpose_image *image, struct bio *bio)
{
	struct interpose_origin *origin = image->origin;
	int r = DM_MAPIO_REMAPPED;
	unsigned long flags;

	if (READ_ONCE(origin->active))
		return r;
	spin_lock_irqsave(&origin->lock, flags);
	if (!origin->active && image_valid(image)) {
		r = DM_MAPIO_REQUEUE;
		if (!dm_noflush_suspending(image->ti)) {
			interpose_bio_detach(bio);
			bio_list_add(&origin->parked, bio);
			r = DM_MAPIO_SUBMITTED;
		}
	}
	spin_unlock_irqrestore(&origin->lock, flags);
	return r;
}

static void image_presuspend(struct dm_target *ti)
{
	struct interpose_image *image = ti->private;

	if (dm_noflush_suspending(ti))
		interpose_origin_unpark(image->origin);
}

/* Aims a read, as it came, at the exception of its chunk, if there is one. */
static bool aim_at_exception(struct interpose_image *image, struct bio *bio, sector_t sector)
{
	struct interpose_origin *origin = image->origin;
	chunk_t chunk = chunk_of_sector(sector, origin->chunk_shift);
	struct interpose_place place;

	if (!interpose_shelf_find(origin->shelf, chunk, image->id, &place))
		return false;
	bio_set_dev(bio, place.bdev);
	bio->bi_iter.bi_sector =
		place.sector + (sector - chunk_first_sector(chunk, origin->chunk_shift));
	return true;
}

/* Decides about a read as it came: DM_MAPIO_*. */
static int image_aim(struct interpose_image *image, struct bio *bio)
{
	const struct interpose_origin *origin = image->origin;
	struct image_read *read = bio_read_data(bio);
	int r;

	if (!image_valid(image))
		return DM_MAPIO_KILL;
	r = image_park(image, bio);
	if (r != DM_MAPIO_REMAPPED)
		return r;
	if (interpose_inside_holds(origin,
				   chunk_of_sector(read->iter.bi_sector, origin->chunk_shift))) {
		read->from_base = false;
		zero_fill_bio(bio);
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	read->from_base = !aim_at_exception(image, bio, read->iter.bi_sector);
	if (read->from_base) {
		bio_set_dev(bio, image->base->bdev);
		bio->bi_iter.bi_sector += image->start;
	}
	return DM_MAPIO_REMAPPED;
}

static int image_map(struct dm_target *ti, struct bio *bio)
{
	struct image_read *read = bio_read_data(bio);
	struct interpose_image *image = ti->private;

	if (bio_op(bio) != REQ_OP_READ)
		return DM_MAPIO_KILL;
	read->image = image;
	read->iter = bio->bi_iter;
	read->flags = bio->bi_flags;
	read->from_base = true; /* until it is aimed at the store */
	return image_aim(image, bio);
}

/* A further attempt: the same read from the start. */
static void read_again(struct image_read *read)
{
	struct bio *bio = dm_bio_from_per_bio_data(read, sizeof(*read));

	/* 6.1 ends a merged bio with the next one of its request still linked. */
	bio->bi_next = NULL;
	bio->bi_iter = read->iter;
	bio->bi_flags = read->flags;
	atomic_set(&bio->__bi_remaining, 1);
	bio->bi_status = BLK_STS_OK;
	bio->bi_opf &= ~REQ_NOWAIT;
	switch (image_aim(read->image, bio)) {
	case DM_MAPIO_REMAPPED:
		submit_bio_noacct(bio);
		break;
	case DM_MAPIO_REQUEUE:
		bio->bi_status = BLK_STS_DM_REQUEUE;
		bio_endio(bio);
		break;
	case DM_MAPIO_KILL:
		bio_io_error(bio);
		break;
	}
}

static void read_work(struct work_struct *work)
{
	read_again(container_of(work, struct image_read, work));
}

/* Reads that were parked: a table of the origin is active again, the snapshots are invalid, or an image goes. */
void interpose_image_unpark(struct interpose_origin *origin)
{
	struct bio_list parked;
	struct bio *bio;

	spin_lock_irq(&origin->lock);
	parked = origin->parked;
	bio_list_init(&origin->parked);
	spin_unlock_irq(&origin->lock);
	while ((bio = bio_list_pop(&parked)))
		read_again(bio_read_data(bio));
}

/* Whether a failed read says that what is in the store is lost, not that this one asked for too much. */
static bool read_lost(const struct image_read *read, const struct bio *bio, blk_status_t error)
{
	if (read->from_base || bio->bi_opf & (REQ_RAHEAD | REQ_FAILFAST_MASK))
		return false;
	switch (blk_status_to_errno(error)) {
	case -EAGAIN:
	case -EINVAL:
	case -ENOMEM:
	case -EOPNOTSUPP:
	case -EREMCHG: /* device-mapper below us gives it back */
		return false;
	}
	return true;
}

static int image_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct image_read *read = bio_read_data(bio);
	struct interpose_image *image = read->image;
	struct interpose_origin *origin = image->origin;

	if (*error) {
		if (image_valid(image) && read_lost(read, bio, *error))
			interpose_origin_invalidate(origin, FAILURE_STORE_ERROR);
		return DM_ENDIO_DONE;
	}
	smp_rmb(); /* data first, then the verdict on it */
	switch (read->from_base ? image_park(image, bio) : DM_MAPIO_REMAPPED) {
	case DM_MAPIO_SUBMITTED:
		return DM_ENDIO_INCOMPLETE;
	case DM_MAPIO_REQUEUE:
		return DM_ENDIO_REQUEUE;
	}
	if (!image_valid(image)) {
		*error = BLK_STS_IOERR;
		return DM_ENDIO_DONE;
	}
	if (!read->from_base ||
	    !interpose_shelf_find(origin->shelf,
				  chunk_of_sector(read->iter.bi_sector, origin->chunk_shift),
				  image->id, NULL))
		return DM_ENDIO_DONE;
	/* Whoever polls must not look for the base's request in the store's queue. */
	interpose_bio_detach(bio);
	INIT_WORK(&read->work, read_work);
	interpose_shelf_queue(origin->shelf, &read->work);
	return DM_ENDIO_INCOMPLETE;
}

static void status_info(struct interpose_image *image, char *result, unsigned int maxlen)
{
	struct interpose_origin *origin = image->origin;
	bool valid = image_valid(image);
	unsigned int sz = 0;

	DMEMIT("%u %pUb %s %llu %s", INTERPOSE_INTERFACE, &origin->generation,
	       valid ? INTERPOSE_VALIDITY_VALID : INTERPOSE_VALIDITY_INVALID, image->id,
	       valid ? INTERPOSE_NONE : interpose_failure_name(READ_ONCE(origin->failure)));
}

/* INFO: the uapi header has the grammar; TABLE: what the ctr takes. */
static void image_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
			 unsigned int maxlen)
{
	struct interpose_image *image = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		status_info(image, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%pUb %pUb %llu", &image->origin->uuid, &image->origin->generation,
		       image->id);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device_name=%s,id=%llu;", image->base->name, image->id);
		break;
	}
}

static int image_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct interpose_image *image = ti->private;
	int r = fn(ti, image->base, image->start, ti->len, data);

	return r ?: fn(ti, image->store, 0, bdev_nr_sectors(image->store->bdev), data);
}

struct target_type interpose_image_target = {
	.name = INTERPOSE_TARGET_IMAGE,
	.version = { INTERPOSE_INTERFACE, INTERPOSE_VERSION_MINOR, INTERPOSE_VERSION_PATCH },
	.features = DM_TARGET_SINGLETON,
	.module = THIS_MODULE,
	.ctr = image_ctr,
	.dtr = image_dtr,
	.map = image_map,
	.end_io = image_end_io,
	.presuspend = image_presuspend,
	.status = image_status,
	.iterate_devices = image_iterate_devices,
};
