# SPDX-License-Identifier: BSD-2-Clause
# What every part of tests/rxe/run uses. Sourced, not run.
# shellcheck shell=bash

readonly kTrouble=125 # exit status when COMMAND could not be run (as env, timeout and docker have it)

say() { printf 'rxe: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit "$kTrouble"
}

# need PROGRAM PACKAGE: ends with the package's name when the program is not there.
need() {
  command -v "$1" >/dev/null || die "$1 is missing: install the package $2 (docker/install-packages test)"
}

# as_root COMMAND...: with sudo unless we are root; sudo never asks in the middle of a test run.
as_root() {
  if [[ $EUID == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# await PROCESS: waits for the end of a child, however many traps interrupt that; its status is in awaited.
await() {
  while
    wait "$1" 2>/dev/null # where the shell says "Killed"
    awaited=$?
    kill -0 "$1" 2>/dev/null
  do :; done
}

# mark_peer_output: what is written to $scratch/peer from now on comes on stderr, marked; marker is the process. In a session
# of its own: a signal for our process group must not lose the output's end.
mark_peer_output() {
  mkfifo "$scratch/peer"
  setsid sed -u 's/^/[peer] /' <"$scratch/peer" >&2 &
  marker=$!
}

# kernel_trouble PREFIX FILE...: shows on stderr what no kernel should have said.
kernel_trouble() {
  local prefix=$1
  shift
  cat "$@" 2>/dev/null |
    grep -aE 'BUG:|WARNING:|Oops|Call Trace|blocked for more than|general protection|detected stall|Kernel panic' |
    sed 's/^<[0-9]*>//; s/\r$//' | sort -u | sed "s/^/rxe: ${prefix}kernel: /" >&2
}
