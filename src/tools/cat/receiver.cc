// SPDX-License-Identifier: BSD-2-Clause
#include "cat/receiver.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "cat/failure.h"

namespace sio_cat {
namespace {

bool is_file(int fd) {
  struct stat found;
  return ::fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

bool is_hello(std::span<const std::byte> message) {
  return std::string_view(reinterpret_cast<const char*>(message.data()), message.size()) == hello();
}

[[noreturn]] void fail_of_protocol() {
  throw Failure("the peer breaks the protocol of --checksum; is it sio_cat, of this version?");
}

}  // namespace

Receiver::Receiver(const Options& options, const sio::Channel& channel)
    : options_(options),
      output_(std::in_place, channel, STDOUT_FILENO, EPOLLOUT),
      at_once_(is_file(STDOUT_FILENO)) {}

bool Receiver::advance() {
  if (messages_.empty()) return false;
  if (!is_open_) open_message();
  if (!rest_.empty() && !write_some()) return false;
  if (rest_.empty()) {
    messages_.pop_front();  // room for another one
    is_open_ = false;
  }
  return true;
}

void Receiver::open_message() {
  rest_ = messages_.front().bytes();
  if (first_) check_first(rest_);
  first_ = false;
  if (options_.checksum) rest_ = read_kind(rest_);
  is_open_ = true;
}

void Receiver::check_first(std::span<const std::byte> message) const {
  if (options_.checksum && !is_hello(message))
    throw Failure("the peer does not use --checksum; both ends must, or neither");
  if (!options_.checksum && is_hello(message))
    throw Failure("the peer uses --checksum; both ends must, or neither");
}

// The data of a message, if it has some.
std::span<const std::byte> Receiver::read_kind(std::span<const std::byte> message) {
  if (message.empty()) fail_of_protocol();
  const std::span<const std::byte> content = message.first(message.size() - 1);
  Proof proof;
  switch (static_cast<Kind>(message.back())) {
    case Kind::kHello:
      if (has_hello_) fail_of_protocol();
      has_hello_ = true;
      return {};
    case Kind::kData:
      if (sent_) fail_of_protocol();
      checksum_.add(content);
      return content;
    case Kind::kEnd:
      if (sent_ || !read_end(content, proof)) fail_of_protocol();
      sent_ = proof;
      return {};
    case Kind::kRight:
    case Kind::kWrong:
      if (verdict_ || !content.empty()) fail_of_protocol();
      verdict_ = static_cast<Kind>(message.back()) == Kind::kRight;
      return {};
  }
  fail_of_protocol();
}

// As much as is sure not to block: then the other direction would stand, too. Of a pipe that is
// ready that is PIPE_BUF (pipe(7)).
bool Receiver::write_some() {
  const size_t most = at_once_ ? rest_.size() : std::min<size_t>(rest_.size(), PIPE_BUF);
  ssize_t n;
  do {
    if (!output_->ready()) return false;
    n = ::write(STDOUT_FILENO, rest_.data(), most);
  } while (n < 0 && (errno == EAGAIN || errno == EINTR));
  if (n < 0) throw Failure("writing the output", errno);
  rest_ = rest_.subspan(static_cast<size_t>(n));
  written_ += static_cast<uint64_t>(n);
  return true;
}

void Receiver::close_output() {
  output_.reset();
  if (::close(STDOUT_FILENO) != 0) throw Failure("closing the output", errno);
}

bool Receiver::all_written() const {
  return options_.checksum ? sent_.has_value() && rest_.empty() : ended();
}

void Receiver::check_end() const {
  if (!options_.checksum || !ended()) return;
  if (!has_hello_) throw Failure("the peer does not use --checksum; both ends must, or neither");
  if (!sent_) throw Failure("the peer ended before it had sent everything");
  if (!verdict_) throw Failure("the peer ended before it had checked everything");
}

}  // namespace sio_cat
