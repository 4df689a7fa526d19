# SPDX-License-Identifier: BSD-2-Clause
# Boots the machines that have soft-RoCE and runs the command in them. Sourced, not run.
# shellcheck shell=bash

qemu='qemu-system-x86_64'
boot_limit=120 # seconds; a boot takes 5, unless others want the processors too
basics=(-machine q35 -nodefaults -no-user-config -display none -no-reboot)

# kvm_works: whether /dev/kvm starts our kernel; it may be there and not do so, which costs seconds to find out: the
# answer is kept until the host boots again.
kvm_works() {
  local answer
  answer=$cache/kvm-$(cat /proc/sys/kernel/random/boot_id)
  [[ -w /dev/kvm ]] || return 1
  if [[ ! -e $answer ]]; then
    rm -f "$cache"/kvm-*
    if timeout 10 "$qemu" -accel kvm -cpu host "${basics[@]}" -m 256 -kernel "$vmlinux" -initrd "$initramfs" \
      -append 'console=ttyS0 panic=-1 sio.probe' -serial stdio </dev/null 2>&1 | grep -q sio-alive; then
      echo yes >"$answer"
    else
      echo no >"$answer"
    fi
  fi
  [[ $(cat "$answer") == yes ]]
}

# Options of one 9p export. remap: one export may span several of the host's file systems.
export_options() { # TAG PATH [OPTION]
  printf '%s\0' -fsdev "local,id=$1,path=${2//,/,,},security_model=none,multidevs=remap${3:-}" \
    -device "virtio-9p-pci,fsdev=$1,mount_tag=$1"
}

# start_machine NUMBER WORDS...: makes its folder, boots it in the background; its process is in pid[NUMBER].
start_machine() {
  local number=$1 io=$scratch/$1 i options=()
  shift
  mkdir "$io"
  self=10.9.0.$number other=10.9.0.$((machines == 1 ? 1 : 3 - number))
  write_command "$io/command" "$@"
  cp "$here/guest-main" "$io/"
  printf 'number=%q machines=%q kernel_dir=%q timeout=%q counters=%q\n' "$number" "$machines" "$kernel_dir" \
    "$([[ $number == 1 ]] && echo "$limit" || echo 0)" "$counters" >"$io/settings"
  hidden_paths "$@" >"$io/show"
  printf '%s\n' "${share[@]}" | sed '/^$/d' >"$io/share"
  : >"$io/out"
  : >"$io/err"
  mkfifo "$io/say.in" "$io/say.out"

  mapfile -d '' options < <(
    export_options root / ,readonly=on
    export_options io "$io"
    for i in "${!share[@]}"; do export_options "share$i" "${share[i]}"; done
  )
  if [[ $machines == 2 ]]; then
    options+=(-netdev "stream,id=wire,addr.type=unix,addr.path=$scratch/wire,server=$([[ $number == 2 ]] && echo on || echo off)"
      -device "virtio-net-pci,netdev=wire,host_mtu=4200,mac=52:54:00:09:00:0$number,romfile=")
  fi
  # Its own session: Ctrl-C is ours to pass on. pdeathsig: the machine never outlives this script. maxcpus: the others come
  # when the machine is up, for a kernel that patches its code while an emulated processor runs it dies of an int3 at times.
  setsid setpriv --pdeathsig KILL "$qemu" "${accelerator[@]}" "${basics[@]}" -smp "$cpus" -m "$memory" \
    -kernel "$vmlinux" -initrd "$initramfs" \
    -append 'console=ttyS0 loglevel=5 panic=-1 mitigations=off tsc=reliable no_timer_check nokaslr maxcpus=1 noreplace-smp' \
    -serial "file:$io/console" -chardev "pipe,id=say,path=$io/say" -serial chardev:say \
    "${options[@]}" </dev/null >"$io/qemu" 2>&1 &
  pid[number]=$!
  eval "exec $((10 + number))<>\"\$io/say.in\"" # read and write: opening does not wait for the other side
}

tell() { printf '%s\n' "$2" >&$((10 + $1)); } # NUMBER LINE

# follow NUMBER FILE...: becomes what copies a guest's output as it comes, until its machine has ended. In a session of its
# own: a signal for all of our process group must not lose the output's end.
follow() {
  exec setsid tail -q -f -s 0.05 -c +1 --pid="${pid[$1]}" "${@:2}" 2>/dev/null
}

# Waits until a machine has made a file in its folder, or has ended without.
await_file() { # NUMBER FILE
  while [[ ! -e $scratch/$1/$2 ]]; do
    kill -0 "${pid[$1]}" 2>/dev/null || break
    sleep 0.05
  done
  [[ -e $scratch/$1/$2 ]]
}

# Ends machines that do not come up, or whose command's time is over and that do not react (a kernel that hangs).
watch() {
  local waited=0 grace=30 until=''
  while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    waited=$((waited + 1))
    if [[ ! -e $scratch/1/started ]]; then
      ((waited < boot_limit)) && continue
      say "no machine after $boot_limit s"
    else
      ((limit == 0)) && return
      [[ -n $until ]] || until=$((waited + limit + grace))
      ((waited < until)) && continue
      say "the machine did not end by itself $grace s after its command's time"
      echo 124 timeout >"$scratch/1/status"
    fi
    end_machines
    return
  done
}

