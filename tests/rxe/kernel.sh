# SPDX-License-Identifier: BSD-2-Clause
# Gets a kernel to boot: the distribution's own package, unpacked into the cache and never installed. Sourced, not run.
#
# The cache, one folder per kernel release (remove it to get the newest kernel again):
#   kernels/RELEASE/vmlinux              uncompressed: entering it through its PVH note saves 3 to 4 s of decompression
#   kernels/RELEASE/lib/modules/RELEASE  for modprobe -d, in the guest too
#   kernels/RELEASE/initramfs-*          named by what is in it
# shellcheck shell=bash

cache=${XDG_CACHE_HOME:-$HOME/.cache}/sio-rxe

# Inserted by the initramfs, before there is a file system to load modules from; the others load by themselves later.
# crc32_generic: without it `rdma link add` fails, rxe asks the crypto layer for "crc32".
boot_modules=(crc32_generic virtio_pci virtio_net 9pnet_virtio 9p veth ib_uverbs rdma_ucm rdma_rxe)

# The name pattern of the packages of a kernel series; neither cloud (no InfiniBand) nor rt.
package_pattern() {
  case $1 in
    6.1) echo '^linux-image-6\.1\.0-[0-9]+-amd64(-unsigned)?$' ;;
    6.12) echo '^linux-image-6\.12\.[0-9]+\+deb[0-9]+-amd64(-unsigned)?$' ;;
    *) die "--kernel $1: only 6.1 and 6.12 are known" ;;
  esac
}

# The newest package of a series, signed if there is the choice (~ sorts before the end of a name).
newest_package() {
  apt-cache pkgnames linux-image-6. | grep -E "$(package_pattern "$1")" |
    sed 's/-unsigned$/~unsigned/' | sort -V | tail -1 | tr '~' '-'
}

download_package() { # SERIES INTO
  local package options=(-qq)
  [[ $EUID != 0 ]] || options+=(-o APT::Sandbox::User=root) # _apt cannot write into our cache, and says so
  package=$(newest_package "$1")
  [[ -n $package ]] || return 1
  say "downloading $package"
  (cd "$2" && apt-get "${options[@]}" download "$package" >&2)
}

# cut_vmlinux BZIMAGE: prints the ELF image in it (the kernel's Documentation/x86/boot.rst has the header's fields).
cut_vmlinux() {
  local image=$1 setup_sectors payload_offset payload_bytes start unpack
  field() { od -An -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '; }
  setup_sectors=$(field $((0x1f1)) 1)
  payload_offset=$(field $((0x248)) 4)
  payload_bytes=$(field $((0x24c)) 4)
  start=$(((setup_sectors + 1) * 512 + payload_offset))
  case $(od -An -t x1 -j "$start" -N 4 "$image" | tr -d ' ') in
    fd377a58) unpack=xz ;;
    28b52ffd) unpack=zstd && need zstd zstd ;;
    *) return 1 ;;
  esac
  # The last four bytes of the payload are its unpacked size, not part of the stream.
  tail -c "+$((start + 1))" "$image" | head -c $((payload_bytes - 4)) | $unpack -dcq
}

# Prints the release of the newest unpacked kernel of a series, or nothing.
cached_kernel() {
  find "$cache/kernels" -mindepth 1 -maxdepth 1 -name "$1.*" -printf '%f\n' | sort -V | tail -1
}

# unpack_kernel SERIES: downloads, unpacks, and moves into the cache what is complete.
unpack_kernel() {
  local unpacked release
  need apt-get apt
  need dpkg-deb dpkg
  rm -rf "$cache"/unpack.* # left by one that was killed; we hold the lock
  unpacked=$(mktemp -d "$cache/unpack.XXXXXX")
  if ! download_package "$1" "$unpacked"; then
    say 'no such kernel package to be had with the package lists as they are: updating them'
    as_root apt-get -qq update >&2
    download_package "$1" "$unpacked" || die "cannot download a $1 kernel package"
  fi
  # shellcheck disable=SC2015 # a chain of which any failure ends us
  # Whole driver trees that no virtual machine of ours has the hardware for are half of the package.
  dpkg-deb --fsys-tarfile "$unpacked"/*.deb | tar -x -C "$unpacked" --wildcards \
    --exclude='*/drivers/gpu' --exclude='*/drivers/media' --exclude='*/net/wireless' --exclude='*/kernel/sound' \
    './boot/vmlinuz-*' './lib/modules/*' &&
    release=$(ls "$unpacked/lib/modules") &&
    cut_vmlinux "$unpacked/boot/vmlinuz-$release" >"$unpacked/vmlinux" &&
    depmod -b "$unpacked" "$release" &&
    rm -rf "$unpacked"/*.deb "${unpacked:?}/boot" &&
    mv -T "$unpacked" "$cache/kernels/$release" ||
    die "cannot unpack the $1 kernel package"
}

# build_initramfs RELEASE FILE: a static busybox, guest-init and the modules it inserts, in order.
build_initramfs() {
  local root module path count=0
  rm -rf "$cache"/initramfs.* "$cache/kernels/$1"/initramfs-*
  root=$(mktemp -d "$cache/initramfs.XXXXXX")
  mkdir -p "$root"/{bin,dev,proc,sys,modules,host}
  cp "$busybox" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  install -m 755 "$here/guest-init" "$root/init"
  for module in "${boot_modules[@]}"; do
    modprobe -d "$cache/kernels/$1" -S "$1" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
    while read -r path; do
      # Numbered, so that a glob gives them in order; uncompressed, since busybox's insmod may not know xz.
      printf -v module '%s/modules/%02d-%s' "$root" "$((count++))" "$(basename "$path" .xz)"
      case $path in *.xz) xz -dc "$path" >"$module" ;; *) cp "$path" "$module" ;; esac
    done
  (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$2.new"
  mv "$2.new" "$2"
  rm -rf "$root"
}

# prepare_kernel SERIES: sets release, kernel_dir, vmlinux, initramfs; downloads and unpacks when not yet cached.
prepare_kernel() {
  local lock
  need xz xz-utils && need cpio cpio && need modprobe kmod && need busybox busybox-static
  busybox=$(command -v busybox)
  ! ldd "$busybox" >/dev/null 2>&1 || die "$busybox is not static: install the package busybox-static"
  mkdir -p "$cache/kernels"
  exec {lock}>"$cache/lock" # two runs at once must not both unpack
  flock "$lock"
  release=$(cached_kernel "$1")
  if [[ -z $release ]]; then
    unpack_kernel "$1"
    release=$(cached_kernel "$1")
  fi
  kernel_dir=$cache/kernels/$release
  vmlinux=$kernel_dir/vmlinux
  initramfs=$kernel_dir/initramfs-$({
    cat "$here/guest-init"
    echo "${boot_modules[@]}"
    stat -c %Y:%s "$busybox"
  } | cksum | cut -d ' ' -f 1)
  [[ -e $initramfs ]] || build_initramfs "$release" "$initramfs"
  exec {lock}>&-
}
