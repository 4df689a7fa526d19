# SPDX-License-Identifier: BSD-2-Clause
"""How the programs of others are run, best configured, and what they print.

Each parser takes all that a program has printed and gives a Result, or raises NotUnderstood: what it prints otherwise than it is
known to is no figure. Latencies are half round trips in microseconds, bandwidths MiB/s (what perftest and UCX call MB).
"""
import dataclasses
import math
import os
import re

MIB = 1024 * 1024
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"


class NotUnderstood(Exception):
    """The output is not what the program is known to print."""


class Uncalibrated(NotUnderstood):
    """perftest could not find out how fast its clock is; the next run may."""


@dataclasses.dataclass(frozen=True)
class Result:
    latency: float | None = None  # us
    p99: float | None = None  # us: 99 of 100 latencies are below; where the program tells it
    rate: float | None = None  # messages/s
    messages: int | None = None  # round trips or messages that were made, where the program decides on them


@dataclasses.dataclass(frozen=True)
class Extent:
    """What a run is to measure."""

    kind: str  # "busy" or "events": round trips, polling or asleep; "stream": one way
    size: int
    messages: int
    depth: int  # messages in flight, of a stream


@dataclasses.dataclass(frozen=True)
class Device:
    """What a program that takes no address is told."""

    name: str
    port: int
    gid_index: int


def device_of(address, root="/sys/class/infiniband"):
    """The device that an IPv4 address leads to, with the place of that address among its GIDs."""
    groups = [int(part) for part in address.split(".")]
    wanted = "0000:0000:0000:0000:0000:ffff:{:02x}{:02x}:{:02x}{:02x}".format(*groups)
    for name in sorted(os.listdir(root)):
        for port in sorted(os.listdir(f"{root}/{name}/ports"), key=int):
            at = f"{root}/{name}/ports/{port}"
            for index in sorted(os.listdir(f"{at}/gids"), key=int):
                if _read(f"{at}/gids/{index}") == wanted and _read(f"{at}/gid_attrs/types/{index}") != "IB/RoCE v1":
                    return Device(name, int(port), int(index))
    raise LookupError(f"no RDMA device has the address {address}")


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""  # an index without a GID has no type


def _table_row(text, heading):
    """The fields of the line after the one that has these columns; there must be one of each."""
    lines = [line.split() for line in text.splitlines()]
    at = [number for number, fields in enumerate(lines) if fields == heading.split()]
    if len(at) != 1 or at[0] + 1 >= len(lines):
        raise NotUnderstood(f"no line after '{heading}'")
    return lines[at[0] + 1]


def _numbers(fields, count):
    if len(fields) != count:
        raise NotUnderstood(f"{len(fields)} columns instead of {count}: {' '.join(fields)}")
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise NotUnderstood(f"{error} in: {' '.join(fields)}") from None


def _expect(what, found, wanted):
    if found != wanted:
        raise NotUnderstood(f"{what} is {found}, not {wanted}")


def _positive(what, value):
    if not (math.isfinite(value) and value > 0):
        raise NotUnderstood(f"{what} is {value}")
    return value


# perftest ------------------------------------------------------------------------------------------------------------

_LATENCIES = (
    "#bytes #iterations t_min[usec] t_max[usec] t_typical[usec] t_avg[usec] t_stdev[usec]"
    " 99% percentile[usec] 99.9% percentile[usec]"
)
_BANDWIDTHS = "#bytes #iterations BW peak[MB/sec] BW average[MB/sec] MsgRate[Mpps]"


def parse_perftest(text, extent):
    stream = extent.kind == "stream"
    fields = _table_row(text, _BANDWIDTHS if stream else _LATENCIES)
    numbers = _numbers(fields, 5 if stream else 9)
    if not all(math.isfinite(number) for number in numbers):
        raise Uncalibrated(f"no clock: {' '.join(fields)}")
    _expect("#bytes", numbers[0], extent.size)
    _expect("#iterations", numbers[1], extent.messages)
    if not stream:
        return Result(latency=_positive("t_typical", numbers[4]), p99=_positive("99% percentile", numbers[7]))
    average, rate = numbers[3], _positive("MsgRate", numbers[4]) * 1e6
    # Both are rounded, to 0.01 MiB/s (perhaps to none) and to 1 message/s; the one with more digits left is right.
    if abs(average - rate * extent.size / MIB) > 0.006 + 0.6 * extent.size / MIB:
        raise NotUnderstood(f"BW average and MsgRate do not go together: {' '.join(fields)}")
    return Result(rate=rate if rate > average * 100 else average * MIB / extent.size)


def _perftest(program, extent, device, port, *options):
    # -F: no warning about the clock's frequency; -N: no look at the clock for each message.
    return [program, "-d", device.name, "-i", str(device.port), "-x", str(device.gid_index), "-F", "-p", str(port),
            "-s", str(extent.size), "-n", str(extent.messages), *options]  # fmt: skip


def perftest(extent, device, port, list_length=1):
    if extent.kind != "stream":
        return _perftest("ib_send_lat", extent, device, port, *(["-e"] if extent.kind == "events" else []))
    depth = max(extent.depth, 4 * list_length) if extent.size <= 4096 else extent.depth
    options = ["-N", "-t", str(depth)]
    return _perftest("ib_send_bw", extent, device, port, *options, *_post_list(min(list_length, depth)))


