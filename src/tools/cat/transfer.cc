// SPDX-License-Identifier: BSD-2-Clause
#include "cat/transfer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace sio_cat {
namespace {

using namespace std::chrono_literals;

// What is left of a file that the input is; 0: nobody knows.
uint64_t input_size() {
  struct stat found;
  if (::fstat(STDIN_FILENO, &found) != 0 || !S_ISREG(found.st_mode)) return 0;
  const off_t at = ::lseek(STDIN_FILENO, 0, SEEK_CUR);
  return at >= 0 && at < found.st_size ? static_cast<uint64_t>(found.st_size - at) : 0;
}

}  // namespace

Transfer::Transfer(const Options& options, const Memory& memory, const sio::Channel& channel,
                   sio::Socket socket)
    : options_(options),
      channel_(channel),
      socket_(std::move(socket)),
      sender_(options, memory, channel, socket_),
      receiver_(options, channel),
      progress_(options),
      input_is_terminal_(::isatty(STDIN_FILENO) != 0),
      to_send_(options.no_input ? 0 : input_size()) {
  if (progress_.shown()) timer_ = channel.add_timer(progress_.period(), progress_.period());
}

Transfer::~Transfer() {
  if (timer_ != 0) channel_.end(timer_);
  progress_.step_aside();
  if (!over_) {
    constexpr linger kAbort{1, 0};
    (void)sio_setsockopt(socket_.descriptor(), SOL_SOCKET, SO_LINGER, &kAbort, sizeof kAbort);
  }
  (void)socket_.close();
  // The blocks that are on their way come back, with an error if need be.
  while (sender_.in_flight() > 0 && channel_.wait(4s)) {
    while (const auto event = channel_.next()) {
      if (event->kind == EC_SENT) sender_.take_back(*event);
    }
  }
}

ExitStatus Transfer::run() {
  try {
    while (!over()) step();
  } catch (const Lost& lost) {
    if (!options_.checksum || receiver_.has_hello()) throw;
    throw Failure(std::string(lost.what()) + "; does the peer use --checksum, too?");
  }
  over_ = true;
  progress_.finish(amounts());
  return report();
}

void Transfer::step() {
  take_events();
  const bool moved = advance();
  if (receiver_.all_written()) finish_receiving();
  if (!sender_.is_shut_down() && may_shut_down()) sender_.shut_down();
  if (moved || over()) return;
  const sio::Status status = channel_.wait();
  if (!status && status.error() != EINTR) throw Failure("ec_delay", status.error());
}

// One message of each direction at most, so that neither waits long for the other.
bool Transfer::advance() {
  const bool sent = sender_.advance();
  const bool written = receiver_.advance();
  receiver_.check_end();
  return sent || written;
}

void Transfer::take_events() {
  while (const auto event = channel_.next()) take(*event);
}

void Transfer::take(const event_data_t& event) {
  switch (event.kind) {
    case EC_RECV:
      return receiver_.on_message(event);
    case EC_EOF:
      return receiver_.on_end();
    case EC_SENT:
      return sender_.on_sent(event);
    case EC_WRITABLE:
      return sender_.on_writable();
    case EC_FD:
      return static_cast<Readiness*>(event.cookie)->on_event();
    case EC_TIMER:
      return progress_.show(amounts());
    case EC_HUP:
      throw Lost("the connection", event.error);
    default:  // none of those that were asked for
      return;
  }
}

// Once. The output of a program that keeps listening is the next peer's, too.
void Transfer::finish_receiving() {
  if (std::exchange(received_, true)) return;
  if (!options_.keep) receiver_.close_output();
  if (options_.checksum) judge();
  if (input_is_terminal_) sender_.end_input();
}

// Was it what the peer has sent?
void Transfer::judge() {
  right_ = *receiver_.sent() == receiver_.proof();
  sender_.send_verdict(right_);
}

bool Transfer::may_shut_down() const {
  if (!sender_.all_acknowledged()) return false;
  if (options_.checksum) return received_ && receiver_.peers_verdict().has_value();
  return !options_.no_input || receiver_.ended();
}

bool Transfer::over() const { return sender_.is_shut_down() && receiver_.ended(); }

Amounts Transfer::amounts() const {
  return {sender_.acknowledged(), receiver_.written(), to_send_};
}

ExitStatus Transfer::report() {
  if (!options_.checksum) return kDone;
  std::fprintf(stderr, "sio_cat: sent %s\n", sender_.proof().text().c_str());
  std::fprintf(stderr, "sio_cat: received %s\n", receiver_.proof().text().c_str());
  if (!right_) {
    std::fprintf(stderr, "sio_cat: that is not what was sent: %s\n",
                 receiver_.sent()->text().c_str());
  }
  const bool peers = *receiver_.peers_verdict();
  if (!peers) std::fprintf(stderr, "sio_cat: the peer has not got what was sent\n");
  return right_ && peers ? kDone : kDiffers;
}

}  // namespace sio_cat
