// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

// The one source of each test program that has Catch2's own main() in it; empty with version 3, which links it.
#define DMSNAP_TEST_MAIN
#include "catch.h"
