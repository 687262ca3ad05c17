#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Programs write to a partition past any filesystem, in pieces, more of them than the disk takes at a time, so that tasks sleep
# with the rest on their lists: an image taken at once after the attach stays what it is, and a mirror gets all of it.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

part=''
other=$DMSNAP_TEST_SPARE
writers=4

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    dmsnap detach --force --yes "$part"
    udevadm settle
    rmmod scsi_debug
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

content() {
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/dmsnap/s1/"${part#/dev/}" bs=1M count=$writers status=none | sha256sum
}

# Four pieces at a time, each two ticks long.
scsi_disk dev_size_mb=80 max_queue=4 delay=2
part=${disk}1
echo 'start=2048, size=131072' | sfdisk --quiet --wipe always "$disk"
udevadm settle
echo 16 >"/sys/block/${disk#/dev/}/queue/max_sectors_kb"
fio --name=raw --filename="$part" --rw=randwrite --bs=1m --size=${writers}m --direct=1 --ioengine=psync --numjobs=$writers \
    --time_based --runtime=20000 --refill_buffers --randrepeat=0 --output=/tmp/fio &
load=$!
wait_for "[ \"\$(awk '{ print \$2 }' /sys/class/block/${part#/dev/}/inflight)\" -ge 4 ]"

for _ in $(seq 1 "${ROUNDS_attach_rounds:?}"); do
    dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" "$part"
    before=$(content)
    sleep 1
    [ "$(content)" = "$before" ]
    dmsnap remove s1
    dmsnap detach "$part"
done

dmsnap mirror --yes --background "$part" "$other"
sleep 3
end_load
timeout 200 dmsnap mirror "$part"
dmsnap mirror --split "$part"
blockdev --flushbufs "$other"
cmp --bytes=$((64 << 20)) "$part" "$other"
