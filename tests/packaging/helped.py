# SPDX-License-Identifier: BSD-2-Clause
"""What a program's --help has: for help_pages and completions."""
import pathlib
import re
import subprocess

MAN = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'man'
OPTIONAL = 'zmq-'  # commands that are there where ZeroMQ was


def help_of(program, *command):
    return subprocess.run([program, *command, '--help'], text=True, capture_output=True, check=True).stdout


def helped(program, *command):
    """Options, as a set, and commands."""
    options, commands = set(), []
    for line in help_of(program, *command).partition('Options:')[2].splitlines():
        if found := re.match(r'  (?:(-\w)\b,?)?(--[\w-]+)?', line):
            options |= {one for one in found.groups() if one}
        if found := re.match(r'  ([a-z][\w-]*)  ', line):
            commands.append(found[1])
    return options, commands
