#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Devices that the hook has to leave alone: in zones, and with integrity data beside their sectors.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

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

# left_alone REASON DEVICE: by attach and by create, and nothing is left of either.
left_alone() {
    local verb
    for verb in attach "create -n s1 --store $DMSNAP_TEST_STORE"; do
        # shellcheck disable=SC2086  # words
        refused 5 "cannot attach: .*$1" dmsnap $verb "$2"
        grep -q '^  try: ' /tmp/said
        [ "$(dmsetup ls)" = 'No devices found' ]
    done
}

echo "== in zones"
modprobe null_blk nr_devices=0
mkdir $zoned
for word in memory_backed=1 size=64 zoned=1 zone_size=4 power=1; do echo "${word#*=}" >"$zoned/${word%=*}"; done
udevadm settle
left_alone zone /dev/nullb0

echo "== with integrity data"
scsi_disk dev_size_mb=16 dif=1 dix=1
cat "/sys/block/${disk#/dev/}/integrity/format"
left_alone checksums "$disk"
