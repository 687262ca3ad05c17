#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Who waits for an event of a device, as a monitor does, is woken by every change of what its status and points say, also
# where there is no snapshot that could become invalid.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN

clean_up() {
    local status=$?
    set +e
    kill "$waiter"
    dmsnap detach --force --yes /dev/mapper/events
    dmsnap detach --force --yes "${disk}1"
    dmsnap recover
    dmsetup remove --retry events
    dmsetup remove --retry top
    dmsetup remove --retry base
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

waiter=
trap clean_up EXIT

# tells DEVICE WHAT COMMAND...: somebody who waits at the device is woken by the command.
tells() {
    local device=$1 what=$2 seen
    shift 2
    seen=$(dmsetup info -c --noheadings -o events "$device")
    dmsetup wait --noflush "$device" "$seen" >/dev/null &
    waiter=$!
    "$@"
    timeout 10 tail --pid="$waiter" -f /dev/null || {
        echo "$device: nobody was told: $what"
        exit 1
    }
    wait "$waiter" # and not by an error of its own
    waiter=
    echo "told: $what"
}

# The table of the device, on twice as much of the disk.
grow() {
    dmsetup table events | sed 's/^0 131072 /0 262144 /' | dmsetup load events
    dmsetup suspend --nolockfs events
    dmsetup resume events
}

swap() {
    dmsetup suspend --nolockfs events
    dmsetup load events --table "0 131072 linear $disk 2048"
    dmsetup resume events
}

echo "== by its table"
dmsetup create events --table "0 131072 linear $disk 2048"
dmsnap attach /dev/mapper/events
tells events "a checkpoint is taken" dmsnap checkpoint -n c1 /dev/mapper/events
tells events "a snapshot is taken" dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" /dev/mapper/events
tells events "a point is renamed" dmsnap rename c1 c2
tells events "tags change" dmsnap change --addtag t c2
tells events "a snapshot becomes a checkpoint" dmsnap remove --keep-point s1
tells events "a point is removed" dmsnap remove s1
dmsnap create -n s2 --store "$DMSNAP_TEST_STORE" /dev/mapper/events
read -r _ _ _ _ generation _ < <(dmsetup status events)
store=$(dmsetup info -c --noheadings -o uuid --select 'name=~"^dmsnap-store-"')
store=${store#DMSNAP-} store=${store%-store}
dmsetup remove --retry dmsnap-s2
dmsetup message events 0 release "$generation" 3
tells events "it leaves its store" dmsetup message events 0 unstore
tells events "it gets a store" dmsetup message events 0 store "$store"
tells events "it grows" grow
tells events "somebody swaps the table, and there are checkpoints alone" swap
dmsnap recover
dmsetup remove --retry events

echo "== by the hook"
printf 'size=64M\n' | sfdisk --quiet --wipe always "$disk"
udevadm settle
dmsnap checkpoint -n c1 "${disk}1"
top=$(dmsetup ls | awk '/^dmsnap-top-/ { print $1 }')
base=$(dmsetup ls | awk '/^dmsnap-base-/ { print $1 }')
tells "$top" "a checkpoint is taken" dmsnap checkpoint -n c2 "${disk}1"
tells "$top" "somebody suspends the base, and there are checkpoints alone" dmsetup suspend --nolockfs "$base"
dmsetup resume "$base"
dmsnap status "${disk}1" | grep -w lost
dmsnap detach --force --yes "${disk}1"
dmsnap checkpoint -n c3 "${disk}1"
top=$(dmsetup ls | awk '/^dmsnap-top-/ { print $1 }')
tells "$top" "somebody suspends the top" dmsetup suspend --nolockfs "$top"
dmsetup resume "$top"
dmsnap detach --force --yes "${disk}1"
number() { lsblk --nodeps --noheadings --output MAJ:MIN "$1" | tr -d ' '; }
length=$(blockdev --getsz "${disk}1")
dmsetup create base --table "0 $length interpose-base $(number "${disk}1") 0"
dmsetup create top --table "0 $length interpose $(number /dev/mapper/base) 0 01234567-89ab-4cde-8f01-23456789abcd 32"
tells top "it gets the hook" dmsetup message top 0 hook 10000 -
dmsetup message top 0 unhook 10000
dmsetup remove --retry top
dmsetup remove --retry base
