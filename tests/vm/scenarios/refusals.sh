#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# What dmsnap must not do, it says: which device, why, and what to do about it. Nothing is changed meanwhile.
# Words that make no sense are bad_input_*.cc's.

set -euo pipefail

origin=$DMSNAP_TEST_ORIGIN spare=$DMSNAP_TEST_SPARE

# refused STATUS PATTERN COMMAND...: exits with that status, says something that matches, and changes no device.
refused() {
    local wanted=$1 pattern=$2 status=0 before after said
    shift 2
    before=$(dmsetup table | sort)
    said=$("$@" 2>&1 >/dev/null </dev/null) || status=$?
    after=$(dmsetup table | sort)
    if [ "$status" != "$wanted" ] || ! grep -qiE -- "$pattern" <<<"$said" || [ "$before" != "$after" ]; then
        printf '%s\n' "$*: exit $status, should be $wanted and say /$pattern/; it said:" "$said" "before: $before" \
            "after: $after"
        failed=1
    fi
}

create() {
    dmsnap create -n s1 --store "$1" "${@:2}" origin
}

clean_up() {
    local status=$?
    set +e
    swapoff -a
    dmsetup resume origin
    umount /mnt
    dmsnap detach --force --yes second third
    losetup --detach-all
    mdadm --stop /dev/md102
    dmsetup remove --retry second third gone-old gone-new member-1 member-2
    dmsnap detach --force --yes origin
    vgremove --force --yes held
    pvremove --force --force --yes "$spare"
    dmsetup remove --retry above
    dmsetup remove --retry origin
    blockdev --setrw "$spare"
    exit $((status | failed))
} >/dev/null 2>&1

export LVM_SUPPRESS_FD_WARNINGS=1
failed=0
trap clean_up EXIT
dmsetup create origin --table "0 131072 linear $origin 2048"

echo "== stores"
refused 3 "--store" dmsnap create -n s1 origin
refused 5 "it is the device itself" create /dev/mapper/origin
dmsetup create above --table "0 65536 linear /dev/mapper/origin 0"
refused 5 "on|above" create /dev/mapper/above --yes
dmsetup remove --retry above
refused 5 "lies on it" create "$origin" --yes

mkfs.ext4 -q "$spare"
refused 5 "ext4" create "$spare"
mount "$spare" /mnt
refused 5 "mounted on /mnt" create "$spare" --yes
umount /mnt
wipefs --quiet --all "$spare"

pvcreate --quiet "$spare"
refused 5 "physical volume" create "$spare"
refused 5 "physical volume" create "$spare" --yes
vgcreate --quiet held "$spare"
lvcreate --quiet --yes --name lv --size 64m held
refused 5 "held-lv|physical volume" create "$spare" --yes
vgremove --quiet --force --yes held
pvremove --quiet "$spare"

mkswap "$spare" >/dev/null
refused 5 "swap" create "$spare"
swapon "$spare"
refused 5 "swap" create "$spare" --yes
refused 5 "swaps to it" dmsnap attach "$spare"
swapoff "$spare"
wipefs --quiet --all "$spare"

mkfs.ext4 -q "$spare"
mount "$spare" /mnt
dd if=/dev/zero of=/mnt/swapfile bs=1M count=16 status=none
chmod 600 /mnt/swapfile
mkswap /mnt/swapfile >/dev/null
swapon /mnt/swapfile
refused 5 "swaps to it" dmsnap attach "$spare"
swapoff /mnt/swapfile
umount /mnt
wipefs --quiet --all "$spare"

dmsetup create member-1 --table "0 65536 linear $spare 2048"
dmsetup create member-2 --table "0 65536 linear $spare 67584"
mdadm --create /dev/md102 --run --quiet --metadata 1.2 --level 0 --raid-devices 2 /dev/mapper/member-[12]
udevadm settle
echo 0 >/sys/block/md102/queue/iostats
refused 5 "does not count its writes" dmsnap attach /dev/md102
mdadm --stop --quiet /dev/md102
mdadm --zero-superblock /dev/mapper/member-[12]
dmsetup remove --retry member-1
dmsetup remove --retry member-2
wipefs --quiet --all "$spare"

echo 'label: gpt' | sfdisk --quiet --no-reread "$spare"
refused 5 "gpt" create "$spare"
wipefs --quiet --all "$spare"

blockdev --setro "$spare"
refused 5 "read-only" create "$spare" --yes
blockdev --setrw "$spare"

dmsetup create above --table "0 2048 linear $spare 0"
refused 5 "above" create "$spare" --yes
dmsetup remove --retry above
refused 5 "not a block device|block device required" create /etc/passwd

echo "== whoever only looks into a store is outwaited, whoever stays is named"
for answer in --yes ""; do
    (exec 7<"$spare" && exec sleep 60) & opener=$!
    # shellcheck disable=SC2086
    refused 5 "open in sleep" create "$spare" $answer
    kill "$opener"
    (exec 7<"$spare" && exec sleep 2) &
    # shellcheck disable=SC2086
    create "$spare" $answer
    dmsnap remove s1
