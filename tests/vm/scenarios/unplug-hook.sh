#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A disk that is pulled while it is attached by the hook, mounted, at work and has a snapshot: its users get errors, as they
# would without dmsnap, and dmsnap lets go of it.

set -euo pipefail

# shellcheck source=tests/vm/scenarios/lib/helpers.sh
. "${0%/*}/lib/helpers.sh"

exec 5>/dev/virtio-ports/dmsnap.monitor

clean_up() {
    local status=$?
    set +e
    kill "$load"
    wait
    umount /mnt
    dmsnap detach --force --yes "$number"
    rmmod scsi_debug
    exit $status
} >/dev/null 2>&1

disk=''
number=''
trap clean_up EXIT

# ask_qemu COMMAND ARGUMENTS: to its monitor, as JSON.
ask_qemu() {
    printf '{"execute": "%s", "arguments": {%s}}\n' "$1" "${2-}" >&5
}

# plug KIND: sets disk.
plug() {
    case $1 in
    virtio)
        ask_qemu device_add '"driver": "virtio-blk-pci", "drive": "plug-virtio", "id": "virtio"'
        disk=/dev/vdf
        ;;
    nvme)
        ask_qemu device_add '"driver": "nvme", "drive": "plug-nvme", "id": "nvme", "serial": "plug"'
        disk=/dev/nvme1n1
        ;;
    scsi) scsi_disk dev_size_mb=64 ;;
    esac
    wait_for "[ -b $disk ]"
    udevadm settle
    number=$(stat -c '%Hr:%Lr' "$disk")
}

pull() {
    case $1 in
    scsi) echo 1 >"/sys/block/${disk#/dev/}/device/delete" ;;
    *) ask_qemu device_del "\"id\": \"$1\"" ;;
    esac
    wait_for "[ ! -e /sys/class/block/${disk#/dev/} ]"
}

ask_qemu qmp_capabilities
for kind in virtio nvme scsi; do
    echo "== $kind"
    plug "$kind"
    mkfs.ext4 -q "$disk" 48m
    mount "$disk" /mnt
    fio --name=load --directory=/mnt --size=8m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 \
        --time_based --runtime=600 --output=/tmp/fio &
    load=$!
    dmsnap create -n s1 --store "$DMSNAP_TEST_STORE" "$disk"
    top=$(dmsetup ls --target interpose | cut -f 1)
    wait_for "[ \"\$(dmsetup status $top | awk '{ print \$17 }')\" -ge 20 ]"
    kill -0 "$load"
    pull "$kind"
    if wait "$load"; then exit 1; fi
    load=
    timeout 60 dmsnap list
    status=0
    timeout 60 dmsnap check || status=$?
    [ $status = 5 ]
    # What was copied could still be read, where nobody has written since; the rest went with the disk.
    if timeout 60 dd if=/dev/dmsnap/s1/"${disk#/dev/}" of=/dev/null bs=64k iflag=direct status=none; then exit 1; fi
    umount /mnt
    dmsnap remove s1
    dmsnap detach "$number"
    [ "$(dmsetup ls)" = "No devices found" ]
    dmsnap check
    if [ "$kind" = scsi ]; then rmmod scsi_debug; fi
done
