/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * dm-interpose: what all its files share, also those that know of no origin.
 */
#ifndef DM_INTERPOSE_MODULE_H
#define DM_INTERPOSE_MODULE_H

#include <linux/gfp.h>
#include <linux/workqueue.h>

/* Memory for a write that is being held: gladly from clean pages, never by waiting for I/O. */
#define INTERPOSE_GFP_WRITE (GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN)

extern struct workqueue_struct
	*interpose_wq; /* the path of writes: nothing on it may wait for one */
extern struct workqueue_struct *interpose_freeze_wq; /* filesystems that may not come to an end */
extern struct workqueue_struct *interpose_point_wq; /* taking points, sweeping, events */

#endif /* DM_INTERPOSE_MODULE_H */
