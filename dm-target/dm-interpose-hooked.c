// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * How an origin sees the bios of a live device whose table is not ours, or which has none: the path of a bio.
 *
 *   submit_bio_noacct(bio) -> ftrace -> hook_called -+- another device, a read, our own bio --> as it is
 *                                                    +- a write whose chunks pass: counted --> as it is
 *                                                    +- a write that must wait --> turned to the top device
 *                                                    `- any, of a redirect --> turned to its endpoint
 *                                                        `- a flush of more than that: ended there --> as it is
 *
 *   live device <- top device: interpose
 *   live device <- interpose-base <- an endpoint: anything; and what is read of the old data
 *
 * A plain callback: it changes where the bio goes, and nothing of ours stays on a stack.  It is keyed by disk and absolute
 * sectors, so that writes through the disk, a partition, or one that was made later are all seen.
 *
 * Own bios are told by who ends them *and* for which origin: md-linear and raid0 hand a bio to their member as it is.
 * Every write that the hook lets go or turns is wrapped until it ends: the gate counts those that were let go, and users
 * those that were turned, so that the top device stays until the last has come back.  The hook's memory outlives both.
 */
#include <linux/hash.h>
#include <linux/mempool.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "dm-interpose-hook.h"

#define HOOK_BITS 6
/* Writes that can be wrapped when there is no memory, of all origins. */
#define HOOKED_RESERVE 256
/* Behind the end of any device. */
#define NO_SECTOR ((sector_t)1 << 54)
/* Wrappers that a processor keeps at hand. */
#define HOOKED_SPARE_MAX 32