def _post_list(length):
    return ["-l", str(length)] if length > 1 else []


# libfabric -----------------------------------------------------------------------------------------------------------

_PINGPONG = "bytes #sent #ack total time MB/sec usec/xfer Mxfers/sec"


def parse_fi_pingpong(text, extent):
    fields = _table_row(text, _PINGPONG)
    _expect("columns", len(fields), 8)
    _expect("bytes", fields[0], _with_unit(extent.size))
    _expect("#ack", fields[2], "=" + fields[1])  # as many as were sent
    (latency,) = _numbers(fields[6:7], 1)
    return Result(latency=_positive("usec/xfer", latency))


def _with_unit(number):
    for unit, letter in ((MIB, "m"), (1024, "k")):
        if number >= unit and number % unit == 0:
            return f"{number // unit}{letter}"
    return str(number)


def fi_pingpong(extent, port, provider, server):
    return ["fi_pingpong", "-p", provider, "-e", "msg", "-I", str(extent.messages), "-S", str(extent.size),
            "-B" if server else "-P", str(port)]  # fmt: skip


# UCX -----------------------------------------------------------------------------------------------------------------

_UCX_FINAL = re.compile(r"^Final:\s+(.*)$", re.MULTILINE)


def parse_ucx(text, extent):
    stream = extent.kind == "stream"
    title = "overhead (usec)" if stream else "latency (usec)"
    for wanted in (title, "bandwidth (MB/s)", "message rate (msg/s)", "| 50.0%ile | average | overall |"):
        if wanted not in text:
            raise NotUnderstood(f"no column '{wanted}'")
    finals = _UCX_FINAL.findall(text)
    _expect("lines that are final", len(finals), 1)
    iterations, median, _, _, _, bandwidth, _, rate = _numbers(finals[0].split(), 8)
    _expect("# iterations", iterations, extent.messages)
    if not stream:
        return Result(latency=_positive("50.0%ile", median))
    _positive("message rate", rate)
    # As perftest's.
    if abs(bandwidth - rate * extent.size / MIB) > 0.006 + 0.6 * extent.size / MIB:
        raise NotUnderstood(f"bandwidth and message rate do not go together: {finals[0]}")
    return Result(rate=rate if rate > bandwidth * 100 else bandwidth * MIB / extent.size)


def ucx_server(port):
    return ["ucx_perftest", "-p", str(port)]


def ucx_client(extent, address, port):
    stream = extent.kind == "stream"
    outstanding = ["-O", str(extent.depth)] if stream else []
    return ["ucx_perftest", address, "-p", str(port), "-t", "tag_bw" if stream else "tag_lat", "-s", str(extent.size),
            "-n", str(extent.messages), "-w", str(ucx_warmup(extent)), *outstanding]  # fmt: skip


def ucx_warmup(extent):
    return max(1, extent.messages // 10)


def ucx_environment(device):
    """Without the check switched off its wire-up hangs on soft-RoCE."""
    return {"UCX_NET_DEVICES": f"{device.name}:{device.port}", "UCX_IB_GID_INDEX": str(device.gid_index),
            "UCX_UD_VERBS_ETH_DGID_CHECK": "n", "UCX_TLS": "rc_verbs,ud_verbs"}  # fmt: skip


# qperf ---------------------------------------------------------------------------------------------------------------

_QPERF_LINE = re.compile(rf"^\s+(\w+)\s+=\s+({_NUMBER})(?:\s+(\S+))?\s*$")
_MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "sec": 1e6}


def parse_qperf(text, extent):
    stream = extent.kind == "stream"
    lines = text.splitlines()
    _expect("heading", lines[0] if lines else "", "tcp_bw:" if stream else "tcp_lat:")
    values = {}
    for line in lines[1:]:
        found = _QPERF_LINE.match(line)
        if not found or found[1] in values:
            raise NotUnderstood(f"not understood: {line.strip()}")
        values[found[1]] = (float(found[2]), found[3])

    def value(name, units):
        if name not in values or values[name][1] not in units:
            raise NotUnderstood(f"no {name} in {' or '.join(map(str, units))}")
        return _positive(name, values[name][0]), values[name][1]

    if stream:
        messages, _ = value("send_msgs", [None])
        bandwidth, _ = value("bw", ["bytes/sec"])
        return Result(rate=bandwidth / extent.size, messages=int(messages))
    messages, _ = value("loc_send_msgs", [None])
    latency, unit = value("latency", _MICROSECONDS)
    return Result(latency=latency * _MICROSECONDS[unit], messages=int(messages))


def qperf_server(port):
    return ["qperf", "-lp", str(port)]


def qperf_nothing(address, port):
    return ["qperf", address, "-lp", str(port), "conf"]


def qperf_client(extent, address, port, cpus):
    """Its time is whole seconds; by number of messages it never ends. It leaves the processor that it was put on."""
    pinned = ["-lca", str(cpus[1]), "-rca", str(cpus[0])] if cpus else []
    return ["qperf", address, "-lp", str(port), *pinned, "-m", str(extent.size), "-t", "1", "-e", "6", "-vvs", "-uu",
            "tcp_bw" if extent.kind == "stream" else "tcp_lat"]  # fmt: skip
