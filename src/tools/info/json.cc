// SPDX-License-Identifier: BSD-2-Clause
//
// The fields are those of inventory.h, and sio_info(1) has them: who reads them relies on their
// names.
#include <sio/base.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "info/inventory.h"

namespace sio_info {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<uint64_t>& value) { return value ? Json(*value) : Json(); }

Json of(const Gid& gid) {
  return {{"index", gid.index},
          {"type", gid.type},
          {"address", gid.address},
          {"interface", gid.interface}};
}

Json of(const Port& port) {
  Json gids = Json::array();
  for (const Gid& gid : port.gids) gids.push_back(of(gid));
  return {{"port", port.number},           {"state", port.state},
          {"link_layer", port.link_layer}, {"active_mtu", port.active_mtu},
          {"max_mtu", port.max_mtu},       {"gids", gids}};
}

Json of(const Limits& limits) {
  return {{"max_qp", limits.max_qp},   {"max_qp_wr", limits.max_qp_wr},
          {"max_sge", limits.max_sge}, {"max_cq", limits.max_cq},
          {"max_cqe", limits.max_cqe}, {"max_srq", limits.max_srq},
          {"max_mr", limits.max_mr},   {"max_mr_size", limits.max_mr_size}};
}

Json of(const Device& device) {
  Json ports = Json::array();
  for (const Port& port : device.ports) ports.push_back(of(port));
  return {{"name", device.name},
          {"used", device.used},
          {"limits", of(device.limits)},
          {"ports", ports}};
}

Json of(const Host& host) {
  return {{"kernel", host.kernel},
          {"memlock",
           {{"soft", or_null(host.memlock.soft)},
            {"hard", or_null(host.memlock.hard)},
            {"exempt", host.memlock.exempt}}},
          {"fork", {{"mode", host.fork.mode}, {"why", host.fork.why}}}};
}

Json of(const Route& route) {
  if (!route.error.empty()) return {{"to", route.to}, {"error", route.error}};
  return {{"to", route.to},         {"from", route.from}, {"interface", route.interface},
          {"device", route.device}, {"port", route.port}, {"gid", of(route.gid)},
          {"mtu", route.mtu},       {"why", route.why}};
}

Json of(const std::vector<sio::internal::SettingOrigin>& settings) {
  Json all = Json::array();
  for (const auto& one : settings) {
    all.push_back({{"name", one.name}, {"value", one.value}, {"origin", one.origin}});
  }
  return all;
}

}  // namespace

void print_json(const Inventory& inventory) {
  const std::string& provider = inventory.provider.name;
  Json devices = Json::array();
  for (const Device& device : inventory.devices) devices.push_back(of(device));
  Json all = {
      {"version", std::to_string(SIO_VERSION_MAJOR) + '.' + std::to_string(SIO_VERSION_MINOR) +
                      '.' + std::to_string(SIO_VERSION_PATCH)},
      {"provider",
       {{"name", provider.empty() ? Json() : Json(provider)}, {"why", inventory.provider.why}}},
      {"host", of(inventory.host)},
      {"devices", devices},
      {"settings", of(inventory.settings)}};
  if (inventory.route) all["route"] = of(*inventory.route);
  std::printf("%s\n", all.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace sio_info
