// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_ATOMIC_H
#define KERNEL_TEST_LINUX_ATOMIC_H

#include <linux/types.h>

typedef struct {
    long counter;
} atomic_long_t;

// Ordered as Documentation/atomic_t.txt has it: what returns nothing is unordered.
static inline long atomic_long_read(const atomic_long_t* v) { return __atomic_load_n(&v->counter, __ATOMIC_RELAXED); }
static inline void atomic_long_or(long i, atomic_long_t* v) { __atomic_fetch_or(&v->counter, i, __ATOMIC_RELAXED); }
static inline void atomic_long_inc(atomic_long_t* v) { __atomic_fetch_add(&v->counter, 1, __ATOMIC_RELAXED); }

#define cmpxchg(ptr, old, new) __sync_val_compare_and_swap(ptr, old, new)
#define smp_load_acquire(ptr) __atomic_load_n(ptr, __ATOMIC_ACQUIRE)

#endif
