# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
# shellcheck shell=bash
#
# What every script of the harness shares: messages, root, progress, the cache.
# Results go to stdout and are paths; everything said to a person goes to stderr.

set -euo pipefail
shopt -s inherit_errexit

harness=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # for the scripts that source this
top=$(cd "$harness/../../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dmsnap
# The emulator and its loader take these for the ends of names.
case $cache in
/*[:\;,]* | [!/]*)
    echo "dmsnap: cannot use $cache: XDG_CACHE_HOME must be an absolute path without colon, semicolon and comma" >&2
    exit 1
    ;;
esac
# Objects of the cache that nothing used for this long are removed.
cache_days=14

say() { printf '%s\n' "$*" >&2; }

die() {
    say "dmsnap: $*"
    exit 1
}

# How a script ends that did not get something from a mirror.
unavailable=69

die_unavailable() {
    say "dmsnap: $*"
    exit $unavailable
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# Asks for sudo's password while there is somebody to answer: everything else runs in the background.
need_root() {
    [ "$(id -u)" != 0 ] || return 0
    command -v sudo >/dev/null || die "needs root or sudo: packages are installed and chroots made"
    sudo -v || die "needs root: sudo was refused"
}

# ticking LABEL: starts saying every five seconds that LABEL is still going on, until `quiet`.
ticking() {
    local label=$1 start=$SECONDS
    (
        # The sleep has to go too: whoever reads our stderr waits for its end.
        trap 'kill "$nap"; exit' TERM
        while sleep 5 & nap=$!; wait "$nap"; do
            say "  $label: $((SECONDS - start)) s"
        done
    ) </dev/null >/dev/null &
    ticker=$!
}

quiet() {
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
}

# sudo forgets after a quarter of an hour: leaves in $keeper what reminds it, to be killed at the end.
keeper=''
keep_root() {
    [ "$(id -u)" != 0 ] || return 0
    set -m
    (while sleep 60; do sudo -n -v; done) </dev/null >/dev/null 2>&1 &
    keeper=$!
    set +m
}

# The processes of a job started under `set -m`, also those that sudo started, which are not ours to signal.
kill_job() {
    kill -- "-$1" 2>/dev/null || true
    [ "$(id -u)" = 0 ] || as_root kill -- "-$1" 2>/dev/null || true
}

# attempt LABEL LOG COMMAND...: runs it silently, says every five seconds that it is still at it, and leaves its status
# in $attempted: were this function called where its status is looked at, `set -e` would not hold inside COMMAND.
# A signal takes the command and its children along.
attempt() {
    local label=$1 log=$2 start=$SECONDS job traps
    shift 2
    attempted=0
    traps=$(trap -p INT TERM HUP)
    set -m
    "$@" </dev/null >"$log" 2>&1 &
    job=$!
    set +m
    ticking "$label"
    # shellcheck disable=SC2064  # the job is known now
    trap "kill_job $job; quiet; exit 130" INT TERM HUP
    wait "$job" || attempted=$?
    quiet
    trap - INT TERM HUP
    eval "$traps"
    if [ "$attempted" = 0 ] && [ $((SECONDS - start)) -ge 5 ]; then say "  $label: done in $((SECONDS - start)) s"; fi
}

# progress LABEL LOG COMMAND...: as attempt, but a failure shows the end of the log and ends this script.
progress() {
    attempt "$@"
    [ "$attempted" != 0 ] || return 0
    say "--- $1 failed, $2 says:"
    # A compiler's first error says more than make's last words.
    { grep -m 5 -A 3 -E '(error|warning): ' "$2" || tail -n 15 "$2"; } >&2
    if [ "$attempted" = $unavailable ]; then die_unavailable "$1 failed: $(tail -n 1 "$2")"; fi
    die "$1 failed"
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
            ticking "waiting for another process that makes $name"
            flock "$lock"
            quiet
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
    touch "$object.used"
    echo "$object"
}

drop_unused() {
    local old
    find "$cache" -maxdepth 1 -name "$1-*.used" -mtime "+$cache_days" | while read -r old; do
        as_root rm -rf "${old%.used}" "$old"
    done
}

# build_with_tests BUILD: all there is, without what only a debugger reads, which is a quarter of the compiler's work.
build_with_tests() {
    if [ ! -e "$1/build.ninja" ]; then
        meson setup "$1" "${top:?}" -Dwerror=true -Dtests=enabled -Ddebug=false
    fi
    ninja -C "$1"
}

# build_sanitized BUILD: the tests that need no kernel, with every access and all arithmetic checked.
build_sanitized() {
    if [ ! -e "$1/build.ninja" ]; then
        meson setup "$1" "${top:?}" -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 \
            -Dcpp_args=-fno-sanitize-recover=all -Dc_args=-fno-sanitize-recover=all
    fi
    ninja -C "$1" tests/unit/unit-tests tests/plan/plan-tests
}

# kernel_field NAME suite|known: a column of the table of kernels.
kernel_field() {
    awk -v name="$1" -v field="$2" '
        $1 == name { print field == "suite" ? $2 : $3; found = 1 }
        END { exit !found }' "$harness/../kernels" || die "no kernel \"$1\" in tests/vm/kernels"
}
