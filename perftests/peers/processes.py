# SPDX-License-Identifier: BSD-2-Clause
"""The two ends of a run: processes that stay on one processor each, and are ended when they take too long."""
import os
import signal
import subprocess
import tempfile
import threading
import time

TIME_LIMIT = 30  # seconds for a run
CPUS = (0, 1) if (os.cpu_count() or 1) > 1 else ()  # server, client: both ends stay where they are


class Failed(Exception):
    """A run has no result; what it says is for the user."""


class Ports:
    """Each run has a port of its own: the one before may not be free yet."""

    def __init__(self, first, count):
        self.first, self.count, self.used = first, count, 0

    def next(self):
        self.used += 1
        return self.first + self.used % self.count


def start(end, command, environment, output):
    """On the processor of that end, which it inherits; in a process group of its own, so that all of it can be ended."""
    everywhere = os.sched_getaffinity(0)
    try:
        if CPUS:
            os.sched_setaffinity(0, {CPUS[end]})
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                start_new_session=True)  # fmt: skip
    finally:
        os.sched_setaffinity(0, everywhere)


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Server:
    """The other end, on the first processor."""

    def __init__(self, command, environment):
        self.output = tempfile.TemporaryFile()
        self.process = start(0, command, environment, self.output)

    def wait_until_listening(self, port):
        until = time.monotonic() + 10
        while not is_listened_on(port):
            if self.process.poll() is not None or time.monotonic() > until:
                raise Failed(f"no server: {last_line(self.said())}")
            time.sleep(0.02)

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def stop(self):
        end_group(self.process)
        self.process.wait()
        self.output.close()


def is_listened_on(port):
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as file:
                lines = [line.split() for line in list(file)[1:]]
        except FileNotFoundError:
            continue
        # Local address, remote address, state: 0A is LISTEN.
        if any(fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port for fields in lines):
            return True
    return False


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it has said nothing"


def run_client(command, environment):
    """What it has printed, and its user and system time in seconds."""
    with tempfile.TemporaryFile() as output:
        process = start(1, command, environment, output)
        limit = threading.Timer(TIME_LIMIT, end_group, [process])
        limit.start()
        begun = time.monotonic()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            end_group(process)
            raise
        finally:
            limit.cancel()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode == -signal.SIGKILL and time.monotonic() - begun >= TIME_LIMIT:
        raise Failed(f"no end after {TIME_LIMIT} s")
    if process.returncode != 0:
        raise Failed(f"exit status {process.returncode}: {last_line(text)}")
    return text, usage.ru_utime + usage.ru_stime
