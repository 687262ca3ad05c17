#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A disk that its mounted, busy filesystem has moved away from goes offline, or fails while it is mirrored: nobody notices.

set -euo pipefail

other=$DMSNAP_TEST_SPARE
disk=''
part=''
load=''

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

wait_for() {
    timeout 60 sh -c "until $1; do sleep 0.1; done"
}

set_state() { echo "$1" >"/sys/block/${disk#/dev/}/device/state"; }

modprobe scsi_debug dev_size_mb=96 add_host=1
wait_for 'ls /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/sd* >/dev/null 2>&1'
disk=/dev/$(basename /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/sd*)
part=${disk}1
echo 'start=2048, size=131072' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "$part"

for moved in yes no; do
    mount "$part" /mnt
    fio --name=load --directory=/mnt --size=12m --rw=randrw --bsrange=4k-64k --verify=crc32c --verify_fatal=1 --direct=1 \
        --ioengine=libaio --iodepth=8 --fsync=32 --time_based --runtime=900 --output=/tmp/fio &
    load=$!
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
    kill -0 "$load"
    kill -INT "$load"
    wait "$load" || true # it tells of the signal
    load=
    grep 'err= 0' /tmp/fio
    umount /mnt
    dmsnap detach "$part"
    udevadm settle
    [ "$(dmsetup ls)" = 'No devices found' ]
    mount "$other" /mnt
    [ "$(cat /mnt/mark)" = $moved ]
    umount /mnt
    set_state running
done
