#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The hook comes and goes, and its module, under programs that read and write past any filesystem, small and large, in
# pieces: each block they read is the one they wrote.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN
part=${disk}1
sectors=/sys/block/${disk#/dev/}/queue/max_sectors_kb
before=$(cat "$sectors")

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    echo "$before" >"$sectors"
    dmsnap detach --force --yes "$part"
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

load=
trap clean_up EXIT

echo 'start=2048, size=131072' | sfdisk --quiet --wipe always "$disk"
udevadm settle
echo 16 >"$sectors"
fio --filename="$part" --size=16m --rw=randwrite --bsrange=512-256k --direct=1 --iodepth=8 --time_based --runtime=20000 \
    --verify=crc32c --verify_fatal=1 --verify_backlog=32 --output=/tmp/fio \
    --name=aio --ioengine=libaio --offset=0 --name=uring --ioengine=io_uring --offset=32m &
load=$!

cycles=${ROUNDS_attach_cycles:?}
for cycle in $(seq 1 "$cycles"); do
    dmsnap attach "$part"
    if [ $((cycle % 4)) = 0 ]; then
        dmsnap checkpoint -n "c$cycle" "$part"
        sleep 0.2
        [ -n "$(dmsnap changed --since "c$cycle" "$part")" ]
    fi
    dmsnap detach "$part" 2>/dev/null
    if [ $((cycle % 10)) = 0 ] || [ "$cycle" = "$cycles" ]; then rmmod dm_interpose; fi
    kill -0 "$load"
done
kill -INT "$load"
wait "$load" || true # it tells of the signal
load=
grep 'err=' /tmp/fio
[ "$(grep -c 'err= 0' /tmp/fio)" = 2 ]
