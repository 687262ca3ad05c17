#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# What can be mirrored, and on what: a disk with its mounted partitions on a longer one, two partitions of a disk at once, and
# devices with blocks of different sizes.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=''
plain=$DMSNAP_TEST_ORIGIN
other=$DMSNAP_TEST_SPARE
large=$DMSNAP_TEST_4K

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    umount /mnt /mnt2 /mnt3
    rmdir /mnt2 /mnt3
    dmsnap detach --force --yes "$disk"
    dmsnap detach --force --yes "${plain}1" "${plain}2"
    dmsnap detach --force --yes "${large}1"
    for device in "$disk" "$plain" "$other" "$large"; do partx --delete "$device"; done
    udevadm settle
    rmmod scsi_debug
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

# parts DISK MIB...: partitions of it.
parts() {
    local device=$1 mib
    shift
    { for mib; do echo "size=${mib}MiB"; done; } | sfdisk --quiet --wipe always --label dos "$device"
    udevadm settle
}

before=$(state)
mkdir /mnt2 /mnt3

echo "== a disk with its mounted partitions, on a longer one"
scsi_disk dev_size_mb=64
parts "$disk" 24 24
mkfs.ext4 -q "${disk}1"
mkfs.ext4 -q "${disk}2"
mount "${disk}1" /mnt
mount "${disk}2" /mnt2
start_load 8m
timeout 200 dmsnap mirror --yes "$disk" "$other"
dmsnap status "$disk"
echo first >/mnt/mark
echo second >/mnt2/mark
sync
dmsnap mirror --split "$disk"
echo later | tee /mnt/mark >/mnt2/mark
udevadm settle
[ "$(state)" = "$before" ]
end_load
umount /mnt /mnt2
e2fsck -fn "${disk}1"
partx --update "$other"
udevadm settle
for part in 1 2; do
    e2fsck -fp "$other$part" || [ $? = 1 ] # its journal
    mount -o ro "$other$part" /mnt3
    cat /mnt3/mark
    [ "$(cat /mnt3/mark)" = "$([ $part = 1 ] && echo first || echo second)" ]
    umount /mnt3
done
partx --delete "$other"

echo "== two partitions of a disk at once, each on one that is a little longer"
parts "$plain" 24 24
parts "$other" 32 32
for part in 1 2; do
    dd if=/dev/urandom of="$plain$part" bs=1M count=24 oflag=direct status=none
    dmsnap mirror --yes --background "$plain$part" "$other$part"
done
for part in 2 1; do
    timeout 200 dmsnap mirror "$plain$part"
    [ "$(dmsnap check "$plain$part")" = "" ]
done
for part in 1 2; do
    dmsnap mirror --split "$plain$part"
    blockdev --flushbufs "$other$part"
    cmp --bytes=$((24 << 20)) "$plain$part" "$other$part"
done
udevadm settle
[ "$(state)" = "$before" ]

echo "== blocks of 4 KiB on such of 512 bytes, and not the other way around"
parts "$large" 24
dd if=/dev/urandom of="${large}1" bs=1M count=24 oflag=direct status=none
refused 5 "its blocks of 4096 bytes are larger" dmsnap mirror --yes "${plain}1" "${large}1"
timeout 200 dmsnap mirror --yes "${large}1" "${other}1"
dmsnap mirror --split "${large}1"
blockdev --flushbufs "${other}1"
cmp --bytes=$((24 << 20)) "${large}1" "${other}1"
udevadm settle
[ "$(state)" = "$before" ]
