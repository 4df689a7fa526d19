# SPDX-License-Identifier: BSD-2-Clause
"""What gnuplot is told to draw of the records, and what it has drawn."""
import dataclasses
import subprocess

from peers.records import NoFigures

# Line and point of each peer: libsio's is the thick one; what is on verbs is drawn through, what is on TCP dashed.
STYLES = {
    "sio": ("#d62728", 3.5, 1, 7),
    "sio-slots": ("#e377c2", 2, 1, 6),
    "raw": ("#1f77b4", 2, 1, 5),
    "raw-list": ("#17becf", 2, 1, 4),
    "perftest": ("#2ca02c", 2, 1, 9),
    "perftest-list": ("#98df8a", 2, 1, 8),
    "libfabric-verbs": ("#9467bd", 2, 1, 11),
    "ucx": ("#ff7f0e", 2, 1, 13),
    "tcp": ("#555555", 2, 2, 6),
    "qperf": ("#8c564b", 2, 2, 10),
    "libfabric-tcp": ("#c5b0d5", 2, 2, 12),
    "zmq": ("#bcbd22", 2, 2, 14),
}
TERMINALS = {
    "svg": "svg size {width},{height} font 'DejaVu Sans,13' noenhanced background '#ffffff'",
    "png": "pngcairo size {width},{height} font 'DejaVu Sans,11' noenhanced",
}
SIZE_TICS = "set xtics ('64 B' 64, '256 B' 256, '1 KiB' 1024, '4 KiB' 4096, '16 KiB' 16384, '64 KiB' 65536, " \
            "'256 KiB' 262144, '1 MiB' 1048576)"  # fmt: skip

LABEL = 32  # characters of a peer's title, for which there is room
# What is drawn: as perftests/run --peers calls it, and without.
MEDIANS, TAILS, BANDWIDTHS, RATES = ("latency", "p50"), ("p99",), ("bandwidth", "average"), ("rate", "average")


@dataclasses.dataclass(frozen=True)
class Plot:
    op: str
    title: str
    script: list
    width: int
    height: int
    alt: str  # what it shows, for who does not see it


