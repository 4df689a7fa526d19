# SPDX-License-Identifier: BSD-2-Clause
"""The page of all figures: HTML that is XML, too, and names nothing outside of it."""
import html
import re
import xml.etree.ElementTree as ET

from peers.plots import STYLES, drawn, plots_of
from peers.tables import number, ratio_text

# By what sio_perf calls them, in this order.
OPS = {
    "lat": "Latency, busy poll",
    "lat-event": "Latency, asleep",
    "bw": "Bandwidth",
    "rate": "Message rate",
}
METRICS = {
    "latency": "Half a round trip",
    "cpu": "Processor's time of the client, for a round trip or a message",
    "bandwidth": "Bandwidth",
    "rate": "Messages",
    "p50": "Half a round trip, median",
    "p90": "Half a round trip, 90 of 100 are below",
    "p99": "Half a round trip, 99 of 100 are below",
    "p99.9": "Half a round trip, 999 of 1000 are below",
    "average": "Average of a run",
}
UNITS = {"us": "µs"}

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --faint: #5a5a5a; --page: #ffffff; --line: #c9c9c9; --ours: #fdeeee; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --faint: #a9a9a9; --page: #16181b; --line: #44484d; --ours: #3a2224; }
}
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 1rem/1.45 system-ui, sans-serif; color: var(--text);
  background: var(--page); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: 0.2rem 1rem; } dt { color: var(--faint); } dd { margin: 0; }
figure { margin: 1rem 0; } .wide { overflow-x: auto; }
/* The plots are drawn on white. On a narrow screen they are scrolled, else nobody could read what is written in them. */
svg { display: block; width: 100%; min-width: 44rem; height: auto; background: #ffffff; }
svg text { font-family: "DejaVu Sans", sans-serif; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap; }
tbody th, thead th:first-child { text-align: left; font-weight: 400; position: sticky; left: 0; background: var(--page); }
tr.ours td, tbody tr.ours th { background: var(--ours); }
td small { display: block; color: var(--faint); font-size: 0.8rem; }
@media print {
  :root { --text: #000000; --faint: #444444; --page: #ffffff; --line: #bbbbbb; --ours: #f4f4f4; }
  body { max-width: none; padding: 0; font-size: 9pt; } .wide { overflow: visible; } svg { min-width: 0; }
  th, td { padding: 0.1rem 0.3rem; } td small { font-size: 7pt; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
}
"""


def element(name, content, **attributes):
    """Content is markup already; attributes are text."""
    written = "".join(f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>"


def page_of(records):
    plots = plots_of(records)
    ops = [op for op in OPS if any(record["op"] == op for record in records)]
    ops += sorted({record["op"] for record in records} - set(OPS))
    title = "libsio beside others: latency, bandwidth and rate"
    head = ('<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
            + element("title", title) + element("style", STYLE))  # fmt: skip
    body = element("header", element("h1", title) + set_up(records) + how_to_read(records))
    body += element("main", "\n".join(section(records, op, plots) for op in ops))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def set_up(records):
    """What the records tell of it, and no more."""
    told = {"Device": "device", "Kernel": "kernel", "Processors": "processors", "Rounds": "rounds", "Measured until": "date"}
    rows = []
    for name, field in told.items():
        values = sorted({record[field] for record in records if field in record})
        if values:
            rows.append(element("dt", name) + element("dd", html.escape(", ".join(map(str, values)))))
    return element("dl", "".join(rows))


def how_to_read(records):
    texts = ["Both ends are in one machine. Figures of soft-RoCE are for comparing within one run; they are not the speed of RDMA."]
    if any("q1" in record for record in records):
        texts.append("Each figure is the median of the rounds; ± is half of the distance of their quartiles, in percent of it.")
    if any("ratio" in record for record in records):
        texts.append("× is libsio's figure divided by this one, and in brackets its 95 % interval.")
    elif any(ratio_of(records, record) for record in records):
        texts.append("Each figure is a median. × is libsio's figure divided by this one; the file has no interval of it.")
    texts.append("Of latency and of the processor's time less is better, of bandwidth and rate more.")
    return element("p", " ".join(texts))


def section(records, op, plots):
    parts = [element("h2", html.escape(OPS.get(op, op)))]
    parts += [figure(name, plot) for name, plot in plots.items() if plot.op == op]
    of_op = [record for record in records if record["op"] == op]
    for metric, unit in dict.fromkeys((record["metric"], record["unit"]) for record in of_op):
        parts.append(table(of_op, metric, unit))
    return element("section", "\n".join(parts))


def scrolled(content, name):
    """Wider than a phone: scrolled by itself, from the keyboard too."""
    return element("div", content, class_="wide", role="region", tabindex="0", **{"aria-label": name})


def figure(name, plot):
    return element("figure", scrolled(inline(drawn(plot, "svg"), name, plot.alt), plot.title))


def inline(svg, name, alt):
    """An SVG as a part of the page: no name of its own is one of another's, and none is that of a namespace."""
    root = ET.fromstring(svg)
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
        one.attrib = {key.rpartition("}")[2]: own_name(key, value, name) for key, value in one.attrib.items()}
    for described in [one for one in root if one.tag in ("title", "desc")]:
        root.remove(described)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": alt}
    return ET.tostring(root, encoding="unicode")


def own_name(key, value, name):
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href") and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return re.sub(r"url\(#", f"url(#{name}-", value)


def table(records, metric, unit):
    shown = [record for record in records if record["metric"] == metric and record["unit"] == unit]
    sizes = sorted({record["size"] for record in shown})
    found = {(record["peer"], record["size"]): record for record in shown}
    titles = {record["peer"]: record["title"] for record in shown}
    peers = [peer for peer in STYLES if peer in titles] + [peer for peer in titles if peer not in STYLES]
    head = element("th", "bytes", scope="col") + "".join(element("th", f"{size}", scope="col") for size in sizes)
    rows = []
    for peer in peers:
        cells = "".join(cell(shown, found.get((peer, size))) for size in sizes)
        row = element("th", html.escape(titles[peer]), scope="row") + cells
        rows.append(element("tr", row, class_="ours" if peer == "sio" else "other"))
    name = f"{METRICS.get(metric, metric)}, {UNITS.get(unit, unit)}"
    body = element("caption", html.escape(name)) + element("thead", element("tr", head)) + element("tbody", "\n".join(rows))
    return scrolled(element("table", body), name)


def cell(shown, record):
    if record is None:
        return element("td", "–")
    lines = []
    if "q1" in record and record["value"] > 0:
        lines.append(f"±{50 * (record['q3'] - record['q1']) / record['value']:.0f} %")
    if ratio := ratio_of(shown, record):
        lines.append(f"×{ratio_text(ratio)}")
        if "ratio" in record:
            lines[-1] += f" ({ratio_text(record['ratio_low'])}–{ratio_text(record['ratio_high'])})"
    return element("td", number(record["value"]) + "".join(element("small", line) for line in lines))


def ratio_of(records, record):
    """libsio's to this one: the record's own, or of a record that is no median of rounds with an interval, that of the values."""
    if "ratio" in record or "q1" in record:
        return record.get("ratio")
    key = ("op", "size", "metric")
    ours = [one["value"] for one in records if one["peer"] == "sio" and all(one[name] == record[name] for name in key)]
    return ours[0] / record["value"] if ours and record["peer"] != "sio" and record["value"] > 0 else None
