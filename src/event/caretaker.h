// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace sio::internal {

class Channel;

// Sees to it that what a channel holds (a train that waits for room, a socket that lingers)
// goes on although the program has stopped calling: looks in the control thread after a
// millisecond (or at once), and each millisecond while the program works on; once it sleeps,
// whenever there are completions. Ends by itself when nothing is held. Called under the lock.
void take_care_of(Channel* channel) noexcept;

}  // namespace sio::internal
