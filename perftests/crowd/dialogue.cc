// SPDX-License-Identifier: BSD-2-Clause
#include "crowd/dialogue.h"

#include <algorithm>

#include "parameters.h"
#include "process.h"

namespace sio_perf {
namespace {

constexpr unsigned char kPorts = 'p';
constexpr unsigned char kUsage = 'u';
constexpr unsigned char kCpu = 'c';
constexpr size_t kPortBytes = 2;
constexpr size_t kCpuBytes = 8;

}  // namespace

std::vector<uint16_t> Dialogue::ask_ports() {
  tell({&kPorts, 1});
  const Bytes answer = hear();
  std::vector<uint16_t> ports;
  for (size_t at = 0; at + kPortBytes <= answer.size(); at += kPortBytes) {
    ports.push_back(static_cast<uint16_t>(get_number(answer.data() + at, kPortBytes)));
  }
  return ports;
}

Usage Dialogue::ask_usage() {
  tell({&kUsage, 1});
  const Bytes answer = hear();
  if (answer.size() != kUsageBytes) throw Failure("the server does not say what it uses");
  return decode_usage(std::span<const unsigned char, kUsageBytes>(answer));
}

uint64_t Dialogue::ask_cpu() {
  tell({&kCpu, 1});
  const Bytes answer = hear();
  if (answer.size() != kCpuBytes) throw Failure("the server does not say what it uses");
  return get_number(answer.data(), kCpuBytes);
}

void Dialogue::answer(const std::vector<uint16_t>& ports) {
  Bytes all(ports.size() * kPortBytes);
  for (size_t i = 0; i < ports.size(); ++i) {
    put_number(all.data() + i * kPortBytes, kPortBytes, ports[i]);
  }
  if (all.size() > kMostBytes) throw Failure("more listeners than the client can be told of");
  for (;;) {
    const Bytes question = hear();
    if (question.size() != 1) throw Failure("a question that this server does not know");
    if (question[0] == kPorts) {
      tell(all);
    } else if (question[0] == kUsage) {
      tell(encode(Usage::now()));
    } else {
      std::array<unsigned char, kCpuBytes> cpu;
      put_number(cpu.data(), kCpuBytes, Usage::cpu_now());
      tell(cpu);
    }
  }
}

}  // namespace sio_perf
