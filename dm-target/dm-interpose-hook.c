// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Hooks: made, and ended.
 *
 *   message "hook" -> open devices | freeze | register | drain the gap | thaw -> live
 *   message "unhook", a lost origin -> unregister -> turned writes come back -> free_work -> freed
 *
 * Writes that came before the hook and land after it are seen by nobody: interpose_hook_drain() waits for them.
 */
#include <linux/blk-mq.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/part_stat.h>
#include <linux/slab.h>

#include "dm-interpose-hook.h"

/* How long the suspension of a private device waits for writes that were turned, so that it does not meet them. */
#define LOSE_WAIT_MS 10000
/* How long the gate of a hook that was removed stays closed at a time. */
#define AWAIT_PAUSE_MS 1000

DEFINE_MUTEX(interpose_hooks_mutex);
static atomic_t nr_ending; /* hooks that were retired, and are not freed yet */
static DECLARE_WAIT_QUEUE_HEAD(none_ending);

/* Hooking */

static void put_handle(struct file **handle)
{
	if (!IS_ERR_OR_NULL(*handle))
		bdev_fput(*handle);
	*handle = NULL;
}

void interpose_hook_free(struct interpose_hook *hook)
{
	put_handle(&hook->through_handle);
	put_handle(&hook->top_handle);
	put_handle(&hook->live_handle);
	if (hook->origin) {
		if (atomic_dec_and_test(&hook->origin->hooks))
			wake_up_all(&hook->origin->unhooked);
		interpose_origin_unref(hook->origin);
	}
	percpu_ref_exit(&hook->users);
	kfree(hook);
	module_put(THIS_MODULE);
}

/* Waits for writes that were let go before the hook was removed, however long they take.  Context: sleeps. */
static void await_let_go(struct interpose_origin *origin)
{
	int r;

	do {
		mutex_lock(&origin->change);
		interpose_gate_prepare(origin);
		r = interpose_gate_close(origin, ktime_add_ms(ktime_get(), AWAIT_PAUSE_MS));
		interpose_gate_open(origin);
		interpose_gate_relax(origin);
		mutex_unlock(&origin->change);
	} while (r);
}

static void hook_ended(void)
{
	if (atomic_dec_and_test(&nr_ending))
		wake_up_all(&none_ending);
}

/* Gives all that were retired, whosever they are, time to be freed.  Context: sleeps up to @deadline_ms. */
void interpose_hook_await_ended(unsigned int deadline_ms)
{
	wait_event_killable_timeout(none_ending, !atomic_read(&nr_ending),
				    msecs_to_jiffies(deadline_ms));
}

/* The last write that it turned has ended.  The module's end waits for this work. */
static void free_work(struct work_struct *work)
{
	struct interpose_hook *hook = container_of(work, struct interpose_hook, free_work);

	if (READ_ONCE(hook->uncounted)) {
		pr_warn("interpose: its endpoint stays until the machine is restarted: bios without memory to count them went there\n");
		hook_ended();
		return;
	}
	if (hook->origin)
		await_let_go(hook->origin);
	/* Whoever put the last reference may still be on its way out, be it a task or an interrupt. */
	synchronize_rcu_tasks();
	synchronize_rcu();
	interpose_hook_free(hook);
	hook_ended();
}

static void hook_unused(struct percpu_ref *users)
{
	queue_work(interpose_point_wq,
		   &container_of(users, struct interpose_hook, users)->free_work);
}

static int hook_open(struct interpose_hook *hook, dev_t top)
{
	struct interpose_area area;

	if (interpose_base_area(hook->through, &area))
		return -EINVAL;
	hook->live_handle = bdev_file_open_by_dev(area.live, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(hook->live_handle))
		return -ENODEV;
	hook->top_handle = bdev_file_open_by_dev(top, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(hook->top_handle))
		return -ENODEV;
	hook->through_handle =
		bdev_file_open_by_dev(disk_devt(hook->through), BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(hook->through_handle))
		return -ENODEV;
	hook->live = file_bdev(hook->live_handle);
	hook->disk = hook->live->bd_disk;
	hook->first = area.first;
	hook->end = area.first + area.sectors;
	hook->top = file_bdev(hook->top_handle);
	return bdev_nr_sectors(hook->top) == area.sectors ? 0 : -EINVAL;
}

/* Of the live device below the base device @through; -EINVAL: @top is not as long. */
struct interpose_hook *interpose_hook_alloc(struct gendisk *through, dev_t top)
{
	struct interpose_hook *hook = kzalloc(sizeof(*hook), GFP_KERNEL);
	int r;

