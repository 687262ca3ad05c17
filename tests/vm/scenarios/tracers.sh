#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Others who trace the function that the hook is on, come and gone before and after it: no write is missed.

set -euo pipefail

disk=$DMSNAP_TEST_ORIGIN
tracing=/sys/kernel/tracing
round=0

clean_up() {
    local status=$?
    set +e
    no_tracers
    sysctl -q kernel.ftrace_enabled=1
    dmsnap detach --force --yes "${disk}1"
    partx --delete "$disk"
    exit $status
} >/dev/null 2>&1

# tracer function|function_graph|kprobe|kretprobe|neighbour
tracer() {
    case $1 in
    neighbour)
        insmod /dmsnap/neighbour/neighbour.ko
        return
        ;;
    kprobe) echo 'p:dmsnap_test submit_bio_noacct' >>$tracing/kprobe_events ;;
    kretprobe) echo 'r:dmsnap_test submit_bio_noacct' >>$tracing/kprobe_events ;;
    *)
        echo submit_bio_noacct >$tracing/set_ftrace_filter
        echo "$1" >$tracing/current_tracer
        return
        ;;
    esac
    echo 1 >$tracing/events/kprobes/dmsnap_test/enable
}

no_tracers() {
    if [ -e /sys/module/neighbour ]; then rmmod neighbour; fi
    echo nop >$tracing/current_tracer
    echo >$tracing/set_ftrace_filter
    if [ -e $tracing/events/kprobes/dmsnap_test ]; then
        echo 0 >$tracing/events/kprobes/dmsnap_test/enable
        echo -:dmsnap_test >>$tracing/kprobe_events
    fi
}

# Whether what was traced was called at all.
has_traced() {
    if [ -e /sys/module/neighbour ]; then
        [ "$(cat /sys/module/neighbour/parameters/calls)" -gt 0 ]
        return
    fi
    grep -q -e submit_bio_noacct -e dmsnap_test $tracing/trace
}

# seen: what is written now, in places of its own, is noted, all of it and nothing else.
seen() {
    local i written=''
    round=$((round + 1))
    dmsnap checkpoint -n "c$round" "${disk}1"
    for i in 1 2 3 4 5 6 7 8; do
        dd if=/dev/urandom of="${disk}1" bs=16k count=1 seek=$((round * 64 + i * 3)) oflag=direct conv=notrunc status=none
        written+="$(((round * 64 + i * 3) * 16384)) 16384"$'\n'
    done
    diff <(dmsnap changed --since "c$round" "${disk}1") <(printf %s "$written")
    dmsnap remove "c$round"
}

mountpoint -q $tracing || mount -t tracefs tracefs $tracing
trap clean_up EXIT
sfdisk --quiet --wipe always "$disk" <<<$'label: gpt\nsize=64MiB'
udevadm settle

for kind in function function_graph kprobe kretprobe neighbour; do
    echo "== $kind before the hook"
    echo >$tracing/trace
    tracer $kind
    dmsnap attach "${disk}1"
    seen
    has_traced
    no_tracers
    seen
    echo "== $kind after the hook"
    echo >$tracing/trace
    tracer $kind
    seen
    has_traced
    dmsnap detach "${disk}1"
    dd if=/dev/zero of="${disk}1" bs=16k count=4 oflag=direct conv=notrunc status=none
    no_tracers
done

echo "== tracing cannot be switched off under the hook"
dmsnap attach "${disk}1"
if sysctl -w kernel.ftrace_enabled=0; then exit 1; fi
[ "$(sysctl -n kernel.ftrace_enabled)" = 1 ]
seen
dmsnap detach "${disk}1"

echo "== and where it is off, attach says so"
sysctl -w kernel.ftrace_enabled=0
if said=$(dmsnap attach "${disk}1" 2>&1); then exit 1; fi
grep -q 'cannot be had: kernel.ftrace_enabled is 0' <<<"$said"
[ "$(dmsetup ls)" = "No devices found" ]
sysctl -w kernel.ftrace_enabled=1
dmsnap attach "${disk}1"
seen
dmsnap detach "${disk}1"
partx --delete "$disk"
