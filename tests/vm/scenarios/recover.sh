#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# recover and check by hand: what a dead command left, made here with dmsetup, is mended; what is somebody else's is
# named and left alone; LVM is waited for.

set -euo pipefail

origin=$DMSNAP_TEST_ORIGIN store=$DMSNAP_TEST_STORE
uuid=01234567-89ab-4cde-8f01-23456789abcd

clean_up() {
    local status=$?
    set +e
    dmsetup clear origin
    dmsetup resume origin
    exec 5<&-
    dmsetup remove --retry upper
    dmsetup remove --retry dmsnap-base-01234567
    dmsnap detach --force --yes origin
    vgremove --force --yes vg
    pvremove --force --force --yes "$DMSNAP_TEST_SPARE"
    dmsetup remove --retry origin
    exit $status
} >/dev/null 2>&1

# expect STATUS PATTERN COMMAND...
expect() {
    local wanted=$1 pattern=$2 status=0 said
    shift 2
    said=$("$@" 2>&1 </dev/null) || status=$?
    if [ "$status" != "$wanted" ] || ! grep -qE -- "$pattern" <<<"$said"; then
        printf '%s\n' "$*: exit $status, should be $wanted and say /$pattern/; it said:" "$said"
        exit 1
    fi
}

trap clean_up EXIT
export LVM_SUPPRESS_FD_WARNINGS=1
modprobe dm-interpose
dmsetup create origin --table "0 131072 linear $origin 2048"
number=$(lsblk --nodeps --noheadings --output MAJ:MIN "$origin" | tr -d " ")

echo "== nothing is wrong"
expect 0 '^$' dmsnap recover
expect 0 '^$' dmsnap check

echo "== an attach that died before its swap"
dmsetup load origin --table "0 131072 interpose $number 2048 $uuid 32"
expect 5 'origin: an attach that was not finished; try: dmsnap recover' dmsnap check
expect 0 'origin: an attach that was not finished: undone' dmsnap recover --dry-run
expect 5 'origin: an attach' dmsnap check
expect 0 'origin: an attach that was not finished: undone' dmsnap recover
[ -z "$(dmsetup table --inactive origin)" ]

echo "== one that died before the point it was for"
dmsetup load origin --table "0 131072 interpose $number 2048 $uuid 32 provisional"
dmsetup resume origin
expect 0 'a first point that was not taken: undone' dmsnap recover
dmsetup table origin | grep linear

echo "== an image that is missing, by the next command that changes something"
dmsnap create -n s1 --store "$store" origin
dmsetup remove --retry dmsnap-s1
expect 5 'no image of the snapshot "s1"' dmsnap check origin
dmsnap checkpoint -n c1 origin
expect 0 '^$' dmsnap check origin
test -e /dev/dmsnap/s1/origin

echo "== a device that nothing needs, and that somebody looks into, for an instant and for good"
leftover() {
    dmsetup create dmsnap-base-01234567 --uuid "DMSNAP-$uuid-base" --table "0 8 linear $origin 0"
}
leftover
(exec 5</dev/mapper/dmsnap-base-01234567 && sleep 2) &
until [ "$(dmsetup info -c --noheadings -o open dmsnap-base-01234567)" = 1 ]; do :; done
expect 0 'dmsnap-base-01234567: a device that nothing needs: removed' dmsnap recover
wait
leftover
exec 5</dev/mapper/dmsnap-base-01234567
expect 5 'dmsnap-base-01234567: cannot remove it: .*busy' dmsnap recover
exec 5<&-
dmsetup create upper --table "0 8 linear /dev/mapper/dmsnap-base-01234567 0"
expect 5 'dmsnap-base-01234567: cannot recover it: .* upper stands on it' dmsnap recover
dmsetup remove --retry upper
expect 0 'removed' dmsnap recover

echo "== what somebody else is at: named, not touched"
dmsetup load origin --table "0 131072 linear $origin 4096"
expect 5 'origin: cannot recover it: somebody has loaded another table' dmsnap recover
expect 5 'somebody has loaded another table.*try: dmsetup clear' dmsnap check
dmsetup table --inactive origin | grep 4096
dmsetup clear origin
dmsetup suspend origin
expect 5 'origin: it is suspended' dmsnap check
expect 5 'cannot recover it: it is suspended' dmsnap recover
dmsetup resume origin
expect 0 '^$' dmsnap check

echo "== a device that loses its table after dmsnap has looked, and before it asks what changed"
strace -qq -e trace=ioctl -o /tmp/ioctls dmsnap changed --since s1 origin
last=$(grep -n DM_TARGET_MSG /tmp/ioctls | tail -n 1 | cut -d : -f 1)
strace -qq -e trace=ioctl -e "inject=ioctl:signal=STOP:when=$((last - 1))" -o /tmp/ioctls \
    dmsnap changed --since s1 origin >/tmp/changed 2>&1 &