	if (!hook)
		return ERR_PTR(-ENOMEM);
	if (percpu_ref_init(&hook->users, hook_unused, 0, GFP_KERNEL)) {
		kfree(hook);
		return ERR_PTR(-ENOMEM);
	}
	INIT_WORK(&hook->free_work, free_work);
	__module_get(THIS_MODULE);
	hook->through = through;
	r = hook_open(hook, top);
	if (r) {
		interpose_hook_free(hook);
		return ERR_PTR(r);
	}
	return hook;
}

static void hook_insert(struct interpose_hook *hook)
{
	hook->origin->hooked = true;
	interpose_hooked_add(hook);
	WRITE_ONCE(hook->origin->hook, hook);
}

/* From here on its bios go as they did before.  To be followed by interpose_hook_retire(). */
static void hook_remove(struct interpose_hook *hook)
{
	interpose_hooked_remove(hook);
	WRITE_ONCE(hook->origin->hook, NULL);
}

/* Context: filesystems are frozen, memalloc_noio. */
static int hook_insert_drained(struct interpose_hook *hook, ktime_t deadline)
{
	struct interpose_origin *origin = hook->origin;
	struct interpose_area area;
	int r;

	hook_insert(hook);
	synchronize_rcu_tasks();
	r = interpose_hook_drain_tasks(deadline);
	if (r) {
		hook_remove(hook);
		return r;
	}
	interpose_gate_prepare(origin);
	r = interpose_gate_close(origin, deadline);
	r = r ?: interpose_hook_drain(hook, deadline);
	/* Whoever began to suspend the base before it was inserted did not find it. */
	if (!r && (READ_ONCE(origin->gone) || interpose_base_area(hook->through, &area)))
		r = -ESTALE;
	if (r)
		hook_remove(hook);
	interpose_gate_open(origin);
	interpose_gate_relax(origin);
	return r;
}

static int hook_insert_frozen(struct interpose_hook *hook,
			      const struct interpose_hook_request *request)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), request->deadline_ms);
	struct interpose_frozen frozen;
	int r = interpose_freeze(&request->freeze, &frozen, deadline);

	if (r)
		return r;
	r = hook_insert_drained(hook, deadline);
	interpose_thaw(&frozen);
	return r;
}

/* After its removal: memory goes with the last of its writes, which nobody needs to wait for. */
void interpose_hook_retire(struct interpose_hook *hook)
{
	atomic_inc(&nr_ending);
	synchronize_rcu();
	percpu_ref_kill(&hook->users);
	interpose_hooked_unwatch();
}

/* Why no hook can be made now, 0 if one can.  Context: origin->change. */
static int hook_obstacle(struct interpose *ip)
{
	struct interpose_origin *origin = ip->origin;

	if (origin->barred || READ_ONCE(origin->active) != ip)
		return -EBUSY;
	return origin->last_id ? -EBUSY : 0; /* what was written since that point, nobody saw */
}

static int hook_make(struct interpose *ip, const struct interpose_hook_request *request)
{
	struct interpose_hook *hook;
	int r = hook_obstacle(ip);

	if (r)
		return r;
	if (ip->start)
		return -EINVAL;
	hook = interpose_hook_alloc(ip->base->bdev->bd_disk, disk_devt(dm_disk(ip->origin->md)));
	if (IS_ERR(hook))
		return PTR_ERR(hook);
	hook->origin = interpose_origin_ref(ip->origin);
	atomic_inc(&ip->origin->hooks);
	r = interpose_hooked_overlaps(hook) ? -EBUSY : interpose_hooked_watch();
	if (r) {
		interpose_hook_free(hook);
		return r;
	}
	r = hook_insert_frozen(hook, request);
	if (r)
		interpose_hook_retire(hook);
	return r;
}

/**
 * interpose_hook() - from now on the writes of the live device below @ip's base meet its origin
 * Context: a message, memalloc_noio; sleeps up to the deadline and a little more.
 * Return: 0, also if it was so; errors: the message "hook" in the uapi header.
 */
int interpose_hook(struct interpose *ip, const struct interpose_hook_request *request)
{
	struct interpose_origin *origin = ip->origin;
	int r = 0;

	mutex_lock(&interpose_hooks_mutex);
	mutex_lock(&origin->change);
	if (!origin->hook)
		r = hook_make(ip, request);
	mutex_unlock(&origin->change);
	mutex_unlock(&interpose_hooks_mutex);
	return r;
}

