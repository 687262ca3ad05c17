#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
#
# Where nobody looks at standard error, an error is in the journal too, with its priority.

set -euo pipefail

entries() {
    journalctl --no-pager -q -o cat -p err -t dmsnap
}

journalctl --sync
before=$(entries | wc -l)
status=0
dmsnap attach /dev/no-such-device 2>/tmp/journal.err || status=$?
if [ "$status" != 5 ]; then
    echo "exit $status instead of 5"
    exit 1
fi
journalctl --sync
entries | tail -n "+$((before + 1))" >/tmp/journal.entries
sed 's/^dmsnap: //' /tmp/journal.err | diff - /tmp/journal.entries
grep -q no-such-device /tmp/journal.entries
