// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * The hook's way into the kernel; not built where that has no function tracer.
 *
 *   submit_bio_noacct(bio) -> ftrace -> interpose_hooked_look(): dm-interpose-hooked.c
 */
#include <linux/ftrace.h>

#include "dm-interpose-hook.h"

static bool callback_possible;

/* PERMANENT: as long as it is registered, sysctl kernel.ftrace_enabled cannot take it away. */
static struct ftrace_ops hook_ops = {
	.func = interpose_hooked_look,
	.flags = FTRACE_OPS_FL_PERMANENT | COMPAT_FTRACE_FLAGS,
};

/* Return: 0, or an error if the kernel's tracing cannot be had.  Context: interpose_hooks_mutex. */
int interpose_ftrace_start(void)
{
	return callback_possible ? register_ftrace_function(&hook_ops) : -EOPNOTSUPP;
}

void interpose_ftrace_stop(void)
{
	unregister_ftrace_function(&hook_ops);
}

/* Once and for all: a filter that is freed cannot be set again on every kernel. */
void __init interpose_ftrace_init(void)
{
	callback_possible =
		IS_ENABLED(CONFIG_DYNAMIC_FTRACE) && !IS_ENABLED(CONFIG_PREEMPT_RT) &&
		!ftrace_set_filter_ip(&hook_ops, (unsigned long)submit_bio_noacct, 0, 0);
}

void interpose_ftrace_exit(void)
{
	if (callback_possible)
		ftrace_free_filter(&hook_ops);
}
