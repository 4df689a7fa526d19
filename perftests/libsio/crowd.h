// SPDX-License-Identifier: BSD-2-Clause
//
// A crowd (crowd/crowd.h) of the library's.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "crowd/crowd.h"
#include "libsio/endpoint.h"

namespace sio_perf {

class SioCrowd {
 public:
  // Takes the receive memory of all.
  explicit SioCrowd(const Parameters& parameters);
  SioCrowd(const SioCrowd&) = delete;
  SioCrowd& operator=(const SioCrowd&) = delete;
  ~SioCrowd();

  std::vector<uint16_t> listen(const Address& address);
  void connect(const std::string& host, const std::vector<uint16_t>& ports, uint32_t count,
               uint32_t at_once);

  uint32_t send(uint32_t member, const unsigned char* message, uint32_t length, uint32_t count);
  template <typename TakeMessage, typename TakeRoom>
  bool take(TakeMessage arrived, TakeRoom writable);
  void sleep(int timeout_ms);
  void wake();

  uint32_t most_in_flight() const { return UINT32_MAX; }  // the library says when it is enough
  Traffic traffic() const;

 private:
  // Connections that share receive memory, or just the slots of theirs.
  struct Group {
    SioArea area;
    size_t assoc_size;
  };

  Group& group_of(size_t member) { return *groups_[member / group_members_]; }
  int new_member(const Address& address, size_t number);
  void start_connect(const std::string& host, const std::vector<uint16_t>& ports);
  void handle(const event_data_t& event);  // any but EC_RECV and EC_WRITABLE
  void accept(int listener);
  void ended(const event_data_t& event);
  sio_info info_of(int socket) const;

  const Parameters parameters_;
  const uint32_t group_members_;
  std::vector<std::unique_ptr<Group>> groups_;
  SioChannel channel_;
  std::vector<std::unique_ptr<SioSocket>> listeners_;
  std::vector<int> members_;  // sockets; their place is their cookie; -1: ended
  size_t established_ = 0;
};

template <typename TakeMessage, typename TakeRoom>
bool SioCrowd::take(TakeMessage arrived, TakeRoom writable) {
  SioEndpoint::Events events;
  const int count = ec_next_events(channel_.get(), events.data(), static_cast<int>(events.size()));
  for (int i = 0; i < count; ++i) {
    const event_data_t& event = events[static_cast<size_t>(i)];
    const auto member = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(event.cookie));
    if (event.kind == EC_RECV) {
      Arrived message{member, static_cast<uint32_t>(event.data.len), {}};
      std::copy_n(static_cast<const unsigned char*>(event.data.buf),
                  std::min(event.data.len, message.head.size()), message.head.begin());
      SioEndpoint::release(event);
      arrived(message);
    } else if (event.kind == EC_WRITABLE) {
      writable(member);
    } else {
      handle(event);
    }
  }
  return count > 0;
}

}  // namespace sio_perf
