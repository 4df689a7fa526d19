// SPDX-License-Identifier: BSD-2-Clause
//
// The measurements on a transport of plain messages: the same loops as the library's. An End is
// one end of a connection that stands:
//
//   void prepare(const Parameters&)            for the run itself
//   unsigned char* source()                    where the next message is to be written
//   void send(size_t length, bool last)        sends it; one that is not the last may wait for more
//   const unsigned char* receive(size_t n)     the next message, of that length; throws PeerGone
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "measure.h"
#include "peer.h"
#include "process.h"

namespace sio_perf {

// The client's first message is its parameters, the server's answer is the same.
template <typename End>
class PlainClient : public Client {
 public:
  PlainClient(const Options& options, uint32_t size, const char* device)
      : options_(options), parameters_(options.parameters(size)), device_(device), end_(options) {
    const EncodedParameters encoded = encode(parameters_);
    std::copy(encoded.begin(), encoded.end(), end_.source());
    end_.send(encoded.size(), true);
    end_.receive(encoded.size());
    end_.prepare(parameters_);
  }

  SetUp set_up() const override { return {device_, 0, 0}; }

  Measured run() override {
    if (parameters_.op == Op::kLatency) {
      return measure_round_trips(options_, parameters_.size, [this] { exchange(); });
    }
    return measure_stream(options_, parameters_.size, [this](Pace pace) { return stream(pace); });
  }

 private:
  void exchange() {
    end_.source();
    end_.send(parameters_.size, true);
    end_.receive(parameters_.size);
  }

  // Returns how many messages the server has confirmed.
  uint64_t stream(Pace pace) {
    uint64_t sent = 0;
    for (bool last = false; !last;) {
      last = pace.is_last(++sent);
      end_.source()[0] = last ? kLast : kMore;
      end_.send(parameters_.size, last);
    }
    if (get_number(end_.receive(kConfirmBytes), kConfirmBytes) != sent) {
      throw Failure("the server has not got as many messages as were sent");
    }
    return sent;
  }

  const Options& options_;
  const Parameters parameters_;
  const char* const device_;
  End end_;
};

template <typename End>
void serve_plain(const Options& options, End& end) {
  EncodedParameters encoded;
  std::copy_n(end.receive(encoded.size()), encoded.size(), encoded.begin());
  const Parameters parameters = decode(encoded);
  print_served(options, parameters);
  std::copy(encoded.begin(), encoded.end(), end.source());
  end.send(encoded.size(), true);
  end.prepare(parameters);
  for (uint64_t count = 0;;) {
    const bool last = end.receive(parameters.size)[0] == kLast;
    if (parameters.op == Op::kLatency) {
      end.source();
      end.send(parameters.size, true);
      continue;
    }
    ++count;
    if (!last) continue;
    put_number(end.source(), kConfirmBytes, std::exchange(count, 0));
    end.send(kConfirmBytes, true);
  }
}

// Until the client goes, as each of them does in the end.
template <typename End>
void serve_client(const Options& options, End& end) {
  try {
    serve_plain(options, end);
  } catch (const PeerGone&) {
    // So ends every client.
  } catch (const Failure& failure) {
    print_lost(failure.what());
  }
}

}  // namespace sio_perf
