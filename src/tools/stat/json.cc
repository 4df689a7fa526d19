// SPDX-License-Identifier: BSD-2-Clause
//
// sio_stat(1) has the fields: who reads them relies on their names.
#include <nlohmann/json.hpp>

#include "stat/report.h"

namespace sio_stat {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }
Json or_null(int descriptor) { return descriptor < 0 ? Json() : Json(descriptor); }

double seconds(uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

Json of(const std::optional<Rates>& rates) {
  if (!rates) return nullptr;
  return {{"messages_sent", rates->messages_sent},
          {"bytes_sent", rates->bytes_sent},
          {"messages_received", rates->messages_received},
          {"bytes_received", rates->bytes_received}};
}

// As in <sio/sio.h>.
Json of(const sio_info& info) {
  return {{"device", info.device},
          {"port", info.port},
          {"gid_index", info.gid_index},
          {"gid", info.gid},
          {"mtu", info.mtu},
          {"qp_num", info.qp_num},
          {"peer_qp_num", info.peer_qp_num},
          {"max_inline", info.max_inline},
          {"slot_size", info.slot_size},
          {"recv_slots", info.recv_slots},
          {"peer_slot_size", info.peer_slot_size},
          {"peer_recv_slots", info.peer_recv_slots},
          {"credits", info.credits},
          {"sends_in_flight", info.sends_in_flight},
          {"messages_sent", info.messages_sent},
          {"bytes_sent", info.bytes_sent},
          {"messages_received", info.messages_received},
          {"bytes_received", info.bytes_received},
          {"sends_posted", info.sends_posted},
          {"trains_posted", info.trains_posted},
          {"credit_frames", info.credit_frames},
          {"receives_posted", info.receives_posted},
          {"credit_stalls", info.credit_stalls},
          {"keepalives", info.keepalives},
          {"bulk_sent", info.bulk_sent},
          {"bulk_received", info.bulk_received},
          {"bulk_stalls", info.bulk_stalls},
          {"error", or_null(name_of_error(info.error))},
          {"wc_status", info.wc_status},
          {"wc_vendor_err", info.wc_vendor_err},
          {"wc_qp_num", info.wc_qp_num},
          {"datagrams_lost", info.datagrams_lost},
          {"datagrams_late", info.datagrams_late},
          {"datagrams_odd", info.datagrams_odd},
          {"datagrams_unwanted", info.datagrams_unwanted},
          {"lookups", info.lookups}};
}

Json of(const Line& line) {
  const stats::SocketFigures& figures = line.figures;
  return {{"time", seconds(figures.time_ns)},
          {"fd", or_null(figures.fd)},
          {"channel", or_null(figures.channel)},
          {"type", name_of_type(figures.type)},
          {"state", name_of_state(figures.state)},
          {"local", or_null(text_of(figures.local))},
          {"peer", or_null(text_of(figures.peer))},
          {"rates", of(line.rates)},
          {"unsent", figures.unsent},
          {"bulk_in_flight", figures.bulk_in_flight},
          {"slots_free", figures.slots_free},
          {"slots_held", figures.slots_held},
          {"info", of(figures.info)}};
}

}  // namespace

std::string json(const Report& report) {
  Json sockets = Json::array();
  for (const Line& line : report.sockets) sockets.push_back(of(line));
  const Json all = {{"pid", report.pid},
                    {"version", report.version},
                    {"time", seconds(report.totals.time_ns)},
                    {"channels", report.totals.channels},
                    {"areas", report.totals.areas},
                    {"area_bytes", report.totals.area_bytes},
                    {"left_out", report.totals.left_out},
                    {"unreadable", report.unreadable},
                    {"sockets", sockets}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace sio_stat
