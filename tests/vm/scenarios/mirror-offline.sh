#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A disk that its mounted, busy filesystem has moved away from goes offline, or fails while it is mirrored: nobody notices.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

other=$DMSNAP_TEST_SPARE
disk=''
part=''

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    umount /mnt
    echo running >"/sys/block/${disk#/dev/}/device/state"
    dmsnap detach --force --yes "$part"
    udevadm settle
    rmmod scsi_debug
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

set_state() { echo "$1" >"/sys/block/${disk#/dev/}/device/state"; }

scsi_disk dev_size_mb=96
part=${disk}1
echo 'start=2048, size=131072' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "$part"

for moved in yes no; do
    mount "$part" /mnt
    start_load 12m
    if [ $moved = yes ]; then
        echo "== moved away from, then offline"
        timeout 200 dmsnap mirror --yes --swap --keep-signature "$part" "$other"
    else
        echo "== mirrored, then offline: on with the mirror alone"
        timeout 200 dmsnap mirror --yes "$part" "$other"
    fi
    set_state offline
    sleep 5
    kill -0 "$load"
    echo $moved >/mnt/mark
    sync --file-system /mnt
    if [ $moved = no ]; then
        status=0
        dmsnap check "$part" || status=$?
        [ $status = 5 ]
        status=0
        dmsnap mirror --split "$part" || status=$?
        [ $status = 5 ]
        timeout 200 dmsnap mirror --yes --swap --keep-signature "$part"
        [ "$(dmsnap check "$part")" = "" ]
    fi
    sleep 1
    end_load
    umount /mnt
    dmsnap detach "$part"
    udevadm settle
    [ "$(dmsetup ls)" = 'No devices found' ]
    blockdev --flushbufs "$other" # what udev has read of it before
    e2fsck -fn "$other"
    mount "$other" /mnt
    [ "$(cat /mnt/mark)" = $moved ]
    umount /mnt
    set_state running
done
