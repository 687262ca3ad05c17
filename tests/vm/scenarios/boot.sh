#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The guest is what every other test takes for granted: udevd at work, device-mapper, disks of known sector sizes.

set -euo pipefail

expect() {
    local what=$1 wanted=$2 got=$3
    if [ "$wanted" != "$got" ]; then
        echo "$what: $got instead of $wanted"
        exit 1
    fi
}

pidof systemd-udevd >/dev/null
expect "sectors of the origin" 512 "$(blockdev --getss "$DMSNAP_TEST_ORIGIN")"
expect "size of the origin" $((4 << 30)) "$(blockdev --getsize64 "$DMSNAP_TEST_ORIGIN")"
expect "size of the store" $((4 << 30)) "$(blockdev --getsize64 "$DMSNAP_TEST_STORE")"
expect "size of the spare" $((2 << 30)) "$(blockdev --getsize64 "$DMSNAP_TEST_SPARE")"
expect "sectors of the 4 KiB disk" 4096 "$(blockdev --getss "$DMSNAP_TEST_4K")"
cmp -n $((1 << 20)) "$DMSNAP_TEST_ORIGIN" /dev/zero

# Blank after a discard, which the test disks of a boot rely on from one test to the next.
dd if=/dev/urandom of="$DMSNAP_TEST_ORIGIN" bs=4096 count=1 conv=fsync status=none
blkdiscard -f "$DMSNAP_TEST_ORIGIN"
cmp -n 4096 "$DMSNAP_TEST_ORIGIN" /dev/zero

# A device-mapper device with udev's cookie: its link must be there when dmsetup returns.
dmsetup create boot-test --table "0 2048 linear $DMSNAP_TEST_ORIGIN 0"
expect "the link udevd made" "$(readlink -f /dev/mapper/boot-test)" "$(readlink -f /dev/disk/by-id/dm-name-boot-test)"
dmsetup remove --retry boot-test
expect "device-mapper devices" "No devices found" "$(dmsetup ls)"
