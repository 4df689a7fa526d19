// SPDX-License-Identifier: BSD-2-Clause
//
// A function for the control thread, with what it was made of, which lies in the task itself: so
// that to hand one over asks for no memory.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace sio::internal {

class Task {
 public:
  Task() noexcept = default;
  template <typename Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, Task>) Task(Function&& function)
  noexcept : kind_(&kKindOf<std::decay_t<Function>>) {
    using Made = std::decay_t<Function>;
    static_assert(sizeof(Made) <= kRoom && alignof(Made) <= alignof(std::max_align_t));
    static_assert(std::is_nothrow_copy_constructible_v<Made>);
    ::new (room_) Made(std::forward<Function>(function));
  }
  Task(const Task& other) noexcept : kind_(other.kind_) {
    if (kind_ != nullptr) kind_->copy(room_, other.room_);
  }
  Task& operator=(const Task& other) noexcept {
    if (this == &other) return *this;
    reset();
    kind_ = other.kind_;
    if (kind_ != nullptr) kind_->copy(room_, other.room_);
    return *this;
  }
  ~Task() { reset(); }

  void reset() noexcept {
    if (kind_ != nullptr) std::exchange(kind_, nullptr)->destroy(room_);
  }
  void operator()() const { kind_->call(room_); }

 private:
  static constexpr size_t kRoom = 64;

  struct Kind {
    void (*call)(const std::byte* made);
    void (*copy)(std::byte* to, const std::byte* from) noexcept;
    void (*destroy)(std::byte* made) noexcept;
  };
  template <typename Made>
  static constexpr Kind kKindOf{
      [](const std::byte* made) { (*const_cast<Made*>(reinterpret_cast<const Made*>(made)))(); },
      [](std::byte* to, const std::byte* from) noexcept {
        ::new (to) Made(*reinterpret_cast<const Made*>(from));
      },
      [](std::byte* made) noexcept { reinterpret_cast<Made*>(made)->~Made(); }};

  const Kind* kind_ = nullptr;
  alignas(std::max_align_t) std::byte room_[kRoom];
};

}  // namespace sio::internal
