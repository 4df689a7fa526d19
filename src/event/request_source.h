// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "event/added_source.h"

namespace sio::internal {

// Requests whose ends come to a channel (src/aio). A channel has one of these or none.
class RequestSource : public AddedSource {
 public:
  RequestSource() noexcept : AddedSource(nullptr) {}

  // Takes what has ended, without a system call. True: there is something to offer.
  virtual bool look() noexcept = 0;
  // While some are the channel can not go.
  virtual bool under_way() const noexcept = 0;
  // Readable when there is something to look at; -1: nothing is ever.
  virtual int descriptor() const noexcept = 0;
};

}  // namespace sio::internal
