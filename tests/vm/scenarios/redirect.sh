#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The module's own side of a redirect, by dmsetup: a partition that is mounted and at work gets a mirror in its place, runs
# on the other disk alone, and comes back; both copies are compared block by block.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=$DMSNAP_TEST_ORIGIN
other=$DMSNAP_TEST_SPARE
part=${disk}1

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait "$load"
    umount /mnt
    dmsetup message red-base 0 direct 10000
    for device in red-end red-base red-base-2; do
        dmsetup remove --retry "$device"
    done
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

# endpoint TABLE: it gets another table, as device-mapper does that.
endpoint() {
    echo "$1" | dmsetup load red-end
    dmsetup resume --nolockfs red-end
}

in_sync() {
    # shellcheck disable=SC2016  # for the inner shell
    timeout 200 sh -c 'until dmsetup status red-end | awk "{ split(\$7, a, \"/\"); whole = a[1] && a[1] == a[2] } END { exit !whole }"; do sleep 0.2; done'
}

# Sectors that a device has read and written.
traffic() { awk '{ print $3 + $7 }' "/sys/class/block/${1#/dev/}/stat"; }

# grows DEVICE SECTORS: it reads and writes so many more.
grows() {
    local before
    before=$(traffic "$1")
    for _ in $(seq 300); do
        if [ "$(($(traffic "$1") - before))" -ge "$2" ]; then return 0; fi
        sleep 0.1
    done
    echo "no traffic: $1"
    return 1
}

# rests DEVICE: until nothing is under way there, and nothing comes.
rests() {
    local before=-1
    for _ in $(seq 300); do
        if [ "$before" = "$(traffic "$1")" ]; then return 0; fi
        before=$(traffic "$1")
        sleep 0.5
    done
    echo "no rest: $1"
    return 1
}

echo "== a partition that is mounted and written to"
printf '%s\n' 'label: gpt' 'start=2048, size=196608' 'start=198656, size=65536' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "$part"
mount "$part" /mnt
start_load 16m

echo "== an endpoint in its place"
length=$(blockdev --getsz "$part")
dmsetup create red-base --table "0 $length interpose-base $(number "$part") 0"
base=$(number /dev/mapper/red-base)
dmsetup create red-end --table "0 $((length - 8)) linear $base 0"
refused 1 'failed' dmsetup message red-base 0 redirect "$(number /dev/mapper/red-end)" 10000 "$(number "$part")"
endpoint "0 $length linear $base 0"
for words in "redirect" "redirect 1:1" "redirect x 10000 -" "redirect $base 10000 -" "redirect $base 0 -" "direct" "direct now" "direct 1 1" "x"; do
    # shellcheck disable=SC2086  # words
    refused 1 'failed' dmsetup message red-base 0 $words
done
dmsetup status red-base | grep ' -$'
dmsetup message red-base 0 redirect "$(number /dev/mapper/red-end)" 10000 "$(number "$part")"
dmsetup status red-base | grep " $(number /dev/mapper/red-end)\$"
dmsetup message red-base 0 redirect "$(number /dev/mapper/red-end)" 10000 - # is so
refused 1 'failed' dmsetup remove red-end
refused 1 'failed' dmsetup remove red-base
refused 1 'in use' rmmod dm-interpose
end=$(readlink -f /dev/mapper/red-end)
grows "$end" 64
kill -0 "$load"

echo "== nobody else takes what it covers"
dmsetup create red-base-2 --table "0 $(blockdev --getsz "$disk") interpose-base $(number "$disk") 0"
refused 1 'failed' dmsetup message red-base-2 0 redirect "$(number /dev/vde)" 1000 -
dmsetup remove red-base-2
refused 5 'cannot' dmsnap checkpoint -n c1 "$part"

echo "== a sibling that is attached by the hook"
dmsnap attach --via hook "${disk}2"
fsfreeze -f /mnt
rests "$end"
before=$(traffic "$end")
dd if="$part" of=/dev/null bs=1M count=4 iflag=direct status=none
[ "$(($(traffic "$end") - before))" = 8192 ]
fsfreeze -u /mnt
dmsnap detach "${disk}2"

echo "== reads and writes through the disk"
fsfreeze -f /mnt
dd if="$part" of=/tmp/direct bs=1M count=1 skip=95 iflag=direct status=none
dd if="$disk" of=/tmp/whole bs=1M count=1 skip=96 iflag=direct status=none
fsfreeze -u /mnt
cmp /tmp/direct /tmp/whole
dd if="$disk" of=/dev/null bs=96k count=1 skip=$((198656 / 192)) iflag=direct status=none # over a border
refused 1 'error' dd if=/dev/zero of="$disk" bs=96k count=1 seek=$((198656 / 192)) oflag=direct status=none
dd if=/dev/zero of="${disk}2" bs=1M count=1 oflag=direct status=none

echo "== a mirror in its place"
endpoint "0 $length mirror core 1 1024 2 $base 0 $(number "$other") 0"
in_sync
kill -0 "$load"
fsfreeze -f /mnt
cmp -n $((length * 512)) "/dev/mapper/red-base" "$other"
fsfreeze -u /mnt

echo "== the other disk alone: the first one carries no I/O"
endpoint "0 $length linear $(number "$other") 0"
before=$(traffic "$part")
grows "$end" 4096
[ "$(traffic "$part")" = "$before" ]
kill -0 "$load"
echo kept >/mnt/kept
sync
refused 1 'failed' dmsetup remove red-base

echo "== and back"
endpoint "0 $length mirror core 1 1024 2 $(number "$other") 0 $base 0"
in_sync
endpoint "0 $length linear $base 0"
dmsetup message red-base 0 direct 10000
dmsetup status red-base | grep ' -$'
dmsetup remove red-end
dmsetup remove --retry red-base
grows "$part" 64

echo "== writes go on while it goes and comes"
for _ in 1 2 3 4 5; do
    dmsetup create red-base --table "0 $length interpose-base $(number "$part") 0"
    dmsetup create red-end --table "0 $length linear $(number /dev/mapper/red-base) 0"
    dmsetup message red-base 0 redirect "$(number /dev/mapper/red-end)" 10000 "$(number "$part")"
    dmsetup message red-base 0 direct 10000
    dmsetup remove red-end
    dmsetup remove --retry red-base
done
end_load
grep kept /mnt/kept
umount /mnt
e2fsck -fn "$part"
rmmod dm-interpose
modprobe dm-interpose