def quoted(text, longest=120):
    """In single quotes, where gnuplot substitutes nothing. Two of them stand for one, but it does not take four for two."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return "'" + short.replace("'", "’") + "'"


def by_peer(records, op, metrics):
    """What is to be drawn, libsio last and so on top: [(peer, title, [(size, value, q1, q3)])]."""
    found = {}
    for record in records:
        if record["op"] == op and record["metric"] in metrics:
            value, first, third = record["value"], record.get("q1", record["value"]), record.get("q3", record["value"])
            # On log axes there is nothing else.
            if record["size"] > 0 and min(value, first, third) > 0:
                title, points = found.setdefault(record["peer"], (record["title"], []))
                points.append((record["size"], value, first, third))
    order = [peer for peer in STYLES if peer in found] + [peer for peer in found if peer not in STYLES]
    return [(peer, found[peer][0], sorted(found[peer][1])) for peer in order]


def data_block(name, rows):
    return [f"${name} << EOD", *(" ".join(map(str, row)) for row in rows), "EOD"]


def over_size(records, op, metrics, title, unit):
    """Log axes; the legend is beside the data, not on it. Bars are quartiles of the rounds."""
    series = by_peer(records, op, metrics)
    if not series:
        return None
    script = []
    curves, keys = [], []
    for number, (peer, label, points) in enumerate(series):
        script += data_block(f"d{number}", points)
        color, width, dash, point = STYLES.get(peer, ("#000000", 2, 3, 1))
        look = f"lc rgb {quoted(color)} lw {width} dt {dash} pt {point} ps 1.1"
        curves.append(f"$d{number} using 1:2:3:4 with yerrorbars lc rgb {quoted(color)} lw 1 pt -1 notitle")
        curves.append(f"$d{number} using 1:2 with linespoints {look} notitle")
        keys.append(f"NaN with linespoints {look} title {quoted(label, LABEL)}")
    script += [
        f"set title {quoted(title)}",
        "set logscale x 2",
        "set logscale y 10",
        SIZE_TICS,
        "set xrange [48:1400000]",
        "set xlabel 'bytes of a message'",
        f"set ylabel {quoted(unit)}",
        "set grid xtics ytics mytics lc rgb '#bbbbbb' lw 1, lc rgb '#e4e4e4' lw 0.5",
        "set key outside right center Left reverse samplen 3 spacing 1.3",
        # libsio's over the others, and first in the legend.
        "plot " + ", ".join(curves[2:] + curves[:2] + keys),
    ]
    return Plot(op, title, script, 1000, 560, alt_of(title, unit, series))


def bars(records, op, metrics, size, title, unit):
    series = [(peer, label, [point for point in points if point[0] == size]) for peer, label, points in
              by_peer(records, op, metrics)]  # fmt: skip
    series = [one for one in series if one[2]]
    if not series:
        return None
    rows, labels = [], []
    for row, (peer, label, [(_, value, first, third)]) in enumerate(reversed(series)):
        color = int(STYLES.get(peer, ("#000000",))[0][1:], 16)
        rows.append((value, row, first, third, color, quoted_cell(f"{value:,.0f}")))
        labels.append(f"{quoted(label, LABEL)} {row}")
    low = min(row[2] for row in rows) / 2
    script = data_block("d", rows) + [
        f"set title {quoted(title)}",
        f"set ytics ({', '.join(labels)}) nomirror",
        f"set yrange [-0.7:{len(rows) - 0.3}]",
        "set logscale x 10",
        # Room for what is written beside the longest.
        f"set xrange [{low}:{max(row[3] for row in rows) * 6}]",
        "set format x '%.0s %c'",
        f"set xlabel {quoted(unit)}",
        "set grid xtics lc rgb '#bbbbbb'",
        "set style fill solid 0.85 noborder",
        "unset key",
        f"plot $d using ({low}):2:({low}):1:($2-0.35):($2+0.35):5 with boxxyerror lc rgb variable, "
        "$d using 1:2:3:4 with xerrorbars lc rgb '#000000' lw 1 pt -1, "
        "$d using ($4*1.15):2:6 with labels left",
    ]
    return Plot(op, title, script, 1000, 100 + 42 * len(rows), alt_of(title, unit, series))


def quoted_cell(text):
    return '"' + text + '"'


def alt_of(title, unit, series):
    """The least and the largest size of each."""
    ends = []
    for _, label, points in series:
        least_and_largest = dict.fromkeys((points[0], points[-1]))
        ends.append(f"{label}: " + " to ".join(f"{value:,.6g} of {size} bytes" for size, value, _, _ in least_and_largest))
    return f"{title}, {unit}. {'; '.join(ends)}."


def plots_of(records):
    """By name, those of which there are figures."""
    where = f"device {records[0]['device']}, both ends in one machine"
    half = "half a round trip, µs"
    plots = {
        "latency-busy": over_size(records, "lat", MEDIANS, f"Latency, busy poll ({where})", half),
        "latency-events": over_size(records, "lat-event", MEDIANS, f"Latency, asleep ({where})", half),
        "latency-busy-p99": over_size(records, "lat", TAILS, f"Latency of 99 in 100, busy poll ({where})", half),
        "latency-events-p99": over_size(records, "lat-event", TAILS, f"Latency of 99 in 100, asleep ({where})", half),
        "bandwidth": over_size(records, "bw", BANDWIDTHS, f"Bandwidth, one way ({where})", "MiB/s"),
        "rate": bars(records, "rate", RATES, 64, f"Messages of 64 bytes, one way ({where})", "messages/s"),
        "rate-sizes": over_size(records, "rate", RATES, f"Messages, one way ({where})", "messages/s"),
    }
    return {name: plot for name, plot in plots.items() if plot}


def drawn(plot, kind):
    """The bytes of an SVG or a PNG."""
    terminal = TERMINALS[kind].format(width=plot.width, height=plot.height)
    script = "\n".join([f"set terminal {terminal}", *plot.script]) + "\n"
    try:
        done = subprocess.run(["gnuplot"], input=script.encode(), capture_output=True)
    except FileNotFoundError:
        raise NoFigures("gnuplot is not installed (docker/install-packages compare)") from None
    if done.returncode != 0 or done.stderr.strip():
        raise NoFigures(f"{plot.title}: gnuplot: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
