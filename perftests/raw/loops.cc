// SPDX-License-Identifier: BSD-2-Clause
//
// The measurements on bare verbs: the same loops as the library's, by other means.
#include <algorithm>
#include <utility>

#include "measure.h"
#include "process.h"
#include "raw/connection.h"
#include "raw/crowd_ends.h"
#include "raw/endpoint.h"

namespace sio_perf {
namespace {

// Client ------------------------------------------------------------------------------------------

class RawClient : public Client {
 public:
  RawClient(const Options& options, uint32_t size);
  SetUp set_up() const override { return end_.set_up(); }
  Measured run() override;

 private:
  void exchange();
  uint64_t stream(Pace pace);
  uint32_t fill(Pace& pace, uint64_t sent, bool& last);
  void take_answers();

  const Options& options_;
  const Parameters parameters_;
  RawConnection connection_;
  RawEndpoint end_;
  uint32_t credits_;
  uint64_t confirmed_ = 0;
  bool holds_reply_ = false;
};

RawClient::RawClient(const Options& options, uint32_t size)
    : options_(options),
      parameters_(options.parameters(size)),
      connection_(resolve(options.host, options.port, false)),
      end_(connection_, parameters_),
      credits_(end_.window()) {
  connection_.connect(parameters_);
}

Measured RawClient::run() {
  if (parameters_.op == Op::kLatency) {
    return measure_round_trips(options_, parameters_.size, [this] { exchange(); });
  }
  return measure_stream(options_, parameters_.size, [this](Pace pace) { return stream(pace); });
}

void RawClient::exchange() {
  while (!end_.has_room(1)) end_.take_sent();
  end_.post(1, parameters_.size);
  // The buffer of the reply before goes back while this message is on its way.
  if (std::exchange(holds_reply_, true)) end_.give_back();
  RawEndpoint::Batch batch;
  end_.wait(batch);
}

// Writes as many messages as may be posted at once, and says how many.
uint32_t RawClient::fill(Pace& pace, uint64_t sent, bool& last) {
  uint32_t count = 0;
  while (count < options_.post_list && count < credits_ && !last && end_.has_room(count + 1)) {
    last = pace.is_last(sent + count + 1);
    end_.buffer(count)[0] = last ? kLast : kMore;
    ++count;
  }
  return count;
}

// Returns how many messages the server has confirmed.
uint64_t RawClient::stream(Pace pace) {
  uint64_t sent = 0;
  confirmed_ = 0;
  for (bool last = false; !last;) {
    const uint32_t count = fill(pace, sent, last);
    if (count > 0) {
      end_.post(count, parameters_.size);
      credits_ -= count;
      sent += count;
    } else {
      end_.wait_any();
    }
    if (count < options_.post_list) {
      end_.take_sent();
      take_answers();
    }
  }
  while (confirmed_ == 0) {
    end_.wait_any();
    take_answers();
  }
  if (confirmed_ != sent) throw Failure("the server has not got as many messages as were sent");
  return sent;
}

void RawClient::take_answers() {
  RawEndpoint::Batch batch;
  for (const ibv_wc& completion : end_.take(batch)) {
    if (completion.byte_len == kCreditBytes) {
      credits_ += static_cast<uint32_t>(get_number(end_.bytes(completion), kCreditBytes));
    } else {
      confirmed_ = get_number(end_.bytes(completion), kConfirmBytes);
    }
    end_.give_back();
  }
}

// Server ------------------------------------------------------------------------------------------

void reply(RawEndpoint& end, uint32_t size) {
  RawEndpoint::Batch batch;
  for (;;) {
    end.wait(batch);
    while (!end.has_room(1)) end.take_sent();
    end.post(1, size);
    end.give_back();
  }
}

void send_number(RawEndpoint& end, uint64_t number, size_t bytes) {
  while (!end.has_room(1)) end.take_sent();
  put_number(end.buffer(0), bytes, number);
  end.post(1, static_cast<uint32_t>(bytes));
}

void take_stream(RawEndpoint& end) {
  uint64_t count = 0;
  RawEndpoint::Batch batch;
  for (;;) {
    for (const ibv_wc& completion : end.wait(batch)) {
      const bool last = completion.byte_len > 0 && end.bytes(completion)[0] == kLast;
      ++count;
      if (end.give_back()) send_number(end, end.window() / 2, kCreditBytes);
      if (!last) continue;
      send_number(end, count, kConfirmBytes);
      count = 0;
    }
  }
}

void serve_one(const Options& options, RawListener::Request request) {
  RawConnection connection(std::move(request.id));
  const Parameters& parameters = request.parameters;
  if (parameters.op == Op::kCrowd) return serve_raw_crowd(options, parameters, connection);
  RawEndpoint end(connection, parameters);
  connection.accept();
  print_served(options, parameters);
  try {
    if (parameters.op == Op::kLatency) reply(end, parameters.size);
    take_stream(end);
  } catch (const PeerGone&) {
    // So ends every client.
  }
}

}  // namespace

std::unique_ptr<Client> connect_raw(const Options& options, uint32_t size) {
  return std::make_unique<RawClient>(options, size);
}

void serve_raw(const Options& options) {
  RawListener listener(resolve(options.bind, options.port, true));
  do {
    RawListener::Request request = listener.wait();
    try {
      serve_one(options, std::move(request));
    } catch (const Failure& failure) {
      print_lost(failure.what());
    }
  } while (!options.once);
}

}  // namespace sio_perf
