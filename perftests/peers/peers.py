# SPDX-License-Identifier: BSD-2-Clause
"""libsio and what it is compared with: what each can measure, and how that is run."""
import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
import time

from peers import foreign
from peers.foreign import Extent, NotUnderstood, Result, Uncalibrated
from peers.processes import CPUS, Failed, Ports, Server, last_line, run_client

KINDS = {"busy": "latency, busy poll", "events": "latency, events", "stream": "bandwidth"}
SIZES = [64, 1024, 4096, 65536, 1048576]
# Round trips or messages of a run: about half a second on soft-RoCE under emulation, which is as long as it takes to start.
# Multiples of 32, for lists of work requests.
MESSAGES = {
    "busy": {64: 8000, 1024: 6400, 4096: 4000, 65536: 480, 1048576: 64},
    "events": {64: 1600, 1024: 1600, 4096: 1280, 65536: 480, 1048576: 64},
    "stream": {64: 19200, 1024: 16000, 4096: 9600, 65536: 640, 1048576: 96},
}
SHORT = {"busy": 8, "events": 8, "stream": 32}  # of a run that shows what starting and ending cost, of the processor's time
LARGE = 65536  # of which fewer are in flight
DEPTH, LARGE_DEPTH = 64, 16
CALIBRATIONS = 5  # runs of perftest until its clock has to be good


@dataclasses.dataclass(frozen=True)
class Place:
    perf: str
    address: str
    device: foreign.Device
    ports: Ports


def depth_of(size):
    return DEPTH if size < LARGE else LARGE_DEPTH


class Peer:
    """What is compared. What it can not measure is not among its kinds, what would say nothing new not among its sizes."""

    def __init__(self, name, title, kinds, scale=None, sizes=None):
        self.name, self.title, self.kinds, self.sizes = name, title, kinds, sizes or SIZES
        self.scale = scale or {}  # how many times as many messages: {kind: {size: factor}}

    def messages(self, kind, size):
        # In multiples of 32, for lists of work requests.
        return max(1, round(MESSAGES[kind][size] * self.scale.get(kind, {}).get(size, 1) / 32)) * 32

    def needs(self):
        """The programs."""
        return []

    def run(self, extent):
        """The result, and the seconds of processor's time of the client. Raises Failed."""
        raise NotImplementedError

    def run_idle(self, extent):
        """The seconds of a run that is over at once, and its messages."""
        result, seconds = self.run(extent)
        return seconds, self.all_messages(extent, result)

    def all_messages(self, extent, result):
        """Those before it is measured, too."""
        raise NotImplementedError

    def stop(self):
        pass


class Own(Peer):
    """Of sio_perf's. Its server takes client after client."""

    def __init__(self, place, name, prefix, title, **more):
        self.post_list, self.options = more.pop("post_list", 1), more.pop("options", [])
        self.environment = {**os.environ, **more.pop("environment", {})}
        super().__init__(name, title, more.pop("kinds", list(KINDS)), **more)
        self.place, self.prefix = place, prefix
        self.port, self.server = place.ports.next(), None

    def start(self):
        if self.server:
            return
        place = self.place
        command = [place.perf, self.prefix + "server", "-p", str(self.port), "--bind", place.address, "--quiet", *self.options]
        self.server = Server(command, self.environment)
        until = time.monotonic() + 20
        while True:
            # That it listens shows when a short run goes through.
            try:
                self.client(Extent("busy", 64, SHORT["busy"], DEPTH))
                return
            except Failed as failed:
                if self.server.process.poll() is not None or time.monotonic() > until:
                    why = f"no server: {last_line(self.server.said())}; {failed}"
                    self.stop()
                    raise Failed(why) from None
            time.sleep(0.2)

    def stop(self):
        if self.server:
            self.server.stop()
        self.server = None

    def client(self, extent):
        op = "bw" if extent.kind == "stream" else "lat"
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [self.place.perf, self.prefix + op, self.place.address, "-p", str(self.port), "-s", str(extent.size), "-n",
                       str(extent.messages), "--warmup", str(warmup(extent)), "--quiet", "--json", file.name, *self.options]  # fmt: skip
            if extent.kind == "events":
                command += ["-e"]
            if extent.kind == "stream":
                command += ["-t", str(extent.depth)]
            if extent.kind == "stream" and self.post_list > 1:
                command += ["-l", str(min(self.post_list, extent.depth))]
            _, seconds = run_client(command, self.environment)
            records = {record["metric"]: record["value"] for record in json.load(file)}
        if extent.kind == "stream":
            return Result(rate=records["average"] * foreign.MIB / extent.size), seconds
        return Result(latency=records["p50"], p99=records["p99"]), seconds

    def run(self, extent):
        self.start()
        try:
            return self.client(extent)
        except Failed:
            self.stop()  # who knows what state it is in
            raise

    def all_messages(self, extent, _):
        return extent.messages + warmup(extent)


def warmup(extent):
    return extent.messages // 10