# pass_signal NAME: the first is the command's to act on; who insists, a second later, ends the machine. (timeout(1) sends
# each signal twice.)
pass_signal() {
  if [[ -z $signalled && -e $scratch/1/started ]]; then
    say "SIG$1 passed on"
    tell 1 "signal $1"
  elif [[ -z $signalled ]] || ((SECONDS > signalled_at + 1)); then
    end_machines
  fi
  [[ -n $signalled ]] || signalled_at=$SECONDS
  signalled=$1
}

end_machines() {
  ((${#pid[@]} == 0)) || kill -KILL "${pid[@]}" 2>/dev/null
}

# boot COMMAND...: succeeds once the command has been started.
boot() {
  local i
  if [[ $machines == 2 ]]; then
    start_machine 2 /bin/bash -c "$peer_command"
    for ((i = 0; i < 100; i++)); do
      [[ ! -S $scratch/wire ]] || break
      sleep 0.05
    done
  fi
  start_machine 1 "$@"
  watch &
  watcher=$!
  [[ -z $signalled ]] || end_machines
  [[ $machines == 1 ]] || { await_file 2 started && await_file 1 up && tell 1 start; } || return 1
  await_file 1 started
}

run_in_machines() {
  local i try ended status='' timed_out='' signalled='' signalled_at watcher copies

  [[ $(uname -m) == x86_64 ]] || die "the virtual machine is an x86_64, this machine a $(uname -m)"
  need "$qemu" qemu-system-x86
  need setpriv util-linux
  prepare_kernel "$kernel"
  if kvm_works; then
    accelerator=(-accel kvm -cpu host)
  else
    # No pclmulqdq and no AVX: rxe's CRC and memcpy are 2 to 3 times slower with them when emulated.
    accelerator=(-accel 'tcg,thread=multi' -cpu 'Nehalem,+rdrand')
  fi
  say "vm: $why; kernel $release, ${accelerator[1]%%,*}$([[ $machines == 1 ]] || echo ', two machines')"

  for i in INT TERM HUP; do
    # shellcheck disable=SC2064
    trap "pass_signal $i" $i
  done
  # A kernel may die while it boots (see maxcpus in start_machine); nothing has been run then, so try again.
  for ((try = 1; ; try++)); do
    boot "$@" && break
    end_machines
    for i in "${pid[@]}"; do await "$i"; done
    kill "$watcher" 2>/dev/null
    report_kernel_messages
    [[ -z $signalled ]] || exit $((128 + $(kill -l "$signalled")))
    tail -n 20 "$scratch"/*/qemu "$scratch"/*/console >&2
    ((try < 3)) || die 'the machine does not boot'
    say 'the machine did not boot; once more'
    rm -rf "$scratch"/[12] "$scratch/wire"
  done

  follow 1 "$scratch/1/out" &
  copies=($!)
  follow 1 "$scratch/1/err" >&2 &
  copies+=($!)
  if [[ $machines == 2 ]]; then
    mark_peer_output
    copies+=("$marker")
    follow 2 "$scratch/2/out" "$scratch/2/err" >"$scratch/peer" &
    copies+=($!)
  fi
  while kill -0 "${pid[1]}" 2>/dev/null; do
    wait -n -p ended "${pid[1]}" "${copies[@]:0:2}" 2>/dev/null
    # Who read our output is gone: the command learns it as if it were at that pipe itself.
    [[ -n $ended && $ended != "${pid[1]}" ]] && tell 1 'signal PIPE' && break
  done
  await "${pid[1]}"
  [[ $machines == 1 ]] || end_peer
  kill "$watcher" 2>/dev/null
  for i in "${copies[@]}"; do await "$i"; done

  report_kernel_messages
  [[ ! -e $scratch/1/status ]] || read -r status timed_out <"$scratch/1/status"
  if [[ -n $timed_out ]]; then
    say "ended after $limit s"
    exit 124
  elif [[ -n $status ]]; then
    exit "$status"
  elif [[ -n $signalled ]]; then
    exit $((128 + $(kill -l "$signalled")))
  fi
  tail -n 20 "$scratch"/*/qemu "$scratch"/*/console >&2
  die 'the machine ended before its command did'
}

# The second machine has five seconds to end its command and itself.
end_peer() {
  local i
  tell 2 end
  for ((i = 0; i < 100; i++)); do
    kill -0 "${pid[2]}" 2>/dev/null || break
    sleep 0.05
  done
  kill -KILL "${pid[2]}" 2>/dev/null
  await "${pid[2]}"
}

report_kernel_messages() {
  local number io prefix
  for ((number = 1; number <= machines; number++)); do
    io=$scratch/$number prefix=$([[ $number == 1 ]] || echo '[peer] ')
    # What the kernel could no longer write into the shared folder is on the console.
    kernel_trouble "$prefix" "$io/dmesg" "$io/console"
    [[ -z $dmesg ]] || cat "$io/dmesg" >"$dmesg$([[ $number == 1 ]] || echo .peer)"
    [[ ! -e $io/counters ]] || sed "s/^/$prefix/" "$io/counters" >&2
  done
}
