// SPDX-License-Identifier: BSD-2-Clause
//
// A channel, or the coroutines of one, in an event loop of libuv's.
#ifndef EXAMPLES_UV_CHANNEL_H
#define EXAMPLES_UV_CHANNEL_H

#include <uv.h>

#include <exception>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

// `poll` takes some of what the channel has (sio::coro::Loop::poll; or ec_next_events, and handles
// them), and says whether there was anything. The descriptor is armed once there was nothing, so
// libuv may sleep on it then and not before: until then poll is called in each turn of the loop, by
// an idle handle, which keeps libuv from sleeping and lets its other handles have their turns.
class UvChannel {
 public:
  UvChannel(uv_loop_t* loop, int descriptor, std::function<bool()> poll)
      : handles_(open(loop, descriptor)) {
    handles_->poll = std::move(poll);
    go_on(handles_);
  }
  UvChannel(const UvChannel&) = delete;
  UvChannel& operator=(const UvChannel&) = delete;
  // Before the channel goes. The handles are libuv's until the loop has run once more.
  ~UvChannel() {
    handles_->poll = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&handles_->ready), closed);
    uv_close(reinterpret_cast<uv_handle_t*>(&handles_->again), closed);
  }

  // What poll has thrown, which stops the loop: no exception goes through libuv.
  void rethrow() {
    if (handles_->failure) std::rethrow_exception(std::exchange(handles_->failure, nullptr));
  }

 private:
  struct Handles {
    uv_poll_t ready;
    uv_idle_t again;
    std::function<bool()> poll;
    std::exception_ptr failure;
    int open;
  };

  static Handles* open(uv_loop_t* loop, int descriptor) {
    auto handles = std::make_unique<Handles>();
    const int result = uv_poll_init(loop, &handles->ready, descriptor);
    if (result < 0) throw std::system_error(-result, std::generic_category(), "uv_poll_init");
    uv_idle_init(loop, &handles->again);  // never fails
    handles->ready.data = handles->again.data = handles.get();
    handles->open = 2;
    return handles.release();
  }

  static void go_on(Handles* handles) {
    uv_poll_stop(&handles->ready);
    uv_idle_start(&handles->again, [](uv_idle_t* again) {
      auto* const self = static_cast<Handles*>(again->data);
      if (!poll(*self)) sleep(self);
    });
  }
  static void sleep(Handles* handles) {
    uv_idle_stop(&handles->again);
    uv_poll_start(&handles->ready, UV_READABLE,
                  [](uv_poll_t* ready, int, int) { go_on(static_cast<Handles*>(ready->data)); });
  }
  static bool poll(Handles& handles) {
    try {
      return handles.poll();
    } catch (...) {
      handles.failure = std::current_exception();
      uv_stop(handles.again.loop);
      return true;
    }
  }
  static void closed(uv_handle_t* handle) {
    auto* const handles = static_cast<Handles*>(handle->data);
    if (--handles->open == 0) delete handles;
  }

  Handles* handles_;
};

#endif
