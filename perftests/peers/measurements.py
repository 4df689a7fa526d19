# SPDX-License-Identifier: BSD-2-Clause
"""The rounds."""
import sys
import time

from peers import foreign
from peers.foreign import Extent
from peers.peers import KINDS, SHORT, SIZES, depth_of
from peers.processes import Failed

# What starting costs is measured of these sizes, since memory and the library's second queue pair cost, too. Twice of the first:
# the first time programs are read from disk.
IDLE_SIZES = [64, 64, 65536, 1048576]


class Samples:
    """By round, of one peer, kind and size."""

    def __init__(self):
        self.values = {}  # microseconds or MiB/s
        self.p99 = {}  # microseconds, where the peer tells them
        self.cpu = {}  # seconds of the client's, and for how many messages

    def add(self, number, value, p99, seconds, messages):
        self.values[number] = value
        if p99 is not None:
            self.p99[number] = p99
        self.cpu[number] = (seconds, messages)


class Measurements:
    def __init__(self, options, peers):
        self.options, self.peers = options, peers
        self.samples = {}  # by (kind, size, peer's name)
        self.idle = {}  # of runs that are over at once, by the same: [(seconds, messages)]
        self.troubles = []
        self.rounds = 0  # that were begun

    def run(self):
        started = time.monotonic()
        for size in IDLE_SIZES:
            progress(self.options, f"what starting costs, {size} bytes")
            for kind in KINDS:
                for peer in self.peers:
                    if kind in peer.kinds and size in peer.sizes:
                        self.measure_idle(kind, size, peer)
        longest = 0
        while self.rounds < self.options.rounds:
            begun = time.monotonic()
            if self.rounds and begun - started + longest > self.options.limit:
                break
            self.rounds += 1
            self.round(self.rounds)
            longest = max(longest, time.monotonic() - begun)

    def round(self, number):
        # In turn, and who is first in turn too: the machine's moods then fall on all of them.
        order = self.peers[:: 1 if number % 2 else -1]
        for kind in KINDS:
            progress(self.options, f"round {number} of {self.options.rounds}: {KINDS[kind]}")
            for size in SIZES:
                for peer in order:
                    if kind in peer.kinds and size in peer.sizes:
                        self.measure(number, kind, size, peer)

    def measure_idle(self, kind, size, peer):
        extent = Extent(kind, size, SHORT[kind], depth_of(size))
        try:
            seconds, messages = peer.run_idle(extent)
        except Failed as failed:
            self.troubles.append(f"{peer.title}, what starting costs, {KINDS[kind]}, {size} bytes: {failed}")
            return
        self.idle.setdefault((kind, size, peer.name), []).append((seconds, messages))

    def cpu_of(self, kind, size, peer):
        """Microseconds for a round trip or message, by round: what a run takes more than one that is over at once."""
        idle = self.idle.get((kind, max(of for of in IDLE_SIZES if of <= size), peer.name))
        samples = self.samples.get((kind, size, peer.name))
        if not idle or not samples:
            return {}
        # The least: what else the machine does, and reading the program for the first time, only add to it.
        idle_seconds, idle_messages = min(seconds for seconds, _ in idle), idle[0][1]
        return {number: 1e6 * (seconds - idle_seconds) / (messages - idle_messages)
                for number, (seconds, messages) in samples.cpu.items() if messages > idle_messages}  # fmt: skip

    def measure(self, number, kind, size, peer):
        messages = peer.messages(kind, size) // self.options.divisor // 32 * 32 or 32
        extent = Extent(kind, size, messages, depth_of(size))
        try:
            result, seconds = peer.run(extent)
        except Failed as failed:
            self.troubles.append(f"{peer.title}, {KINDS[kind]}, {size} bytes, round {number}: {failed}")
            return
        value = result.rate * size / foreign.MIB if kind == "stream" else result.latency
        self.samples.setdefault((kind, size, peer.name), Samples()).add(
            number, value, result.p99, seconds, peer.all_messages(extent, result))  # fmt: skip


def progress(options, text, last=False):
    if options.terminal:
        print(f"\r\033[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)
