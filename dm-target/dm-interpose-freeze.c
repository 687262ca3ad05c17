// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Filesystems frozen around a point, top first, thawed in reverse.
 *
 * One that somebody else has frozen is used as it is: before v6.8 the freeze answers EBUSY and is not
 * ours to thaw, later it nests.
 */
#include "dm-interpose.h"

/* One errno for all that a device of the list can fail with: the log has the rest. */
static int freeze_failed(dev_t dev, const char *what, int error)
{
	pr_err("interpose: %u:%u of the freeze list cannot be %s: error %d\n", MAJOR(dev),
	       MINOR(dev), what, error);
	return -ECANCELED;
}

/* Opens and freezes one device; false in *ours: it was frozen already. */
static int freeze_one(dev_t dev, struct file **handle, bool *ours, bool *has_fs)
{
	struct file *opened = bdev_file_open_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
	int r;

	if (IS_ERR(opened))
		return freeze_failed(dev, "opened", PTR_ERR(opened));
	r = bdev_freeze(file_bdev(opened));
	if (r && r != -EBUSY) {
		bdev_fput(opened);
		return freeze_failed(dev, "frozen", r);
	}
	*handle = opened;
	*ours = !r;
	*has_fs = r || compat_bdev_has_frozen_fs(file_bdev(opened));
	return 0;
}

/**
 * interpose_freeze() - freeze the filesystems on the devices of a list
 * Context: sleeps, for as long as a filesystem takes to write out; the deadline is looked at between
 * devices.
 * Return: 0, with all of them frozen, to be thawed by interpose_thaw(); else none is: -ETIMEDOUT, or -ECANCELED
 * if one cannot be opened or frozen.
 */
int interpose_freeze(const struct interpose_freeze_list *list, struct interpose_frozen *frozen,
		     ktime_t deadline)
{
	frozen->nr = 0;
	frozen->fs = 0;
	while (frozen->nr < list->nr) {
		unsigned int i = frozen->nr;
		bool has_fs;
		int r = freeze_one(list->dev[i], &frozen->handle[i], &frozen->ours[i], &has_fs);

		if (!r) {
			frozen->nr++;
			frozen->fs |= (u32)has_fs << i;
			r = ktime_after(ktime_get(), deadline) ? -ETIMEDOUT : 0;
		}
		if (r) {
			interpose_thaw(frozen);
			return r;
		}
	}
	return 0;
}

/* Lets go of one device; whether it had been frozen all the time. */
static bool thaw_one(struct block_device *bdev, bool ours)
{
	if (ours) {
		if (!compat_bdev_thaw(bdev))
			return true;
		pr_warn("interpose: %pg was thawed by somebody else meanwhile\n", bdev);
		return false;
	}
	if (bdev_freeze(bdev))
		return true; /* still EBUSY: still frozen by somebody else */
	compat_bdev_thaw(bdev);
	return false;
}

/**
 * interpose_thaw() - thaw what interpose_freeze() has frozen
 * Return: whether all of it was frozen up to now, as far as can be told.
 */
bool interpose_thaw(struct interpose_frozen *frozen)
{
	bool kept = true;

	while (frozen->nr) {
		struct file *handle = frozen->handle[--frozen->nr];

		kept &= thaw_one(file_bdev(handle), frozen->ours[frozen->nr]);
		bdev_fput(handle);
	}
	return kept;
}
