// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Target interpose-store: holds the device of a store open.  It takes no I/O itself; when it goes, the
 * snapshots that need it become invalid.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "dm-interpose.h"

struct store_target {
	struct dm_dev *dev;
	sector_t start;
	struct interpose_store *store;
};

/* interpose-store <device> <first sector> */
static int store_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct store_target *st;
	int r = -EINVAL;
	sector_t start;

	ti->error = "arguments must be: device, first sector";
	if (argc != 2)
		return r;
	ti->error = "first sector must be a number";
	if (interpose_parse_sector(argv[1], &start))
		return r;
	ti->error = "no memory for the target";
	st = kzalloc(sizeof(*st), GFP_KERNEL);
	if (!st)
		return -ENOMEM;
	st->start = start;
	ti->error = "store device cannot be opened";
	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &st->dev);
	if (r)
		goto free_target;
	r = -EINVAL;
	ti->error = interpose_area_error(ti, st->dev, start);
	if (ti->error)
		goto put_device;
	st->store = interpose_store_open(ti, st->dev, start);
	if (IS_ERR(st->store)) {
		r = PTR_ERR(st->store);
		goto put_device;
	}
	ti->private = st;
	return 0;

put_device:
	dm_put_device(ti, st->dev);
free_target:
	kfree(st);
	return r;
}

static void store_dtr(struct dm_target *ti)
{
	struct store_target *st = ti->private;

	interpose_store_close(st->store);
	dm_put_device(ti, st->dev);
	kfree(st);
}

static int store_map(struct dm_target *ti, struct bio *bio)
{
	return DM_MAPIO_KILL;
}

static void status_info(struct store_target *st, char *result, unsigned int maxlen)
{
	struct interpose_store_status s;
	unsigned int sz = 0;

	interpose_store_status(st->store, &s);
	DMEMIT("%u %pUb %s %llu/%llu %u %llu %llu/%llu", INTERPOSE_INTERFACE, &s.uuid,
	       s.failed ? INTERPOSE_STORE_FAILED : INTERPOSE_STORE_OK, s.used, s.usable, s.origins,
	       s.exceptions, s.index_bytes, s.index_bound);
}

/* INFO: the uapi header has the grammar; TABLE: what the ctr takes. */
static void store_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
			 unsigned int maxlen)
{
	struct store_target *st = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		status_info(st, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %llu", st->dev->name, (unsigned long long)st->start);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device_name=%s,start=%llu;", st->dev->name, (unsigned long long)st->start);
		break;
	}
}

static int store_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct store_target *st = ti->private;

	return fn(ti, st->dev, st->start, ti->len, data);
}

struct target_type interpose_store_target = {
	.name = INTERPOSE_TARGET_STORE,
	.version = { INTERPOSE_INTERFACE, INTERPOSE_VERSION_MINOR, INTERPOSE_VERSION_PATCH },
	.features = DM_TARGET_SINGLETON,
	.module = THIS_MODULE,
	.ctr = store_ctr,
	.dtr = store_dtr,
	.map = store_map,
	.status = store_status,
	.iterate_devices = store_iterate_devices,
};
