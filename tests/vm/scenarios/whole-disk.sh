#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A disk with three mounted filesystems is one origin: one point of all of them, all frozen, one image that has their partitions;
# partitions that come, grow and go meanwhile are seen.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN
copy=$DMSNAP_TEST_SPARE
image=/dev/dmsnap/s1/${disk#/dev/}
copied_mib=258
types=(ext4 'xfs --unsupported' btrfs)

clean_up() {
    local status=$? part
    set +e
    kill "${load[@]}"
    wait
    for part in 1 2 3; do
        fsfreeze --unfreeze /mnt/$part
        umount /mnt/$part /mnt/image-$part
    done
    losetup --detach "$loop"
    dmsnap detach --force --yes "$disk"
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

load=()
loop=
trap clean_up EXIT

# same: the image is as the copy, where there is a partition.
same() {
    echo 3 >/proc/sys/vm/drop_caches
    cmp --bytes=$((copied_mib << 20)) --ignore-initial=0:$((1 << 20)) "$image" "$copy"
}

echo "== three filesystems at work"
sfdisk --quiet --wipe always "$disk" <<<$'label: gpt\nsize=48MiB\nsize=80MiB\nsize=128MiB'
udevadm settle
for part in 1 2 3; do
    # shellcheck disable=SC2086  # a program and its options
    mkfs.${types[part - 1]} -q "$disk$part"
    mkdir -p /mnt/$part /mnt/image-$part
    mount "$disk$part" /mnt/$part
    echo $part >/mnt/$part/name
    fio --name=load --directory=/mnt/$part --size=4m --rw=randwrite --bsrange=4k-64k --verify=crc32c --verify_fatal=1 \
        --direct=1 --rate_iops=40 --time_based --runtime=600 --output=/tmp/fio-$part &
    load+=($!)
done
dmsnap attach "$disk"
[ "$(dmsnap attach "${disk}1" 2>&1 | grep -c 'its disk .* is attached')" = 1 ]

echo "== one point of all of them"
for part in 1 2 3; do fsfreeze --freeze /mnt/$part; done
dd if="$disk" of="$copy" bs=1M count=$copied_mib seek=1 iflag=direct oflag=direct status=none
dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" "$disk"
for part in 1 2 3; do fsfreeze --unfreeze /mnt/$part; done
same

# written OFFSET LENGTH: both in bytes, since s1.
written() {
    dmsnap changed --since s1 "$disk" >/tmp/changed
    awk -v from="$1" -v to=$(($1 + $2)) '$1 <= from && to <= $1 + $2 { found = 1 } END { exit !found }' /tmp/changed
}

echo "== a partition that comes later, grows, and goes"
sfdisk --quiet --append --force --no-reread "$disk" <<<'size=16MiB' || true # it cannot make the kernel read the table again
partx --add --nr 4 "$disk"
udevadm settle
start=$(($(cat "/sys/class/block/$(basename "$disk")4/start") * 512))
dd if=/dev/urandom of="${disk}4" bs=1M count=4 oflag=direct status=none
written $start $((4 << 20))
resizepart "$disk" 4 $((24 << 11))
dd if=/dev/urandom of="${disk}4" bs=1M seek=20 count=2 oflag=direct status=none
written $((start + (20 << 20))) $((2 << 20))
partx --delete --nr 4 "$disk"
dd if=/dev/urandom of="$disk" bs=1M seek=$(((start >> 20) + 12)) count=2 oflag=direct status=none
written $(((start >> 20) + 12 << 20)) $((2 << 20))
top=$(dmsetup ls --target interpose | cut -f 1)
timeout 100 sh -c "until [ \"\$(dmsetup status $top | awk '{ print \$17 }')\" -ge 200 ]; do sleep 0.2; done"
same

echo "== the image has the partitions that the disk had"
loop=$(losetup --find --show --read-only --partscan "$image")
udevadm settle
[ ! -e "${loop}p4" ]
mount -o ro "${loop}p1" /mnt/image-1
mount -o ro,norecovery,nouuid "${loop}p2" /mnt/image-2
for part in 1 2; do
    [ "$(cat /mnt/image-$part/name)" = $part ]
    umount /mnt/image-$part
done
losetup --detach "$loop"
loop=
udevadm settle

echo "== a point that dmsnap freezes them for: each is clean in its image"
# btrfs is, as always, also where it cannot be frozen through its device.
case $(uname -r) in
6.1.* | 6.12.*) consistency=crash ;;
*) consistency=fs ;;
esac
dmsnap create -n s2 "$disk"
[ "$(dmsnap list --noheadings -o consistency s2 | tr -d ' ')" = $consistency ]
loop=$(losetup --find --show --read-only --partscan "/dev/dmsnap/s2/${disk#/dev/}")
udevadm settle
e2fsck -fn "${loop}p1"
mount -o ro,norecovery,nouuid "${loop}p2" /mnt/image-2 # a freeze leaves its log to be replayed
[ "$(cat /mnt/image-2/name)" = 2 ]
umount /mnt/image-2
btrfs check "${loop}p3"
losetup --detach "$loop"
loop=
udevadm settle
dmsnap remove s2

echo "== and nobody has noticed"
for part in 1 2 3; do kill -0 "${load[part - 1]}"; done
kill -INT "${load[@]}"
wait || true # they tell of the signal
load=()
for part in 1 2 3; do grep -q 'err= 0' /tmp/fio-$part; done
dmsnap remove s1
dmsnap detach "$disk"
for part in 1 2 3; do umount /mnt/$part; done
e2fsck -fn "${disk}1"
xfs_repair -n "${disk}2"
btrfs check "${disk}3"
partx --delete "$disk"
