// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_SPINLOCK_H
#define KERNEL_TEST_LINUX_SPINLOCK_H

#include <assert.h>
#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/types.h>

// What takes these locks is tested in one thread: that each is taken once and given back is what there is to see.
typedef struct {
    bool locked;
} spinlock_t;

static inline void spin_lock_init(spinlock_t* lock) { lock->locked = false; }

static inline void kernel_test_lock(spinlock_t* lock)
{
    assert(!lock->locked);
    lock->locked = true;
}

static inline void kernel_test_unlock(spinlock_t* lock)
{
    assert(lock->locked);
    lock->locked = false;
}

#define spin_lock_irqsave(lock, flags) ((flags) = 0, kernel_test_lock(lock))
#define spin_unlock_irqrestore(lock, flags) ((void)(flags), kernel_test_unlock(lock))

#endif
