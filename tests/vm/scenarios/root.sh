#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The filesystem that the machine runs from: attached, frozen for its points by a tool that lies on it, seen by images and
# lists of changes, let go.

set -euo pipefail

root=$(findmnt --noheadings --output SOURCE /)
size=$(blockdev --getsize64 "$root")
copy=$DMSNAP_TEST_SPARE
image=/dev/dmsnap/s1/${root#/dev/}

clean_up() {
    local status=$?
    set +e
    fsfreeze --unfreeze /
    kill "$load"
    wait
    umount /mnt
    dmsnap detach --force --yes "$root"
    rm -rf /var/tmp/load
    exit $status
} >/dev/null 2>&1

load=
trap clean_up EXIT

echo "== a machine at work"
mkdir /var/tmp/load
fio --name=load --directory=/var/tmp/load --size=16m --rw=randwrite --bsrange=4k-64k --verify=crc32c --verify_fatal=1 \
    --rate_iops=40 --fsync=8 --time_based --runtime=600 --output=/run/fio &
load=$!
dmsnap attach "$root"

echo "== a point of it, frozen by somebody else so that there is something to compare with"
sync --file-system /
fsfreeze --freeze /
dd if="$root" of="$copy" bs=1M iflag=direct oflag=direct status=none
dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" "$root"
fsfreeze --unfreeze /
timeout 100 sh -c "until [ \"\$(dmsetup status --target interpose | awk '{ print \$18 }')\" -ge 100 ]; do sleep 0.2; done"
echo 3 >/proc/sys/vm/drop_caches
cmp --bytes="$size" "$image" "$copy"

echo "== points that freeze it themselves, while their tool runs from it"
for i in 1 2; do
    echo "$i" >/etc/which
    timeout --kill-after=5 60 dmsnap create -n "p$i" "$root"
    [ "$(dmsnap list --noheadings -o consistency "p$i" | tr -d ' ')" = fs ]
done
echo 3 >/etc/which
for i in 1 2; do
    e2fsck -fn "/dev/dmsnap/p$i/${root#/dev/}"
    mount -o ro "/dev/dmsnap/p$i/${root#/dev/}" /mnt
    [ "$(cat /mnt/etc/which)" = "$i" ]
    cmp "/mnt$(command -v dmsnap)" "$(command -v dmsnap)"
    umount /mnt
done

echo "== what has changed"
sync --file-system /
dmsnap changed --since p2 "$root" >/run/changed
block=$(filefrag -e -b4096 /etc/which | awk '$1 == "0:" { print $4 + 0 }')
awk -v at=$((block << 12)) '$1 <= at && at < $1 + $2 { found = 1 } END { exit !found }' /run/changed

echo "== and nobody has noticed"
kill -0 "$load"
kill -INT "$load"
wait || true # it tells of the signal
load=
grep -q 'err= 0' /run/fio
dmsnap remove s1 p1 p2
dmsnap detach "$root"
[ "$(dmsetup ls)" = 'No devices found' ]
rm -rf /var/tmp/load
