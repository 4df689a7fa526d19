// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/counters.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "conformance/lines.h"

namespace sio::test {
namespace {

namespace fs = std::filesystem;

// Output of a command; "" if it can not be run.
std::string output_of(const char* command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command, "re"), pclose);
  std::string text;
  char bytes[4096];
  while (pipe != nullptr) {
    const size_t n = std::fread(bytes, 1, sizeof bytes, pipe.get());
    if (n == 0) break;
    text.append(bytes, n);
  }
  return text;
}

}  // namespace

std::optional<uint64_t> count_rnr() {
  std::optional<uint64_t> sum;
  std::error_code none;
  for (const auto& device : fs::directory_iterator("/sys/class/infiniband", none)) {
    for (const auto& port : fs::directory_iterator(device.path() / "ports", none)) {
      for (const auto& counter : fs::directory_iterator(port.path() / "hw_counters", none)) {
        if (counter.path().filename().string().find("rnr") == std::string::npos) continue;
        uint64_t value = 0;
        if (std::ifstream(counter.path()) >> value) sum = sum.value_or(0) + value;
      }
    }
  }
  return sum;
}

// "0: rxe0: pd 1 cq 2 qp 1 cm_id 3 mr 4 ctx 1 srq 0": the pairs, of all devices.
std::string verbs_objects() {
  std::map<std::string, uint64_t> counts;
  const auto words = split_words(output_of("rdma resource show 2>/dev/null"));
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const bool number = words[i + 1].find_first_not_of("0123456789") == std::string::npos;
    if (number && words[i].back() != ':') counts[words[i]] += std::stoull(words[i + 1]);
  }
  std::string text;
  for (const auto& [kind, count] : counts) {
    text += (text.empty() ? "" : " ") + kind + ' ' + std::to_string(count);
  }
  return text;
}

size_t open_descriptors() {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++n;
  return n - 1;  // the folder's own
}

size_t resident_bytes() noexcept {
  char text[128] = "";
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  char* rest = text;
  if (n > 0) std::strtoul(text, &rest, 10);  // the first number is the address space
  return std::strtoul(rest, nullptr, 10) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace sio::test