/* Ends the hook between two sets of writes; of a lost origin at once.  Context: interpose_hooks_mutex and origin->change. */
static int hook_end(struct interpose_hook *hook, ktime_t deadline)
{
	struct interpose_origin *origin = hook->origin;
	int r;

	if (READ_ONCE(origin->gone)) {
		hook_remove(hook);
		return 0;
	}
	interpose_gate_prepare(origin);
	r = interpose_gate_close(origin, deadline);
	if (!r) {
		interpose_origin_forsake(origin);
		hook_remove(hook);
	}
	interpose_gate_open(origin);
	interpose_gate_relax(origin);
	return r;
}

/* Gives writes that were turned to the top device time to come back, so that nobody holds it open any more. */
static void await_unhooked(struct interpose_origin *origin, ktime_t deadline)
{
	s64 left = max_t(s64, ktime_ms_delta(deadline, ktime_get()), 1);

	wait_event_killable_timeout(origin->unhooked, !atomic_read(&origin->hooks),
				    msecs_to_jiffies(left));
}

/**
 * interpose_unhook() - the live device's writes go as they did before; the origin is lost with that
 * Context: a message; sleeps up to @deadline_ms.
 * Return: 0, also if there was no hook; -ETIMEDOUT: writes do not end, nothing was done.
 */
int interpose_unhook(struct interpose_origin *origin, unsigned int deadline_ms)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), deadline_ms);
	struct interpose_hook *hook;
	int r = 0;

	mutex_lock(&interpose_hooks_mutex);
	mutex_lock(&origin->change);
	hook = origin->hook;
	if (hook)
		r = hook_end(hook, deadline);
	mutex_unlock(&origin->change);
	if (hook && !r)
		interpose_hook_retire(hook);
	mutex_unlock(&interpose_hooks_mutex);
	if (!r)
		await_unhooked(origin, deadline);
	return r;
}

/* The origin is lost: there is no set of writes to end between, and nobody to wait for. */
void interpose_unhook_work(struct work_struct *work)
{
	struct interpose_origin *origin = container_of(work, struct interpose_origin, unhook_work);
	struct interpose_hook *hook;

	mutex_lock(&interpose_hooks_mutex);
	hook = origin->hook;
	if (hook) {
		hook_remove(hook);
		interpose_hook_retire(hook);
	}
	mutex_unlock(&interpose_hooks_mutex);
	interpose_origin_unref(origin);
}

static bool hook_lose(struct interpose_origin *origin)
{
	bool news = interpose_origin_forsake(origin);

	interpose_origin_unhook_soon(origin);
	return news;
}

/**
 * interpose_hook_await_turned() - writes that were turned come back: from here on they would wait, or meet another table
 * Those of hooks that are gone already, too.
 * Context: presuspend, when a device still takes what is on its way to it; sleeps, for a bounded time.
 */
void interpose_hook_await_turned(struct interpose_origin *origin)
{
	if (!wait_event_timeout(origin->unhooked, !atomic_read(&origin->hooks),
				msecs_to_jiffies(LOSE_WAIT_MS)))
		pr_warn("interpose: %s: a private device is suspended while writes may wait in it\n",
			origin->name);
}

/**
 * interpose_hook_lose_base() - a base device is being suspended: the origin is lost, and its turned writes come back
 * Context: presuspend; sleeps, for a bounded time.
 */
void interpose_hook_lose_base(const struct gendisk *through)
{
	struct interpose_origin *origin = NULL;
	struct interpose_hook *hook;

	rcu_read_lock();
	hook = interpose_hooked_find(through);
	if (hook && hook->origin)
		origin = interpose_origin_ref(hook->origin);
	rcu_read_unlock();
	if (!origin)
		return;
	hook_lose(origin);
	interpose_hook_await_turned(origin);
	interpose_origin_unref(origin);
}

/* The same for the top device, but for the waiting.  Return: whether that is news.  Context: presuspend. */
bool interpose_hook_lose_top(struct interpose_origin *origin)
{
	return READ_ONCE(origin->hook) && hook_lose(origin);
}

/* The live device of an origin that has a hook, 0 if it has none.  Context: any that holds the origin. */
dev_t interpose_hook_device(const struct interpose_origin *origin)
{
	const struct interpose_hook *hook;
	dev_t dev = 0;

	rcu_read_lock();
	hook = READ_ONCE(origin->hook);
	if (hook)
		dev = hook->live->bd_dev;
	rcu_read_unlock();
	return dev;
}
