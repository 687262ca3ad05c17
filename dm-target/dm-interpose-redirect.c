// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * Redirects: every bio of a live device goes to another one, its endpoint, whose table may be anything.
 *
 *   submit_bio_noacct(bio) -> hook: turned -> endpoint: any table -> base: it passes -> live device
 *
 * An endpoint maps the base one to one when a redirect begins and when it ends, so that it does not matter which way a bio
 * goes just then.  In between device-mapper itself swaps its tables.  But a table that copies, such as a mirror's, must not
 * meet a write that went by beside it: when "redirect" is done, none is under way.  While those that came before end, the
 * base holds what comes.
 */
#include "dm-interpose-hook.h"

/* Context: filesystems are frozen, memalloc_noio. */
static int insert_drained(struct interpose_base *base, struct interpose_hook *hook,
			  ktime_t deadline)
{
	struct interpose_area area;
	int r;

	interpose_hooked_add(hook);
	synchronize_rcu_tasks();
	r = interpose_hook_drain_tasks(deadline);
	if (r) {
		interpose_hooked_remove(hook);
		return r;
	}
	interpose_base_hold(base, true);
	r = interpose_hook_drain(hook, deadline);
	if (!r && interpose_base_area(hook->through, &area))
		r = -ESTALE;
	if (r)
		interpose_hooked_remove(hook);
	interpose_base_hold(base, false);
	return r;
}

static int insert_frozen(struct interpose_base *base, struct interpose_hook *hook,
			 const struct interpose_hook_request *request)
{
	ktime_t deadline = ktime_add_ms(ktime_get(), request->deadline_ms);
	struct interpose_frozen frozen;
	int r = interpose_freeze(&request->freeze, &frozen, deadline);

	if (r)
		return r;
	r = insert_drained(base, hook, deadline);
	interpose_thaw(&frozen);
	return r;
}

static int redirect_make(struct interpose_base *base, struct gendisk *through, dev_t endpoint,
			 const struct interpose_hook_request *request)
{
	struct interpose_hook *hook = interpose_hook_alloc(through, endpoint);
	int r;

	if (IS_ERR(hook))
		return PTR_ERR(hook);
	r = hook->top->bd_disk == through || hook->top->bd_disk == hook->disk ? -EINVAL : 0;
	if (!r)
		r = interpose_hooked_overlaps(hook) ? -EBUSY : interpose_hooked_watch();
	if (r) {
		interpose_hook_free(hook);
		return r;
	}
	r = insert_frozen(base, hook, request);
	if (r)
		interpose_hook_retire(hook);
	return r;
}

/**
 * interpose_redirect() - from now on the bios of the live device below @base go to @endpoint
 * @through: the device of @base.
 * Context: a message, memalloc_noio; sleeps up to the deadline and a little more.
 * Return: 0, also if it was so; errors: the message "redirect" in the uapi header.
 */
int interpose_redirect(struct interpose_base *base, struct gendisk *through, dev_t endpoint,
		       const struct interpose_hook_request *request)
{
	const struct interpose_hook *hook;
	int r;

	mutex_lock(&interpose_hooks_mutex);
	hook = interpose_hooked_find(through);
	if (hook)
		r = !hook->origin && hook->top->bd_dev == endpoint ? 0 : -EBUSY;
	else
		r = redirect_make(base, through, endpoint, request);
	mutex_unlock(&interpose_hooks_mutex);
	return r;
}

/**
 * interpose_direct() - they go as they did before
 * Those that were turned may still be in the endpoint, which stays open until the last has come back: that is given time.
 * Context: a message; sleeps up to @deadline_ms.
 * Return: 0, also if there was no redirect.
 */
int interpose_direct(const struct gendisk *through, unsigned int deadline_ms)
{
	struct interpose_hook *hook;

	mutex_lock(&interpose_hooks_mutex);
	hook = interpose_hooked_find(through);
	if (hook && !hook->origin) {
		interpose_hooked_remove(hook);
		interpose_hook_retire(hook);
	}
	mutex_unlock(&interpose_hooks_mutex);
	interpose_hook_await_ended(deadline_ms);
	return 0;
}

/* Where the bios of the live device below @through go, 0: to itself.  Context: any. */
dev_t interpose_endpoint(const struct gendisk *through)
{
	const struct interpose_hook *hook;
	dev_t dev = 0;

	rcu_read_lock();
	hook = interpose_hooked_find(through);
	if (hook && !hook->origin)
		dev = hook->top->bd_dev;
	rcu_read_unlock();
	return dev;
}
