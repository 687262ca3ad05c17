# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
# shellcheck shell=bash
#
# What several scenarios do. Sourced; each has its own clean_up(), which kills "$load".

load=''

# number DEVICE: as the kernel writes it.
number() { stat -L -c '%Hr:%Lr' "$1"; }

# All that device-mapper has, to be compared with what it has later.
state() { dmsetup table && dmsetup info -c --noheadings -o name,attr,uuid; }

# wait_for COMMAND: until it succeeds.
wait_for() {
    timeout 60 sh -c "until $1; do sleep 0.1; done"
}

# refused STATUS REASON COMMAND...: it ends with that, and says it.
refused() {
    local status=0 expected=$1 reason=$2
    shift 2
    "$@" >/tmp/said 2>&1 || status=$?
    cat /tmp/said
    [ "$status" = "$expected" ] && grep -q -- "$reason" /tmp/said
}

# scsi_disk PARAMETER...: of the kernel's own SCSI host; sets disk.
scsi_disk() {
    local disks='/sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/sd*'
    modprobe scsi_debug "$@"
    wait_for "ls $disks >/dev/null 2>&1"
    # shellcheck disable=SC2086  # a pattern
    disk=/dev/$(basename $disks)
    wait_for "[ -b $disk ]"
    udevadm settle
}

# start_load SIZE [DIRECTORY]: a program in /mnt, or there, that reads and writes, and looks at all it reads.
start_load() {
    fio --name=load "--directory=${2-/mnt}" "--size=$1" --rw=randrw --bsrange=4k-64k --verify=crc32c --verify_fatal=1 \
        --direct=1 --ioengine=libaio --iodepth=8 --fsync=32 --time_based --runtime=900 --output=/tmp/fio &
    load=$!
}

# It was there until now, and has found nothing wrong.
end_load() {
    kill -0 "$load"
    kill -INT "$load"
    wait "$load" || true # it tells of the signal
    load=''
    grep 'err= 0' /tmp/fio
}

# ioctls COMMAND: how many it does, without its children's.
ioctls() {
    # shellcheck disable=SC2086  # words
    strace -qq -o /tmp/trace -e trace=ioctl $1 && grep -c 'ioctl(' /tmp/trace
}

# die COMMAND N: it is killed at the N-th of them, unless it does fewer this time: the filesystem at /mnt goes on, and recover
# ends where the command began or finished. Adds to died.
died=0
die() {
    local status=0
    # shellcheck disable=SC2086  # words
    strace -qq -o /dev/null -e trace=ioctl -e "inject=ioctl:signal=KILL:when=$2" $1 || status=$?
    [ "$status" = 137 ] || [ "$status" = 0 ]
    died=$((died + (status == 137)))
    timeout 10 sh -c 'echo alive >/mnt/alive && sync --file-system /mnt'
    dmsnap recover
    dmsnap check
    udevadm settle
}

# turn ROUND ROUNDS COUNT: that one of so many, or any if there is but one round.
turn() {
    if [ "$2" -gt 1 ] && [ "$1" -le "$3" ]; then echo "$1"; else echo $((RANDOM % $3 + 1)); fi
}
