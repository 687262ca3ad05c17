# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
# shellcheck shell=bash
#
# Other Debian suites, from the mirrors this machine is configured for: package lists, single packages,
# chroots. Sourced after lib.sh: cache is from there. Nothing of the machine's own apt state is touched.

arch=amd64
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# Package lists older than this are fetched again; without a network the old ones stay good.
list_minutes=1440

host_suite() (
    . /etc/os-release
    echo "${VERSION_CODENAME:?not a Debian release}"
)

# The mirrors as "SITE SUFFIX" lines, SUFFIX being empty or -security, as configured for this machine.
mirrors() {
    local host
    host=$(host_suite)
    # shellcheck disable=SC2016  # apt expands these
    apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v host="$host" '$3 == "main" && $2 == host { print $1, "" }
                             $3 == "main" && $2 == host "-security" { print $1, "-security" }' | sort -u
}

suite_mirror() {
    mirrors | awk 'NF == 1 { print $1; exit }' | grep . || die "no Debian mirror for $(host_suite) in apt's configuration"
}

# A deb822 source for SUITE. sid has no security archive.
suite_source() {
    local suite=$1 site suffix
    mirrors | while read -r site suffix; do
        if [ "$suite$suffix" = sid-security ]; then continue; fi
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
            "$site" "$suite$suffix" "$keyring"
    done
}

# Whose packages: another architecture's are only looked at and unpacked.
apt_dir() {
    if [ "$arch" = amd64 ]; then echo "${cache:?}/apt-$1"; else echo "${cache:?}/apt-$1-$arch"; fi
}

# suite_apt SUITE apt-get|apt-cache ARGUMENT...: apt with that suite's lists and nothing installed.
suite_apt() {
    local dir program=$2
    dir=$(apt_dir "$1")
    shift 2
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    "$program" -q -o Dir::Etc::sourcelist="$dir/suite.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Default-Release= -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir" -o Dir::State::status=/dev/null \
        -o APT::Architecture=$arch -o APT::Sandbox::User=root "$@"
}

suite_refresh() {
    local suite=$1 dir lock
    dir=$(apt_dir "$suite")
    mkdir -p "$dir"
    exec {lock}>"$dir.lock"
    flock "$lock"
    if [ -z "$(find "$dir/fetched" -mmin "-$list_minutes" 2>/dev/null)" ]; then
        suite_source "$suite" >"$dir/suite.sources"
        attempt "fetching the package lists of $suite" "$dir/update.log" \
            suite_apt "$suite" apt-get update -o APT::Update::Error-Mode=any
        if [ "$attempted" = 0 ]; then
            touch "$dir/fetched"
        elif [ -e "$dir/fetched" ]; then
            say "dmsnap: no fresh package lists for $suite, using those of $(date -r "$dir/fetched" +%F)"
        else
            die_unavailable "cannot fetch the package lists of $suite: no network? (see $dir/update.log)"
        fi
    fi
    exec {lock}>&-
}

# suite_versions SUITE PACKAGE...: "PACKAGE VERSION" of what would be installed.
suite_versions() {
    local suite=$1
    shift
    suite_refresh "$suite"
    suite_apt "$suite" apt-cache policy "$@" |
        awk '/^[^ ]/ { name = $1; sub(":$", "", name) } /Candidate:/ { print name, $2 }'
}

# suite_depends SUITE PACKAGE: it and all that it depends on, down to the last.
suite_depends() {
    suite_apt "$1" apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
        --no-enhances "$2" | grep -E '^[a-z0-9]' | sort -u
}

# suite_unpack SUITE DIR PACKAGE...: the files of packages, without installing anything.
suite_unpack() {
    local suite=$1 dir=$2 work package
    shift 2
    work=$(mktemp -d "$cache/.unpack.XXXXXX")
    (cd "$work" && suite_apt "$suite" apt-get download "$@") || die_unavailable "cannot download packages of $suite: $*"
    for package in "$work"/*.deb; do
        dpkg -x "$package" "$dir"
    done
    rm -rf "$work"
}

# This machine's own ways to a mirror: proxies, and what a mirror frozen in time needs.
apt_settings() {
    apt-config dump | grep -E '^Acquire::(Check-|https?::Proxy)' || true
}

# suite_chroot SUITE DIR PACKAGE...: a minimal system with these packages, no recommendations and no documentation.
suite_chroot() {
    local suite=$1 dir=$2
    shift 2
    as_root debootstrap --variant=minbase --arch=$arch --keyring=$keyring "$suite" "$dir" "$(suite_mirror)"
    as_root mkdir -p "$dir/etc/dpkg/dpkg.cfg.d"
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' | as_root tee "$dir/etc/dpkg/dpkg.cfg.d/dmsnap" >/dev/null
    as_root rm -f "$dir/etc/apt/sources.list"
    suite_source "$suite" | as_root tee "$dir/etc/apt/sources.list.d/dmsnap.sources" >/dev/null
    apt_settings | as_root tee "$dir/etc/apt/apt.conf.d/dmsnap" >/dev/null
    # Services of packages being installed must not start in a chroot.
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$dir/usr/sbin/policy-rc.d" >/dev/null
    as_root chmod 755 "$dir/usr/sbin/policy-rc.d"
    in_chroot "$dir" apt-get -q update
    in_chroot "$dir" apt-get -q install -y --no-install-recommends "$@"
    in_chroot "$dir" apt-get clean
    as_root rm -rf "$dir/var/lib/apt/lists" "$dir/usr/sbin/policy-rc.d"
}

# in_chroot DIR [--bind SOURCE DESTINATION]... COMMAND...: /proc is mounted (objtool reads it); the mounts and every
# process go away with the command, however it ends.
in_chroot() {
    local dir=$1 binds='' propagation=private
    shift
    while [ "$1" = --bind ]; do
        binds+="$2 $dir$3"$'\n'
        shift 3
    done
    # Inside a plain chroot / is no mount point and its propagation cannot be changed.
    as_root unshare --mount true 2>/dev/null || propagation=unchanged
    # shellcheck disable=SC2016  # for the inner shell
    as_root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        unshare --mount --propagation "$propagation" --pid --fork --kill-child bash -c '
            dir=$1 binds=$2 status=0
            shift 2
            mount -t proc proc "$dir/proc" || exit
            while read -r source destination; do
                mount --bind "$source" "$destination" || exit
            done < <(printf %s "$binds")
            chroot "$dir" "$@" || status=$?
            while read -r source destination; do
                umount "$destination"
            done < <(printf %s "$binds")
            umount "$dir/proc"
            exit "$status"' in_chroot "$dir" "$binds" "$@"
}
