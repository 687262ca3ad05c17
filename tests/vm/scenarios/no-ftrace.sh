#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A kernel without function tracing: a module built as for one has the table method, and says why there is no other.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

disk=$DMSNAP_TEST_ORIGIN

clean_up() {
    local status=$?
    set +e
    dmsnap detach --force --yes plain
    dmsetup remove --retry plain
    exit $status
} >/dev/null 2>&1

trap clean_up EXIT
modprobe dm-interpose # with what it needs
rmmod dm-interpose
insmod /dmsnap/no-ftrace/dm-interpose.ko

for verb in attach "create -n s1 --store $DMSNAP_TEST_STORE"; do
    # shellcheck disable=SC2086  # words
    refused 5 "the kernel's function tracing cannot be had: .*CONFIG_DYNAMIC_FTRACE" dmsnap $verb "$disk"
    [ "$(dmsetup ls)" = 'No devices found' ]
done

dmsetup create plain --table "0 65536 linear $disk 0"
dd if=/dev/urandom of=/dev/mapper/plain bs=1M count=8 oflag=direct status=none
before=$(dd if=/dev/mapper/plain bs=1M count=8 iflag=direct status=none | sha256sum)
dmsnap create --via table -n s1 --store "$DMSNAP_TEST_STORE" plain
dd if=/dev/urandom of=/dev/mapper/plain bs=1M count=4 oflag=direct status=none
[ "$(dd if=/dev/dmsnap/s1/plain bs=1M count=8 iflag=direct status=none | sha256sum)" = "$before" ]
dmsnap remove s1
dmsnap detach plain
dmsetup remove --retry plain
