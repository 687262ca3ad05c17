#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Somebody gives one of dmsnap's private devices another table while writes of the live device wait for their copies: that
# costs the snapshot, and no write.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN
part=${disk}1

clean_up() {
    local status=$?
    set +e
    kill "$writer"
    dmsetup resume "$private"
    wait "$writer"
    dmsnap detach --force --yes "$part"
    dmsnap remove s1
    dmsnap recover
    dmsetup remove --retry slow
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

writer=
private=
trap clean_up EXIT

# name_of KIND: of the private device.
name_of() {
    dmsetup ls | awk -v kind="dmsnap-$1-" 'index($1, kind) == 1 { print $1 }'
}

# delay MILLISECONDS: of each write to the store.
delay() {
    dmsetup reload slow --table "0 1048576 delay $DMSNAP_TEST_STORE 0 0 $DMSNAP_TEST_STORE 0 $1"
    dmsetup suspend slow
    dmsetup resume slow
}

sfdisk --quiet --wipe always "$disk" <<<$'label: gpt\nsize=64MiB'
udevadm settle
dd if=/dev/urandom of=/run/written bs=1M count=32 status=none
dmsetup create slow --table "0 1048576 delay $DMSNAP_TEST_STORE 0 0 $DMSNAP_TEST_STORE 0 0"

for kind in base top; do
    echo "== $kind"
    delay 0
    dmsnap create -n s1 --yes --store /dev/mapper/slow "$part"
    delay 400
    dd if=/run/written of="$part" bs=1M oflag=direct status=none &
    writer=$!
    timeout 30 sh -c "until [ \"\$(dmsetup status $(name_of top) | awk '{ print \$16 }')\" -ge 1 ]; do sleep 0.05; done"
    private=$(name_of $kind)
    dmsetup reload "$private" --table "0 131072 error"
    timeout 60 dmsetup suspend "$private"
    timeout 60 dmsetup resume "$private"
    wait "$writer"
    writer=
    cmp --bytes=$((32 << 20)) /run/written "$part"
    said=$(dmsnap list --noheadings -o valid)
    [ "${said// /}" != valid ]
    dmsnap detach --force --yes "$part"
    if dmsnap list s1 2>&1 | grep -q s1; then dmsnap remove s1; fi # its image, where nothing else is left
    dmsnap recover
    private=
    [ "$(dmsetup ls | grep -c dmsnap)" = 0 ]
done
dmsetup remove --retry slow
partx --delete "$disk"
