#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The module's own side of the hook, by dmsetup: partitions of a plain disk, one mounted and at work, one written through
# its disk; images are compared block by block with copies made while nothing was written.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=$DMSNAP_TEST_ORIGIN
copy=$DMSNAP_TEST_SPARE

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait "$load"
    umount /mnt
    dmsetup message hook-top-1 0 unhook 10000
    dmsetup message hook-top-2 0 unhook 10000
    dmsetup remove hook-image-1
    dmsetup remove hook-image-2
    for part in 1 2; do
        dmsetup remove --retry hook-top-$part
        dmsetup remove --retry hook-base-$part
    done
    partx --delete "$disk"
    dmsnap detach --force --yes plain
    dmsetup remove --retry plain
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

# hook PART FREEZE_LIST
hook() {
    local part=$1 length
    length=$(blockdev --getsz "$disk$part")
    dmsetup create "hook-base-$part" --table "0 $length interpose-base $(number "$disk$part") 0"
    dmsetup create "hook-top-$part" --table "0 $length interpose $(number "/dev/mapper/hook-base-$part") 0 $(cat /proc/sys/kernel/random/uuid) 32"
    dmsetup message "hook-top-$part" 0 hook 10000 "$2"
    dmsetup status "hook-top-$part" | grep -q " $(number "$disk$part")\$"
}

# take PART NAME KIND FREEZE_LIST: prints the generation and the id.
take() {
    dmsetup message "hook-top-$1" 0 take "$(cat /proc/sys/kernel/random/uuid)" "$3" "$2" - 10000 "$4" | awk '{ print $1, $2 }'
}

# image PART GENERATION ID
image() {
    local length uuid
    length=$(blockdev --getsz "$disk$1")
    uuid=$(dmsetup table "hook-top-$1" | awk '{ print $6 }')
    dmsetup create -r "hook-image-$1" --table "0 $length interpose-image $uuid $2 $3"
}

# same PART: its image is as the copy.
same() {
    echo 3 >/proc/sys/vm/drop_caches
    cmp -n $(($(blockdev --getsz "$disk$1") * 512)) "/dev/mapper/hook-image-$1" "$copy"
}

# copied PART
copied() {
    dd if="$disk$1" of="$copy" bs=1M iflag=direct oflag=direct status=none
}

# traffic DEVICE...: the sectors that they have read and written.
traffic() {
    local device
    for device in "$@"; do cat "/sys/class/block/$(basename "$(readlink -f "$device")")/stat"; done |
        awk '{ sectors += $3 + $7 } END { print sectors }'
}

echo "== a store"
dmsetup create plain --table "0 65536 linear $copy 2097152"
dmsnap create -n keep --store "$DMSNAP_TEST_STORE" plain
store=$(dmsetup status --target interpose-store | awk '{ print $6 }')

echo "== a partition that is mounted and written to"
printf '%s\n' 'label: gpt' 'start=2048, size=393216' 'start=395264, size=65536' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "${disk}1"
mount "${disk}1" /mnt
start_load 24m
hook 1 "$(number "${disk}1")"
udevadm settle
private=$(traffic /dev/mapper/hook-top-1 /dev/mapper/hook-base-1)
live=$(traffic "${disk}1")
sleep 2
[ "$(traffic "${disk}1")" -gt "$live" ]
[ "$(traffic /dev/mapper/hook-top-1 /dev/mapper/hook-base-1)" = "$private" ] # nothing has to wait
if dmsetup remove hook-top-1; then exit 1; fi
dmsetup message hook-top-1 0 store "$store"
fsfreeze -f /mnt
copied 1
point=$(take 1 s1 snapshot "$(number "${disk}1")")
fsfreeze -u /mnt
# shellcheck disable=SC2086  # two words
image 1 $point
same 1
# shellcheck disable=SC2016  # for the inner shell
timeout 100 sh -c 'until [ "$(dmsetup status hook-top-1 | awk "{ print \$17 }")" -ge 300 ]; do sleep 0.2; done'
same 1
kill -0 "$load"
dmsetup status hook-top-1