until grep -q 'stopped by SIGSTOP' /tmp/ioctls; do :; done
dmsetup load origin --table "0 131072 linear $origin 2048"
dmsetup resume origin
pkill -CONT -x dmsnap
status=0
wait $! || status=$?
if [ "$status" != 7 ] || ! grep -q 'was given another table meanwhile' /tmp/changed; then
    echo "exit $status: $(cat /tmp/changed)"
    exit 1
fi
expect 7 'not attached' dmsnap changed --since s1 origin

echo "== and is found so"
expect 5 'dmsnap-s1: its device was given another table' dmsnap check
expect 5 '"problem": "it is not attached"' dmsnap check --reportformat json origin
dmsnap remove s1
expect 0 'nothing needs: removed' dmsnap recover
expect 0 '^$' dmsnap check
[ "$(dmsetup ls | wc -l)" = 1 ]

echo "== LVM at work is waited for"
pvcreate --quiet "$DMSNAP_TEST_SPARE"
vgcreate --quiet vg "$DMSNAP_TEST_SPARE"
lvcreate --quiet --yes --name lv --size 16m vg
flock /run/lock/lvm/V_vg sleep 3 &
while flock -n /run/lock/lvm/V_vg true; do :; done
expect 0 'waiting for LVM' dmsnap attach vg/lv
wait
dmsetup load vg-lv --table "$(dmsetup table vg-lv)"
expect 5 'vg-lv: somebody has loaded another table' dmsnap check vg/lv
expect 0 'inactive table +yes' dmsnap status vg/lv
dmsetup clear vg-lv
dmsetup suspend vg-lv
expect 5 'vg-lv: it is suspended' dmsnap check vg/lv
expect 0 'state +suspended' dmsnap status vg/lv
dmsetup resume vg-lv
expect 0 '^$' dmsnap check vg/lv
dmsnap detach vg/lv
strace -qq -e trace=ioctl -o /tmp/ioctls dmsnap attach --via table vg/lv
swap=$(grep -n DM_TABLE_LOAD /tmp/ioctls | tail -n 1 | cut -d : -f 1)
dmsnap detach vg/lv
for when in "$swap" "$((swap + 1))"; do
    rm /tmp/ioctls
    strace -qq -e trace=ioctl -e "inject=ioctl:signal=STOP:when=$when" -o /tmp/ioctls \
        dmsnap attach --via table vg/lv &
    until grep -q 'stopped by SIGSTOP' /tmp/ioctls; do :; done
    if flock -n /run/lock/lvm/V_vg true; then exit 1; fi
    pkill -CONT -x dmsnap
    wait $!
    dmsnap detach vg/lv
done
dmsetup load vg-lv --table "$(dmsetup table vg-lv | sed "s/linear \([^ ]*\) \([^ ]*\)/interpose \1 \2 $uuid 32/")"
flock --no-fork /run/lock/lvm/V_vg sleep 60 &
while flock -n /run/lock/lvm/V_vg true; do :; done
expect 124 'waiting for LVM' timeout 3 dmsnap recover
# Whoever only passes by does not wait for long, and goes on.
expect 0 'group vg: cannot lock it: LVM has been at work on it for 3 s' timeout 30 dmsnap attach origin
expect 0 'cannot lock it' timeout 30 dmsnap detach origin
expect 0 'origin: it is not attached' timeout 30 dmsnap detach origin
kill $!
wait $! || true
until flock -n /run/lock/lvm/V_vg true; do :; done
rm -f /run/lock/lvm/V_vg
expect 0 'vg-lv: an attach that was not finished: undone' dmsnap recover
[ ! -e /run/lock/lvm/V_vg ] && [ ! -e /run/lock/lvm/V_vg:aux ]

echo "== nobody waits for the answer to a question"
mkfs.ext4 -qF "$store"
mkfifo /tmp/answer
script -qefc "dmsnap create -n asked --store $store vg/lv" /tmp/asked </tmp/answer &
exec 4>/tmp/answer
until grep -q 'Overwrite it' /tmp/asked 2>/dev/null; do :; done
flock -n /run/lock/lvm/V_vg true
expect 0 '^$' timeout 20 dmsnap recover
echo n >&4
exec 4>&-
wait $! && exit 1
rm -f /run/lock/lvm/V_vg
expect 0 'lv' lvs --noheadings vg
vgremove --quiet --force --yes vg
pvremove --quiet "$DMSNAP_TEST_SPARE"

echo "== a udev cookie of a command that died"
cookie=$(dmsetup udevcreatecookie)
printf '%d\n' "$cookie" >/run/lock/dmsnap/global
dmsnap recover
[ -z "$(dmsetup udevcookies | grep ^0x || true)" ]
[ ! -s /run/lock/dmsnap/global ]
dmsetup remove --retry origin
