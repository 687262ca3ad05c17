/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * What an older kernel lacks.  The rest of the module is written for the newest kernel and never asks
 * for a version; Kbuild includes this file in front of every other and tests the kernel's headers for
 * the features named HAVE_*.
 */
#ifndef DM_INTERPOSE_COMPAT_H
#define DM_INTERPOSE_COMPAT_H

#ifdef INTERPOSE_NO_FTRACE
#undef CONFIG_FUNCTION_TRACER
#undef CONFIG_DYNAMIC_FTRACE
#undef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
#undef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS
#undef CONFIG_DYNAMIC_FTRACE_WITH_REGS
#endif

#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#ifdef HAVE_HEX_H /* split from linux/kernel.h, which by v7.2 no longer includes it */
#include <linux/hex.h>
#endif
#include <linux/version.h>

#ifndef CONFIG_64BIT
#error "dm-interpose needs a 64-bit kernel"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "dm-interpose needs Linux 6.1 or newer"
#endif

#if defined(BLK_OPEN_READ) && !defined(HAVE_BDEV_FILE_OPEN_BY_DEV)
#error "dm-interpose does not know how Linux 6.5 to 6.8 open a block device"
#endif

#ifndef BLK_OPEN_READ /* v6.5, 05bdb9965305 ("block: replace fmode_t with a block-specific type ...") */
#define BLK_OPEN_READ FMODE_READ
#define BLK_OPEN_WRITE FMODE_WRITE
typedef fmode_t blk_mode_t;
#endif

#ifndef HAVE_BDEV_FILE_OPEN_BY_DEV /* v6.9, f3a608827d1f ("bdev: open block device as files") */
/* The handle of an open block device is opaque to its users: here it is the block device itself. */
static inline struct file *bdev_file_open_by_dev(dev_t dev, blk_mode_t mode, void *holder,
						 const void *holder_ops)
{
	return (struct file *)blkdev_get_by_dev(dev, mode, holder);
}

static inline struct block_device *file_bdev(struct file *handle)
{
	return (struct block_device *)handle;
}

/* Only for handles opened without a holder, for reading. */
static inline void bdev_fput(struct file *handle)
{
	blkdev_put(file_bdev(handle), BLK_OPEN_READ);
}
#endif

#ifndef HAVE_BDEV_FREEZE /* v6.8, 982c3b305847 ("bdev: rename freeze and thaw helpers") */
#define bdev_freeze freeze_bdev
#define bdev_thaw thaw_bdev
#endif

/* v6.8, 49ef8832fb1a ("bdev: implement freeze and thaw holder operations") took bd_fsfreeze_sb away. */
static inline bool compat_bdev_has_frozen_fs(struct block_device *bdev)
{
#ifdef HAVE_BD_FSFREEZE_SB
	return bdev->bd_fsfreeze_sb;
#else
	bool has_fs;

	mutex_lock(&bdev->bd_holder_lock);
	has_fs = bdev->bd_holder_ops && bdev->bd_holder_ops->freeze;
	mutex_unlock(&bdev->bd_holder_lock);
	return has_fs;
#endif
}

/*
 * Whether somebody who made bdev_freeze() answer EBUSY was not done with freezing: from v6.6, 59ba4fdd2d1f ("fs:
 * wait for partially frozen filesystems"), it is waited for there.  A superblock found on its device is not freed before
 * a grace period is over; btrfs is not found.
 */
static inline bool compat_freeze_under_way(struct block_device *bdev)
{
	bool under_way = false;
#ifdef HAVE_BD_SUPER
	const struct super_block *sb;

	rcu_read_lock();
	sb = READ_ONCE(bdev->bd_super);
	under_way = sb && READ_ONCE(sb->s_writers.frozen) != SB_FREEZE_COMPLETE;
	rcu_read_unlock();
#endif
	return under_way;
}

/*
 * bdev_thaw() that gives up its freeze for good.  Every kernel counts it back if the filesystem turns out not to be
 * frozen, because somebody has thawed it with FITHAW: left at that, the device could never be frozen or mounted
 * again.  The superblock may be another by now, and is not looked at.
 */
