// SPDX-License-Identifier: BSD-2-Clause
//
// What sio_info has found out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"

namespace sio_info {

struct Gid {
  uint32_t index = 0;
  std::string type;       // "RoCE v2", "RoCE v1", "IB"; of the soft provider "address"
  std::string address;    // IPv4 as such
  std::string interface;  // of the network; "": none
};

struct Port {
  uint32_t number = 0;
  std::string state;  // "active", "down", ...
  std::string link_layer;
  uint32_t active_mtu = 0;  // bytes
  uint32_t max_mtu = 0;
  std::vector<Gid> gids;
};

// 0: the device sets none.
struct Limits {
  uint64_t max_qp = 0;
  uint64_t max_qp_wr = 0;
  uint64_t max_sge = 0;
  uint64_t max_cq = 0;
  uint64_t max_cqe = 0;
  uint64_t max_srq = 0;
  uint64_t max_mr = 0;
  uint64_t max_mr_size = 0;  // bytes
};

struct Device {
  std::string name;
  bool used = false;  // by the provider
  Limits limits;
  std::vector<Port> ports;
};

struct ProviderChoice {
  std::string name;  // "": there is none to use
  std::string why;
};

struct Memlock {
  std::optional<uint64_t> soft;  // bytes; nothing: unlimited
  std::optional<uint64_t> hard;
  bool exempt = false;  // CAP_IPC_LOCK: it does not count
};

struct ForkMode {
  std::string mode;  // "copied", "dontfork", "unsafe" or "nothing pinned"
  std::string why;
};

struct Host {
  std::string kernel;
  Memlock memlock;
  ForkMode fork;
};

// For a peer's address.
struct Route {
  std::string to;
  std::string error;  // "": there is a way
  std::string why;
  std::string from;  // our address
  std::string interface;
  std::string device;
  uint32_t port = 0;
  Gid gid;
  uint32_t mtu = 0;  // bytes
};

struct Inventory {
  ProviderChoice provider;
  Host host;
  std::vector<Device> devices;
  std::optional<Route> route;
  std::vector<sio::internal::SettingOrigin> settings;
};

// provider.cc: makes it, so that what follows finds it.
ProviderChoice choose_provider();
// host.cc
Host describe_host(const std::string& provider);
// devices.cc: the RDMA devices of this machine, used or not, and the soft provider's if it is the
// one.
std::vector<Device> describe_devices(const std::string& provider);
// route.cc: as sio_connect would go.
Route find_route(const std::string& host, const std::vector<Device>& devices);
// interfaces.cc: the interface that has an address, as text; "": none.
std::string interface_with(const std::string& address);
std::vector<Gid> addresses_of_interfaces();

// text.cc, json.cc
void print_text(const Inventory& inventory);
void print_json(const Inventory& inventory);
void print_settings(const Inventory& inventory);

}  // namespace sio_info
