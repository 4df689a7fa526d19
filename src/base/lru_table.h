// SPDX-License-Identifier: BSD-2-Clause
//
// A table of at most so many entries: a further one takes the place of that which was used longest
// ago. Entries do not move. Memory is taken as the table fills, and kept.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <new>
#include <random>
#include <vector>

namespace sio::internal {

// Key: equality, and hash(seed); what others choose as keys can not crowd one place.
template <typename Key, typename Value>
class LruTable {
 public:
  static constexpr uint32_t kMost = 1u << 20;

  // Throws std::bad_alloc. Of at most kMost entries.
  explicit LruTable(uint32_t capacity)
      : capacity_(std::min(capacity, kMost)), seed_(std::random_device{}()) {
    places_.resize(std::bit_ceil(capacity_), kNone);
  }

  uint32_t size() const noexcept { return size_; }

  // Counts as a use; NULL: there is none.
  Value* find(const Key& key) noexcept {
    const uint32_t at = search(key);
    if (at == kNone) return nullptr;
    unlink(at);
    link_front(at);
    return &nodes_[at].value;
  }
  // Does not.
  Value* peek(const Key& key) noexcept {
    const uint32_t at = search(key);
    return at == kNone ? nullptr : &nodes_[at].value;
  }

  const Value* peek(const Key& key) const noexcept {
    const uint32_t at = search(key);
    return at == kNone ? nullptr : &nodes_[at].value;
  }

  // A fresh one, of which there is none yet. may_go(value): whether an entry may be forgotten for
  // it. NULL: none may.
  template <typename MayGo>
  Value* make(const Key& key, MayGo may_go) noexcept {
    const uint32_t at = free_node(may_go);
    if (at == kNone) return nullptr;
    Node& node = nodes_[at];
    node.key = key;
    node.value = Value{};
    node.chain = place_of(key);
    node.next_in_chain = places_[node.chain];
    places_[node.chain] = at;
    link_front(at);
    ++size_;
    return &node.value;
  }

  // Whether make() would find a place.
  template <typename MayGo>
  bool has_place(MayGo may_go) const noexcept {
    if (size_ < capacity_) return true;
    for (uint32_t at = last_; at != kNone; at = nodes_[at].previous) {
      if (may_go(nodes_[at].value)) return true;
    }
    return false;
  }

  void erase(const Key& key) noexcept {
    const uint32_t at = search(key);
    if (at != kNone) remove(at);
  }

  // use(key, value) of each, that of the latest use first.
  template <typename Use>
  void for_each(Use use) {
    for (uint32_t at = first_; at != kNone; at = nodes_[at].next)
      use(nodes_[at].key, nodes_[at].value);
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Node {
    Key key{};
    Value value{};
    uint32_t chain = 0;  // the place
    uint32_t next_in_chain = kNone;
    uint32_t next = kNone;  // in the order of their use, or of the free ones
    uint32_t previous = kNone;
  };

  uint32_t place_of(const Key& key) const noexcept {
    return static_cast<uint32_t>(key.hash(seed_)) & static_cast<uint32_t>(places_.size() - 1);
  }

  uint32_t search(const Key& key) const noexcept {
    uint32_t at = places_[place_of(key)];
    while (at != kNone && !(nodes_[at].key == key)) at = nodes_[at].next_in_chain;
    return at;
  }

  template <typename MayGo>
  uint32_t free_node(MayGo may_go) noexcept {
    if (free_ == kNone && nodes_.size() < capacity_) {
      try {
        nodes_.emplace_back();
        return static_cast<uint32_t>(nodes_.size() - 1);
      } catch (const std::bad_alloc&) {
        // there are others
      }
    }
    for (uint32_t at = last_; free_ == kNone && at != kNone; at = nodes_[at].previous) {
      if (!may_go(nodes_[at].value)) continue;
      remove(at);
      break;
    }
    const uint32_t at = free_;
    if (at != kNone) free_ = nodes_[at].next;
    return at;
  }

  void remove(uint32_t at) noexcept {
    Node& node = nodes_[at];
    uint32_t* link = &places_[node.chain];
    while (*link != at) link = &nodes_[*link].next_in_chain;
    *link = node.next_in_chain;
    unlink(at);
    node.value = Value{};
    node.next = free_;
    free_ = at;
    --size_;
  }

  void link_front(uint32_t at) noexcept {
    nodes_[at].previous = kNone;
    nodes_[at].next = first_;
    (first_ == kNone ? last_ : nodes_[first_].previous) = at;
    first_ = at;
  }

  void unlink(uint32_t at) noexcept {
    const Node& node = nodes_[at];
    (node.previous == kNone ? first_ : nodes_[node.previous].next) = node.next;
    (node.next == kNone ? last_ : nodes_[node.next].previous) = node.previous;
  }

  const uint32_t capacity_;
  const uint64_t seed_;
  std::vector<uint32_t> places_;
  std::deque<Node> nodes_;
  uint32_t size_ = 0;
  uint32_t first_ = kNone;  // used last
  uint32_t last_ = kNone;
  uint32_t free_ = kNone;
};

}  // namespace sio::internal
