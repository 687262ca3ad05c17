#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# The filesystem that the machine runs from moves to another disk, from which it comes up the next time. At that moment, in
# the middle of being copied, another filesystem's mirror loses its power.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=$DMSNAP_TEST_STORE
part=${disk}1
new=$DMSNAP_TEST_ORIGIN
other=$DMSNAP_TEST_SPARE
notes=/root/mirror-restart

root() { findmnt --noheadings --output SOURCE /; }
# read and written, in sectors
io_of() { awk '{ print $3, $7 }' "/sys/class/block/${1#/dev/}/stat"; }
sums() { (cd "$1" && find . -xdev -type f -print0 | sort -z | xargs -0 sha256sum); }

# Runs a second time after the restart.
if [ -e "$notes/root" ]; then
    echo "== up again, from the new disk"
    [ "$(root)" = "$new" ]
    [ "$(cat "$notes/moved")" = moved ]
    (cd /usr && sha256sum --quiet --check "$notes/usr")
    [ -z "$(wipefs --no-act --noheadings "$(cat "$notes/root")")" ]

    echo "== what was not copied yet is taken for nothing, and what was copied from is whole"
    [ -z "$(wipefs --no-act --noheadings "$other")" ]
    udevadm trigger --settle --action=add --subsystem-match=block
    e2fsck -fp "$part" || [ $? = 1 ] # its journal
    mount "$part" /mnt
    sums /mnt/files | cmp - "$notes/files"
    [ "$(cat /mnt/last)" = last ]
    umount /mnt
    partx --delete "$disk"
    exit 0
fi

old=$(root)
mkdir "$notes"
echo "$old" >"$notes/root"
sums /usr >"$notes/usr"

echo "== the root filesystem on another disk"
refused=0
dmsnap mirror --swap "$old" "$new" 2>/run/said || refused=$?
cat /run/said
[ "$refused" = 5 ]
mkdir /var/tmp/load
start_load 16m /var/tmp/load
timeout 300 dmsnap mirror --swap --yes "$old" "$new"
end_load
fsfreeze --freeze /
checked=0
blockdev --flushbufs "$new" # what udev has read of it before
e2fsck -fn "$new" >/run/checked 2>&1 || checked=$?
fsfreeze --unfreeze /
cat /run/checked
[ "$checked" = 0 ]
sync --file-system /
quiet=$(io_of "$old")
echo moved >"$notes/moved"
sync --file-system /
[ "$(io_of "$old")" = "$quiet" ]
[ "$(dmsnap check)" = "" ]

echo "== in the middle of another mirror"
echo 'start=2048, size=131072' | sfdisk --quiet --wipe always "$disk"
udevadm settle
mkfs.ext4 -q "$part"
mount "$part" /mnt
cp -r /usr/lib/systemd /mnt/files
length=$(blockdev --getsz "$part")
dmsetup create slow --table "0 $length delay $other 0 0 $other 0 300"
dmsnap mirror --background "$part" /dev/mapper/slow
echo last >/mnt/last
sync --file-system /mnt
sums /mnt/files >"$notes/files"
sync --file-system /
dmsetup status --target raid | grep ' Aa '
exit 75
