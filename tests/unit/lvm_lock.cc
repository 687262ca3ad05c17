// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "machine/lvm_lock.h"
#include "catch.h"

using namespace dmsnap;

TEST_CASE("the volume group of a logical volume is known by its device's name", "[unit]")
{
    CHECK(volume_group_of("vg-home", "LVM-x") == "vg");
    CHECK(volume_group_of("my--vg-my--lv", "LVM-x") == "my-vg");
    CHECK(volume_group_of("a----b-lv", "LVM-x") == "a--b");
    CHECK(volume_group_of("vg-pool-tpool", "LVM-x-tpool") == "vg");
    CHECK_FALSE(volume_group_of("vg-home", "CRYPT-x"));
    CHECK_FALSE(volume_group_of("vg-home", ""));
    CHECK_FALSE(volume_group_of("vg--home", "LVM-x"));
    CHECK_FALSE(volume_group_of("-home", "LVM-x"));
}