class Foreign(Peer):
    """Another's program. Its server is for one run."""

    def __init__(self, place, name, title, kinds, program, commands, parse, **more):
        self.environment = {**os.environ, **more.pop("environment", {})}
        self.warmup = more.pop("warmup", lambda extent: 0)
        self.idle = more.pop("idle", None)  # commands that measure nothing, if its runs are of a fixed time
        super().__init__(name, title, kinds, **more)
        self.place, self.program, self.commands, self.parse = place, program, commands, parse

    def needs(self):
        return [self.program] if isinstance(self.program, str) else self.program

    def run(self, extent):
        for attempt in range(1, CALIBRATIONS + 1):
            try:
                return self.run_once(extent)
            except Uncalibrated as trouble:
                if attempt == CALIBRATIONS:
                    raise Failed(f"{trouble}, {attempt} times") from None
            except NotUnderstood as trouble:
                raise Failed(f"its output was not understood: {trouble}") from None

    def run_once(self, extent):
        text, seconds = self.run_commands(lambda port: self.commands(extent, port))
        return self.parse(text, extent), seconds

    def run_idle(self, extent):
        if not self.idle:
            return super().run_idle(extent)
        return self.run_commands(self.idle)[1], 0

    def run_commands(self, commands):
        port = self.place.ports.next()
        server_command, client_command = commands(port)
        server = Server(server_command, self.environment)
        try:
            server.wait_until_listening(port)
            return run_client(client_command, self.environment)
        except Failed as failed:
            raise Failed(f"{failed}; server: {last_line(server.said())}") from None
        finally:
            server.stop()

    def all_messages(self, extent, result):
        return result.messages or extent.messages + self.warmup(extent)


def peers_of(place):
    """libsio first."""
    address, device = place.address, place.device

    def perftest(list_length):
        def commands(extent, port):
            command = foreign.perftest(extent, device, port, list_length)
            return command, [*command, address]

        return commands

    def fi_pingpong(provider):
        def commands(extent, port):
            return (foreign.fi_pingpong(extent, port, provider, True),
                    [*foreign.fi_pingpong(extent, port, provider, False), address])  # fmt: skip

        return commands

    def ucx(extent, port):
        return foreign.ucx_server(port), foreign.ucx_client(extent, address, port)

    def qperf(extent, port):
        return foreign.qperf_server(port), foreign.qperf_client(extent, address, port, CPUS)

    def qperf_idle(port):
        return foreign.qperf_server(port), foreign.qperf_nothing(address, port)

    zmq_scale = {"busy": {64: 0.2, 1024: 0.2, 4096: 0.2}, "stream": {64: 10, 1024: 6, 4096: 3, 65536: 2, 1048576: 2}}
    tcp_scale = {"stream": {64: 30, 1024: 10, 4096: 5, 65536: 4, 1048576: 4}, "busy": {64: 0.5, 1024: 0.5, 4096: 0.5}}
    return [
        Own(place, "sio", "", "libsio", options=["--provider", "verbs"], scale={"stream": {64: 8, 1024: 2}}),
        # As bare verbs have it, whose receives are as long as the messages.
        Own(place, "sio-slots", "", "libsio, slots of 64 KiB", options=["--provider", "verbs"],
            environment={"SIO_SLOT_SIZE": str(LARGE)}, sizes=[LARGE]),
        Own(place, "raw", "raw-", "bare verbs, a SEND each"),
        Own(place, "raw-list", "raw-", "bare verbs, lists of 32", kinds=["stream"], post_list=32),
        Foreign(place, "perftest", "perftest", list(KINDS), ["ib_send_lat", "ib_send_bw"], perftest(1),
                foreign.parse_perftest),
        Foreign(place, "perftest-list", "perftest, lists of 32", ["stream"], "ib_send_bw", perftest(32), foreign.parse_perftest),
        Foreign(place, "libfabric-verbs", "libfabric, verbs", ["busy"], "fi_pingpong", fi_pingpong("verbs"),
                foreign.parse_fi_pingpong),
        Foreign(place, "ucx", "UCX, rc_verbs", ["busy", "stream"], "ucx_perftest", ucx, foreign.parse_ucx,
                warmup=foreign.ucx_warmup, environment=foreign.ucx_environment(device)),
        Own(place, "tcp", "tcp-", "TCP sockets", scale=tcp_scale),
        Foreign(place, "qperf", "qperf, TCP", ["events", "stream"], "qperf", qperf, foreign.parse_qperf,
                idle=qperf_idle),
        Foreign(place, "libfabric-tcp", "libfabric, tcp", ["busy"], "fi_pingpong", fi_pingpong("tcp"),
                foreign.parse_fi_pingpong),
        Own(place, "zmq", "zmq-", "ZeroMQ over TCP", scale=zmq_scale),
    ]  # fmt: skip


NOT_MEASURED = [  # by its nature
    "libfabric, streams and asleep: fi_pingpong has neither",
    "UCX, asleep: ucx_perftest -E sleep hangs on soft-RoCE",
    "qperf, polling: it waits in blocking calls",
]


def installed(peers, perf, notes):
    """Those that can be measured; the others are noted."""
    usage = subprocess.run([perf, "--help"], capture_output=True, text=True, check=True).stdout
    there = []
    for peer in peers:
        missing = [program for program in peer.needs() if not shutil.which(program)]
        if missing:
            notes.append(f"{peer.title}: {', '.join(missing)} is not installed")
        elif isinstance(peer, Own) and peer.prefix + "lat" not in usage:
            notes.append(f"{peer.title}: sio_perf was built without it")
        else:
            there.append(peer)
    return there