/* A write on its way. */
struct hooked_write {
	union {
		struct interpose_origin *origin;
		struct hooked_write *next; /* while it is spare */
	};
	struct interpose_hook *turned; /* by this one; NULL: let go, and counted by the gate */
	struct block_device *then; /* a turned flush goes there as well; NULL: nowhere */
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

static struct hlist_head registry[1 << HOOK_BITS]; /* interpose_hooks_mutex writes, RCU reads */
static unsigned int nr_hooks; /* interpose_hooks_mutex */
static struct kmem_cache *hooked_cache;
static mempool_t *hooked_writes;
static DEFINE_PER_CPU(struct hooked_cpu, hooked_cpus);
static bio_end_io_t *chain_end_io; /* bio_chain_endio(), which has no name for us */
static struct bio_list flushes; /* flushes_lock: half done */
static DEFINE_SPINLOCK(flushes_lock); /* irqs off */

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
	/* With what is kept for those who cannot wait: to have none costs the points of an origin. */
	return write ?: mempool_alloc(hooked_writes, GFP_ATOMIC | __GFP_NOWARN);
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

/* Sends flushes that their endpoints have done on to their own devices; they are still the hook's, and pass. */
static void send_flushes(struct work_struct *work)
{
	struct bio_list done;
	struct bio *bio;

	spin_lock_irq(&flushes_lock);
	done = flushes;
	bio_list_init(&flushes);
	spin_unlock_irq(&flushes_lock);
	while ((bio = bio_list_pop(&done))) {
		struct hooked_write *write = bio->bi_private;

		bio_set_dev(bio, write->then);
		write->then = NULL;
		submit_bio_noacct(bio);
	}
}

static DECLARE_WORK(flushes_work, send_flushes);

static void flush_then(struct bio *bio)
{
	unsigned long flags;

	bio_clear_flag(bio, BIO_QOS_THROTTLED);
	bio_clear_flag(bio, BIO_QOS_MERGED);
	spin_lock_irqsave(&flushes_lock, flags);
	bio_list_add(&flushes, bio);
	spin_unlock_irqrestore(&flushes_lock, flags);
	queue_work(interpose_wq, &flushes_work);
}

static void unwrap(struct bio *bio, struct hooked_write *write)
{
	bio->bi_end_io = write->end_io;
	bio->bi_private = write->private;
	hooked_put(write);
	end_for_owner(bio);
}

static noinline void end_turned(struct bio *bio, struct hooked_write *write)
{
	struct interpose_hook *hook = write->turned;

	if (write->then && !bio->bi_status) {
		flush_then(bio);
		return;
	}
	unwrap(bio, write);
	percpu_ref_put(&hook->users);
}

static void end_hooked(struct bio *bio)
{
	struct hooked_write *write = bio->bi_private;
	struct interpose_origin *origin = write->origin;

	if (unlikely(write->turned)) {
		end_turned(bio, write);
		return;
	}
	unwrap(bio, write);
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

/* Whether a bio is wrapped for the hook, if only beneath what another area of the same disk has wrapped after us. */
static bool is_wrapped(const struct interpose_hook *hook, const struct bio *bio)
{
	bio_end_io_t *end_io = smp_load_acquire(&bio->bi_end_io); /* pairs with hook_wrap() */
	const void *private = bio->bi_private;

	while (end_io == hooked_end_io) {
		const struct hooked_write *write = private;

		if (hook->origin ? write->origin == hook->origin : write->turned == hook)
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

static void sent_end_io(struct bio *bio)
{
	struct interpose_write *write = interpose_bio_write(bio);
	struct interpose_hook *hook = write->sent;

	bio->bi_end_io = write->end_io;
	bio->bi_end_io(bio);
	percpu_ref_put(&hook->users);
}

/**
 * interpose_hooked_send() - makes a bio of a top device one of the hook's own, on its way to the live device
 * Context: map(), or a worker; never sleeps.
 * Return: false: its origin has no hook.
 */
bool interpose_hooked_send(struct interpose_write *write, struct bio *bio)
{
	struct interpose_hook *hook;

	rcu_read_lock();
	hook = READ_ONCE(write->ip->origin->hook);
	if (hook && !percpu_ref_tryget_live_rcu(&hook->users))
		hook = NULL;
	rcu_read_unlock();
	if (!hook)
		return false;
	write->sent = hook;
	write->end_io = bio->bi_end_io;
	bio->bi_end_io = sent_end_io;
	bio_set_dev(bio, hook->live);
	return true;
}

static bool was_sent(const struct interpose_hook *hook, struct bio *bio)
{
	return interpose_base_sent(bio, hook->through) ||
	       (bio->bi_end_io == sent_end_io && interpose_bio_write(bio)->sent == hook);
}

/* What a bio ends with that has been through here, or may be a piece of one that has: few have. */
static bool may_be_own(const struct bio *bio)
{
	bio_end_io_t *end_io = READ_ONCE(bio->bi_end_io);

	return end_io == hooked_end_io || end_io == sent_end_io ||
	       end_io == interpose_base_end_io || end_io == chain_end_io;
}

/* Only what a driver splits off is chained to a bio that was sent. */
static noinline bool was_ours(const struct interpose_hook *hook, struct bio *bio)
{
	struct bio *whole = chained_to(bio);

	return is_wrapped(hook, bio) || was_sent(hook, bio) || (whole && was_sent(hook, whole));
}

static bool is_own(const struct interpose_hook *hook, struct bio *bio)
{
	return may_be_own(bio) && was_ours(hook, bio);
}

static void hook_wrap(struct interpose_hook *hook, struct bio *bio, struct hooked_write *write,
		      bool counted)
{
	if (!counted) {
		percpu_ref_get(&hook->users);
		write->then = NULL;
	}
	write->origin = hook->origin;
	write->turned = counted ? NULL : hook;
	write->end_io = bio->bi_end_io;
	write->private = bio->bi_private;
	bio->bi_private = write;
	smp_store_release(&bio->bi_end_io, hooked_end_io); /* pairs with is_wrapped() */
}

/* Whether a write can be turned: what goes over a border would be failed by the top device. */
static bool hook_can_turn(const struct interpose_hook *hook, struct bio *bio, sector_t first,
			  sector_t end)
{
	return first >= hook->first && end <= hook->end && !compat_loses_atomic(bio);
}

/*
 * Whether a write has to be counted with those that a closed gate still waits for, as long as there are any: it cannot be
 * turned, or one of them ends only when it has.
 */
static bool hook_must_not_wait(const struct interpose_hook *hook, struct bio *bio, sector_t first,
			       sector_t end)
{
	const struct bio *whole = chained_to(bio);

	return !hook_can_turn(hook, bio, first, end) || (whole && is_wrapped(hook, whole));
}

/* Return: whether a write may go as it is, counted by the gate; else it must be turned to the top device. */
static bool hook_let_go(struct interpose_hook *hook, struct bio *bio, sector_t first, sector_t end)
{
	struct interpose_origin *origin = hook->origin;
	sector_t from = max(first, hook->first);
	sector_t to = min(end, hook->end);
	struct chunk_range range =
		chunks_touched(from - hook->first, to - from, origin->chunk_shift);

	if (!percpu_ref_tryget_live_rcu(&origin->gate) &&
	    (!hook_must_not_wait(hook, bio, first, end) || !percpu_ref_tryget(&origin->gate)))
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

static bool hook_shrunk(const struct interpose_hook *hook)
{
	return bdev_nr_sectors(hook->live) < hook->end - hook->first;
}

/* Return: whether the bio goes another way now. */
static bool hook_bio(struct interpose_hook *hook, struct bio *bio, sector_t first)
{
	sector_t end = first + bio_sectors(bio);
	struct hooked_write *write;
	bool counted;

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
	counted = hook_let_go(hook, bio, first, end);
	if (!counted && !hook_can_turn(hook, bio, first, end))
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

/* Whether a flush is meant for the area as well: also that of a disk, or of a device that has grown. */
static bool flushes_area(const struct interpose_hook *hook, const struct bio *bio)
{
	sector_t start = bio->bi_bdev->bd_start_sect;

	return start < hook->end && start + bdev_nr_sectors(bio->bi_bdev) > hook->first;
}

/* And for more than that: it goes to its own device as well, and on its way to the endpoints of other areas there. */
static bool flushes_more(const struct interpose_hook *hook, const struct bio *bio)
{
	sector_t start = bio->bi_bdev->bd_start_sect;

	return !bio_sectors(bio) &&
	       (start < hook->first || start + bdev_nr_sectors(bio->bi_bdev) > hook->end);
}

/*
 * Where a bio for the area of a redirect begins on the disk.  A write over a border belongs to nobody who may write there:
 * it gets a place that no device has, and so is failed.  A read over a border may be a look at the whole disk.
 * Return: false if it goes as it is.
 */
static bool redirect_first(const struct interpose_hook *hook, struct bio *bio, sector_t *first)
{
	sector_t end;

	if (!bio_sectors(bio)) {
		*first = hook->first;
		return op_is_write(bio_op(bio)) && flushes_area(hook, bio);
	}
	if (!first_on_disk(bio, first))
		return false;
	end = *first + bio_sectors(bio);
	if (end <= hook->first || *first >= hook->end)
		return false;
	if (*first >= hook->first && end <= hook->end)
		return true;
	*first = hook->first + NO_SECTOR;
	return op_is_write(bio_op(bio));
}

/* Return: whether the bio goes another way now. */
static bool redirect_bio(struct interpose_hook *hook, struct bio *bio)
{
	struct hooked_write *write;
	sector_t first;

	if (is_own(hook, bio) || !redirect_first(hook, bio, &first))
		return false;
	write = hooked_get();
	if (write) {
		hook_wrap(hook, bio, write, false);
		if (flushes_more(hook, bio))
			write->then = bio->bi_bdev;
	} else {
		WRITE_ONCE(hook->uncounted, true);
	}
	/* Not every endpoint can do the one; a suspended one fails the other. */
	bio->bi_opf &= ~(REQ_NOWAIT | REQ_RAHEAD);
	hook_turn(hook, bio, first);
	return true;
}

static __always_inline void look_at(struct bio *bio)
{
	const struct gendisk *disk = bio->bi_bdev->bd_disk;
	struct interpose_hook *hook;
	sector_t first;

	hlist_for_each_entry_rcu(hook, hook_bucket(disk), node) {
		if (hook->disk != disk)
			continue;
		if (!hook->origin) {
			if (redirect_bio(hook, bio))
				return;
			continue;
		}
		/* Whatever reads it after that, such as udev: what it gets back may be something else. */
		if (hook_shrunk(hook) && !READ_ONCE(hook->origin->gone))
			interpose_origin_forsake(hook->origin);
		/* Another area of the same disk may be a redirect's. */
		if (op_is_write(bio_op(bio)) && bio_sectors(bio) && first_on_disk(bio, &first) &&
		    hook_bio(hook, bio, first))
			return;
	}
}

/**
 * interpose_hooked_look() - sees a bio before it is submitted, as ftrace calls for it; it may go another way after that
 * Context: any in which a bio is submitted.
 */
void notrace interpose_hooked_look(unsigned long ip, unsigned long parent_ip,
				   struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct bio *bio = (struct bio *)compat_ftrace_argument(fregs, 0);

	compat_rcu_enter();
	look_at(bio);
	compat_rcu_leave();
}

/* From here on bios are looked at.  Return: 0, -EOPNOTSUPP. */
int interpose_hooked_watch(void)
{
	lockdep_assert_held(&interpose_hooks_mutex);
	if (!nr_hooks && interpose_ftrace_start())
		return -EOPNOTSUPP;
	nr_hooks++;
	return 0;
}

void interpose_hooked_unwatch(void)
{
	lockdep_assert_held(&interpose_hooks_mutex);
	if (!--nr_hooks)
		interpose_ftrace_stop();
}

/* The registry */

/* Whether the area of another one has sectors of this one's. */
bool interpose_hooked_overlaps(const struct interpose_hook *hook)
{
	struct interpose_hook *other;

	lockdep_assert_held(&interpose_hooks_mutex);
	hlist_for_each_entry(other, hook_bucket(hook->disk), node)
		if (other->disk == hook->disk && other->first < hook->end &&
		    hook->first < other->end)
			return true;
	return false;
}

void interpose_hooked_add(struct interpose_hook *hook)
{
	lockdep_assert_held(&interpose_hooks_mutex);
	hlist_add_head_rcu(&hook->node, hook_bucket(hook->disk));
}

/* From here on its bios go as they did before; a grace period later none is being looked at. */
void interpose_hooked_remove(struct interpose_hook *hook)
{
	lockdep_assert_held(&interpose_hooks_mutex);
	hlist_del_rcu(&hook->node);
}

/* The one whose base device that is; NULL: there is none.  Context: the mutex, or RCU. */
struct interpose_hook *interpose_hooked_find(const struct gendisk *through)
{
	struct interpose_hook *hook;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(registry); i++)
		hlist_for_each_entry_rcu(hook, &registry[i], node,
					 lockdep_is_held(&interpose_hooks_mutex))
			if (hook->through == through)
				return hook;
	return NULL;
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

int __init interpose_hooked_init(void)
{
	bio_list_init(&flushes);
	chain_end_io = find_chain_end_io();
	hooked_cache = KMEM_CACHE(hooked_write, 0);
	if (!hooked_cache)
		return -ENOMEM;
	hooked_writes = mempool_create_slab_pool(HOOKED_RESERVE, hooked_cache);
	if (!hooked_writes) {
		kmem_cache_destroy(hooked_cache);
		return -ENOMEM;
	}
	interpose_ftrace_init();
	return 0;
}

void interpose_hooked_exit(void)
{
	int cpu;

	interpose_ftrace_exit();
	for_each_possible_cpu(cpu)
		hooked_free_spare(per_cpu_ptr(&hooked_cpus, cpu));
	mempool_destroy(hooked_writes);
	kmem_cache_destroy(hooked_cache);
}
