// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Filesystems frozen around a point, top first, thawed in reverse.
 *
 * One that somebody else has frozen is used as it is: before v6.8 the freeze answers EBUSY and is not
 * ours to thaw, later it nests.  One that they are still at freezing is waited for.
 */
#include <linux/delay.h>
#include <linux/sched/mm.h>

#include "dm-interpose.h"

/* One errno for all that a device of the list can fail with: the log has the rest. */
static int freeze_failed(dev_t dev, const char *what, int error)
{
	pr_err("interpose: %u:%u of the freeze list cannot be %s: error %d\n", MAJOR(dev),
	       MINOR(dev), what, error);
	return -ECANCELED;
}

/* Return: 0, -EBUSY if somebody else has it frozen, or an error. */
static int freeze_or_find_frozen(struct block_device *bdev, ktime_t deadline)
{
	int r;

	while ((r = bdev_freeze(bdev)) == -EBUSY && compat_freeze_under_way(bdev)) {
		if (ktime_after(ktime_get(), deadline))
			return -ETIMEDOUT;
		usleep_range(1000, 5000);
	}
	return r;
}

/* Opens and freezes one device; false in *ours: it was frozen already. */
static int freeze_one(dev_t dev, ktime_t deadline, struct file **handle, bool *ours, bool *has_fs)
{
	struct file *opened = bdev_file_open_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
	int r;

	if (IS_ERR(opened))
		return freeze_failed(dev, "opened", PTR_ERR(opened));
	r = freeze_or_find_frozen(file_bdev(opened), deadline);
	if (r && r != -EBUSY) {
		bdev_fput(opened);
		return r == -ETIMEDOUT ? r : freeze_failed(dev, "frozen", r);
	}
	*handle = opened;
	*ours = !r;
	*has_fs = r || compat_bdev_has_frozen_fs(file_bdev(opened));
	return 0;
}

/* Thaws what is ours, when nobody asks any more whether the rest was frozen all the time. */
static void give_back(struct interpose_frozen *frozen)
{
	while (frozen->nr) {
		struct file *handle = frozen->handle[--frozen->nr];

		if (frozen->ours[frozen->nr])
			compat_bdev_thaw(file_bdev(handle));
		bdev_fput(handle);
	}
	frozen->fs = 0;
}

struct freezing {
	struct work_struct work;
	struct completion done;
	dev_t dev;
	ktime_t deadline;
	struct file *handle;
	bool ours;
	bool has_fs;
	int error;
};

static void freeze_work(struct work_struct *work)
{
	struct freezing *freezing = container_of(work, struct freezing, work);
	unsigned int noio = memalloc_noio_save();

	freezing->error = freeze_one(freezing->dev, freezing->deadline, &freezing->handle,
				     &freezing->ours, &freezing->has_fs);
	memalloc_noio_restore(noio);
	complete_all(&freezing->done);
}

/*
 * Freezes one more device.  A filesystem that writes out through one that is frozen already, by ways that nobody can
 * see, would never be: when the deadline has passed those go first.
 * Return: 0, or an error with none of them frozen.
 */
static int freeze_next(dev_t dev, struct interpose_frozen *frozen, ktime_t deadline)
{
	s64 left = max_t(s64, ktime_ms_delta(deadline, ktime_get()), 1);
	struct freezing freezing = { .dev = dev, .deadline = deadline };
	unsigned int i;
	bool late;

	init_completion(&freezing.done);
	INIT_WORK_ONSTACK(&freezing.work, freeze_work);
	if (frozen->nr)
		queue_work(interpose_freeze_wq, &freezing.work);
	else
		freeze_work(&freezing.work);
	late = !wait_for_completion_timeout(&freezing.done, msecs_to_jiffies(left));
	if (late)
		give_back(frozen);
	wait_for_completion(&freezing.done);
	destroy_work_on_stack(&freezing.work);
	if (!freezing.error) {
		i = frozen->nr++;
		frozen->handle[i] = freezing.handle;
		frozen->ours[i] = freezing.ours;
		frozen->fs |= (u32)freezing.has_fs << i;
		if (!late && ktime_before(ktime_get(), deadline))
			return 0;
		freezing.error = -ETIMEDOUT;
	}
	if (freezing.error == -ETIMEDOUT)
		pr_warn("interpose: %u:%u of the freeze list was frozen too slowly\n", MAJOR(dev),
			MINOR(dev));
	give_back(frozen);
	return freezing.error;
}

/**
 * interpose_freeze() - freeze the filesystems on the devices of a list
 * Context: sleeps, for as long as a filesystem takes to write out: past the deadline that is the only one.
 * Return: 0, with all of them frozen, to be thawed by interpose_thaw(); else none is: -ETIMEDOUT, or -ECANCELED
 * if one cannot be opened or frozen.
 */
int interpose_freeze(const struct interpose_freeze_list *list, struct interpose_frozen *frozen,
		     ktime_t deadline)
{
	int r = 0;

	frozen->nr = 0;
	frozen->fs = 0;
	for (unsigned int i = 0; !r && i < list->nr; i++)
		r = freeze_next(list->dev[i], frozen, deadline);
	return r;
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
	if (bdev_freeze(bdev)) /* still EBUSY: still frozen by somebody else, or again */
		return !compat_freeze_under_way(bdev);
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
