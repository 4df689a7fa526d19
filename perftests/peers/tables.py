# SPDX-License-Identifier: BSD-2-Clause
"""Records of what was measured, and the tables of them."""
import os
import platform
import statistics

from peers import foreign, sampling
from peers.measurements import Samples
from peers.peers import DEPTH, KINDS, LARGE, LARGE_DEPTH, SIZES

OPS = {"busy": "lat", "events": "lat-event", "stream": "bw"}  # in JSON, as sio_perf calls them


def record(peer, op, size, metric, values, unit, device):
    first, third = sampling.quartiles(list(values.values()))
    return {"peer": peer.name, "title": peer.title, "op": op, "size": size, "metric": metric, "unit": unit,
            "value": statistics.median(values.values()), "q1": first, "q3": third, "rounds": len(values),
            "device": device}  # fmt: skip


def figures_of(measurements, device):
    """The records of all medians, by (metric, size, peer): busy, events, stream, rate; p99-... of the first two, cpu-... of three."""
    found = {}
    for (kind, size, name), samples in measurements.samples.items():
        if not samples.values:
            continue
        peer = next(peer for peer in measurements.peers if peer.name == name)
        ours = measurements.samples.get((kind, size, "sio"), Samples())
        ratio = ratio_to(ours.values, samples.values, name)
        metric, unit = ("bandwidth", "MiB/s") if kind == "stream" else ("latency", "us")
        found[kind, size, name] = with_ratio(record(peer, OPS[kind], size, metric, samples.values, unit, device), ratio)
        if kind == "stream":
            rates = {number: value * foreign.MIB / size for number, value in samples.values.items()}
            found["rate", size, name] = with_ratio(record(peer, "rate", size, "rate", rates, "messages/s", device), ratio)
        if samples.p99:
            tail = record(peer, OPS[kind], size, "p99", samples.p99, unit, device)
            found["p99-" + kind, size, name] = with_ratio(tail, ratio_to(ours.p99, samples.p99, name))
        if cpu := measurements.cpu_of(kind, size, peer):
            figure = record(peer, OPS[kind], size, "cpu", cpu, "us", device)
            # Else it is lost in what starting takes one time more and the other time less.
            if figure["q1"] > 0:
                found["cpu-" + kind, size, name] = figure
    return found


def ratio_to(ours, theirs, name):
    return sampling.ratio_interval(ours, theirs) if name != "sio" else None


def with_ratio(figure, ratio):
    """Of libsio's median to this one."""
    if ratio:
        figure["ratio"], figure["ratio_low"], figure["ratio_high"] = ratio
    return figure


def number(value):
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 10000 else 0
    return f"{value:,.{digits}f}"


def cell(figure):
    """A median, half of its quartiles' distance in percent, and libsio's ratio to it with its interval."""
    if figure is None:
        return f"{'-':>8} {'':4} {'':14}"
    spread = 50 * (figure["q3"] - figure["q1"]) / figure["value"]
    ratio = ""
    if "ratio" in figure:
        ratio = f"{ratio_text(figure['ratio'])} {ratio_text(figure['ratio_low'])}-{ratio_text(figure['ratio_high'])}"
    return f"{number(figure['value']):>8} {f'{spread:.0f}%':>4} {ratio:>14}"


def ratio_text(ratio):
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}"


def table(figures, kind, title, peers, sizes):
    peers = [peer for peer in peers if any((kind, size, peer.name) in figures for size in sizes)]
    if not peers:
        return []
    width = len(cell(None))
    rows = [f"{peer.title:23}" + "".join(f" | {cell(figures.get((kind, size, peer.name)))}" for size in sizes) for peer in peers]
    return ["", f"{title:23}" + "".join(f" | {f'{size} bytes':^{width}}" for size in sizes), *rows]


def cpu_table(figures, peers):
    head = "".join(f" | {KINDS[kind]:^{8 * len(SIZES) - 1}}" for kind in KINDS)
    sizes = "".join(" | " + " ".join(f"{size:7}" for size in SIZES) for _ in KINDS)

    def cells(peer, kind):
        found = [figures.get(("cpu-" + kind, size, peer.name)) for size in SIZES]
        return " ".join(f"{number(one['value']):>7}" if one else f"{'-':>7}" for one in found)

    peers = [peer for peer in peers if any(("cpu-" + kind, size, peer.name) in figures for kind in KINDS for size in SIZES)]
    rows = [f"{peer.title:23}" + "".join(f" | {cells(peer, kind)}" for kind in KINDS) for peer in peers]
    return ["", f"{'client, CPU time, us':23}{head}", f"{'':23}{sizes}", *rows]


def print_tables(rounds, figures, peers, device, took):
    print(f"\n{device}, kernel {platform.release()}, {os.cpu_count()} processors, both ends in one machine, each on one of them; "
          f"{rounds} rounds in {took:.0f} s.\n"
          "Each: median of the rounds; half of the distance of their quartiles; libsio's ratio to it with the 95 % interval.\n"
          "Latency is half a round trip, of a run the median (of fi_pingpong and qperf, which tell no other, the mean). In flight are\n"
          f"{DEPTH} messages (lists: 128; from {LARGE} bytes: {LARGE_DEPTH}; qperf, TCP, ZeroMQ: as many as fit; TCP: 16 KiB of short "
          "messages to a system call).\n"
          "CPU time is user and system time of the client's process for a round trip or a message, without what starting costs; "
          "-: lost in\nwhat this varies by.")  # fmt: skip
    lines = table(figures, "busy", "latency, busy poll, us", peers, SIZES)
    lines += table(figures, "events", "latency, events, us", peers, SIZES)
    lines += table(figures, "stream", "bandwidth, MiB/s", peers, SIZES)
    lines += table(figures, "rate", "messages/s", peers, [64, 1024, 4096])
    print(*lines, *cpu_table(figures, peers), sep="\n")
