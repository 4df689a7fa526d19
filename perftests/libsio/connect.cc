// SPDX-License-Identifier: BSD-2-Clause
#include "libsio/connect.h"

#include <cerrno>

#include "process.h"

namespace sio_perf {
namespace {

constexpr int kServedMs = 60'000;  // the server may have another client

const char* connect_remedy(int error) {
  switch (error) {
    case ECONNREFUSED:
      return "start `sio_perf server` there, on the same provider, or check --port";
    case EPROTO:
    case EPROTONOSUPPORT:
      return "that is not `sio_perf server`, or of another version";
    case ENODEV:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return "give an address that an RDMA device leads to (`rdma link`, `ip addr`)";
    case ENOMEM:
      return "more memory must be lockable (`ulimit -l`); SIO_LOG=info says how much";
    default:
      return "is the server alive, and the network up?";
  }
}

}  // namespace

int new_sio_socket(const Address& address) {
  const int socket = sio_socket(address.storage.ss_family, SOCK_SEQPACKET, 0);
  if (socket < 0) fail_with_errno("sio_socket");
  return socket;
}

int new_sio_channel() {
  const int channel = ec_create(0);
  if (channel < 0) fail_with_errno("ec_create");
  return channel;
}

void fail_connect(const std::string& host) {
  check_stop();
  fail_with_errno(host, connect_remedy(errno));
}

SioConnection::SioConnection(const Options& options, const Parameters& parameters,
                             const SioMemory& memory)
    : channel_(new_sio_channel()),
      socket_(new_sio_socket(resolve(options.host, options.port, false))),
      end_(channel_.get(), socket_.get()) {
  memory.associate_with(socket_.get());
  if (ec_add_fd(channel_.get(), socket_.get(), EC_DELIVER, nullptr) != 0) {
    fail_with_errno("ec_add_fd");
  }
  const Address address = resolve(options.host, options.port, false);
  if (sio_connect(socket_.get(), address.get(), address.length) != 0) fail_connect(options.host);
  check_size(parameters.size);
  introduce(parameters);
}

void SioConnection::check_size(uint32_t size) const {
  uint64_t largest = 0;
  socklen_t length = sizeof largest;
  if (sio_getsockopt(socket_.get(), SOL_SIO, SIO_MAX_MESSAGE, &largest, &length) != 0) {
    fail_with_errno("SIO_MAX_MESSAGE");
  }
  if (size > largest) {
    throw Failure("the server takes messages of up to " + std::to_string(largest) +
                  " bytes; choose a smaller -s");
  }
}

// The server answers with the same when it is ready.
void SioConnection::introduce(const Parameters& parameters) {
  const EncodedParameters encoded = encode(parameters);
  end_.send(encoded.data(), encoded.size());
  event_data_t answer;
  if (!end_.receive_within(answer, kServedMs)) {
    throw Failure("the server does not take this client; use the same version at both ends");
  }
  SioEndpoint::release(answer);
}

SetUp SioConnection::set_up() const {
  sio_info info = {};
  socklen_t length = sizeof info;
  if (sio_getsockopt(socket_.get(), SOL_SIO, SIO_INFO, &info, &length) != 0) {
    fail_with_errno("SIO_INFO");
  }
  return {info.device, info.mtu, info.max_inline};
}

}  // namespace sio_perf
