// SPDX-License-Identifier: BSD-2-Clause
//
// sio_test_peer BEHAVIOUR [key=value...]     one behaviour (behaviours.h)
// sio_test_peer --agent [ADDRESS [PORT]]     starts behaviours for tests on another machine
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "conformance/agent.h"
#include "conformance/behaviours.h"

namespace {

using namespace sio::test;

int be_agent(int argc, char** argv) {
  const std::string address = argc > 2 ? argv[2] : Address::self().text();
  const int port = argc > 3 ? std::atoi(argv[3]) : kAgentPort;
  run_agent(Address(address, static_cast<uint16_t>(port)));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s BEHAVIOUR [key=value...] | --agent [ADDRESS [PORT]]\n",
                 argv[0]);
    return 2;
  }
  try {
    if (std::strcmp(argv[1], "--agent") == 0) return be_agent(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::string command;
  for (int i = 1; i < argc; ++i) command += std::string(argv[i]) + ' ';
  return run_behaviour(command);
}
