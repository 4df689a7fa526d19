// SPDX-License-Identifier: BSD-2-Clause
#include "libsio/crowd_ends.h"

#include "crowd/client.h"
#include "crowd/server.h"
#include "libsio/connect.h"
#include "libsio/crowd.h"

namespace sio_perf {
namespace {

class SioDialogue : public Dialogue {
 public:
  explicit SioDialogue(SioEndpoint& end) : end_(end) {}

  void tell(std::span<const unsigned char> bytes) override {
    end_.send(bytes.data(), bytes.size());
  }

  Bytes hear() override {
    event_data_t message;
    if (!end_.receive(message)) throw PeerGone("the other end has closed the connection");
    const auto* const first = static_cast<const unsigned char*>(message.data.buf);
    Bytes bytes(first, first + message.data.len);
    SioEndpoint::release(message);
    return bytes;
  }

 private:
  SioEndpoint& end_;
};

}  // namespace

void serve_sio_crowd(const Options& options, const Parameters& parameters, SioEndpoint& end) {
  SioDialogue dialogue(end);
  try {
    serve_crowds<SioCrowd>(options, parameters, dialogue);
  } catch (const PeerGone&) {
    // So ends every client.
  }
}

void run_sio_crowd(const Options& options) {
  constexpr size_t kSmall = 4096;
  static const SioMemory memory(kSmall, 1, 0);
  const Parameters parameters = options.crowd_parameters();
  SioConnection connection(options, parameters, memory);
  connection.end().prepare(dialogue_parameters(parameters), memory, 0);
  SioDialogue dialogue(connection.end());
  run_crowd<SioCrowd>(options, connection.set_up(), dialogue);
}

}  // namespace sio_perf
