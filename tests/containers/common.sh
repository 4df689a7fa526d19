# SPDX-License-Identifier: BSD-2-Clause
# What the scripts here share. Sourced, not run.
# shellcheck shell=bash

# Images, and what they are made of; the virtual machine sees this folder as it is, read-only.
# shellcheck disable=SC2034 # for who sources this
store=$PWD/build/containers

die() {
  echo "containers: $*" >&2
  exit 1
}

# use_store GRAPHROOT RUNROOT [IMAGES]: podman and podman-compose have their images and containers there, and may read the
# images of another store; they ask neither systemd nor its journal, which the virtual machine has not.
use_store() {
  mkdir -p "$2"
  {
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$1" "$2"
    [[ -z ${3:-} ]] || printf '[storage.options]\nadditionalimagestores = ["%s"]\n' "$3"
  } >"$2/storage.conf"
  printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[network]\nnetwork_config_dir = "%s"\n' "$2/networks" \
    >"$2/containers.conf"
  export CONTAINERS_STORAGE_CONF=$2/storage.conf CONTAINERS_CONF=$2/containers.conf
}

# expect STATUS PATTERN WHAT COMMAND...: the command ends with that status and says that; else failed is 1.
expect() {
  local status=$1 pattern=$2 what=$3 said got
  shift 3
  said=$("$@" 2>&1)
  got=$?
  if ((got == status)) && grep -qE -- "$pattern" <<<"$said"; then
    echo "ok: $what"
  else
    # shellcheck disable=SC2034 # the caller's
    failed=1
    printf 'not ok: %s: status %d, not %d, or not "%s" in:\n%s\n' "$what" "$got" "$status" "$pattern" "$said"
  fi
}

in_virtual_machine() {
  [[ -d /run/sio-rxe/kernel && -w /run/sio-rxe ]] || { echo 'not in the virtual machine of tests/rxe/run' && exit 77; }
}
