// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_TYPES_H
#define KERNEL_TEST_LINUX_TYPES_H

// This folder stands for the kernel's include/: each file gives what the module's pure logic takes from the one
// of the same name, with the same meaning, and no more.  The types of the uapi headers are the machine's own.
#include_next <linux/types.h>

#include <stdbool.h>
#include <stddef.h>

typedef __u32 u32;
typedef __u64 u64;
typedef unsigned int gfp_t;

#define __force

#define PAGE_SIZE 4096UL
#define BITS_PER_LONG 64

#endif
