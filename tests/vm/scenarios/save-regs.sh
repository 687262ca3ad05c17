#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# A kernel whose ftrace hands arguments over only to whoever asks for all registers: a module built as for one, among others
# who trace the function.

set -euo pipefail

modprobe dm-interpose # with what it needs
rmmod dm-interpose
insmod /dmsnap/save-regs/dm-interpose.ko
dmsnap attach "$DMSNAP_TEST_ORIGIN"
grep '^submit_bio_noacct .* R' /sys/kernel/debug/tracing/enabled_functions # for registers
dmsnap detach "$DMSNAP_TEST_ORIGIN"
# shellcheck source=tests/vm/scenarios/tracers.sh
. "${0%/*}/tracers.sh"
