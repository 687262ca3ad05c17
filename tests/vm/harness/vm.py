# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
"""One virtual machine: its disks, its command line, what it writes, and its end."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

# Device, GiB, logical block size; the same names in every guest. /dev/vda is the root image.
DISKS = (("vdb", 4, 512), ("vdc", 4, 512), ("vdd", 2, 512), ("vde", 2, 4096), ("nvme0n1", 2, 512))
# In no device yet: a test plugs them in and pulls them, by QEMU's own monitor, which the guest has as a port.
LOOSE_DISKS = (("plug-virtio", 1), ("plug-nvme", 1))


class Follower:
    """Reads what is appended to a file, from wherever it stopped the last time."""

    def __init__(self, path):
        path.touch()
        self.file = open(path, "rb")

    def read(self):
        return self.file.read()


class Lines:
    """The complete lines of a growing file."""

    def __init__(self, path):
        self.follower = Follower(path)
        self.rest = b""

    def read(self):
        *lines, self.rest = (self.rest + self.follower.read()).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def read_through(self, last):
        """Whether that line has come; what came after it is left to be read."""
        lines = self.read()
        if last not in lines:
            return False
        left = lines[lines.index(last) + 1:]
        self.rest = "".join(line + "\n" for line in left).encode() + self.rest
        return True


class Machine:
    """QEMU with a kernel, the root image and scratch disks; `logs` gets serial, output and results.

    A guest that restarts ends, unless `restarts`.
    """

    def __init__(self, emulator, kernel, image, initrd, payload, job, logs, *, memory, smp, thread, accel, icount,
                 append, restarts, terminal):
        self.logs = logs
        for name in ("serial", "output", "results"):
            (logs / name).write_bytes(b"")
        self.scratch = Path(tempfile.mkdtemp(prefix="dmsnap-vm-", dir=os.environ.get("TMPDIR", "/var/tmp")))
        self.process = None
        self.arguments = [
            "setpriv", "--pdeathsig", "KILL", "--",
            str(emulator / "qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none",
            *([] if restarts else ["-no-reboot"]),
            "-machine", "pc", "-accel", accel or f"tcg,thread={thread}", "-cpu", "Nehalem",
            *(["-icount", "shift=0,sleep=off"] if icount else []),
            "-smp", f"{smp},sockets={smp},cores=1,threads=1", "-m", memory,
            "-kernel", str(kernel / "vmlinuz"), "-initrd", str(initrd), "-append", " ".join(append),
            "-chardev", f"file,id=serial,path={logs / 'serial'}", "-serial", "chardev:serial",
            "-device", "virtio-serial-pci",
            *self._port("output"), *self._port("results"),
            "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
            *self._disk("vda", image, 512, snapshot=True),
            *self._share("payload", payload), *self._share("job", job),
            *self._share("modules", kernel / "lib/modules" if (kernel / "lib").exists() else job),
        ]
        for name, size, block in DISKS:
            self.arguments += self._disk(name, self._blank(name, size), block)
        for name, size in LOOSE_DISKS:
            self.arguments += self._drive(name, self._blank(name, size))
        self.arguments += self._monitor(self.scratch / "monitor")
        self.terminal = self.scratch / "terminal"
        if terminal:
            self.arguments += ["-chardev", f"socket,id=terminal,path={self.terminal},server=on,wait=off",
                               "-device", "virtconsole,chardev=terminal"]

    def _blank(self, name, gib):
        path = self.scratch / name
        with open(path, "wb") as file:
            file.truncate(gib << 30)
        return path

    @staticmethod
    def _monitor(path):
        """QEMU talks to itself: what it listens on, it has connected to a port of the guest's."""
        return ["-chardev", f"socket,id=monitor,path={path},server=on,wait=off", "-mon", "chardev=monitor,mode=control",
                "-chardev", f"socket,id=monitor-port,path={path}",
                "-device", "virtserialport,chardev=monitor-port,name=dmsnap.monitor"]

    def _port(self, name):
        return ["-chardev", f"file,id={name},path={self.logs / name}",
                "-device", f"virtserialport,chardev={name},name=dmsnap.{name}"]

    @staticmethod
    def _share(tag, path):
        return ["-fsdev", f"local,id={tag},path={path},security_model=none,readonly=on",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    @staticmethod
    def _drive(name, path, snapshot=False):
        return ["-drive", f"if=none,id={name},file={path},format=raw,cache=unsafe,discard=unmap,"
                          f"detect-zeroes=off,snapshot={'on' if snapshot else 'off'}"]

    @staticmethod
    def _disk(name, path, block, snapshot=False):
        driver, options = ("nvme", "") if name.startswith("nvme") else ("virtio-blk-pci", ",discard=on,write-zeroes=on")
        return [*Machine._drive(name, path, snapshot),
                "-device", f"{driver},drive={name},serial={name},logical_block_size={block},"
                           f"physical_block_size={max(block, 4096)}{options}"]

    def start(self):
        # QEMU puts the overlay of snapshot=on there.
        environment = dict(os.environ, TMPDIR=str(self.scratch))
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, env=environment,
                                        stdout=open(self.logs / "qemu", "wb"), stderr=subprocess.STDOUT,
                                        start_new_session=True)

    def forget_scratch(self):
        """Once QEMU has the scratch disks open nobody else needs their names: nothing is left even if we are killed, but for
        the loose ones, which QEMU opens when they are plugged in."""
        for name, *_ in DISKS:
            (self.scratch / name).unlink(missing_ok=True)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Whoever runs it sees it end; any thread may call this."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)

    def stop(self):
        """Ends QEMU if it still runs, and frees what it used."""
        self.kill()
        if self.process:
            self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)
