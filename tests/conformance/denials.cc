// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/denials.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cstddef>
#include <iterator>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/support.h"

namespace sio::test {

NoDescriptorsLeft::NoDescriptorsLeft() {
  must(getrlimit(RLIMIT_NOFILE, &before_), "getrlimit");
  const rlimit none{3, before_.rlim_max};
  must(setrlimit(RLIMIT_NOFILE, &none), "setrlimit");
}

void forbid_call(long number, uint32_t error) {
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(number)},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{std::size(filter), filter};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "PR_SET_SECCOMP");
}

void expect_refusal(long number, int error, const std::function<int()>& call) {
  std::thread([&] {
    forbid_call(number, static_cast<uint32_t>(error));
    expect_errors({{"refused", call, error}});
  }).join();
}

}  // namespace sio::test