echo "== writes go on while the hook goes and comes"
dmsetup remove hook-image-1
dmsetup message hook-top-1 0 unhook 10000
dmsetup status hook-top-1 | grep -w lost
dmsetup remove --retry hook-top-1
dmsetup remove --retry hook-base-1
for _ in 1 2 3; do
    hook 1 "$(number "${disk}1")"
    dmsetup message hook-top-1 0 unhook 10000
    dmsetup remove --retry hook-top-1
    dmsetup remove --retry hook-base-1
done
end_load
umount /mnt
e2fsck -fn "${disk}1"

echo "== a top that somebody suspends holds nobody up"
hook 1 -
take 1 c1 checkpoint - >/dev/null
dmsetup suspend hook-top-1
timeout 60 dd if=/dev/urandom of="${disk}1" bs=4k count=100 oflag=direct status=none
dmsetup resume hook-top-1
dmsetup status hook-top-1 | grep -w lost
timeout 60 sh -c 'until dmsetup remove hook-top-1 2>/dev/null; do sleep 0.2; done'
dmsetup remove --retry hook-base-1

echo "== a base that somebody gives another table costs the points, and no write"
hook 1 -
take 1 c1 checkpoint - >/dev/null
dmsetup remove --force hook-base-1 || true
dd if=/dev/urandom of="${disk}1" bs=4k count=100 oflag=direct status=none
dmsetup status hook-top-1 | grep -w lost
timeout 60 sh -c 'until dmsetup remove hook-top-1 2>/dev/null; do sleep 0.2; done'
dmsetup remove --retry hook-base-1

echo "== thousands of chained writes"
hook 1 -
echo 65536 >"/sys/block/${disk#/dev/}/queue/discard_max_bytes"
blkdiscard "${disk}1"
dmsetup message hook-top-1 0 unhook 10000
dmsetup remove --retry hook-top-1
dmsetup remove --retry hook-base-1

echo "== a partition that is written through its disk"
dd if=/dev/urandom of="${disk}2" bs=1M oflag=direct status=none || true
hook 2 -
dmsetup message hook-top-2 0 store "$store"
copied 2
point=$(take 2 s2 snapshot -)
# shellcheck disable=SC2086  # two words
image 2 $point
# 64 KiB at 1 MiB of the partition.
dd if=/dev/zero of="$disk" bs=64k count=1 seek=$(((395264 + 2048) / 128)) oflag=direct status=none
if cmp -s -n $((65536 * 512)) "${disk}2" "$copy"; then exit 1; fi
same 2
# shellcheck disable=SC2086  # two words
changed=$(set -- $point && dmsetup message hook-top-2 0 changed "$1" "$2" now 0 | tail -n +2)
echo "changed: $changed"
[ "$changed" = "2048 128" ]

echo "== what lies beside it is not noted"
dd if=/dev/zero of="$disk" bs=64k count=1 oflag=direct status=none
# shellcheck disable=SC2086  # two words
[ "$(set -- $point && dmsetup message hook-top-2 0 changed "$1" "$2" now 0 | tail -n +2)" = "$changed" ]
same 2

echo "== a write over its border that need not wait is noted, one that must ends the chain"
dd if=/dev/zero of="$disk" bs=64k count=1 seek=$((395264 / 128)) oflag=direct status=none
dd if=/dev/zero of="$disk" bs=96k count=1 seek=$((395264 / 192)) oflag=direct status=none
same 2
dmsetup status hook-top-2 | grep -vw lost
dd if=/dev/zero of="$disk" bs=56k count=1 seek=$((460800 / 112)) oflag=direct status=none
dmsetup status hook-top-2 | grep -w lost
if dd if=/dev/mapper/hook-image-2 of=/dev/null bs=64k count=1 iflag=direct status=none; then exit 1; fi
