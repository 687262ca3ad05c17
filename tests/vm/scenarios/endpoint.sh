#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A mirror in the place of a mounted, busy partition: one command puts it there, another takes it away; whoever tries
# something else meanwhile is told why not.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=$DMSNAP_TEST_ORIGIN
other=$DMSNAP_TEST_SPARE
part=${disk}1

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait "$load"
    umount /mnt
    dmsnap detach --force --yes "$part"
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

in_sync() {
    # shellcheck disable=SC2016  # for the inner shell
    timeout 200 sh -c 'until dmsetup status --target mirror | awk "{ split(\$8, a, \"/\"); whole = a[1] && a[1] == a[2] } END { exit !whole }"; do sleep 0.2; done'
}

printf '%s\n' 'label: gpt' 'start=2048, size=196608' 'start=198656, size=65536' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "$part"
mount "$part" /mnt
start_load 16m
length=$(blockdev --getsz "$part")
uuid=$(blkid -s UUID -o value "$part")
before=$(state)
wipefs --quiet --all "$other"

echo "== tables that are none, or none for this device"
echo "0 $length linear $other 0" >/tmp/table
refused 3 "does not name @base@" dmsnap attach --table /tmp/table "$part"
echo "0 $((length - 8)) mirror core 1 1024 2 @base@ 0 $other 0" >/tmp/table
refused 3 "sectors long" dmsnap attach --table /tmp/table "$part"
echo "0 $length mirror core 1 1000 2 @base@ 0 $other 0" >/tmp/table
refused 5 "load its table" dmsnap attach --table /tmp/table "$part"
echo "0 $length crypt aes-xts-plain64 secret 0 @base@" >/tmp/table
refused 5 "load its table" dmsnap attach --table /tmp/table "$part"
echo "0 crypt aes-xts-plain64 secret 0 @base@ 0" >/tmp/table
refused 3 "line 1 of the table is none" dmsnap attach --table /tmp/table "$part"
if grep -q secret /tmp/said; then exit 1; fi
refused 5 "read the table" dmsnap attach --table /tmp "$part"
for same in "$part" "$disk" "$(number "$part")"; do
    echo "0 $length mirror core 1 1024 2 @base@ 0 $same 0" >/tmp/table
    refused 5 "cannot use it in a table" dmsnap attach --yes --table /tmp/table "$part"
done
echo "0 $length mirror core 1 1024 2 $other 0 @base@ 0" >/tmp/table
refused 5 "would be copied over it" dmsnap attach --table /tmp/table "$part"
mkfs.ext4 -q "$other"
echo "0 $length mirror core 1 1024 2 @base@ 0 $other 0" >/tmp/table
refused 5 "it carries something" dmsnap attach --table /tmp/table "$part"
refused 5 "No such file" dmsnap attach --table /tmp/none "$part"
refused 3 "no sense with --table" dmsnap attach --table /tmp/table --via hook "$part"
[ "$(state)" = "$before" ]

echo "== a mirror in its place"
table="0 $length mirror core 1 1024 2 @base@ 0 $other 0"
echo "$table" | dmsnap attach --yes --dry-run --table - "$part"
[ "$(state)" = "$before" ]
echo "$table" | dmsnap attach --yes --table - "$part"
dmsnap status "$part"
dmsnap status --reportformat json | grep '"via": *"endpoint"'
dmsnap recover
[ "$(dmsnap check)" = "" ]
[ "$(dmsnap check "$part")" = "" ]
[ "$(readlink -f "/dev/disk/by-uuid/$uuid")" = "$part" ]
in_sync
end=$(basename /dev/mapper/dmsnap-end-*)
dmsnap status "$part" | grep 'state *active'
dmsetup suspend --nolockfs "$end"
dmsnap status "$part" | grep 'state *suspended'
dmsetup resume "$end"
fsfreeze -f /mnt
cmp -n $((length * 512)) /dev/mapper/dmsnap-base-* "$other"
fsfreeze -u /mnt

echo "== what cannot be done meanwhile"
refused 5 "another table stands in the place" dmsnap checkpoint -n c1 "$part"
refused 5 "another table stands in the place" dmsnap attach "$disk"
echo "$table" >/tmp/table
refused 5 "another table stands in the place" dmsnap attach --table /tmp/table "$part"
echo "0 $length linear $other 0" | dmsetup load "$end"
dmsetup resume "$end"
refused 5 "its own data is old" dmsnap detach "$part"
base=$(dmsetup info -c --noheadings -o major,minor "$(basename /dev/mapper/dmsnap-base-*)")
echo "0 $length mirror core 1 1024 2 $other 0 $base 0" | dmsetup load "$end"
dmsetup resume "$end"
in_sync

echo "== and back"
dmsnap detach "$part"
udevadm settle
[ "$(state)" = "$before" ]
kill -0 "$load"

echo "== killed at any ioctl: the device goes on, and recover ends where it began or finished"
attach="dmsnap attach --yes --table /tmp/table $part"
detach="dmsnap detach $part"
to_attach=$(ioctls "$attach")
to_detach=$(ioctls "$detach")
# Full rounds: at each of them.
rounds=1
if [ "${ROUNDS_kill_points:?}" -gt 1 ]; then rounds=$((to_attach > to_detach ? to_attach : to_detach)); fi
for round in $(seq 1 $rounds); do
    die "$attach" "$(turn "$round" $rounds "$to_attach")"
    if [ "$(state)" = "$before" ]; then $attach; else dmsnap status "$part" | grep mirror; fi
    die "$detach" "$(turn "$round" $rounds "$to_detach")"
    if [ "$(state)" != "$before" ]; then $detach; fi
    udevadm settle
    [ "$(state)" = "$before" ]
done
[ "$died" = $((2 * rounds)) ]
end_load
umount /mnt
e2fsck -fn "$part"
