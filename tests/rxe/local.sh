# SPDX-License-Identifier: BSD-2-Clause
# Runs the command on this machine: with a device that is there, or with rdma_rxe of the running kernel. Sourced, not run.
# shellcheck shell=bash

# find_device: sets device and self to the first RDMA device with an active port and an IPv4 address.
find_device() {
  local port netdev
  for port in /sys/class/infiniband/*/ports/*; do
    grep -qs ACTIVE "$port/state" || continue
    device=${port#/sys/class/infiniband/}
    device=${device%%/*}
    # RoCE names the interface with its GIDs; InfiniBand proper has IPoIB's beside it.
    for netdev in $(cat "$port"/gid_attrs/ndevs/* 2>/dev/null | sort -u) $(ls "/sys/class/infiniband/$device/device/net" 2>/dev/null); do
      self=$(ip -4 -o addr show dev "$netdev" scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
      [[ -z $self ]] || return 0
    done
  done
  return 1
}

# make_host_device: a veth pair of our own with rxe on one end; a subnet per run, since there may be several.
# Says in no_host_device why not.
make_host_device() {
  local lock subnet failed
  as_root true 2>/dev/null || { no_host_device='no root for rdma_rxe here' && return 1; }
  as_root modprobe -q rdma_rxe || { no_host_device="no rdma_rxe for kernel $(uname -r)" && return 1; }
  as_root modprobe -q crc32_generic # rxe asks the crypto layer for "crc32"
  need ip iproute2
  need rdma iproute2
  exec {lock}</ # a lock that every user on this machine can open
  flock "$lock"
  for ((subnet = 1; subnet < 255; subnet++)); do
    ip -4 -o addr | grep -qF " 10.9.$subnet." || break
  done
  self=10.9.$subnet.1 netdev=sio$subnet device=rxe_sio$subnet
  as_root ip -batch - <<BATCH && as_root rdma link add "$device" type rxe netdev "$netdev"
link add $netdev mtu 4200 type veth peer name ${netdev}peer mtu 4200
link set ${netdev}peer up
link set $netdev up
addr add $self/24 dev $netdev
addr add fd00:9:$subnet::1/64 dev $netdev nodad
BATCH
  failed=$?
  exec {lock}>&-
  ((failed == 0)) && return
  remove_host_device
  no_host_device='rdma link add failed'
  return 1
}

remove_host_device() {
  [[ -n $netdev ]] || return 0
  as_root rdma link delete "$device" 2>/dev/null
  as_root ip link delete "$netdev" 2>/dev/null
}

run_locally() {
  local status lines started=$SECONDS peer_pid='' command signal
  export SIO_RXE_SELF=$self SIO_RXE_PEER=$self SIO_RXE_MACHINES=1 SIO_RXE_DEVICE=$device SIO_RXE_KERNEL
  SIO_RXE_KERNEL=$(uname -r)
  lines=$(as_root dmesg 2>/dev/null | wc -l)

  if [[ -n $peer_command ]]; then
    mark_peer_output
    setsid setpriv --pdeathsig KILL bash -c "$peer_command" </dev/null >"$scratch/peer" 2>&1 9>&- &
    peer_pid=$!
  fi
  # env: what a shell starts in the background would ignore SIGINT. timeout: passes signals on to all of the command.
  # (setpriv's signal is that of our death.)
  env --default-signal setpriv --pdeathsig TERM timeout -k 3 "$limit" "$@" </dev/null 9>&- &
  command=$!
  for signal in INT TERM HUP; do
    # shellcheck disable=SC2064
    trap "kill -$signal $command" $signal
  done
  await "$command"
  status=$awaited
  # timeout(1) says 137 when the command had to be killed.
  ((limit > 0 && status == 137 && SECONDS - started >= limit)) && status=124
  # What it left behind in its process group would keep the device from being removed.
  kill -KILL -- "-$command" 2>/dev/null
  if [[ -n $peer_pid ]]; then
    kill -KILL -- "-$peer_pid" 2>/dev/null
    await "$marker"
  fi

  as_root dmesg 2>/dev/null | tail -n "+$((lines + 1))" >"$scratch/dmesg"
  kernel_trouble '' "$scratch/dmesg"
  [[ -z $dmesg ]] || cp "$scratch/dmesg" "$dmesg"
  ((counters == 0)) || print_counters "/sys/class/infiniband/$device/ports/1/hw_counters" >&2
  exit "$status"
}

print_counters() { (cd "$1" && grep . ./* | sed 's/^\.\///; s/:/ /'); }
