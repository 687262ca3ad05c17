#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A write behind the end of a partition, or over it, fails with its disk or itself attached as it does without; what lies behind
# it stays as it is. It comes from a table that was loaded when the partition was longer.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN
part=${disk}1
length=65536

clean_up() {
    local status=$?
    set +e
    dmsnap detach --force --yes "$disk"
    dmsnap detach --force --yes "$part"
    dmsetup remove --retry over
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT

# write_at SECTOR: 64 KiB through the table, past every cache.
write_at() {
    dd if=/dev/urandom of=/dev/mapper/over bs=64k count=1 seek=$(($1 * 512)) oflag=direct,seek_bytes status=none
}

# fails_at SECTOR
fails_at() {
    local said
    if said=$(write_at "$1" 2>&1); then exit 1; fi
    grep -q 'Input/output error\|No space left' <<<"$said"
}

# What lies behind the partition.
behind() { dd if="$disk" bs=1M skip=$(((2048 + length) / 2048)) count=32 iflag=direct status=none | sha256sum; }

sfdisk --quiet --wipe always "$disk" <<<$'label: gpt\nstart=2048, size=131072'
udevadm settle
dd if=/dev/urandom of="$disk" bs=1M seek=1 count=64 oflag=direct status=none
dmsetup create over --table "0 131072 linear $part 0"
resizepart "$disk" 1 $length
before=$(behind)

for attached in nothing "$disk" "$part"; do
    echo "== attached: $attached"
    [ "$attached" = nothing ] || dmsnap checkpoint -n c1 "$attached"
    write_at $((length - 128))
    fails_at $length
    fails_at $((length + 8192))
    fails_at $((length - 64))
    [ "$(behind)" = "$before" ]
    if [ "$attached" != nothing ]; then
        dmsnap changed --since c1 "$attached" >/tmp/changed
        cat /tmp/changed
        [ -s /tmp/changed ]
        [ "$(dmsnap check)" = "" ]
        dmsnap detach "$attached"
    fi
done
