# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
"""One boot of one kernel, watched from the host: from the making of what it needs to the verdict on each test."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import tables
import terminal
from vm import Follower, Lines, Machine

HARNESS = Path(__file__).resolve().parent
# A kernel that says one of these has a bug, whatever the test thinks of it.
SPLAT = re.compile(r"WARNING: |BUG: |Oops|general protection fault|Kernel panic|UBSAN: |KASAN: |INFO: task .* blocked"
                   r"|possible recursive locking|inconsistent lock state|suspicious RCU usage|soft lockup"
                   r"|kernel BUG at|unreferenced object|ODEBUG: |trying to register non-static key|rcu: INFO: ")
DEBUG_BOOT_SECONDS = 240
DEBUG_FACTOR = 4
FULL_FACTOR = 10
KEPT_LOGS = 50


def say(text):
    print(text, file=sys.stderr, flush=True)


def script(name, *arguments):
    """What a script of the harness prints: a path."""
    process = subprocess.Popen([HARNESS / name, *arguments], stdout=subprocess.PIPE, text=True, process_group=0)
    try:
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if process.returncode:
        sys.exit(process.returncode)
    return Path(output.strip())


def tsc_khz():
    """The rate of the time stamp counter.  An emulated kernel that measures it on a busy machine may be wrong by a factor
    of nine, and its deadlines with it; one without ACPI has nothing to measure against."""
    megahertz = re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    return int(float(megahertz[1]) * 1000) if megahertz else 2000000


def uuid_of(image):
    """Of the filesystem in it, as the superblock of ext4 has it."""
    with open(image, "rb") as file:
        file.seek(1024 + 0x68)
        return uuid.UUID(bytes=file.read(16))


class Boot:
    """One boot of one kernel, watched from the host.

    Emulated processors take turns unless a test asks for parallel ones: with as many guests as there are processors here
    that is faster, and a kernel that patches its own code is not executed half patched by another emulated processor.
    """

    def __init__(self, options, work, tests, careful=False):
        self.kernel = options.kernel
        self.debug = options.kernel.startswith("debug")
        self.options = options
        self.tests = tests
        self.job = Path(tempfile.mkdtemp(prefix="job", dir=work))
        self.logs = Path(options.logs) / f"{options.kernel}-{os.getpid()}-{len(list(work.glob('job*')))}"
        self.logs.mkdir(parents=True)
        for old in sorted(self.logs.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT_LOGS]:
            shutil.rmtree(old, ignore_errors=True)
        self._write_job()
        append = [f"root=UUID={uuid_of(options.image)}", "console=ttyS0", "8250.nr_uarts=1", "panic=-1", "panic_on_warn=1", "loglevel=5", "mitigations=off",
                  "nokaslr", "tsc=reliable", f"tsc_early_khz={1000000 if options.icount else tsc_khz()}", "watchdog_thresh=60",
                  "rcupdate.rcu_cpu_stall_timeout=120", "net.ifnames=0",
                  "systemd.unit=dmsnap-guest.service", "systemd.show_status=0",
                  "modprobe.blacklist=ata_piix,ata_generic,pcspkr,psmouse,i2c_piix4,button,evdev,serio_raw,joydev"]
        if options.icount:
            append.append("dmsnap.tiny")
        if self.debug:
            # With KASAN and lockdep emulated, systemd takes a minute to start, and so do rules for disks nobody uses.
            append += ["dmsnap.tiny", "brd.rd_nr=0", "loop.max_loop=0", "null_blk.nr_devices=0", "scsi_debug.add_host=0"]
        parallel = any(test.parallel for test in tests) and not careful
        self.thread = options.thread or ("multi" if parallel else "single")
        self.machine = Machine(options.emulator, options.kernel_folder, options.image, options.initrd,
                               options.payload, self.job, self.logs,
                               memory=options.memory or ("3G" if self.debug else "2G"), smp=options.smp, thread=self.thread,
                               accel=options.accel, icount=options.icount, append=append + options.append,
                               restarts=any(test.restarts for test in tests), terminal=options.shell)
        self.results = Lines(self.logs / "results")
        self.serial = Lines(self.logs / "serial")
        self.splats = []
        self.ready = False

    def _write_job(self):
        for name in ("agent", "tiny-init", "dmsnap-guest.service"):
            shutil.copy(HARNESS / "guest" / name, self.job)
        environment = tables.environment(self.options.rounds + ("-debug" if self.debug else ""))
        (self.job / "environment").write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
        if self.options.shell:
            (self.job / "shell").write_text(terminal.settings())
        if self.options.command is not None:
            (self.job / "command").write_text(self.options.command + "\n")
        else:
            lines = [f"{test.name} {test.kind} {self.deadline(test)}\n" for test in self.tests]
            (self.job / "tests").write_text("".join(lines))

    def deadline(self, test):
        seconds = test.seconds * (FULL_FACTOR if self.options.rounds == "full" else 1)
        return seconds * (DEBUG_FACTOR if self.debug else 1)

    def look_at_serial(self):
        for line in self.serial.read():
            if SPLAT.search(line):
                self.splats.append(line)

    def tail(self, name, lines=25):
        say(f"--- end of {self.logs / name}:")
        self._say_lines(self._lines_of(name)[-lines:])

    def keep_output_of(self, test):
        """The name of the log that gets what a test wrote, out of what all tests of the boot did."""
        lines = self._lines_of("output")
        begin = f"=== {test.name}"
        own = lines[lines.index(begin):] if begin in lines else lines
        end = next((i for i, line in enumerate(own) if i and line.startswith("=== ")), len(own))
        (self.logs / test.name).write_text("".join(line + "\n" for line in own[:end]))
        return test.name

    def show(self, name, begin=60, end=40):
        """What failed first tends to stand at the beginning of a log, and what ended it at its end."""
        say(f"--- {self.logs / name}:")
        lines = self._lines_of(name)
        if len(lines) > begin + end:
            lines[begin:-end] = ["..."]
        self._say_lines(lines)

    def _lines_of(self, name):
        return (self.logs / name).read_text(errors="replace").splitlines()

    @staticmethod
    def _say_lines(lines):
        say("\n".join("    " + line for line in lines))

    def boot(self):
        """Starts the machine; true once the guest is ready for its job."""
        start = told = time.monotonic()
        limit = self.options.boot_timeout or (DEBUG_BOOT_SECONDS if self.debug else 120)
        self.machine.start()
        while time.monotonic() - start < limit:
            self.ready = self.results.read_through("ready")
            self.look_at_serial()
            if self.ready:
                self.machine.forget_scratch()
                if not self.options.quiet:
                    say(f"  {self.kernel}: booted in {time.monotonic() - start:.0f} s")
                return True
            if not self.machine.running():
                say(f"{self.kernel}: the virtual machine ended before it was ready")
                return False
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                say(f"  {self.kernel}: booting, {told - start:.0f} s")
            time.sleep(0.05)
        say(f"{self.kernel}: not ready after {limit} s")
        return False

    def deserves_another(self):
        """A boot that never came to its job has run nothing of dmsnap: where its processors were parallel, which breaks a
        kernel that patches itself now and then, another one with processors that take turns may follow."""
        return not self.ready and self.thread == "multi" and not self.options.thread

    def run_command(self):
        """Shows the command's output as it comes; its status, or None if the guest died or took too long."""
        output = Follower(self.logs / "output")
        end = time.monotonic() + self.options.timeout
        status = None
        while status is None and time.monotonic() < end:
            alive = self.machine.running()
            for line in self.results.read():
                if line.startswith("status "):
                    status = int(line.split()[1])
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
            self.look_at_serial()
            if not alive:
                break
            time.sleep(0.05)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
        if status is None:
            say("the virtual machine died" if not self.machine.running() else
                f"not done after {self.options.timeout} s")
        return status

    def run_shell(self):
        """A shell in the guest, on this terminal, until its user ends it."""
        say("\nA shell in that machine, with dmsnap installed and /dev/vdb to /dev/vde blank. It ends with \"exit\".")
        terminal.attend(self.machine.terminal, lambda: not self.machine.running() or "left" in self.results.read())
        say("")

    def run_tests(self, verdict):
        """Calls verdict(test, passed, seconds, reason) for each test that ran to an end; returns those left to run."""
        waiting = list(self.tests)
        current, start, told, limit = None, 0, time.monotonic(), 0
        last_of_boot = None
        while True:
            alive = self.machine.running()
            lines = self.results.read()
            self.look_at_serial()
            for line in lines:
                word, _, rest = line.partition(" ")
                if word == "begin" and current:
                    continue  # the same test after a restart
                if word == "begin":
                    current, start = waiting.pop(0), time.monotonic()
                    limit = self.deadline(current) + 60
                elif word in ("pass", "fail"):
                    _, seconds, *reason = rest.split(" ", 2)
                    last_of_boot = (current, seconds)
                    self._judge(verdict, current, word == "pass", seconds, reason)
                    current = None
                elif word == "late":
                    verdict(last_of_boot[0], False, last_of_boot[1], rest)
                elif word == "done":
                    self._judge_late(verdict, last_of_boot)
                    return waiting
            now = time.monotonic()
            if current and (not alive or now - start > limit):
                why = f"not done after {now - start:.0f} s, guest killed" if alive else "the virtual machine died"
                self.machine.stop()
                self.look_at_serial()
                self._judge(verdict, current, False, f"{now - start:.0f}", [why])
                return waiting
            if not alive:
                self._judge_late(verdict, last_of_boot)
                return waiting
            if current and now - told >= 5:
                told = now
                say(f"  {self.kernel}: {current.name}, {now - start:.0f} s")
            time.sleep(0.05)

    def _new_splat(self):
        # Serial and results are separate channels: let what the kernel said before the result arrive.
        time.sleep(0.2)
        self.look_at_serial()
        return bool(self.splats)

    def _judge_late(self, verdict, last_of_boot):
        """What the kernel complains of when no test runs any more counts against the last one."""
        if last_of_boot and self._new_splat():
            test, seconds = last_of_boot
            verdict(test, False, seconds, f"the kernel complained later: {self.splats[0].strip()}")

    def _judge(self, verdict, test, passed, seconds, reason):
        """What the kernel complained of while it booted, or between two tests, counts against the next one."""
        reason = reason[0] if reason else ""
        if self._new_splat():
            passed, reason = False, f"the kernel complained: {self.splats[0].strip()}"
            self.splats.clear()
        verdict(test, passed, seconds, reason)
