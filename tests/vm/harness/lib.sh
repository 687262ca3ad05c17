# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
# shellcheck shell=bash
#
# What every script of the harness shares: messages, root, progress, the cache.
# Results go to stdout and are paths; everything said to a person goes to stderr.

set -euo pipefail
shopt -s inherit_errexit

harness=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$harness/../../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dmsnap
# Objects of the cache that nothing used for this long are removed.
cache_days=14

say() { printf '%s\n' "$*" >&2; }

die() {
    say "dmsnap: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "cannot run ${1##*/}: not root and no sudo"
    fi
}

# progress LABEL LOG COMMAND...: runs it silently, says every five seconds that it is still at it,
# and shows the end of its output if it fails.
progress() {
    local label=$1 log=$2 start=$SECONDS status=0
    shift 2
    "$@" </dev/null >"$log" 2>&1 &
    local pid=$! ticker
    (
        while sleep 5; do
            say "  $label: $((SECONDS - start)) s"
        done
    ) </dev/null >/dev/null &
    ticker=$!
    # Without these a Ctrl-C would leave the long command running.
    trap 'kill "$pid" "$ticker" 2>/dev/null; exit 130' INT TERM
    wait "$pid" || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    trap - INT TERM
    if [ "$status" != 0 ]; then
        say "--- $label failed; the end of $log:"
        tail -n 30 "$log" >&2
        die "$label failed"
    fi
    if [ $((SECONDS - start)) -ge 5 ]; then say "  $label: done in $((SECONDS - start)) s"; fi
}

# cached NAME INPUTS COMMAND...: prints the path of an object of the cache. If there is none made from
# just these INPUTS, COMMAND makes it, with the path to fill as its last argument.
cached() {
    local name=$1 inputs=$2 object temp lock
    shift 2
    object=$cache/$name-$(sha256sum <<<"$inputs" | cut -c1-12)
    if [ ! -e "$object" ]; then
        mkdir -p "$cache/log"
        exec {lock}>"$cache/$name.lock"
        if ! flock -n "$lock"; then
            say "waiting for another process that makes $name"
            flock "$lock"
        fi
        if [ ! -e "$object" ]; then
            drop_unused "$name"
            temp=$cache/.$name.new
            as_root rm -rf "$temp"
            progress "making $name" "$cache/log/$name" "$@" "$temp"
            mv "$temp" "$object"
        fi
        exec {lock}>&-
    fi
    touch -c "$object"
    echo "$object"
}

drop_unused() {
    local old
    find "$cache" -maxdepth 1 -name "$1-*" -mtime "+$cache_days" | while read -r old; do
        as_root rm -rf "$old"
    done
}

# kernel_field NAME suite|known: a column of the table of kernels.
kernel_field() {
    awk -v name="$1" -v field="$2" '
        $1 == name { print field == "suite" ? $2 : $3; found = 1 }
        END { exit !found }' "$harness/../kernels" || die "no kernel \"$1\" in tests/vm/kernels"
}
