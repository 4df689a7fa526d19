// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstddef>

namespace sio::internal {

class Socket;

// Who hears of the outcome of one operation on a socket, once, in place of the program (src/aio).
// All calls come under the lock of the socket's channel. What it is linked into is the socket's
// list of those that wait for a message.
class Completion : public boost::intrusive::list_base_hook<> {
 public:
  virtual ~Completion() = default;

  // The peer has acknowledged the message; or it never will, and that is why.
  virtual void sent(int error) noexcept = 0;

  // A message, of at most this many bytes. Its length, and it is the program's; 0 and NULL: the
  // peer sends no more; or -errno.
  virtual size_t most() const noexcept = 0;
  virtual void received(const Socket& from, void* data, int result) noexcept = 0;
};
using Completions = boost::intrusive::list<Completion>;

}  // namespace sio::internal
