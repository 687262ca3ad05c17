# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: 2026 The dmsnap authors
"""The tables next to this folder: tests, rounds, kernels."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

VM = Path(__file__).resolve().parent.parent


def rows(name, columns):
    """The rows of a table: words between blanks, # starts a comment."""
    for number, line in enumerate((VM / name).read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if words and len(words) != columns:
            sys.exit(f"tests/vm/{name}:{number}: {len(words)} columns instead of {columns}")
        if words:
            yield words


@dataclass(frozen=True)
class Test:
    """A row of the table of tests; its head says what the columns mean."""
    name: str
    kind: str
    boot: str
    seconds: int
    sets: tuple

    @property
    def parallel(self):
        return self.boot == "parallel"

    @property
    def variants(self):
        """Of the module, that the test finds beside it."""
        return self.boot.removeprefix("with-").split("+") if self.boot.startswith("with-") else []

    @property
    def restarts(self):
        return self.boot.startswith("restart")


def tests():
    table = [Test(name, kind, boot, int(seconds), tuple(sets.split(",")))
             for name, kind, boot, seconds, sets in rows("tests", 5)]
    for test in table:
        if test.kind not in ("case", "scenario"):
            sys.exit(f"tests/vm/tests: {test.name} is neither case nor scenario")
    return table


def select(names):
    """The tests of these names, in the order of the table."""
    table = tests()
    for name in names:
        if name not in (test.name for test in table):
            sys.exit(f"no test \"{name}\" in tests/vm/tests")
    return [test for test in table if test.name in names]


def groups(selected):
    """Lists of tests that may share a boot: those that are emulated alike; one that is alone shares its with nobody."""
    shared = {}
    for test in selected:
        shared.setdefault(test.name if test.boot.endswith("alone") else test.parallel, []).append(test)
    return list(shared.values())


def weight(tests):
    return sum(test.seconds for test in tests)


def split(group, limit):
    """The group in as few lists of about the same weight as keep them below about `limit` seconds."""
    total = weight(group)
    lists = [[] for _ in range(math.ceil(total / limit))]
    before = 0
    for test in group:
        lists[int((before + test.seconds / 2) * len(lists) / total)].append(test)
        before += test.seconds
    return [tests for tests in lists if tests]


# Tests with deadlines of so many seconds together are worth another boot.
WORTH_A_BOOT = 1500


def pieces(selected, jobs, boots):
    """What `jobs` guests at a time boot for: lists of tests, the longest first so that all end at about the same time.

    `boots`: how often each guest boots for an even end, if that is worth it.
    """
    limit = max(weight(selected) / (jobs * boots), min(weight(selected) / jobs, WORTH_A_BOOT))
    found = [piece for group in groups(selected) for piece in split(group, limit)]
    return sorted(found, key=weight, reverse=True)


# The columns of the table of rounds.
ROUNDS = ("short", "full", "short-debug", "full-debug")


def environment(column):
    """What a test in the guest finds in its environment."""
    result = {"DMSNAP_TEST_ORIGIN": "/dev/vdb", "DMSNAP_TEST_STORE": "/dev/vdc",
              "DMSNAP_TEST_SPARE": "/dev/vdd", "DMSNAP_TEST_4K": "/dev/vde", "DMSNAP_TEST_NVME": "/dev/nvme0n1"}
    for name, *numbers in rows("rounds", 1 + len(ROUNDS)):
        result[f"ROUNDS_{name}"] = numbers[ROUNDS.index(column)]
    return result
