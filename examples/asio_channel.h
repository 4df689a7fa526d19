// SPDX-License-Identifier: BSD-2-Clause
//
// A channel, or the coroutines of one, in an io_context of Boost.Asio's.
#ifndef EXAMPLES_ASIO_CHANNEL_H
#define EXAMPLES_ASIO_CHANNEL_H

// clang-format off
#include <utility>  // before Boost 1.74, which forgets it
// clang-format on

#include <boost/asio.hpp>
#include <functional>

// `poll` takes some of what the channel has (sio::coro::Loop::poll; or ec_next_events, and handles
// them), and says whether there was anything. The descriptor is armed once there was nothing, so
// Asio may wait for it then and not before: until then poll is called again and again, behind what
// else the context has to do. What it throws comes out of the context's run().
class AsioChannel {
 public:
  AsioChannel(boost::asio::io_context& context, int descriptor, std::function<bool()> poll)
      : ready_(context, descriptor), poll_(std::move(poll)) {
    go_on();
  }
  AsioChannel(const AsioChannel&) = delete;
  AsioChannel& operator=(const AsioChannel&) = delete;
  // The descriptor is the channel's, not Asio's to close.
  ~AsioChannel() {
    *here_ = false;
    ready_.release();
  }

 private:
  void go_on() {
    boost::asio::post(ready_.get_executor(), [this, here = here_] {
      if (!*here) return;
      poll_() ? go_on() : sleep();
    });
  }
  void sleep() {
    ready_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                      [this, here = here_](const boost::system::error_code& error) {
                        if (!error && *here) go_on();
                      });
  }

  boost::asio::posix::stream_descriptor ready_;
  std::function<bool()> poll_;
  std::shared_ptr<bool> here_ =
      std::make_shared<bool>(true);  // handlers may run after we have gone
};

#endif
