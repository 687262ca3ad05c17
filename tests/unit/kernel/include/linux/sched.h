// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_SCHED_H
#define KERNEL_TEST_LINUX_SCHED_H

static inline void cond_resched(void) {}

#endif
