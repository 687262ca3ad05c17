// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_WORKQUEUE_H
#define KERNEL_TEST_LINUX_WORKQUEUE_H

#include <linux/types.h>

#define container_of(pointer, type, member) ((type*)&((char*)(pointer))[-(long)offsetof(type, member)])

struct workqueue_struct;
struct work_struct;
typedef void (*work_func_t)(struct work_struct* work);

// Nothing runs by itself: a test looks at pending and calls func.
struct work_struct {
    work_func_t func;
    bool pending;
};

#define INIT_WORK(work, function) ((work)->func = (function), (work)->pending = false)

static inline bool queue_work(struct workqueue_struct* wq, struct work_struct* work)
{
    const bool queued = !work->pending;
    (void)wq;
    work->pending = true;
    return queued;
}

static inline bool cancel_work_sync(struct work_struct* work)
{
    const bool cancelled = work->pending;
    work->pending = false;
    return cancelled;
}

#endif
