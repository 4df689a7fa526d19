// SPDX-License-Identifier: BSD-2-Clause
#include <sio/base.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "info/inventory.h"

namespace sio_info {
namespace {

std::string size_of(const std::optional<uint64_t>& bytes) {
  return bytes ? std::to_string(*bytes / 1024) + " KiB" : "unlimited";
}

void print_host(const Host& host) {
  std::printf("kernel %s\n", host.kernel.c_str());
  std::printf("memlock %s, at most %s%s\n", size_of(host.memlock.soft).c_str(),
              size_of(host.memlock.hard).c_str(),
              host.memlock.exempt ? "; does not count: CAP_IPC_LOCK" : "");
  std::printf("fork %s: %s\n", host.fork.mode.c_str(), host.fork.why.c_str());
}

// Of so many objects at most, as much in each.
void print_limit(const char* objects, uint64_t most, const char* what, uint64_t each) {
  if (most == 0 && each == 0) return;
  std::printf("  %s: ", objects);
  if (most == 0) {
    std::printf("any number");
  } else {
    std::printf("%" PRIu64, most);
  }
  if (each != 0) std::printf(", %s in each %" PRIu64, what, each);
  std::printf("\n");
}

void print_limits(const Limits& limits) {
  print_limit("queue pairs", limits.max_qp, "work requests", limits.max_qp_wr);
  print_limit("gather entries of a work request", limits.max_sge, "", 0);
  print_limit("completion queues", limits.max_cq, "completions", limits.max_cqe);
  print_limit("shared receive queues", limits.max_srq, "", 0);
  print_limit("memory regions", limits.max_mr, "bytes", limits.max_mr_size);
}

void print_port(const Port& port) {
  std::printf("  port %u: %s, %s, MTU %u of %u\n", port.number, port.state.c_str(),
              port.link_layer.c_str(), port.active_mtu, port.max_mtu);
  for (const Gid& gid : port.gids) {
    std::printf("    GID %u: %s, %s%s%s\n", gid.index, gid.address.c_str(), gid.type.c_str(),
                gid.interface.empty() ? "" : ", ", gid.interface.c_str());
  }
}

void print_device(const Device& device) {
  std::printf("device %s%s\n", device.name.c_str(), device.used ? "" : ", not used");
  if (device.ports.empty()) return;
  print_limits(device.limits);
  for (const Port& port : device.ports) print_port(port);
}

void print_route(const Route& route) {
  if (!route.error.empty()) {
    std::printf("to %s: %s\n", route.to.c_str(), route.error.c_str());
    return;
  }
  std::printf("to %s: device %s, port %u, GID %u %s, MTU %u\n", route.to.c_str(),
              route.device.c_str(), route.port, route.gid.index, route.gid.address.c_str(),
              route.mtu);
  std::printf("  %s\n", route.why.c_str());
}

}  // namespace

void print_text(const Inventory& inventory) {
  std::printf("libsio %d.%d.%d\n", SIO_VERSION_MAJOR, SIO_VERSION_MINOR, SIO_VERSION_PATCH);
  const ProviderChoice& provider = inventory.provider;
  std::printf("provider %s: %s\n", provider.name.empty() ? "none" : provider.name.c_str(),
              provider.why.c_str());
  print_host(inventory.host);
  for (const Device& device : inventory.devices) print_device(device);
  if (inventory.route) print_route(*inventory.route);
}

void print_settings(const Inventory& inventory) {
  size_t name = 0;
  size_t value = 0;
  for (const auto& one : inventory.settings) {
    name = std::max(name, one.name.size());
    value = std::max(value, one.value.size());
  }
  for (const auto& one : inventory.settings) {
    std::printf("%-*s  %-*s  %s\n", static_cast<int>(name), one.name.c_str(),
                static_cast<int>(value), one.value.c_str(), one.origin.c_str());
  }
}

}  // namespace sio_info
