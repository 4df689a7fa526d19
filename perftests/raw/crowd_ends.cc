// SPDX-License-Identifier: BSD-2-Clause
#include "raw/crowd_ends.h"

#include <algorithm>

#include "crowd/client.h"
#include "crowd/server.h"
#include "raw/crowd.h"
#include "raw/endpoint.h"

namespace sio_perf {
namespace {

class RawDialogue : public Dialogue {
 public:
  explicit RawDialogue(RawEndpoint& end) : end_(end) {}

  void tell(std::span<const unsigned char> bytes) override {
    while (!end_.has_room(1)) end_.take_sent();
    std::copy(bytes.begin(), bytes.end(), end_.buffer(0));
    end_.post(1, static_cast<uint32_t>(bytes.size()));
  }

  // A question and its answer follow each other: there is never more than one.
  Bytes hear() override {
    RawEndpoint::Batch batch;
    const ibv_wc& completion = end_.wait(batch).front();
    const unsigned char* const first = end_.bytes(completion);
    Bytes bytes(first, first + completion.byte_len);
    end_.give_back();
    return bytes;
  }

 private:
  RawEndpoint& end_;
};

}  // namespace

void serve_raw_crowd(const Options& options, const Parameters& parameters,
                     RawConnection& connection) {
  RawEndpoint end(connection, dialogue_parameters(parameters));
  connection.accept();
  print_served(options, parameters);
  RawDialogue dialogue(end);
  try {
    serve_crowds<RawCrowd>(options, parameters, dialogue, connection.id()->verbs);
  } catch (const PeerGone&) {
    // So ends every client.
  }
}

void run_raw_crowd(const Options& options) {
  const Parameters parameters = options.crowd_parameters();
  RawConnection connection(resolve(options.host, options.port, false));
  RawEndpoint end(connection, dialogue_parameters(parameters));
  connection.connect(parameters);
  RawDialogue dialogue(end);
  run_crowd<RawCrowd>(options, end.set_up(), dialogue, connection.id()->verbs);
}

}  // namespace sio_perf