static inline int compat_bdev_thaw(struct block_device *bdev)
{
	int r = bdev_thaw(bdev);

	if (r != -EINVAL)
		return r;
	mutex_lock(&bdev->bd_fsfreeze_mutex);
#ifdef HAVE_BD_FSFREEZE_SB
	if (bdev->bd_fsfreeze_count && !--bdev->bd_fsfreeze_count)
		bdev->bd_fsfreeze_sb = NULL;
#else
	atomic_dec_if_positive(&bdev->bd_fsfreeze_count);
#endif
	mutex_unlock(&bdev->bd_fsfreeze_mutex);
	return r;
}

/* v6.9: device-mapper's devices are open files too. */
static inline void compat_dm_dev_set_file(struct dm_dev *dev, struct file *handle)
{
#ifdef HAVE_BDEV_FILE_OPEN_BY_DEV
	dev->bdev_file = handle;
#endif
}

#ifndef HAVE_UNFREEZE_NOMEMRESTORE /* v6.14, 1e1a9cecfab3 ("block: force noio scope in blk_mq_freeze_queue") */
#define blk_mq_unfreeze_queue_nomemrestore blk_mq_unfreeze_queue
#endif

/* In older kernels some drivers write pages for whoever asks them, without a bio. */
static inline bool compat_has_rw_page(const struct gendisk *disk)
{
#ifdef HAVE_RW_PAGE
	return disk->fops->rw_page;
#else
	return false;
#endif
}

#ifndef DM_TARGET_ATOMIC_WRITES
#define DM_TARGET_ATOMIC_WRITES 0
#endif

/* From v6.11 on a write may have to be atomic; only later can a target pass that on. */
static inline bool compat_loses_atomic(const struct bio *bio)
{
#ifdef HAVE_ATOMIC_WRITE
	return !DM_TARGET_ATOMIC_WRITES && (bio->bi_opf & REQ_ATOMIC);
#else
	return false;
#endif
}

#ifdef CONFIG_FUNCTION_TRACER
/* Whether ftrace hands the arguments over to everybody, or only to whoever asks for all registers. */
#if defined(CONFIG_DYNAMIC_FTRACE_WITH_ARGS) && !defined(INTERPOSE_SAVE_REGS)
#define COMPAT_FTRACE_WITH_ARGS
#define COMPAT_FTRACE_FLAGS 0
#else
#define COMPAT_FTRACE_FLAGS FTRACE_OPS_FL_SAVE_REGS
#endif

/* The @n-th argument of the function that ftrace calls us for; v6.2, 94d095ffa0e1 ("ftrace: abstract ...") */
#if defined(HAVE_FTRACE_REGS_GET_ARGUMENT) && defined(COMPAT_FTRACE_WITH_ARGS)
#define compat_ftrace_argument ftrace_regs_get_argument
#else
static inline unsigned long compat_ftrace_argument(struct ftrace_regs *fregs, unsigned int n)
{
#ifdef COMPAT_FTRACE_WITH_ARGS
	return regs_get_kernel_argument(&fregs->regs, n);
#else
	return regs_get_kernel_argument(ftrace_get_regs(fregs), n);
#endif
}
#endif
#else /* nobody is called */
struct ftrace_regs;
static inline unsigned long compat_ftrace_argument(struct ftrace_regs *fregs, unsigned int n)
{
	return 0;
}
#endif /* CONFIG_FUNCTION_TRACER */

/*
 * A reader of RCU.  Without preemption is as good as in rcu_read_lock(), and two instructions instead of two calls; but with
 * PREEMPT_RT an allocator may sleep, and lockdep wants to see the lock.
 */
#if defined(CONFIG_PREEMPT_RT) || defined(CONFIG_DEBUG_LOCK_ALLOC)
#define compat_rcu_enter rcu_read_lock
#define compat_rcu_leave rcu_read_unlock
#else
#define compat_rcu_enter preempt_disable_notrace
#define compat_rcu_leave preempt_enable_notrace
#endif

#endif /* DM_INTERPOSE_COMPAT_H */
