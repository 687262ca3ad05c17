#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The main job, as somebody would type it: what ./demo shows, and a test like any other.
# Every comparison ends the script when it does not hold.
#
# shellcheck disable=SC2016  # a command is expanded when it is run, not when it is shown

set -euo pipefail

state=$(mktemp -d)
ticker=
cd "$state"
chapters=0

chapter() {
    chapters=$((chapters + 1))
    printf '\n%d. %s\n' "$chapters" "$1"
}

# Whatever takes longer than five seconds says that it is still at it.
patiently() {
    local start=$SECONDS
    while sleep 5; do
        printf '   ... %d s\n' "$((SECONDS - start))"
    done &
    ticker=$!
    "$@"
    stop_ticker
}

stop_ticker() {
    kill "$ticker" || true
    wait "$ticker" || true
} 2>/dev/null

run_and_show() {
    eval "$1" 2>&1 | sed 's/^/   /'
}

# Prints a command as typed, runs it, and shows what it said.
type_in() {
    printf '\n   # %s\n' "${1//$'\n'/$'\n'   }"
    patiently run_and_show "$1"
}

# A program that knows nothing of snapshots: numbered records, each on the disk before the next, and a file
# that is overwritten all over.
work_on_home() {
    local record=0
    trap 'echo "the writer failed" >"$state/failed"' ERR
    while [[ ! -e $state/stop ]]; do
        record=$((record + 1))
        printf 'record %06d\n' "$record" >>/home/journal
        dd if=/dev/urandom of=/home/data bs=32k count=1 seek="$((RANDOM % 512))" conv=notrunc status=none
        sync /home/journal /home/data
        echo "$record" >"$state/record"
        sleep 0.1
    done
}

records_written() {
    local target=$(($(<"$state/record") + $1)) deadline=$((SECONDS + 60))
    until [[ $(<"$state/record") -ge $target ]]; do
        [[ ! -e $state/failed && $SECONDS -lt $deadline ]] || { echo "the writer is stuck or failed"; return 1; }
        sleep 0.1
    done
}

wait_for_records() {
    patiently records_written "$1"
}

# Records 1, 2, 3 ... without a gap, the last one whole.
journal_is_whole() {
    awk '$0 != sprintf("record %06d", NR) { exit 1 } END { exit !NR }' "$1"
}

stop_writer() {
    touch "$state/stop"
    wait "$writer"
}

clean_up() {
    touch "$state/stop"
    stop_ticker
    fsfreeze --unfreeze /home || true
    wait
    umount /mnt || true
    dmsnap detach --force --yes /dev/vdb1 || true
    umount /home || true
    partx --delete /dev/vdb || true
    rm -rf "$state"
} >/dev/null 2>&1

prepare() {
    sfdisk --quiet --wipe always /dev/vdb <<<$'label: gpt\nsize=128MiB'
    udevadm settle
    mkfs.ext4 -q /dev/vdb1
    mkdir -p /home /mnt
    mount /dev/vdb1 /home
    echo 'the only copy of something' >/home/precious
    fallocate -l 16m /home/data
    echo 0 >"$state/record"
} >/dev/null

trap clean_up EXIT
prepare
work_on_home &
writer=$!

chapter "A server's disk: a plain partition, mounted, and written to all the while."
wait_for_records 5
type_in 'findmnt --noheadings -o TARGET,SOURCE,FSTYPE,SIZE /home'
type_in 'tail -n 1 /home/journal'

chapter "Slip dmsnap under it. Nothing is unmounted, nobody is told."
type_in 'dmsnap attach /dev/vdb1'
type_in 'findmnt --noheadings -o TARGET,SOURCE,FSTYPE,SIZE /home'
wait_for_records 5
type_in 'tail -n 1 /home/journal'

chapter "Take a snapshot; old data will go to /dev/vdc.
   To prove it right later, this demo holds the filesystem still and copies all of it first."
type_in 'fsfreeze --freeze /home'
type_in 'dd if=/dev/vdb1 of=/dev/vdd bs=1M iflag=direct conv=fsync status=none'
type_in 'dmsnap create -n monday --store /dev/vdc /dev/vdb1'
type_in 'fsfreeze --unfreeze /home'

chapter "Life goes on: records are written, data is overwritten, and somebody makes a mistake."
type_in 'rm /home/precious'
wait_for_records 30
type_in 'tail -n 1 /home/journal'
type_in 'dmsnap list'

chapter "The image shows what was there."
type_in 'mount -o ro /dev/dmsnap/monday/vdb1 /mnt'
type_in 'cat /mnt/precious'
type_in 'tail -n 1 /mnt/journal'
journal_is_whole /mnt/journal

chapter "Is every block right? Compare the image with the copy, while the writer writes."
type_in 'cmp --bytes=$((128 << 20)) /dev/vdd /dev/dmsnap/monday/vdb1 && echo "128 MiB, block for block the same"'
type_in 'umount /mnt'

chapter "The next backup copies only what changed. This snapshot is taken with nobody holding still."
type_in 'dmsnap create -n tuesday /dev/vdb1'
type_in 'dmsnap changed --since monday --until tuesday /dev/vdb1 >changed'
type_in 'head -n 3 changed'
type_in $'awk \'{ bytes += $2 } END { printf "%d runs, %.1f of 128 MiB\\n", NR, bytes / 1048576 }\' changed'
wait_for_records 10
type_in 'while read -r offset length; do
    dd if=/dev/dmsnap/tuesday/vdb1 of=/dev/vdd bs=1M conv=notrunc status=none \
       iflag=skip_bytes,count_bytes oflag=seek_bytes skip="$offset" seek="$offset" count="$length"
done <changed'
type_in 'cmp --bytes=$((128 << 20)) /dev/vdd /dev/dmsnap/tuesday/vdb1 && echo "monday + changes = tuesday"'

chapter "Put everything back as it was."
type_in 'dmsnap remove monday tuesday'
type_in 'dmsnap detach /dev/vdb1'
type_in 'dmsetup ls'
wait_for_records 5
stop_writer
journal_is_whole /home/journal
type_in 'umount /home'
type_in 'e2fsck -fn /dev/vdb1 2>/dev/null | tail -n 1'
[[ ! -e $state/failed ]]
printf '\nThe writer put down %d records in all and noticed nothing.\n' "$(<"$state/record")"
