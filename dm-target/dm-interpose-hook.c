// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The hook: how an origin sees the bios of a live device whose table is not ours, or which has none.
 *
 *   submit_bio_noacct(bio) -> ftrace -> hook_called -+- another device, a read, our own bio --> as it is
 *                                                    +- a write whose chunks pass: counted --> as it is
 *                                                    `- a write that must wait --> turned to the top device
 *
 *   live device <- interpose-base <- top device: interpose
 *
 * A plain callback: it changes where the bio goes, and nothing of ours stays on a stack.  It is keyed by disk and absolute
 * sectors, so that writes through the disk, a partition, or one that was made later are all seen.
 *
 * Own bios are told by who ends them *and* for which origin: md-linear and raid0 hand a bio to their member as it is.
 * Every write that the hook lets go or turns is wrapped until it ends: the gate counts those that were let go, and users
 * those that were turned, so that the top device stays until the last has come back.  The hook's memory outlives both.
 *
 * The gap: a write that came before the hook and lands after it was seen by nobody.  hook_drain() waits for those:
 *   filesystems   frozen meanwhile, so that they have none
 *   tasks         in submit_bio_noacct() already: one grace period of tasks
 *   the queue     frozen once; and the bios that a device without requests has under way, as its statistics count them
 */
#include <linux/blk-mq.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/hash.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/part_stat.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "dm-interpose.h"

#define HOOK_BITS 6
/* Writes that can be wrapped when there is no memory, of all origins. */
#define HOOKED_RESERVE 256
/* Wrappers that a processor keeps at hand. */
#define HOOKED_SPARE_MAX 32
/* How long hook_drain() sleeps between two looks. */
#define DRAIN_PAUSE_MS 5
/* How many of them in a row must find nothing under way. */
#define DRAIN_LOOKS 3
/* How long the suspension of a private device waits for writes that were turned, so that it does not meet them. */
#define LOSE_WAIT_MS 10000
/* How long the gate of a hook that was removed stays closed at a time. */
#define AWAIT_PAUSE_MS 1000

struct interpose_hook {
	struct hlist_node node; /* hooks_mutex: in registry */
	struct gendisk *disk;
	sector_t first; /* of the disk */
	sector_t end;
	struct gendisk *through; /* the base device: what it sends passes */
	struct block_device *live;
	struct block_device *top;
	struct interpose_origin *origin;
	struct file *live_handle;
	struct file *top_handle; /* keeps the top device from being removed */
	struct percpu_ref users; /* the registry, and every write that was turned */
	struct work_struct free_work;
};

/* A write on its way. */
struct hooked_write {
	union {
		struct interpose_origin *origin;
		struct hooked_write *next; /* while it is spare */
	};
	struct interpose_hook *turned; /* by this one; NULL: let go, and counted by the gate */
	bio_end_io_t *end_io;
	void *private;
};

/* Of one processor. */
struct hooked_cpu {
	struct hooked_write *spare; /* so that an allocator is not asked for every write */
	unsigned int nr_spare;
	struct bio_list ended; /* else chained bios would end each other without end on one stack */
	bool ending;
};

static DEFINE_MUTEX(hooks_mutex); /* outside of origin->change */
static struct hlist_head registry[1 << HOOK_BITS]; /* hooks_mutex writes, RCU reads */
static unsigned int nr_hooks; /* hooks_mutex */
static struct kmem_cache *hooked_cache;
static mempool_t *hooked_writes;
static DEFINE_PER_CPU(struct hooked_cpu, hooked_cpus);
static bio_end_io_t *chain_end_io; /* bio_chain_endio(), which has no name for us */
static bool callback_possible;

static struct hlist_head *hook_bucket(const struct gendisk *disk)
{
	return &registry[hash_ptr(disk, HOOK_BITS)];
}

/* Wrappers */

/* Return: NULL if there is no memory.  Context: any. */
static struct hooked_write *hooked_get(void)
{
	struct hooked_write *write;
	struct hooked_cpu *cpu;
	unsigned long flags;

	local_irq_save(flags);
	cpu = this_cpu_ptr(&hooked_cpus);
	write = cpu->spare;
	if (write) {
		cpu->spare = write->next;
		cpu->nr_spare--;
	}
	local_irq_restore(flags);
	return write ?: mempool_alloc(hooked_writes, GFP_NOWAIT | __GFP_NOWARN);
}

/* The reserve, which is everybody's, is filled up first.  Context: any. */
static void hooked_put(struct hooked_write *write)
{
	struct hooked_cpu *cpu;
	unsigned long flags;
	bool kept;

	local_irq_save(flags);
	cpu = this_cpu_ptr(&hooked_cpus);
	kept = cpu->nr_spare < HOOKED_SPARE_MAX &&
	       READ_ONCE(hooked_writes->curr_nr) >= hooked_writes->min_nr;
	if (kept) {
		write->next = cpu->spare;
		cpu->spare = write;
		cpu->nr_spare++;
	}
	local_irq_restore(flags);
	if (!kept)
		mempool_free(write, hooked_writes);
}

static void hooked_free_spare(struct hooked_cpu *cpu)
{
	struct hooked_write *write;

	while ((write = cpu->spare)) {
		cpu->spare = write->next;
		mempool_free(write, hooked_writes);
	}
}

/* The path of a bio */

/*
 * bio_endio() has done all that it does but for the last call.  Who is to be called may be bio_chain_endio(), which nobody
 * but bio_endio() may call: that runs once more, and must not find what its throttles noted.
 */
static void end_for_owner(struct bio *bio)
{
	if (bio->bi_end_io != chain_end_io) {
		if (bio->bi_end_io)
			bio->bi_end_io(bio);
		return;
	}
	bio_clear_flag(bio, BIO_QOS_THROTTLED);
	bio_clear_flag(bio, BIO_QOS_MERGED);
	bio_endio(bio);
}

static void end_hooked(struct bio *bio)
{
	struct hooked_write *write = bio->bi_private;
	struct interpose_origin *origin = write->origin;
	struct interpose_hook *turned = write->turned;

	bio->bi_end_io = write->end_io;
	bio->bi_private = write->private;
	hooked_put(write);
	end_for_owner(bio);
	if (turned)
		percpu_ref_put(&turned->users);
	else
		interpose_gate_leave(origin);
}

/* The outermost one on this processor ends them all. */
static void end_chained(struct bio *bio)
{
	struct hooked_cpu *cpu;
	unsigned long flags;
	bool nested;

	preempt_disable();
	cpu = this_cpu_ptr(&hooked_cpus);
	local_irq_save(flags);
	nested = cpu->ending;
	if (nested)
		bio_list_add(&cpu->ended, bio);
	cpu->ending = true;
	while (!nested && bio) {
		local_irq_restore(flags);
		end_hooked(bio);
		local_irq_save(flags);
		bio = bio_list_pop(&cpu->ended);
	}
	if (!nested)
		cpu->ending = false;
	local_irq_restore(flags);
	preempt_enable();
}

/* Only chained ones end each other on one stack; whoever ends another may sleep if its caller may. */
static void hooked_end_io(struct bio *bio)
{
	const struct hooked_write *write = bio->bi_private;

	if (write->end_io == chain_end_io)
		end_chained(bio);
	else
		end_hooked(bio);
}

/* Whether a bio is wrapped for the origin, if only beneath what another area of the same disk has wrapped after us. */
static bool is_wrapped(const struct interpose_hook *hook, const struct bio *bio)
{
	bio_end_io_t *end_io = smp_load_acquire(&bio->bi_end_io); /* pairs with hook_wrap() */
	const void *private = bio->bi_private;

	while (end_io == hooked_end_io) {
		const struct hooked_write *write = private;

		if (write->origin == hook->origin)
			return true;
		end_io = write->end_io;
		private = write->private;
	}
	return false;
}

/* What a bio was split off from, or was chained to by its owner; NULL: nothing.  It does not end before the bio does. */
static struct bio *chained_to(const struct bio *bio)
{
	return bio->bi_end_io == chain_end_io ? bio->bi_private : NULL;
}

/* Only what a driver splits off is chained to a bio that a base device sent. */
static bool is_own(const struct interpose_hook *hook, struct bio *bio)
{
	struct bio *whole = chained_to(bio);

	return is_wrapped(hook, bio) || interpose_base_sent(bio, hook->through) ||
	       (whole && interpose_base_sent(whole, hook->through));
}

static void hook_wrap(struct interpose_hook *hook, struct bio *bio, struct hooked_write *write,
		      bool counted)
{
	if (!counted)
		percpu_ref_get(&hook->users);
	write->origin = hook->origin;
	write->turned = counted ? NULL : hook;
	write->end_io = bio->bi_end_io;
	write->private = bio->bi_private;
	bio->bi_private = write;
	smp_store_release(&bio->bi_end_io, hooked_end_io); /* pairs with is_wrapped() */
}

/*
 * Whether a write has to be counted with those that a closed gate still waits for, as long as there are any: it cannot be
 * turned, or one of them ends only when it has.
 */
static bool hook_must_not_wait(const struct interpose_hook *hook, const struct bio *bio,
			       bool can_turn)
{
	const struct bio *whole = chained_to(bio);

	return !can_turn || (whole && is_wrapped(hook, whole));
}

/* Return: whether a write may go as it is, counted by the gate; else it must be turned to the top device. */
static bool hook_let_go(struct interpose_hook *hook, struct bio *bio, sector_t first, sector_t end,
			bool can_turn)
{
	struct interpose_origin *origin = hook->origin;
	sector_t from = max(first, hook->first);
	sector_t to = min(end, hook->end);
	struct chunk_range range =
		chunks_touched(from - hook->first, to - from, origin->chunk_shift);

	if (!percpu_ref_tryget_live_rcu(&origin->gate) &&
	    (!hook_must_not_wait(hook, bio, can_turn) || !percpu_ref_tryget(&origin->gate)))
		return false;
	if (READ_ONCE(origin->active) && interpose_write_goes(origin, bio_op(bio), range))
		return true;
	interpose_gate_leave(origin);
	return false;
}

static void hook_turn(const struct interpose_hook *hook, struct bio *bio, sector_t first)
{
	bio_clear_polled(bio);
	bio->bi_iter.bi_sector = first - hook->first;
	bio_set_dev(bio, hook->top);
}

/* Whether a write can be turned: what goes over a border would be failed by the top device. */
static bool hook_can_turn(const struct interpose_hook *hook, struct bio *bio, sector_t first,
			  sector_t end)
{
	return first >= hook->first && end <= hook->end && !compat_loses_atomic(bio);
}

static bool hook_shrunk(const struct interpose_hook *hook)
{
	return bdev_nr_sectors(hook->live) < hook->end - hook->first;
}

/* Return: whether the bio goes another way now. */
static bool hook_bio(struct interpose_hook *hook, struct bio *bio, sector_t first)
{
	sector_t end = first + bio_sectors(bio);
	struct hooked_write *write;
	bool can_turn, counted;

	/* What lies beyond the end of a live device that has grown counts as changed, unseen. */
	if (end <= hook->first || first >= hook->end)
		return false;
	if (is_own(hook, bio) || READ_ONCE(hook->origin->gone))
		return false;
	write = hooked_get();
	if (!write)
		goto forsake;
	if (!queue_is_mq(hook->disk->queue))
		bio_clear_polled(bio); /* such a device keeps a list of its own in bi_private */
	can_turn = hook_can_turn(hook, bio, first, end);
	counted = hook_let_go(hook, bio, first, end, can_turn);
	if (!counted && !can_turn)
		goto forsake;
	hook_wrap(hook, bio, write, counted);
	if (!counted)
		hook_turn(hook, bio, first);
	return !counted;

forsake:
	/* What cannot be counted, or should wait and cannot be turned: the device goes on without us. */
	if (write)
		hooked_put(write);
	interpose_origin_forsake(hook->origin);
	return false;
}

/*
 * A bio's first sector on its disk: what was split off an earlier one has it already.
 * Return: false if it ends behind its own device, and so will be failed.
 */
static bool first_on_disk(struct bio *bio, sector_t *first)
{
	const struct block_device *bdev = bio->bi_bdev;
	sector_t size = bdev_nr_sectors(bio->bi_bdev);

	*first = bio->bi_iter.bi_sector;
	if (bio_flagged(bio, BIO_REMAPPED))
		return true;
	if (bio_sectors(bio) > size || *first > size - bio_sectors(bio))
		return false;
	*first += bdev->bd_start_sect;
	return true;
}

static void hook_look(struct bio *bio)
{
	const struct gendisk *disk = bio->bi_bdev->bd_disk;
	struct interpose_hook *hook;
	sector_t first;

	hlist_for_each_entry_rcu(hook, hook_bucket(disk), node) {
		if (hook->disk != disk)
			continue;
		/* Whatever reads it after that, such as udev: what it gets back may be something else. */
		if (hook_shrunk(hook) && !READ_ONCE(hook->origin->gone))
			interpose_origin_forsake(hook->origin);
		if (!op_is_write(bio_op(bio)) || !bio_sectors(bio) || !first_on_disk(bio, &first) ||
		    hook_bio(hook, bio, first))
			return;
	}
}

/* Context: any in which a bio is submitted. */
static void notrace hook_called(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
	struct bio *bio = (struct bio *)compat_ftrace_argument(fregs, 0);

	compat_rcu_enter();
	hook_look(bio);
	compat_rcu_leave();
}

/* The callback itself */

/* PERMANENT: as long as it is registered, sysctl kernel.ftrace_enabled cannot take it away. */
static struct ftrace_ops hook_ops = {
	.func = hook_called,
	.flags = FTRACE_OPS_FL_PERMANENT | COMPAT_FTRACE_FLAGS,
};

static int callback_get(void)
{
	lockdep_assert_held(&hooks_mutex);
	if (!nr_hooks && (!callback_possible || register_ftrace_function(&hook_ops)))
		return -EOPNOTSUPP;
	nr_hooks++;
	return 0;
}

static void callback_put(void)
{
	lockdep_assert_held(&hooks_mutex);
	if (!--nr_hooks)
		unregister_ftrace_function(&hook_ops);
}

/* The gap */

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
static int hook_drain(const struct interpose_hook *hook, ktime_t deadline)
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

/* Hooking */

static void put_handle(struct file **handle)
{
	if (!IS_ERR_OR_NULL(*handle))
		bdev_fput(*handle);
	*handle = NULL;
}

static void hook_free(struct interpose_hook *hook)
{
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

/* The last write that it turned has ended.  The module's end waits for this work. */
static void free_work(struct work_struct *work)
{
	struct interpose_hook *hook = container_of(work, struct interpose_hook, free_work);

	await_let_go(hook->origin);
	/* Whoever put the last reference may still be on its way out, be it a task or an interrupt. */
	synchronize_rcu_tasks();
	synchronize_rcu();
	hook_free(hook);
}

static void hook_unused(struct percpu_ref *users)
{
	queue_work(interpose_point_wq,
		   &container_of(users, struct interpose_hook, users)->free_work);
}

/* Context: origin->change, and its table is active. */
static int hook_open(struct interpose_hook *hook, struct interpose *ip)
{
	struct interpose_origin *origin = ip->origin;
	struct interpose_area area;

	hook->through = ip->base->bdev->bd_disk;
	if (ip->start || interpose_base_area(hook->through, &area) ||
	    area.sectors != origin->length)
		return -EINVAL;
	hook->live_handle = bdev_file_open_by_dev(area.live, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(hook->live_handle))
		return -ENODEV;
	hook->top_handle =
		bdev_file_open_by_dev(disk_devt(dm_disk(origin->md)), BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(hook->top_handle))
		return -ENODEV;
	hook->live = file_bdev(hook->live_handle);
	hook->disk = hook->live->bd_disk;
	hook->first = area.first;
	hook->end = area.first + area.sectors;
	hook->top = file_bdev(hook->top_handle);
	hook->origin = interpose_origin_ref(origin);
	atomic_inc(&origin->hooks);
	return 0;
}

/* Context: origin->change, and its table is active. */
static struct interpose_hook *hook_alloc(struct interpose *ip)
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
	r = hook_open(hook, ip);
	if (r) {
		hook_free(hook);
		return ERR_PTR(r);
	}
	return hook;
}

static bool hook_overlaps(const struct interpose_hook *hook)
{
	struct interpose_hook *other;

	lockdep_assert_held(&hooks_mutex);
	hlist_for_each_entry(other, hook_bucket(hook->disk), node)
		if (other->disk == hook->disk && other->first < hook->end &&
		    hook->first < other->end)
			return true;
	return false;
}

static void hook_insert(struct interpose_hook *hook)
{
	hook->origin->hooked = true;
	hlist_add_head_rcu(&hook->node, hook_bucket(hook->disk));
	WRITE_ONCE(hook->origin->hook, hook);
}

/* From here on its bios go as they did before.  To be followed by hook_retire(). */
static void hook_remove(struct interpose_hook *hook)
{
	hlist_del_rcu(&hook->node);
	WRITE_ONCE(hook->origin->hook, NULL);
}

/* Context: filesystems are frozen, memalloc_noio. */
static int hook_insert_drained(struct interpose_hook *hook, ktime_t deadline)
{
	struct interpose_origin *origin = hook->origin;
	struct interpose_area area;
	int r;

	interpose_gate_prepare(origin);
	hook_insert(hook);
	synchronize_rcu_tasks();
	r = interpose_gate_close(origin, deadline);
	r = r ?: hook_drain(hook, deadline);
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
static void hook_retire(struct interpose_hook *hook)
{
	synchronize_rcu();
	percpu_ref_kill(&hook->users);
	callback_put();
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
	hook = hook_alloc(ip);
	if (IS_ERR(hook))
		return PTR_ERR(hook);
	r = hook_overlaps(hook) ? -EBUSY : callback_get();
	if (r) {
		hook_free(hook);
		return r;
	}
	r = hook_insert_frozen(hook, request);
	if (r)
		hook_retire(hook);
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

	mutex_lock(&hooks_mutex);
	mutex_lock(&origin->change);
	if (!origin->hook)
		r = hook_make(ip, request);
	mutex_unlock(&origin->change);
	mutex_unlock(&hooks_mutex);
	return r;
}

/* Ends the hook between two sets of writes; of a lost origin at once.  Context: hooks_mutex and origin->change. */
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

	mutex_lock(&hooks_mutex);
	mutex_lock(&origin->change);
	hook = origin->hook;
	if (hook)
		r = hook_end(hook, deadline);
	mutex_unlock(&origin->change);
	if (hook && !r)
		hook_retire(hook);
	mutex_unlock(&hooks_mutex);
	if (!r)
		await_unhooked(origin, deadline);
	return r;
}

/* The origin is lost: there is no set of writes to end between, and nobody to wait for. */
void interpose_unhook_work(struct work_struct *work)
{
	struct interpose_origin *origin = container_of(work, struct interpose_origin, unhook_work);
	struct interpose_hook *hook;

	mutex_lock(&hooks_mutex);
	hook = origin->hook;
	if (hook) {
		hook_remove(hook);
		hook_retire(hook);
	}
	mutex_unlock(&hooks_mutex);
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

static struct interpose_origin *origin_through(const struct gendisk *through)
{
	struct interpose_hook *hook;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(registry); i++)
		hlist_for_each_entry_rcu(hook, &registry[i], node)
			if (hook->through == through)
				return interpose_origin_ref(hook->origin);
	return NULL;
}

/**
 * interpose_hook_lose_base() - a base device is being suspended: the origin is lost, and its turned writes come back
 * Context: presuspend; sleeps, for a bounded time.
 */
void interpose_hook_lose_base(const struct gendisk *through)
{
	struct interpose_origin *origin;

	rcu_read_lock();
	origin = origin_through(through);
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

/* What bio_chain() makes a bio's end. */
static bio_end_io_t *__init find_chain_end_io(void)
{
	struct bio bio, parent;

	bio_init(&bio, NULL, NULL, 0, 0);
	bio_init(&parent, NULL, NULL, 0, 0);
	bio_chain(&bio, &parent);
	return bio.bi_end_io;
}

int __init interpose_hook_init(void)
{
	chain_end_io = find_chain_end_io();
	hooked_cache = KMEM_CACHE(hooked_write, 0);
	if (!hooked_cache)
		return -ENOMEM;
	hooked_writes = mempool_create_slab_pool(HOOKED_RESERVE, hooked_cache);
	if (!hooked_writes) {
		kmem_cache_destroy(hooked_cache);
		return -ENOMEM;
	}
	/* Once and for all: a filter that is freed cannot be set again on every kernel. */
	callback_possible =
		IS_ENABLED(CONFIG_DYNAMIC_FTRACE) && !IS_ENABLED(CONFIG_PREEMPT_RT) &&
		!ftrace_set_filter_ip(&hook_ops, (unsigned long)submit_bio_noacct, 0, 0);
	return 0;
}

void interpose_hook_exit(void)
{
	int cpu;

	if (callback_possible)
		ftrace_free_filter(&hook_ops);
	for_each_possible_cpu(cpu)
		hooked_free_spare(per_cpu_ptr(&hooked_cpus, cpu));
	mempool_destroy(hooked_writes);
	kmem_cache_destroy(hooked_cache);
}
