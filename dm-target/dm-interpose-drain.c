// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The gap: a write that came before the hook and lands after it was seen by nobody.  Its ways, and who waits there:
 *
 *   filesystem --> submit_bio_noacct --> a task's list of bios --> queue, or a driver without one --> device
 *   frozen         a grace period        emptied once by each      frozen once; counted by its
 *   meanwhile      of tasks              task that has one         own statistics
 *
 * A task that sleeps with bios on its list, for want of a tag perhaps, is no reader that a grace period of tasks waits for: its
 * next piece meets the queue when that is open again.
 */
#include <linux/blk-mq.h>
#include <linux/delay.h>
#include <linux/part_stat.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "dm-interpose-hook.h"

/* How long interpose_hook_drain() sleeps between two looks. */
#define DRAIN_PAUSE_MS 5
/* How many of them in a row must find nothing under way. */
#define DRAIN_LOOKS 3
/* Tasks that are waited for at a time. */
#define SUBMITTERS_MAX 1024

/* Those that have a list of bios now.  Return: how many, at most SUBMITTERS_MAX; each is to be put. */
static unsigned int find_submitters(struct task_struct **tasks)
{
	struct task_struct *process, *task;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (READ_ONCE(task->bio_list) && count < SUBMITTERS_MAX)
			tasks[count++] = get_task_struct(task);
	}
	rcu_read_unlock();
	return count;
}

/* Puts those that have none any more.  Return: how many are left. */
static unsigned int put_done(struct task_struct **tasks, unsigned int count)
{
	unsigned int i, left = 0;

	for (i = 0; i < count; i++)
		if (READ_ONCE(tasks[i]->bio_list))
			tasks[left++] = tasks[i];
		else
			put_task_struct(tasks[i]);
	return left;
}

static void give_up(struct task_struct **tasks, unsigned int count)
{
	pr_warn("interpose: %s (pid %d) does not come out of the block layer\n", tasks[0]->comm,
		task_pid_nr(tasks[0]));
	while (count--)
		put_task_struct(tasks[count]);
}

/**
 * interpose_hook_drain_tasks() - waits until each task that has a list of bios has been seen without
 *
 * One that begins a new list between two looks is waited for a little longer than it had to be.
 *
 * Context: the hook is registered, a grace period of tasks ago, and its gate open: who sleeps there may wait for a write that a
 * closed one holds.  Sleeps.
 * Return: 0; -ETIMEDOUT: a task does not come out, which the log names; -ENOMEM.
 */
int interpose_hook_drain_tasks(ktime_t deadline)
{
	struct task_struct **tasks = kvmalloc_array(SUBMITTERS_MAX, sizeof(*tasks), GFP_KERNEL);
	unsigned int found, count;

	if (!tasks)
		return -ENOMEM;
	do {
		found = find_submitters(tasks);
		count = put_done(tasks, found);
		while (count && ktime_before(ktime_get(), deadline)) {
			usleep_range(100, 1000);
			count = put_done(tasks, count);
		}
	} while (!count && found == SUBMITTERS_MAX && ktime_before(ktime_get(), deadline));
	if (count)
		give_up(tasks, count);
	kvfree(tasks);
	return count || found == SUBMITTERS_MAX ? -ETIMEDOUT : 0;
}

static bool hook_covers(const struct interpose_hook *hook, struct block_device *bdev)
{
	sector_t start = bdev->bd_start_sect;

	return start < hook->end && start + bdev_nr_sectors(bdev) > hook->first;
}

/*
 * Writes that a device without requests has under way, as it counts them itself: on any processor, so any may be negative.
 * One that begins on a processor that was passed and ends on one to come hides another.
 */
static long writes_in_flight(const struct interpose_hook *hook)
{
	struct block_device *bdev;
	unsigned long index;
	long writes = 0;
	int cpu;

	rcu_read_lock();
	xa_for_each(&hook->disk->part_tbl, index, bdev)
		for_each_possible_cpu(cpu)
			if (hook_covers(hook, bdev))
				writes +=
					local_read(&per_cpu_ptr(bdev->bd_stats, cpu)->in_flight[1]);
	rcu_read_unlock();
	return writes;
}

/* Waits for those who are inside of the device's submission, and for requests. */
static int drain_queue(struct request_queue *q, ktime_t deadline)
{
	s64 left = max_t(s64, ktime_ms_delta(deadline, ktime_get()), 1);
	int r;

	blk_freeze_queue_start(q);
	r = blk_mq_freeze_queue_wait_timeout(q, msecs_to_jiffies(left)) ? 0 : -ETIMEDOUT;
	blk_mq_unfreeze_queue_nomemrestore(q);
	return r;
}

/* Waits for the writes that came before the hook.  Context: the gate is closed, so that no others come; sleeps. */
int interpose_hook_drain(const struct interpose_hook *hook, ktime_t deadline)
{
	struct request_queue *q = hook->disk->queue;
	int r = drain_queue(q, deadline);
	unsigned int quiet = 0;

	if (r || queue_is_mq(q))
		return r;
	while (quiet < DRAIN_LOOKS) {
		quiet = writes_in_flight(hook) > 0 ? 0 : quiet + 1;
		if (ktime_after(ktime_get(), deadline))
			return -ETIMEDOUT;
		msleep(DRAIN_PAUSE_MS);
	}
	return 0;
}
