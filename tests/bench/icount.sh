#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# In the guest: what 4 KiB cost on a device that does nothing (null_blk), bare and with each way to be attached.
# A line a case: its name, instructions of a read, of a write.

set -euo pipefail

disk=/dev/nullb0
other=/dev/nullb1
store=/dev/vdc
chunk=16384

# cost DEVICE read|write STRIDE: without pages that udev has read, which each transfer would look for.
cost() {
    udevadm settle
    blockdev --flushbufs "$1"
    /dmsnap/tests/icount-bench "$@"
}

# row NAME DEVICE: each transfer goes to the same place, so that what can be done once has been done.
row() { printf '%-44s %6s %6s\n' "$1" "$(cost "$2" read 0)" "$(cost "$2" write 0)"; }

# first NAME DEVICE: each write to another chunk; where it is attached, one that has not changed since its point.
first() { printf '%-44s %6s %6s\n' "$1" - "$(cost "$2" write $chunk)"; }

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

modprobe null_blk nr_devices=2 gb=1
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
row "bare, after all" "$disk"
