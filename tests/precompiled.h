// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

// Most of what each file of a test program reads; compiled once a program, and nobody includes it.
#include "catch.h"
