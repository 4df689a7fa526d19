# SPDX-License-Identifier: BSD-2-Clause
"""The records of perftests/run --json: written with where and when they are of, and read again, when nobody's word is taken."""
import datetime
import json
import os
import platform

TEXTS = ("peer", "op", "metric", "unit", "device")
TITLES = {"sio": "libsio", "raw": "bare verbs", "tcp": "TCP sockets", "zmq": "ZeroMQ over TCP"}  # of records without one
# What not every record has; those of one tuple are there together.
OPTIONAL = (("q1", "q3"), ("ratio", "ratio_low", "ratio_high"), ("rounds",), ("processors",))


class NoFigures(Exception):
    """What it says is for the user."""


def save(path, figures):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(" ", "seconds")
    set_up = {"kernel": platform.release(), "processors": os.cpu_count(), "date": now}
    # Whoever is stopped meanwhile leaves the figures before.
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump([{**figure, **set_up} for figure in figures], file, indent=1)
    os.replace(f"{path}.new", path)


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            records = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise NoFigures(f"{path}: {error}") from None
    try:
        return checked(records)
    except NoFigures as why:
        raise NoFigures(f"{path} is not of perftests/run --json: {why}") from None


def checked(records):
    if not isinstance(records, list):
        raise NoFigures("it is no array (perftests/report and plot know nothing of --scale)")
    if not records:
        raise NoFigures("it has no record")
    known = set()
    for number, record in enumerate(records):
        if why := what_is_wrong(record):
            raise NoFigures(f"record {number}: {why}")
        key = tuple(record[name] for name in ("peer", "op", "size", "metric"))
        if key in known:
            raise NoFigures(f"record {number}: there is one of {', '.join(map(str, key))} already")
        known.add(key)
    return [with_clean_texts(record) for record in records]


def what_is_wrong(record):
    if not isinstance(record, dict):
        return "it is no object"
    for name in TEXTS:
        if not isinstance(record.get(name), str):
            return f"{name} is no text"
    for name in ("title", "kernel", "date"):
        if name in record and not isinstance(record[name], str):
            return f"{name} is no text"
    if not is_number(record.get("size")) or not isinstance(record["size"], int) or record["size"] < 0:
        return "size is no number of bytes"
    if not is_number(record.get("value")):
        return "value is no number"
    for group in OPTIONAL:
        there = [name for name in group if name in record]
        for name in there:
            if not is_number(record[name]):
                return f"{name} is no number"
        if there and len(there) < len(group):
            return f"{', '.join(there)} without the rest of {', '.join(group)}"
    return None


def is_number(value):
    """Neither infinite, nor not a number, nor one that no measurement has."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18


def with_clean_texts(record):
    """Without what would end a line of gnuplot's or is no character of XML."""
    record = {"title": TITLES.get(record["peer"], record["peer"]), **record}
    return {name: clean(value) if isinstance(value, str) else value for name, value in record.items()}


def clean(text):
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
