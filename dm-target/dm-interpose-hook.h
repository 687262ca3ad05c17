/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: 2026 The dmsnap authors */
/*
 * dm-interpose: a hook, shared by those who make and end it and by the path of a bio.
 *
 *   dm-interpose-hook.c:     an origin's --.
 *   dm-interpose-redirect.c: a redirect ---+--> drained --> dm-interpose-hooked.c: registry --> bios
 *                                               dm-interpose-ftrace.c: submit_bio_noacct ------'
 */
#ifndef DM_INTERPOSE_HOOK_H
#define DM_INTERPOSE_HOOK_H

#include "dm-interpose.h"

struct ftrace_ops;
struct ftrace_regs;

struct interpose_hook {
	struct hlist_node node; /* interpose_hooks_mutex: in the registry */
	struct gendisk *disk;
	sector_t first; /* of the disk */
	sector_t end;
	struct gendisk *through; /* the base device: what it sends passes */
	struct block_device *live;
	struct block_device *top;
	struct interpose_origin *origin; /* NULL: a redirect, every bio is turned */
	struct file *live_handle;
	struct file *top_handle; /* keeps the top device from being removed */
	struct file *
		through_handle; /* and the base device, whose endpoint may stand on something else */
	struct percpu_ref users; /* the registry, and every bio that was turned */
	bool uncounted; /* but some, for want of memory: nobody knows when the last of them has ended */
	struct work_struct free_work;
};

extern struct mutex interpose_hooks_mutex; /* outside of origin->change */

/* dm-interpose-hook.c; context of all: interpose_hooks_mutex; they sleep. */
struct interpose_hook *interpose_hook_alloc(struct gendisk *through, dev_t top);
void interpose_hook_free(struct interpose_hook *hook);
void interpose_hook_retire(struct interpose_hook *hook);
/* Without the mutex. */
void interpose_hook_await_ended(unsigned int deadline_ms);

/* dm-interpose-drain.c; they sleep. */
int interpose_hook_drain_tasks(ktime_t deadline);
int interpose_hook_drain(const struct interpose_hook *hook, ktime_t deadline);

/* dm-interpose-hooked.c; context of all but the first: interpose_hooks_mutex, unless they say otherwise. */
void interpose_hooked_look(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			   struct ftrace_regs *fregs);
int interpose_hooked_watch(void);
void interpose_hooked_unwatch(void);
bool interpose_hooked_overlaps(const struct interpose_hook *hook);
void interpose_hooked_add(struct interpose_hook *hook);
void interpose_hooked_remove(struct interpose_hook *hook);
struct interpose_hook *interpose_hooked_find(const struct gendisk *through);

/* dm-interpose-ftrace.c */
#ifdef CONFIG_FUNCTION_TRACER
int interpose_ftrace_start(void);
void interpose_ftrace_stop(void);
void interpose_ftrace_init(void);
void interpose_ftrace_exit(void);
#else
static inline int interpose_ftrace_start(void)
{
	return -EOPNOTSUPP;
}
static inline void interpose_ftrace_stop(void)
{
}
static inline void interpose_ftrace_init(void)
{
}
static inline void interpose_ftrace_exit(void)
{
}
#endif

#endif /* DM_INTERPOSE_HOOK_H */
