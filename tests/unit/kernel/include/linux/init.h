// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#ifndef KERNEL_TEST_LINUX_INIT_H
#define KERNEL_TEST_LINUX_INIT_H

// For C only: the C++ library has variables of this name.
#ifndef __cplusplus
#define __init
#endif

#endif
