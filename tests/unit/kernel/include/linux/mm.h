// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_MM_H
#define KERNEL_TEST_LINUX_MM_H

#include <linux/minmax.h>

#endif
