// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Target interpose: device-mapper's side of a live device, and nothing else.
 *
 *   bio -> map -+- read, flush ------------------------------> base
 *               `- write -> gate -> interpose_write() -+-----> base
 *                             `- gated                 `- held, ends in interpose_write_work()
 *
 * Every write that was counted by the gate is uncounted in end_io, and by nobody else; a bio that map()
 * ends with DM_MAPIO_KILL would skip end_io, so none is.
 *
 * SG_IO and the like are not passed to the base: they could write past the origin.
 */
#include <linux/module.h>

#include "dm-interpose.h"

int interpose_parse_sector(const char *word, sector_t *sector)
{
	u64 number;

	if (kstrtou64(word, 10, &number) || number != (sector_t)number)
		return -EINVAL;
	*sector = number;
	return 0;
}

/**
 * interpose_area_error() - why a target cannot use @len sectors of @dev from @start on
 * device-mapper looks for this, but only when it resumes the table: that is too late for a live device.  A
 * device without a table yet has no size; what it will have is left to device-mapper.
 * Return: a sentence, NULL if it can.
 */
char *interpose_area_error(const struct dm_target *ti, const struct dm_dev *dev, sector_t start)
{
	sector_t size = bdev_nr_sectors(dev->bdev);
	sector_t block = bdev_logical_block_size(dev->bdev) >> SECTOR_SHIFT;

	if (dev->bdev->bd_disk == dm_disk(dm_table_get_md(ti->table)))
		return "the device named is the one the table is for";
	if (size && (start >= size || ti->len > size - start))
		return "the device named is too small for this first sector and length";
	if (start & (block - 1) || ti->len & (block - 1))
		return "first sector and length must be whole logical blocks of the device named";
	return NULL;
}

static char *base_error(const struct interpose *ip)
{
	char *error = interpose_area_error(ip->ti, ip->base, ip->start);

	if (!error && bdev_is_zoned(ip->base->bdev))
		return "zoned base device is not supported";
	return error;
}

static int parse_base(struct interpose *ip, char **argv)
{
	struct dm_target *ti = ip->ti;

	if (interpose_parse_sector(argv[1], &ip->start)) {
		ti->error = "base sector must be a number";
		return -EINVAL;
	}
	if (dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &ip->base)) {
		ti->error = "base device cannot be opened";
		return -ENXIO;
	}
	ti->error = base_error(ip);
	if (!ti->error)
		return 0;
	dm_put_device(ti, ip->base);
	return -EINVAL;
}

static int parse_uuid(struct interpose *ip, const char *word, uuid_t *uuid)
{
	if (strlen(word) == UUID_STRING_LEN && !uuid_parse(word, uuid))
		return 0;
	ip->ti->error = "origin uuid must be a uuid";
	return -EINVAL;
}

static int parse_chunk(struct interpose *ip, const char *word, unsigned int *shift)
{
	unsigned int sectors;

	if (kstrtouint(word, 10, &sectors) || !is_power_of_2(sectors) ||
	    sectors < INTERPOSE_CHUNK_SECTORS_MIN || sectors > INTERPOSE_CHUNK_SECTORS_MAX) {
		ip->ti->error = "chunk size must be a power of two from " __stringify(
			INTERPOSE_CHUNK_SECTORS_MIN) " to " __stringify(INTERPOSE_CHUNK_SECTORS_MAX) " sectors";
		return -EINVAL;
	}
	*shift = ilog2(sectors);
	return 0;
}

static int check_chunk(struct interpose *ip, unsigned int shift)
{
	if (chunks_in(ip->ti->len, shift) > INTERPOSE_CHUNKS_MAX) {
		ip->ti->error = "chunk size is too small for a device of this length";
		return -EINVAL;
	}
	if (bdev_logical_block_size(ip->base->bdev) >> SECTOR_SHIFT > 1U << shift) {
		ip->ti->error = "chunk size is smaller than the base's logical block";
		return -EINVAL;
	}
	return 0;
}

/* interpose <base device> <base sector> <origin uuid> <chunk sectors> [provisional] */
static int interpose_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct interpose *ip;
	unsigned int shift;
	uuid_t uuid;
	int r = -EINVAL;

	ti->error =
		"arguments must be: base device, base sector, origin uuid, chunk sectors, optional words";
	if (argc < 4 || argc > 5)
		return r;
	ti->error = "the only optional word is \"" INTERPOSE_OPT_PROVISIONAL "\"";
	if (argc == 5 && strcmp(argv[4], INTERPOSE_OPT_PROVISIONAL))
		return r;
	ti->error = "no memory for the target";
	ip = kzalloc(sizeof(*ip), GFP_KERNEL);
	if (!ip)
		return -ENOMEM;
	ip->ti = ti;
	ip->provisional = argc == 5;
	r = parse_uuid(ip, argv[2], &uuid);
	r = r ?: parse_chunk(ip, argv[3], &shift);
	if (r)
		goto free_target;
	r = parse_base(ip, argv);
	if (r)
		goto free_target;
	r = check_chunk(ip, shift);
	if (r)
		goto put_base;
	ip->origin = interpose_origin_get(ip, &uuid, shift, &ti->error);
	if (IS_ERR(ip->origin)) {
		r = PTR_ERR(ip->origin);
		goto put_base;
	}
	ti->private = ip;
	ti->per_io_data_size = sizeof(struct interpose_write);
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->num_secure_erase_bios = 1;
	ti->num_write_zeroes_bios = 1;
	return 0;

put_base:
	dm_put_device(ti, ip->base);
free_target:
	kfree(ip);
	return r;
}

static void interpose_dtr(struct dm_target *ti)
{
	struct interpose *ip = ti->private;

	interpose_origin_put(ip);
	dm_put_device(ti, ip->base);
	kfree(ip);
}

/* To the base; or past it, where a hook knows the live device: one layer less, and no table of the base's in the way. */
void interpose_remap(struct interpose_write *write, struct bio *bio)
{
	const struct interpose *ip = write->ip;

	if (READ_ONCE(ip->origin->hook) && interpose_hooked_send(write, bio))
		return;
	bio_set_dev(bio, ip->base->bdev);
	bio->bi_iter.bi_sector += ip->start;
}

struct bio *interpose_write_bio(struct interpose_write *write)
{
	return dm_bio_from_per_bio_data(write, sizeof(*write));
}

struct interpose_write *interpose_bio_write(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct interpose_write));
}

static int interpose_map(struct dm_target *ti, struct bio *bio)
{
	struct interpose_write *write = interpose_bio_write(bio);
	struct interpose *ip = ti->private;
	int r;

	write->ip = ip;
	write->counted = false;
	if (op_is_write(bio_op(bio)) && bio_sectors(bio)) {
		if (!interpose_gate_enter(ip->origin, bio))
			return DM_MAPIO_SUBMITTED;
		write->counted = true;
		r = interpose_write(ip->origin, bio, write);
		if (r != DM_MAPIO_REMAPPED)
			return r;
	}
	interpose_remap(write, bio);
	return DM_MAPIO_REMAPPED;
}

static int interpose_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct interpose *ip = ti->private;

	if (interpose_bio_write(bio)->counted)
		interpose_gate_leave(ip->origin);
	return DM_ENDIO_DONE;
}

static void interpose_presuspend(struct dm_target *ti)
{
	struct interpose *ip = ti->private;
	bool lost = interpose_hook_lose_top(ip->origin);

	interpose_origin_bar(ip->origin, true);
	lost |= interpose_hook_lose_top(ip->origin); /* one that was in the making */
	interpose_hook_await_turned(ip->origin);
	if (lost) /* by a worker too late: who listens is told by the table that is active */
		dm_table_event(ti->table);
}

static void interpose_presuspend_undo(struct dm_target *ti)
{
	struct interpose *ip = ti->private;

	interpose_origin_bar(ip->origin, false);
}

static void interpose_postsuspend(struct dm_target *ti)
{
	interpose_origin_deactivate(ti->private);
}

static int interpose_preresume(struct dm_target *ti)
{
	interpose_origin_activate(ti->private);
	return 0;
}

struct counts {
	unsigned int points, valid, invalid;
};

static struct counts count_points(struct interpose_origin *origin)
{
	struct counts counts = { .points = origin->nr_points };
	struct interpose_point *point;

	lockdep_assert_held(&origin->mutex);
	list_for_each_entry(point, &origin->points, list) {
		if (!point->snapshot)
			continue;
		if (interpose_snapshot_valid(origin, point->id))
			counts.valid++;
		else
			counts.invalid++;
	}
	return counts;
}

/* The most the maps can take: one for each point there is, pass, and where the store lies if that is inside. */
static u64 map_bound(const struct interpose_origin *origin)
{
	return (max(origin->nr_points, 1U) + 1 + !!origin->inside) *
	       interpose_map_bytes_max(origin->chunks);
}

static const char *state_name(const struct interpose *ip)
{
	const struct interpose_origin *origin = ip->origin;

	if (READ_ONCE(origin->gone))
		return INTERPOSE_STATE_LOST;
	if (origin->active == ip && !READ_ONCE(origin->barred))
		return INTERPOSE_STATE_ACTIVE;
	return INTERPOSE_STATE_SUSPENDED;
}

static void status_info(struct interpose *ip, char *result, unsigned int maxlen)
{
	struct interpose_origin *origin = ip->origin;
	u64 index_bytes = 0, index_bound = 0;
	struct counts counts;
	unsigned int sz = 0;
	dev_t live;

	mutex_lock(&origin->mutex);
	counts = count_points(origin);
	DMEMIT("%u %pUb %s %llu %u %u %u ", INTERPOSE_INTERFACE, &origin->generation,
	       state_name(ip), origin->last_id, counts.points, counts.valid, counts.invalid);
	spin_lock_irq(&origin->lock);
	if (origin->shelf) {
		interpose_shelf_status(origin->shelf, &index_bytes, &index_bound);
		DMEMIT("%pUb", interpose_shelf_store_uuid(origin->shelf));
	} else {
		DMEMIT(INTERPOSE_NONE);
	}
	DMEMIT(" %u %llu/%llu %llu/%llu %llu/%llu %u %llu %s ", 1U << origin->chunk_shift,
	       origin->copy_bytes, interpose_copy_budget(), interpose_points_map_bytes(origin),
	       map_bound(origin), index_bytes, index_bound, origin->nr_waiting + origin->nr_gated,
	       origin->copied, interpose_failure_name(origin->failure));
	spin_unlock_irq(&origin->lock);
	mutex_unlock(&origin->mutex);
	live = interpose_hook_device(origin);
	if (live)
		DMEMIT("%u:%u", MAJOR(live), MINOR(live));
	else
		DMEMIT(INTERPOSE_NONE);
}

/* INFO: the uapi header has the grammar; TABLE: what the ctr takes. */
static void interpose_status(struct dm_target *ti, status_type_t type, unsigned int flags,
			     char *result, unsigned int maxlen)
{
	struct interpose *ip = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		status_info(ip, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %llu %pUb %u%s", ip->base->name, (unsigned long long)ip->start,
		       &ip->origin->uuid, 1U << ip->origin->chunk_shift,
		       ip->provisional ? " " INTERPOSE_OPT_PROVISIONAL : "");
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device_name=%s,start=%llu;", ip->base->name,
		       (unsigned long long)ip->start);
		break;
	}
}

static int interpose_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn,
				     void *data)
{
	struct interpose *ip = ti->private;

	return fn(ti, ip->base, ip->start, ti->len, data);
}

struct target_type interpose_target = {
	.name = INTERPOSE_TARGET,
	.version = { INTERPOSE_INTERFACE, INTERPOSE_VERSION_MINOR, INTERPOSE_VERSION_PATCH },
	.features = DM_TARGET_SINGLETON | DM_TARGET_NOWAIT | DM_TARGET_ATOMIC_WRITES,
	.module = THIS_MODULE,
	.ctr = interpose_ctr,
	.dtr = interpose_dtr,
	.map = interpose_map,
	.end_io = interpose_end_io,
	.presuspend = interpose_presuspend,
	.presuspend_undo = interpose_presuspend_undo,
	.postsuspend = interpose_postsuspend,
	.preresume = interpose_preresume,
	.status = interpose_status,
	.message = interpose_message,
	.iterate_devices = interpose_iterate_devices,
};
