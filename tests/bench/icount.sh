#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# In the guest: what 4 KiB cost on a device that does nothing (null_blk), bare and with each way to be attached.
# A line a case: its name, instructions of a read, of a write. Fails if any is more than may be.

set -euo pipefail

disk=/dev/nullb0
other=/dev/nullb1
store=/dev/vdc
chunk=16384
failed=0
declare -A reads writes

# cost DEVICE read|write STRIDE: without pages that udev has read, which each transfer would look for.
cost() {
    udevadm settle
    blockdev --flushbufs "$1"
    /dmsnap/tests/icount-bench "$@"
}

# row NAME DEVICE: each transfer goes to the same place, so that what can be done once has been done.
row() {
    reads[$1]=$(cost "$2" read 0)
    writes[$1]=$(cost "$2" write 0)
    printf '%-44s %6s %6s\n' "$1" "${reads[$1]}" "${writes[$1]}"
}

# first NAME DEVICE: each write to another chunk; where it is attached, one that has not changed since its point.
first() {
    reads[$1]=0
    writes[$1]=$(cost "$2" write $chunk)
    printf '%-44s %6s %6s\n' "$1" - "${writes[$1]}"
}

# at_most READ WRITE NAME BARE: it costs no more than so much more than BARE does.
at_most() {
    local read=$((reads[$3] - reads[$4])) write=$((writes[$3] - writes[$4]))
    if [ $read -gt "$1" ] || [ $write -gt "$2" ]; then
        echo "too much: $3: a read +$read, a write +$write; at most +$1 and +$2"
        failed=1
    fi
}

# all_of NAME DEVICE METHOD
all_of() {
    dmsnap attach --via "$3" "$2"
    row "$1" "$2"
    dmsnap checkpoint -n c1 "$2"
    first "$1, first writes to chunks" "$2"
    row "$1, a checkpoint, written to before" "$2"
    dmsnap checkpoint -n c2 "$2"
    dmsnap create -n s1 --store "$store" "$2"
    cost "$2" write $chunk >/dev/null
    row "$1, a snapshot, chunk kept" "$2"
    dmsnap remove s1
    dmsnap detach --force --yes "$2"
}

# kept NAME DEVICE METHOD: each write to a chunk of 4 KiB whose old data is kept first, with one snapshot and with sixteen.
kept() {
    local i
    dmsnap create --via "$3" -c 4k -n s1 --store "$memory" "$2"
    writes[$1]=$(cost "$2" write 4096)
    for ((i = 2; i <= 16; i++)); do dmsnap create -n s$i "$2"; done
    writes["$1, 16 snapshots"]=$(cost "$2" write 4096)
    dmsnap detach --force --yes "$2"
    reads[$1]=0 reads["$1, 16 snapshots"]=0
    printf '%-44s %6s %6s\n' "$1" - "${writes[$1]}" "$1, 16 snapshots" - "${writes["$1, 16 snapshots"]}"
}

# A device that does nothing but remember, for a store, whose header is read.
make_memory() {
    local device=/sys/kernel/config/nullb/nullbstore # as the device is called
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
    mkdir "$device"
    echo 1 >$device/memory_backed
    echo 1024 >$device/size
    echo 1 >$device/power
    memory=/dev/nullbstore
    udevadm settle
}

modprobe null_blk nr_devices=2 gb=1
make_memory
udevadm settle
printf '%-44s %6s %6s\n' "instructions per 4 KiB" read write
row "bare" "$disk"
first "bare, writes to other chunks" "$disk"
dmsnap attach --via hook "$other"
row "bare, another device is hooked" "$disk"
dmsnap detach "$other"
all_of "by the hook" "$disk" hook
dmsetup create bench --table "0 $(blockdev --getsz "$disk") linear $disk 0"
row "dm-linear" /dev/mapper/bench
all_of "dm-linear, by its table" /dev/mapper/bench table
dmsetup remove --retry bench
kept "by the hook, first write, kept" "$disk" hook
row "bare, after all" "$disk"

# What others need, or, where that is reached, the goal: doc/performance.md.
at_most 90 90 "bare, another device is hooked" "bare"
at_most 135 320 "by the hook" "bare"
at_most 135 360 "by the hook, a checkpoint, written to before" "bare"
at_most 135 420 "by the hook, a snapshot, chunk kept" "bare"
at_most 0 540 "by the hook, first writes to chunks" "bare, writes to other chunks"
at_most 135 320 "dm-linear, by its table" "dm-linear"
at_most 135 420 "dm-linear, by its table, a snapshot, chunk kept" "dm-linear"
exit $failed
