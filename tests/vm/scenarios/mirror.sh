#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A mounted, busy partition gets a mirror on another device: what the other device looks like until it is one, a copy split
# off, a target that fails, a tool that is killed, and the filesystem on the other device alone.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=$DMSNAP_TEST_ORIGIN
other=$DMSNAP_TEST_SPARE
part=${disk}1
name=${part#/dev/}

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    umount /mnt /mnt2
    rmdir /mnt2
    dmsnap detach --force --yes "$part"
    dmsnap detach bad
    dmsetup remove slow bad
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

# A device on the other disk that takes its time for writes.
slow() { dmsetup create slow --table "0 $length delay $other 0 0 $other 0 $1"; }
signatures() { wipefs --no-act --noheadings "$1"; }

runs_elsewhere() { dmsetup table "$(basename /dev/mapper/dmsnap-end-*)" | grep -q "^0 $length linear"; }

flushes_of() { awk '{ print $16 }' "/sys/class/block/${1#/dev/}/stat"; }
# read and written, in sectors
io_of() { awk '{ print $3, $7 }' "/sys/class/block/$1/stat"; }

printf '%s\n' 'label: gpt' 'start=2048, size=65536' 'start=133120, size=32768' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "$part"
mount "$part" /mnt
mkdir /mnt2
length=$(blockdev --getsz "$part")
uuid=$(blkid -s UUID -o value "$part")
start_load 16m
before=$(state)

echo "== what cannot be"
refused 3 "not mirrored\|TARGET" dmsnap mirror
refused 5 "it is not mirrored" dmsnap mirror "$part"
refused 5 "it is not mirrored" dmsnap mirror --split "$part"
refused 3 "exclude each other" dmsnap mirror --split --swap "$part" "$other"
refused 3 "no sense without --swap" dmsnap mirror --keep-signature "$part" "$other"
refused 3 "left to the background" dmsnap mirror --background --split "$part" "$other"
refused 5 "it is the device itself" dmsnap mirror "$part" "$part"
refused 5 "the device lies on it\|it is used\|partition" dmsnap mirror "$part" "$disk"
refused 5 "it is smaller than" dmsnap mirror "$part" "${disk}2"
mkfs.ext4 -q "$other"
refused 5 "it carries something: ext4" dmsnap mirror "$part" "$other"
mount "$other" /mnt2
refused 5 "it is mounted" dmsnap mirror --yes "$part" "$other"
umount /mnt2
dmsnap mirror --dry-run "$part" "$other"
signatures "$other" | grep ext4
[ "$(state)" = "$before" ]

echo "== until it is in sync the target is taken for nothing, and it can be given up at any time"
slow 2000
dmsnap mirror --yes --background "$part" /dev/mapper/slow
dmsnap status "$part"
dmsnap check "$part"
dmsetup status | grep 'raid1 2 Aa'
[ -z "$(signatures "$other")" ]
refused 5 "not in sync yet" dmsnap mirror --split --dry-run "$part"
refused 5 "it is mirrored on" dmsnap mirror --yes "$part" "$other"
refused 5 "another table stands in the place" dmsnap checkpoint -n c1 "$part"
dmsnap mirror "$part" 2>/tmp/said &
waits=$!
timeout 60 sh -c 'until grep -q "% of 32.00m copied" /tmp/said; do sleep 0.2; done'
kill -TERM "$waits"
status=0
wait "$waits" || status=$?
cat /tmp/said
[ "$status" = 5 ]
grep -q "the mirror goes on without" /tmp/said
dmsnap detach "$part"
[ -z "$(signatures "$other")" ]
dmsetup remove slow
udevadm settle
[ "$(state)" = "$before" ]

echo "== in sync, and split off"
timeout 200 dmsnap mirror "$part" "$other"
signatures "$other" | grep ext4
[ "$(dmsnap check "$part")" = "" ]
[ "$(readlink -f "/dev/disk/by-uuid/$uuid")" = "$part" ]
fsfreeze -f /mnt
blockdev --flushbufs "$other"
cmp --bytes=$((length * 512)) /dev/mapper/dmsnap-base-* "$other"
fsfreeze -u /mnt
timeout 200 dmsnap mirror "$part" "$other" # is in sync still
echo before >/mnt/mark
sync --file-system /mnt
dmsnap mirror --split "$part"
echo after >/mnt/mark
udevadm settle
[ "$(state)" = "$before" ]
e2fsck -fp "$other" || [ $? -lt 4 ] # its journal
mount -o ro "$other" /mnt2
[ "$(cat /mnt2/mark)" = before ]
umount /mnt2

ways=(mirror detach)
# Full rounds: both.
if [ "${ROUNDS_kill_points:?}" = 1 ]; then ways=("${ways[RANDOM % 2]}"); fi
for way in "${ways[@]}"; do
    echo "== a target that fails: the device goes on by itself, and nothing is a copy that is none: $way"
    slow 0
    timeout 200 dmsnap mirror --yes "$part" /dev/mapper/slow
    dmsetup suspend slow
    dmsetup load slow --table "0 $length error"
    dmsetup resume slow
    echo again >/mnt/mark
    sync --file-system /mnt
    timeout 60 sh -c 'until dmsetup status --target raid | grep -q " AD "; do sleep 0.2; done'
    refused 5 "its mirror on .* has failed" dmsnap check "$part"
    refused 5 "its mirror has failed" dmsnap mirror --swap --keep-signature --dry-run "$part"
    refused 5 "its mirror has failed" dmsnap mirror --split --dry-run "$part"
    dmsetup load slow --table "0 $length linear $other 0"
    dmsetup resume slow
    if [ "$way" = mirror ]; then
        refused 5 "has failed; the device goes on by itself" dmsnap mirror "$part"
    else
        dmsnap detach "$part"
    fi
    [ -z "$(signatures "$other")" ]
    dmsetup remove slow
    udevadm settle
    [ "$(state)" = "$before" ]
done

echo "== a device that cannot be read everywhere has no mirror, and goes on"
printf '%s\n' "0 16384 linear $DMSNAP_TEST_STORE 0" "16384 8 error" \
    "16392 16376 linear $DMSNAP_TEST_STORE 16392" | dmsetup create bad
# Linux 7.2 takes such an error for one of the target.
refused 5 "it cannot be read everywhere\|has failed; the device goes on by itself" timeout 100 dmsnap mirror --yes /dev/mapper/bad "$other"
[ -z "$(signatures "$other")" ]
dmsetup remove bad
udevadm settle
[ "$(state)" = "$before" ]

echo "== a device that takes no writes any more is left by a swap, with what it is found by only if that is asked for"
dmsetup create bad --table "0 32768 linear $DMSNAP_TEST_STORE 0"
mkfs.ext4 -q /dev/mapper/bad
timeout 100 dmsnap mirror --yes /dev/mapper/bad "$other"
dmsetup suspend bad
dmsetup load bad --table "0 32768 flakey $DMSNAP_TEST_STORE 0 0 1 1 error_writes"
dmsetup resume bad
refused 6 "wipefs --all" timeout 100 dmsnap mirror --yes --swap /dev/mapper/bad
refused 6 "could not be erased" timeout 100 dmsnap mirror --yes --swap /dev/mapper/bad
dmsnap mirror --swap --keep-signature --dry-run /dev/mapper/bad | grep -- -leg-
dmsnap mirror --swap --keep-signature /dev/mapper/bad
[ "$(dmsnap check)" = "" ]
dmsnap mirror --swap /dev/mapper/bad # is so
dmsnap detach /dev/mapper/bad
e2fsck -fn "$other"
dmsetup remove --retry bad
udevadm settle
[ "$(state)" = "$before" ]

echo "== killed at any ioctl: the device goes on, and recover ends where it began or finished"
# Back from the other device, which has all of it.
back() {
    end_load
    umount /mnt
    dmsnap detach "$part"
    mount "$other" /mnt2
    [ -e /mnt2/alive ]
    umount /mnt2
    mkfs.ext4 -q -U "$uuid" "$part"
    mount "$part" /mnt
    start_load 16m
    udevadm settle
    [ "$(state)" = "$before" ]
}
begin="dmsnap mirror --yes --background $part $other"
wait="dmsnap mirror $part"
split="dmsnap mirror --split $part"
swap="dmsnap mirror --yes --swap $part"
to_begin=$(ioctls "$begin")
to_wait=$(ioctls "$wait")
to_split=$(ioctls "$split")
[ "$(state)" = "$before" ]
to_swap=$((to_split + 40)) # looks twice more, erases and removes; a number too high kills nothing
# Full rounds: at each of them, but for those of a wait, of which nobody knows how many there are.
rounds=1
if [ "${ROUNDS_kill_points:?}" -gt 1 ]; then rounds=$((to_begin > to_swap ? to_begin : to_swap)); fi
for round in $(seq 1 $rounds); do
    die "$begin" "$(turn "$round" $rounds "$to_begin")"
    if [ "$(state)" = "$before" ]; then $begin; fi
    [ -z "$(signatures "$other")" ]
    die "$wait" $((RANDOM % to_wait + 1))
    $wait
    die "$split" "$(turn "$round" $rounds "$to_split")"
    if [ "$(state)" != "$before" ]; then
        die "$swap" "$(turn "$round" $rounds "$to_swap")"
        if runs_elsewhere; then back; fi
        if [ "$(state)" = "$before" ]; then continue; fi
        $split
    else
        [ -n "$(signatures "$other")" ] # split off
    fi
    [ "$(state)" = "$before" ]
done
[ "$died" -ge $rounds ] # how often a wait looks depends on its time

echo "== killed while the device is suspended, in full rounds: the child, the tool, or both"
# die_in COMMAND WHO: who of them is there when a child is.
die_in() {
    local child='' tool
    # shellcheck disable=SC2086  # words
    $1 2>/tmp/said &
    tool=$!
    until child=$(pgrep -P $tool); do kill -0 $tool 2>/dev/null || break; done
    sleep 0.00$((RANDOM % 10))
    if [ -n "$child" ]; then
        if [ "$2" != child ] && kill -KILL $tool 2>/dev/null; then killed=$((killed + 1)); fi
        if [ "$2" != tool ] && kill -KILL "$child" 2>/dev/null; then killed=$((killed + 1)); fi
    fi
    wait $tool || [ "$2" != child ]
    # With both gone nobody is left to wake it.
    [ "$2" = both ] || timeout 20 sh -c 'echo alive >/mnt/alive'
    dmsnap recover
    timeout 10 sh -c 'echo alive >/mnt/alive && sync --file-system /mnt'
    dmsnap check
    udevadm settle
}
killed=0
for _ in $(seq 2 "$ROUNDS_kill_points"); do
    for who in child tool both; do
        if [ "$(state)" = "$before" ]; then timeout 200 dmsnap mirror --yes "$part" "$other"; fi
        die_in "$split" $who
    done
done
[ $killed -gt 0 ] || [ "$ROUNDS_kill_points" = 1 ]
timeout 200 dmsnap mirror --yes --swap "$part" "$other"
runs_elsewhere
[ -z "$(signatures /dev/mapper/dmsnap-base-*)" ]
dmsnap mirror --swap "$part" # is so
if dmsetup ls | grep -e -leg- -e -meta-; then exit 1; fi
back

echo "== on the other device alone"
echo moved >/mnt/mark
refused 5 "will be found on the other device alone" dmsnap mirror --swap "$part" "$other"
[ "$(state)" = "$before" ]
timeout 200 dmsnap mirror --yes --swap "$part" "$other" 2>/tmp/said
cat /tmp/said
grep -q "it runs on $other now" /tmp/said
quiet=$(io_of "$name")
other_io=$(io_of "${other#/dev/}")
sleep 2
[ "$(io_of "$name")" = "$quiet" ]
[ "$(io_of "${other#/dev/}")" != "$other_io" ]
# Its own disk has other areas, which a flush of all of it is for as well.
flushes=$(flushes_of "$disk") other_flushes=$(flushes_of "$other")
sync "$disk"
[ "$(flushes_of "$disk")" -gt "$flushes" ]
[ "$(flushes_of "$other")" -gt "$other_flushes" ]
flushes=$(flushes_of "$disk")
sync --file-system /mnt
sync "$part"
[ "$(flushes_of "$disk")" = "$flushes" ]
[ "$(dmsnap check)" = "" ]
dmsnap recover
dmsnap status "$part"
refused 5 "it runs on .*, and its own data is old" dmsnap detach "$part"
refused 5 "it runs on $other already" dmsnap mirror "$part" "$other"
refused 1 "in use" rmmod dm_interpose
[ -z "$(signatures /dev/mapper/dmsnap-base-*)" ]
[ "$(cat /mnt/mark)" = moved ]
end_load
umount /mnt
e2fsck -fn "$part"
dmsnap detach "$part"
udevadm settle
[ "$(state)" = "$before" ]
[ -z "$(signatures "$part")" ]
e2fsck -fn "$other"
[ "$(blkid -p -s UUID -o value "$other")" = "$uuid" ]
mount -o ro "$other" /mnt2
[ "$(cat /mnt2/mark)" = moved ]
umount /mnt2
