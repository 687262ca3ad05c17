# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
"""The way between this terminal and a console of the guest's.

    keys -> standard input -> socket -> QEMU -> /dev/hvc0 -> shell;  and back
"""

import os
import select
import shutil
import socket
import sys
import termios
import tty

END_OF_INPUT = b"\x04"


def settings():
    """For the guest, whose console knows nothing of the size of this terminal: words for its shell."""
    columns, rows = shutil.get_terminal_size()
    name = os.environ.get("TERM", "dumb")
    if not name.replace("-", "").isalnum():
        name = "dumb"
    return f"stty rows {rows} cols {columns}\nexport TERM={name}\n"


def attend(path, ended):
    """Joins standard input and output with what listens at `path`, until `ended()`; keys go there as they are."""
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys) if os.isatty(keys) else None
    try:
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(path))
            if before:
                tty.setraw(keys)
            _relay(keys, console, ended)
    finally:
        if before:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _relay(keys, console, ended):
    sources = [keys, console]
    over = False
    while True:
        ready, _, _ = select.select(sources, [], [], 0.5)
        if keys in ready:
            typed = os.read(keys, 4096)
            if not typed:
                sources.remove(keys)
            console.sendall(typed)
        if console in ready:
            shown = console.recv(65536)
            if not shown:
                return
            os.write(sys.stdout.fileno(), shown)
        if not ready and over:
            return
        if not ready and keys not in sources:
            console.sendall(END_OF_INPUT)  # again and again: only a shell that waits for it sees it
        over = over or ended()
