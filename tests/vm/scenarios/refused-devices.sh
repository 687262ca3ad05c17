#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Devices that the hook has to leave alone: in zones, and with integrity data beside their sectors.

set -euo pipefail

zoned=/sys/kernel/config/nullb/nullb0

clean_up() {
    local status=$?
    set +e
    echo 0 >$zoned/power
    rmdir $zoned
    rmmod null_blk scsi_debug
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

# refused REASON DEVICE: by attach and by create, and nothing is left of either.
refused() {
    local verb status said
    for verb in attach "create -n s1 --store $DMSNAP_TEST_STORE"; do
        status=0
        # shellcheck disable=SC2086  # words
        said=$(dmsnap $verb "$2" 2>&1) || status=$?
        echo "$said"
        [ "$status" = 5 ]
        grep -q "cannot attach: .*$1" <<<"$said"
        grep -q '^  try: ' <<<"$said"
        [ "$(dmsetup ls)" = 'No devices found' ]
    done
}

echo "== in zones"
modprobe null_blk nr_devices=0
mkdir $zoned
for word in memory_backed=1 size=64 zoned=1 zone_size=4 power=1; do echo "${word#*=}" >"$zoned/${word%=*}"; done
udevadm settle
refused zone /dev/nullb0

echo "== with integrity data"
modprobe scsi_debug dev_size_mb=16 dif=1 dix=1
timeout 60 sh -c 'until ls -d /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/sd* 2>/dev/null; do sleep 0.1; done'
udevadm settle
disk=/dev/$(basename /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/sd*)
cat "/sys/block/${disk#/dev/}/integrity/format"
refused checksums "$disk"
