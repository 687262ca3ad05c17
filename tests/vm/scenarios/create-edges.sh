#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# What a create meets besides a filesystem that is mounted and quick, and whose its nodes are.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

slow_table() {
    echo "0 131072 delay $DMSNAP_TEST_ORIGIN 0 0 $DMSNAP_TEST_ORIGIN 0 $1"
}

# slow_down MILLISECONDS: of every write.
slow_down() {
    dmsetup reload slow --table "$(slow_table "$1")"
    dmsetup resume slow
}

clean_up() {
    local status=$?
    set +e
    slow_down 0
    kill "$elsewhere"
    umount /mnt
    dmsnap detach --force --yes origin
    dmsetup remove --retry origin
    dmsetup remove --retry slow
    exit $status
} >/dev/null 2>&1

elsewhere=
trap clean_up EXIT
dmsetup create slow --table "$(slow_table 0)"
dmsetup create origin --table "0 65536 linear /dev/mapper/slow 0
65536 65536 linear /dev/mapper/slow 65536"
mkfs.ext4 -q /dev/mapper/origin

echo "== nodes are root's alone"
dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" origin
nodes=$(stat -L -c '%a %U:%G %n' /dev/mapper/dmsnap-* /dev/dmsnap/s1/origin)
echo "$nodes"
[ "$(wc -l <<<"$nodes")" = 4 ]
if grep -v '^600 root:root ' <<<"$nodes"; then exit 1; fi

echo "== a filesystem that is mounted read-only"
mount -o ro /dev/mapper/origin /mnt
dmsnap create -n s2 origin
findmnt -n -o OPTIONS /mnt | grep -w ro
e2fsck -fn /dev/dmsnap/s2/origin
umount /mnt
dmsnap remove s2

echo "== a filesystem that is mounted in another mount namespace alone"
unshare --mount sh -c 'mount /dev/mapper/origin /mnt && touch /tmp/mounted && exec sleep 1000' & elsewhere=$!
wait_for '[ -e /tmp/mounted ]'
[ -z "$(findmnt -n /dev/mapper/origin)" ]
dd if=/dev/urandom of=/proc/$elsewhere/root/mnt/late bs=64k count=8 status=none
dmsnap create -n s2 origin
[ "$(dmsnap list --noheadings -o snap_name,consistency | awk '$1 == "s2" { print $2 }')" = fs ]
e2fsck -fn /dev/dmsnap/s2/origin
refused 5 "mounted on /proc/$elsewhere/root/mnt" dmsnap create -n s3 --store origin "$DMSNAP_TEST_4K"
kill $elsewhere
wait $elsewhere || true
elsewhere=
dmsnap remove s2

echo "== a deadline that passes"
mount /dev/mapper/origin /mnt
slow_down 1500
dd if=/dev/zero of=/mnt/file bs=64k count=6 oflag=direct status=none & writer=$!
inflight=/sys/block/$(basename "$(readlink -f /dev/mapper/origin)")/inflight
timeout 60 sh -c "until awk '\$2 > 0 { found = 1 } END { exit !found }' $inflight; do :; done"
refused 5 "took longer than 200 ms" dmsnap create -n s3 --deadline 0.2 origin
grep "^  try: --deadline" /tmp/said
[ "$(dmsnap list --noheadings -o snap_name | tr -d ' ')" = s1 ]
slow_down 0
timeout 60 touch /mnt/not-frozen
wait "$writer"
umount /mnt
e2fsck -fn /dev/mapper/origin
dmsnap remove s1
dmsnap detach origin
