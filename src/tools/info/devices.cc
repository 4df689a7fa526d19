// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <infiniband/verbs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

#include "info/inventory.h"
#include "provider/provider.h"
#include "provider/soft/datagram_frame.h"

namespace sio_info {
namespace {

constexpr size_t kMostGids = 256;

uint32_t bytes_of(ibv_mtu mtu) { return 128u << mtu; }  // IBV_MTU_256 is 1

std::string name_of_type(uint32_t type) {
  switch (type) {
    case IBV_GID_TYPE_ROCE_V2:
      return "RoCE v2";
    case IBV_GID_TYPE_ROCE_V1:
      return "RoCE v1";
    default:
      return "IB";
  }
}

std::string text_of(const ibv_gid& gid) {
  in6_addr address;
  std::memcpy(&address, gid.raw, sizeof address);
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    ::inet_ntop(AF_INET, gid.raw + 12, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, gid.raw, text, sizeof text);
  }
  return text;
}

std::vector<Gid> gids_of(ibv_context* context, uint32_t port) {
  std::vector<ibv_gid_entry> entries(kMostGids);
  const ssize_t n = ::ibv_query_gid_table(context, entries.data(), entries.size(), 0);
  std::vector<Gid> gids;
  for (ssize_t i = 0; i < n; ++i) {
    const ibv_gid_entry& one = entries[static_cast<size_t>(i)];
    if (one.port_num != port) continue;
    char interface[IF_NAMESIZE] = "";
    ::if_indextoname(one.ndev_ifindex, interface);
    gids.push_back({one.gid_index, name_of_type(one.gid_type), text_of(one.gid), interface});
  }
  return gids;
}

std::string state_of(ibv_port_state state) {
  switch (state) {
    case IBV_PORT_ACTIVE:
      return "active";
    case IBV_PORT_DOWN:
      return "down";
    case IBV_PORT_INIT:
      return "initializing";
    case IBV_PORT_ARMED:
      return "armed";
    default:
      return "unknown";
  }
}

std::vector<Port> ports_of(ibv_context* context, uint8_t count) {
  std::vector<Port> ports;
  for (uint8_t number = 1; number <= count; ++number) {
    ibv_port_attr port{};
    if (::ibv_query_port(context, number, &port) != 0) continue;
    ports.push_back({number, state_of(port.state),
                     port.link_layer == IBV_LINK_LAYER_ETHERNET ? "Ethernet" : "InfiniBand",
                     bytes_of(port.active_mtu), bytes_of(port.max_mtu), gids_of(context, number)});
  }
  return ports;
}

bool is_used(const std::string& name) {
  for (const auto* device : sio::internal::provider::instance().devices()) {
    if (device->name() == name) return true;
  }
  return false;
}

Limits limits_of(const ibv_device_attr& has) {
  const auto number = [](int value) { return static_cast<uint64_t>(value); };
  return {number(has.max_qp),  number(has.max_qp_wr), number(has.max_sge), number(has.max_cq),
          number(has.max_cqe), number(has.max_srq),   number(has.max_mr),  has.max_mr_size};
}

void add_rdma_devices(bool used, std::vector<Device>& devices) {
  int count = 0;
  const std::unique_ptr<ibv_device*, void (*)(ibv_device**)> list(::ibv_get_device_list(&count),
                                                                  ::ibv_free_device_list);
  for (int i = 0; list && i < count; ++i) {
    const std::unique_ptr<ibv_context, int (*)(ibv_context*)> context(
        ::ibv_open_device(list.get()[i]), ::ibv_close_device);
    Device device;
    device.name = ::ibv_get_device_name(list.get()[i]);
    ibv_device_attr has{};
    if (context && ::ibv_query_device(context.get(), &has) == 0) {
      device.used = used && is_used(device.name);
      device.limits = limits_of(has);
      device.ports = ports_of(context.get(), has.phys_port_cnt);
    }
    devices.push_back(device);
  }
}

Device soft_device(const sio::internal::provider::Device& soft) {
  Device device;
  device.name = soft.name();
  device.used = true;
  device.limits.max_qp_wr = soft.limits().max_qp_wr;
  device.limits.max_sge = soft.limits().max_sge;
  device.limits.max_cqe = soft.limits().max_cq_entries;
  constexpr uint32_t mtu = sio::internal::provider::soft::kDatagramMtu;
  device.ports.push_back({1, "active", "TCP", mtu, mtu, addresses_of_interfaces()});
  return device;
}

}  // namespace

std::vector<Device> describe_devices(const std::string& provider) {
  std::vector<Device> devices;
  add_rdma_devices(provider == "verbs", devices);
  if (provider == "soft") {
    for (const auto* soft : sio::internal::provider::instance().devices())
      devices.push_back(soft_device(*soft));
  }
  return devices;
}

}  // namespace sio_info
