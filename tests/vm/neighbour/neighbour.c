// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * A neighbour of the hook: one that ftrace lets change where a traced function goes on, as a live patch does, on
 * submit_bio_noacct.  It changes nothing and counts; /sys/module/neighbour/parameters/calls tells.
 */
#include <linux/ftrace.h>
#include <linux/module.h>

static unsigned long calls;
module_param(calls, ulong, 0444);
MODULE_PARM_DESC(calls, "how often the function was called");

static void notrace called(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			   struct ftrace_regs *fregs)
{
	WRITE_ONCE(calls, READ_ONCE(calls) + 1);
}

static struct ftrace_ops ops = {
	.func = called,
	.flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_SAVE_REGS,
};

static char name[] = "submit_bio_noacct";

static int __init neighbour_init(void)
{
	int r = ftrace_set_filter(&ops, (unsigned char *)name, sizeof(name) - 1, 0);

	return r ?: register_ftrace_function(&ops);
}

static void __exit neighbour_exit(void)
{
	unregister_ftrace_function(&ops);
	ftrace_free_filter(&ops);
}

module_init(neighbour_init);
module_exit(neighbour_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test of dm-interpose: another user of the function it is called for");
