// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/lines.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

namespace sio::test {

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void LineReader::fill() {
  char bytes[4096];
  const ssize_t n = ::read(fd_, bytes, sizeof bytes);
  if (n > 0) {
    buffer_.append(bytes, static_cast<size_t>(n));
  } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
    end_ = true;
  }
  if (buffer_.size() > kMost) end_ = true;
}

bool LineReader::take(std::string& line) {
  const size_t newline = buffer_.find('\n');
  if (newline == std::string::npos) return false;
  line = buffer_.substr(0, newline);
  buffer_.erase(0, newline + 1);
  return true;
}

std::optional<std::string> LineReader::line(milliseconds limit) {
  const auto end = Clock::now() + limit;
  std::string line;
  while (!take(line)) {
    if (end_) return std::nullopt;
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) fail("no line within %lld ms", static_cast<long long>(limit.count()));
    pollfd entry{fd_, POLLIN, 0};
    if (poll(&entry, 1, static_cast<int>(left.count())) > 0) fill();
  }
  return line;
}

std::vector<std::string> LineReader::read_lines() {
  fill();
  return complete_lines();
}

std::vector<std::string> LineReader::complete_lines() {
  std::vector<std::string> lines;
  std::string line;
  while (take(line)) lines.push_back(line);
  return lines;
}

bool write_line(int fd, const std::string& line) {
  const std::string text = line + '\n';
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<size_t>(n);
  }
  return true;
}

std::vector<std::string> split_words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string take_word(std::string& line) {
  const size_t space = line.find(' ');
  std::string word = line.substr(0, space);
  line = space == std::string::npos ? "" : line.substr(space + 1);
  return word;
}

}  // namespace sio::test
