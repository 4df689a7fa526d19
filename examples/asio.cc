// SPDX-License-Identifier: BSD-2-Clause
//
// asio ADDRESS PORT [COUNT]      a program of Boost.Asio takes a channel in
//
// Sends a message each 10 ms, by one of Asio's timers, and ends when COUNT answers have come.
// clang-format off
#include <utility>  // before Boost 1.74, which forgets it
// clang-format on

#include <sio/sio.hpp>

#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common.h"

namespace asio = boost::asio;
using namespace std::chrono_literals;

class Client {
 public:
  Client(asio::io_context& context, const sockaddr_in& to, int count)
      : timer_(context), ready_(context, channel_.descriptor()), left_(count) {
    socket_.join(channel_).connect(to);
    await_events();
    send();
  }
  // The descriptor is the channel's, not Asio's to close.
  ~Client() { ready_.release(); }

 private:
  void send() {
    const std::string text = "message " + std::to_string(sent_++);
    if (const sio::Status status = socket_.send(text); !status && !status.again()) {
      throw std::system_error(status.code(), "send");
    }
    timer_.expires_after(10ms);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) send();
    });
  }

  void await_events() {
    ready_.async_wait(asio::posix::descriptor_base::wait_read,
                      [this](const boost::system::error_code& error) {
                        if (!error && take_events()) await_events();
                      });
  }

  // Until there is none: then the descriptor is armed. False: all have come.
  bool take_events() {
    while (const auto event = channel_.next()) {
      if (event->kind == EC_HUP) throw std::system_error(event->error, std::generic_category());
      if (event->kind != EC_RECV) continue;
      const sio::Buffer message = sio::buffer_of(*event);
      std::printf("%.*s\n", static_cast<int>(message.size()), message.text().data());
      if (--left_ > 0) continue;
      timer_.cancel();
      return false;
    }
    return true;
  }

  sio::Channel channel_{0u};
  sio::Socket socket_{AF_INET};
  asio::steady_timer timer_;
  asio::posix::stream_descriptor ready_;
  int sent_ = 0;
  int left_;
};

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: asio ADDRESS PORT [COUNT]\n");
    return 2;
  }
  const sockaddr_in to = address(argv[1], argv[2]);
  asio::io_context context;
  const Client client(context, to, argc > 3 ? std::atoi(argv[3]) : 10);
  context.run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "asio: %s\n", error.what());
  return 1;
}
