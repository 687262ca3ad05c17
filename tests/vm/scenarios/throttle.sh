#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A control group limits how fast a disk is written: writes that wait in its throttle are in no image they are not to be in,
# and missing in none, and are counted once, for their group.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN
number=$(stat -c '%Hr:%Lr' "$disk")
groups=/sys/fs/cgroup
slow=$groups/dmsnap-test
blocks=64

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    dmsnap detach --force --yes "${disk}1"
    partx --delete "$disk"
    rmdir $slow
    exit $status
} >/dev/null 2>&1

# limit BYTES_PER_SECOND|max
limit() {
    echo "$number wbps=$1" >$slow/io.max
}

# write_slowly BYTE: all blocks at once, each of 64 KiB full of that byte, by a process of the group; sets load.
write_slowly() {
    local before end=$((SECONDS + 60))
    before=$(written)
    sh -c "echo 0 >$slow/cgroup.procs && exec fio --name=slow --filename=${disk}1 --rw=write --bs=64k --size=$((blocks * 64))k \
        --direct=1 --ioengine=libaio --iodepth=$blocks --buffer_pattern=$1 --output=/tmp/fio" &
    load=$!
    # All are on their way once the first are through.
    until [ "$(written)" -gt "$before" ]; do
        [ $SECONDS -lt $end ]
        sleep 0.1
    done
}

# What the group has written to the disk, in bytes.
written() {
    awk -v disk="$number" '$1 == disk { for (i = 2; i <= NF; i++) if (sub("wbytes=", "", $i)) n = $i } END { print n + 0 }' \
        $slow/io.stat
}

# full_of BYTE DEVICE: all of what write_slowly() writes.
full_of() {
    cmp --bytes=$((blocks << 16)) <(tr '\0' "\\$(printf %o "$1")" </dev/zero) "$2"
}

load=''
trap clean_up EXIT
sfdisk --quiet --wipe always "$disk" <<<$'label: gpt\nsize=64MiB'
udevadm settle
echo +io >$groups/cgroup.subtree_control
mkdir $slow

echo "== with a limit, a device without a mounted filesystem is not attached"
dd if=/dev/zero of="${disk}1" bs=1M count=8 oflag=direct status=none
limit 1048576
write_slowly 0x11
if said=$(dmsnap create -n s0 --store "$DMSNAP_TEST_STORE" "${disk}1" 2>&1); then exit 1; fi
grep -q "the control group /dmsnap-test limits writes" <<<"$said"
[ "$(dmsetup ls)" = "No devices found" ]
wait "$load"
load=
full_of 0x11 "${disk}1"

echo "== attached before, a point waits for what is in the throttle, or is not taken"
limit max
dmsnap attach "${disk}1"
limit 524288
before=$(written)
write_slowly 0x22
if said=$(dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" --deadline 1 "${disk}1" 2>&1); then exit 1; fi
grep -q 'took longer than 1000 ms, the control group /dmsnap-test limiting writes to' <<<"$said"
kill -0 "$load"
dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" --deadline 60 "${disk}1"
wait "$load"
full_of 0x22 /dev/dmsnap/s1/"$(basename "$disk")1"

echo "== and what comes after it is in no image of it, now and later"
write_slowly 0x33
full_of 0x22 /dev/dmsnap/s1/"$(basename "$disk")1"
wait "$load"
load=
full_of 0x33 "${disk}1"
echo 3 >/proc/sys/vm/drop_caches
full_of 0x22 /dev/dmsnap/s1/"$(basename "$disk")1"

echo "== each byte was counted once"
[ $(($(written) - before)) = $((2 * blocks << 16)) ]

echo "== a detach waits likewise"
dmsnap remove s1
limit 1048576
write_slowly 0x44
dmsnap detach "${disk}1"
[ $(($(written) - before)) = $((3 * blocks << 16)) ]
wait "$load"
load=
full_of 0x44 "${disk}1"
limit max
rmdir $slow
partx --delete "$disk"
