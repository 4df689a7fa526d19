// SPDX-License-Identifier: BSD-2-Clause
//
// The measurements on the library's public interface.
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "crowd/crowd.h"
#include "libsio/connect.h"
#include "libsio/crowd_ends.h"
#include "measure.h"
#include "process.h"

namespace sio_perf {
namespace {

constexpr size_t kReplyBlocks = 4;  // one is in use; its EC_SENT may come late
constexpr size_t kGrants = 32;      // what no slot takes comes in so many at a time at most
constexpr uint32_t kModestSize = 65536;
constexpr int kBacklog = 16;
constexpr int kFirstMessageMs = 5000;
constexpr int kAccepts = 500;  // 10 ms apart

size_t client_blocks(const Options& options) {
  return options.op == Op::kLatency ? kReplyBlocks : options.tx_depth;
}

// Client ------------------------------------------------------------------------------------------

class SioClient : public Client {
 public:
  SioClient(const Options& options, uint32_t size, const SioMemory& memory);
  SetUp set_up() const override { return connection_.set_up(); }
  Measured run() override;

 private:
  void exchange(event_data_t& reply);
  uint64_t stream(Pace pace);

  const Options& options_;
  const Parameters parameters_;
  SioConnection connection_;
  SioEndpoint& end_;
};

SioClient::SioClient(const Options& options, uint32_t size, const SioMemory& memory)
    : options_(options),
      parameters_(options.parameters(size)),
      connection_(options, parameters_, memory),
      end_(connection_.end()) {
  end_.prepare(parameters_, memory, client_blocks(options));
}

Measured SioClient::run() {
  if (parameters_.op != Op::kLatency) {
    return measure_stream(options_, parameters_.size, [this](Pace pace) { return stream(pace); });
  }
  event_data_t reply{};  // no message yet
  Measured measured = measure_round_trips(options_, parameters_.size, [&] { exchange(reply); });
  SioEndpoint::release(reply);
  return measured;
}

// The buffer of a reply goes back while the next message is on its way.
void SioClient::exchange(event_data_t& reply) {
  end_.send(end_.source(), parameters_.size);
  if (reply.kind == EC_RECV) SioEndpoint::release(reply);
  if (!end_.receive(reply)) throw PeerGone("the server has closed the connection");
}

// Returns how many messages the server has confirmed.
uint64_t SioClient::stream(Pace pace) {
  uint64_t sent = 0;
  for (bool last = false; !last;) {
    unsigned char* const from = end_.source();
    last = pace.is_last(++sent);
    from[0] = last ? kLast : kMore;
    end_.send(from, parameters_.size);
  }
  event_data_t confirmation;
  if (!end_.receive(confirmation)) throw PeerGone("the server has closed the connection");
  const auto* const bytes = static_cast<const unsigned char*>(confirmation.data.buf);
  const uint64_t confirmed =
      confirmation.data.len == kConfirmBytes ? get_number(bytes, kConfirmBytes) : 0;
  SioEndpoint::release(confirmation);
  if (confirmed != sent) throw Failure("the server has not got as many messages as were sent");
  return sent;
}

// Server ------------------------------------------------------------------------------------------

void reply(SioEndpoint& end, uint32_t size) {
  event_data_t message;
  while (end.receive(message)) {
    end.send(end.source(), size);
    SioEndpoint::release(message);
  }
}

void take_stream(SioEndpoint& end) {
  uint64_t count = 0;
  const auto take = [&](const event_data_t& message) {
    const auto* const bytes = static_cast<const unsigned char*>(message.data.buf);
    const bool last = message.data.len > 0 && bytes[0] == kLast;
    SioEndpoint::release(message);
    ++count;
    if (!last) return;
    std::array<unsigned char, kConfirmBytes> confirmation;
    put_number(confirmation.data(), kConfirmBytes, count);
    end.send(confirmation.data(), confirmation.size());
    count = 0;
  };
  SioEndpoint::Events events;
  for (;;) {
    const auto taken = end.take_events(events);
    if (taken.empty()) return;
    for (const event_data_t& event : taken) event.kind == EC_RECV ? take(event) : end.handle(event);
  }
}

void serve_one(const Options& options, int channel, int socket, const SioMemory& memory) {
  SioEndpoint end(channel, socket);
  event_data_t first;
  if (!end.receive_within(first, kFirstMessageMs)) return;
  EncodedParameters encoded = {};
  std::memcpy(encoded.data(), first.data.buf, std::min(first.data.len, encoded.size()));
  SioEndpoint::release(first);
  const Parameters parameters = decode(encoded, Op::kCrowd);
  print_served(options, parameters);
  const bool crowd = parameters.op == Op::kCrowd;
  end.prepare(crowd ? dialogue_parameters(parameters) : parameters, memory,
              parameters.op == Op::kLatency ? kReplyBlocks : 0);
  end.send(encoded.data(), encoded.size());
  if (crowd) {
    serve_sio_crowd(options, parameters, end);
  } else if (parameters.op == Op::kLatency) {
    reply(end, parameters.size);
  } else {
    take_stream(end);
  }
}

// A server does not know what its clients will send.
std::unique_ptr<SioMemory> server_memory() {
  try {
    return std::make_unique<SioMemory>(kMaxSize, kReplyBlocks, kGrants);
  } catch (const Failure& failure) {
    auto memory = std::make_unique<SioMemory>(kModestSize, kReplyBlocks, kGrants);
    std::fprintf(
        stderr, "sio_perf: room for messages of %u bytes, not longer ones: %s; raise `ulimit -l`\n",
        kModestSize, failure.what());
    return memory;
  }
}

// -1: once more, please.
int accept_into(int channel, int listener) {
  for (int i = 0;; ++i) {
    const int accepted = sio_accept_ec(listener, nullptr, nullptr, 0, channel, nullptr);
    check_stop();
    if (accepted >= 0 || errno == EINTR || errno == ECONNABORTED) return accepted;
    // The client before may not quite have gone, and with it its receive memory.
    if (errno != ENOBUFS || i == kAccepts) fail_with_errno("sio_accept_ec");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

std::unique_ptr<Client> connect_sio(const Options& options, uint32_t size) {
  const uint32_t largest = *std::max_element(options.sizes.begin(), options.sizes.end());
  static const SioMemory memory(largest, client_blocks(options),
                                options.op == Op::kLatency ? kReplyBlocks : 0);
  return std::make_unique<SioClient>(options, size, memory);
}

void serve_sio(const Options& options) {
  const auto memory = server_memory();
  const Address address = resolve(options.bind, options.port, true);
  const SioSocket listener(new_sio_socket(address));
  memory->associate_with(listener.get());
  if (sio_bind(listener.get(), address.get(), address.length) != 0) {
    fail_with_errno("--bind " + options.bind + " --port " + std::to_string(options.port),
                    "choose another port, or an address of an RDMA device");
  }
  if (sio_listen(listener.get(), kBacklog) != 0) fail_with_errno("sio_listen");
  for (bool again = true; again;) {
    const SioChannel channel(new_sio_channel());
    const int accepted = accept_into(channel.get(), listener.get());
    if (accepted < 0) continue;
    const SioSocket socket(accepted);
    again = !options.once;
    try {
      serve_one(options, channel.get(), socket.get(), *memory);
    } catch (const Failure& failure) {
      print_lost(failure.what());
    }
  }
}

}  // namespace sio_perf