done
dmsnap detach origin

echo "== a signature is overridden by --yes, a store of dmsnap's own is used again without"
mkfs.ext4 -q "$spare"
create "$spare" --dry-run 2>/tmp/said </dev/null | grep "format .*$spare"
grep "ext4.*is asked first" /tmp/said
[ "$(blkid -p -o value -s TYPE "$spare")" = ext4 ]
create "$spare" --yes
[ -z "$(blkid -p -o value -s TYPE "$spare")" ]
dmsnap remove s1
create "$spare"

echo "== in use"
mkfs.ext4 -q -F /dev/mapper/origin 2>/dev/null
dmsnap create -n s2 origin
mount /dev/dmsnap/s2/origin /mnt
refused 5 "/mnt" dmsnap remove s2
refused 5 "/mnt" dmsnap detach --force --yes origin
umount /mnt
refused 5 "s1.*s2|s2.*s1" dmsnap detach origin
refused 5 "s1" dmsnap create -n s1 origin

echo "== suspended"
mount /dev/mapper/origin /mnt
echo written > /mnt/file
dmsetup suspend origin
# A create that waits is let go, and fails the test by what it then says.
(sleep 60 && dmsetup resume origin) & resumer=$!
refused 5 "it is suspended" dmsnap create -n s3 origin
refused 5 "it is suspended" dmsnap checkpoint -n s3 origin
kill "$resumer"
dmsetup resume origin
umount /mnt

echo "== a store on what is attached, or to be"
dmsetup create second --table "0 1048576 linear $DMSNAP_TEST_STORE 0"
mkfs.ext4 -q /dev/mapper/second
mount /dev/mapper/second /mnt
truncate --size 64m /mnt/file
loop=$(losetup --find --show /mnt/file)
refused 5 "second lies on it|lies on second|it lies on the device" dmsnap create -n s3 --store "$loop" second
dmsetup create third --table "0 8192 linear $origin 262144"
dmsnap create -n third1 --store "$loop" third
refused 5 "the store $loop lies on it" dmsnap attach second
refused 5 "lies on" dmsnap create -n second1 --store "$loop" second
dmsnap remove third1
dmsnap attach second
refused 5 "lies on second, which is attached" dmsnap create -n third1 --store "$loop" third
dmsnap detach second third
losetup --detach "$loop"
umount /mnt
dmsetup remove --retry second third
wipefs --quiet --all "$DMSNAP_TEST_STORE"

echo "== a device whose number another one has when LVM's lock is free at last"
uuid=LVM-$(printf 'a%.0s' {1..64})
for command in "create -n g1 --store $spare" attach; do
    dmsetup create gone-old --uuid "$uuid" --table "0 8192 linear $origin 262144"
    read -r major minor < <(dmsetup info -c --noheadings --separator ' ' -o major,minor gone-old)
    exec 9>/run/lock/lvm/V_gone
    flock 9
    # shellcheck disable=SC2086
    dmsnap $command gone/old >/tmp/said 2>&1 9>&- & waiting=$!
    timeout 30 sh -c 'until grep -q LVM /tmp/said; do :; done'
    dmsetup remove --retry gone-old
    dmsetup create gone-new --major "$major" --minor "$minor" --uuid "${uuid//a/b}" --table "0 8192 linear $origin 262144"
    exec 9>&-
    status=0
    wait "$waiting" || status=$?
    if [ "$status" != 5 ] || ! dmsetup table gone-new | grep -q linear; then
        printf '%s\n' "dmsnap $command: exit $status, and the table of another device: $(dmsetup table gone-new)"
        cat /tmp/said
        failed=1
        dmsnap detach --force --yes gone-new
    fi
    dmsetup remove --retry gone-new
done

echo "== whoever only looks for a moment is outwaited, whoever stays is named"
dmsnap create -n s3 origin
exec 5</dev/dmsnap/s3/origin
refused 5 "open in .*pid" dmsnap remove s3
sleep 2 <&5 &
exec 5<&-
dmsnap remove s3

echo "== a dry run changes nothing and tells the plan"
before=$(dmsetup table | sort)
dmsnap remove --dry-run s1 s2 | grep 'dmsnap-s1'
dmsnap create --dry-run -n s3 origin | grep 'dmsnap-s3'
dmsnap detach --dry-run --force --yes origin | grep 'load .*linear'
dmsnap checkpoint --dry-run -n c3 origin | grep 'take .* checkpoint c3'
dmsnap rename --dry-run s1 s9 | grep 'dmsnap-s9'
dmsnap change --dry-run --addtag daily s1 | grep 'daily'
[ "$before" = "$(dmsetup table | sort)" ]

dmsnap remove s1 s2
dmsnap detach origin
dmsetup remove --retry origin
