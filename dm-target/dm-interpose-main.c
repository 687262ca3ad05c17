// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/*
 * dm-interpose: the module's beginning and end.
 */
#include <linux/module.h>

#include "dm-interpose.h"

struct workqueue_struct *interpose_wq;
struct workqueue_struct *interpose_point_wq;
struct workqueue_struct *interpose_freeze_wq;

static struct target_type *const targets[] = {
	&interpose_base_target,
	&interpose_target,
	&interpose_store_target,
	&interpose_image_target,
};

static void unregister_targets(unsigned int nr)
{
	while (nr--)
		dm_unregister_target(targets[nr]);
}

static int __init register_targets(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		int r = dm_register_target(targets[i]);

		if (r) {
			unregister_targets(i);
			return r;
		}
	}
	return 0;
}

static int __init interpose_init(void)
{
	int r = -ENOMEM;

	interpose_wq = alloc_workqueue("dm-interpose", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!interpose_wq)
		return r;
	interpose_point_wq = alloc_workqueue("dm-interpose-point", WQ_UNBOUND, 0);
	if (!interpose_point_wq)
		goto destroy_wq;
	interpose_freeze_wq = alloc_workqueue("dm-interpose-freeze", WQ_UNBOUND, 0);
	if (!interpose_freeze_wq)
		goto destroy_point_wq;
	r = interpose_store_init();
	if (r)
		goto destroy_freeze_wq;
	r = interpose_copy_init();
	if (r)
		goto exit_store;
	r = interpose_hooked_init();
	if (r)
		goto exit_copy;
	r = register_targets();
	if (r)
		goto exit_hook;
	return 0;

exit_hook:
	interpose_hooked_exit();
exit_copy:
	interpose_copy_exit();
exit_store:
	interpose_store_exit();
destroy_freeze_wq:
	destroy_workqueue(interpose_freeze_wq);
destroy_point_wq:
	destroy_workqueue(interpose_point_wq);
destroy_wq:
	destroy_workqueue(interpose_wq);
	return r;
}

static void __exit interpose_exit(void)
{
	unregister_targets(ARRAY_SIZE(targets));
	destroy_workqueue(interpose_point_wq);
	destroy_workqueue(interpose_freeze_wq);
	destroy_workqueue(interpose_wq);
	interpose_hooked_exit();
	interpose_copy_exit();
	interpose_store_exit();
}

module_init(interpose_init);
module_exit(interpose_exit);

MODULE_DESCRIPTION(
	"device-mapper targets that slide under a live device: snapshots, changed blocks");
MODULE_AUTHOR("The dmsnap authors");
MODULE_LICENSE("GPL");
MODULE_ALIAS("dm-" INTERPOSE_TARGET_BASE);
MODULE_ALIAS("dm-" INTERPOSE_TARGET_STORE);
MODULE_ALIAS("dm-" INTERPOSE_TARGET_IMAGE);
MODULE_VERSION(__stringify(INTERPOSE_INTERFACE) "." __stringify(
	INTERPOSE_VERSION_MINOR) "." __stringify(INTERPOSE_VERSION_PATCH));
