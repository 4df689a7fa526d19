# SPDX-License-Identifier: BSD-2-Clause
# What a virtual machine is given to run: a script with the caller's folder and environment. Sourced, not run.
# shellcheck shell=bash

# Assignments of what the command inside has of the caller's environment.
passed_environment() {
  local name
  for name in $(compgen -e); do
    case $name in
      PATH | HOME | LANG | LC_ALL | LD_LIBRARY_PATH | SIO_* | GTEST_* | ?SAN_OPTIONS | UBSAN_OPTIONS)
        printf 'export %s=%q\n' "$name" "${!name}"
        ;;
    esac
  done
}

# write_command FILE WORDS...: the script that a guest runs: the caller's folder, the environment, the words.
write_command() {
  local file=$1
  shift
  {
    printf 'cd %q || exit %d\n' "$PWD" "$kTrouble"
    passed_environment
    printf 'export SIO_RXE_SELF=%q SIO_RXE_PEER=%q SIO_RXE_MACHINES=%d SIO_RXE_DEVICE=rxe0\n' "$self" "$other" "$machines"
    # shellcheck disable=SC2016
    printf 'export SIO_RXE_KERNEL=%q PATH=/run/sio-rxe/sbin:$PATH:/usr/sbin:/sbin\n' "$release"
    printf 'exec'
    printf ' %q' "$@"
    printf '\n'
  } >"$file"
}

# hidden_paths WORDS...: what is below the places where a guest has a tmpfs of its own, and holds the current folder or is
# named by the command, its environment or --show: the folder or file right below such a place.
hidden_paths() {
  local path
  {
    printf '%s\n' "$PWD" "$@" "$peer_command" "${show[@]}"
    passed_environment
  } | grep -oE '(^|[^[:alnum:]._/-])/(tmp|var/tmp|run|dev/shm)/[^]/[:space:]"'\'':;,<>|&()]+' | sed 's/^[^/]*//' | sort -u |
    while read -r path; do [[ ! -d $path && ! -f $path ]] || printf '%s\n' "$path"; done
}
