// SPDX-License-Identifier: BSD-2-Clause
//
// A std::map that keeps the memory of what was erased for what comes next: as much as it ever held
// at a time. So something that comes and goes allocates once.
#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

namespace sio::internal {

template <typename Key, typename Value>
class ReusingMap {
 public:
  using Map = std::map<Key, Value>;
  using iterator = typename Map::iterator;

  ReusingMap() = default;
  // With room for n from the start.
  explicit ReusingMap(size_t n) {
    spare_.reserve(n);
    while (spare_.size() < n) spare_.push_back(map_.extract(map_.emplace(Key{}, Value{}).first));
  }

  bool empty() const noexcept { return map_.empty(); }
  iterator begin() noexcept { return map_.begin(); }
  iterator end() noexcept { return map_.end(); }
  iterator find(const Key& key) noexcept { return map_.find(key); }

  // The one of this key, made anew if need be, has this value.
  iterator put(const Key& key, Value value) {
    if (const iterator known = map_.find(key); known != map_.end()) {
      known->second = std::move(value);
      return known;
    }
    if (spare_.empty()) {
      if (spare_.capacity() <= map_.size()) spare_.reserve(2 * map_.size() + 8);  // for erase()
      return map_.emplace(key, std::move(value)).first;
    }
    auto node = std::move(spare_.back());
    spare_.pop_back();
    node.key() = key;
    node.mapped() = std::move(value);
    return map_.insert(std::move(node)).position;
  }
  void erase(iterator place) noexcept {
    place->second = Value{};
    spare_.push_back(map_.extract(place));
  }
  bool erase(const Key& key) noexcept {
    const iterator found = map_.find(key);
    if (found == map_.end()) return false;
    erase(found);
    return true;
  }

 private:
  Map map_;
  std::vector<typename Map::node_type> spare_;  // has room for all
};

}  // namespace sio::internal
