// SPDX-License-Identifier: BSD-2-Clause
//
// Lines of text over descriptors: what tests, agent and peers say to each other.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conformance/support.h"

namespace sio::test {

// Owner of a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

// Reads lines; more than kMost bytes without a newline are the end.
class LineReader {
 public:
  static constexpr size_t kMost = 65536;

  explicit LineReader(int fd) : fd_(fd) {}

  // The next line; throws when none comes in that time. Nothing: the end.
  std::optional<std::string> line(milliseconds limit);
  // One read (blocks, if the descriptor does) and the lines that are there then.
  std::vector<std::string> read_lines();
  // Those that were read already.
  std::vector<std::string> complete_lines();
  bool at_end() const { return end_; }

 private:
  bool take(std::string& line);
  void fill();

  int fd_;
  std::string buffer_;
  bool end_ = false;
};

// With its newline; false: the other side is gone.
bool write_line(int fd, const std::string& line);

std::vector<std::string> split_words(const std::string& line);

// "verb rest": the verb; `line` becomes the rest.
std::string take_word(std::string& line);

}  // namespace sio::test
