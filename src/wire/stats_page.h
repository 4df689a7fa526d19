// SPDX-License-Identifier: BSD-2-Clause
//
// The page in which a process keeps the figures of its sockets for sio_stat(1): a file in memory
// (memfd), which others find as /proc/PID/fd/N. Both sides know it from here alone, so this file
// needs nothing of the library.
//
// 1. The file has its full size from the start, and is sparse. It is sealed: it never shrinks.
// 2. It begins with the header, whose first four fields are at these places in every version.
// 3. Then come the entries. One is a socket object of the library's: what it is used for changes,
//    its place does not.
// 4. What changes is guarded by a sequence number, odd while the writer is at it. There is one
//    writer.
// 5. A reader trusts nothing of it: the process may write there what it likes.
#pragma once

#include <sio/sio.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sio::internal::stats {

inline constexpr char kPageName[] = "sio-stats";
inline constexpr uint64_t kMagic = 0x746174732d6f6973;  // "sio-stat", as bytes on a PC
// Another one whenever anything below changes.
inline constexpr uint32_t kLayout = 1;
inline constexpr uint32_t kMostSockets = 65536;

enum class State : uint8_t {
  kNone,  // the entry is of no socket now
  kNew,
  kListening,
  kConnecting,
  kAccepting,
  kOpen,
  kClosing,  // sio_close; what was sent is leaving
  kEnding,
  kEnded
};

// family 0: none.
struct Name {
  uint16_t family;
  uint16_t port;  // in the host's byte order
  uint32_t scope;
  uint8_t ip[16];  // IPv4: the first 4
};

struct SocketFigures {
  uint64_t generation;  // of the object's use: another one is another socket
  uint64_t time_ns;     // when these were read, of a clock that goes on
  int32_t fd;           // -1: closed
  int32_t channel;      // -1: in none of the program's
  int32_t type;         // SOCK_SEQPACKET, ...
  State state;
  uint8_t reserved[3];
  Name local;
  Name peer;
  uint32_t unsent;          // messages (of a stream: portions) that have not left yet
  uint32_t bulk_in_flight;  // messages larger than the peer's slots that are not acknowledged
  uint32_t slots_free;      // receives that the peer may use
  uint32_t slots_held;      // slots with messages that the program has, or has to take
  sio_info info;
};

struct Totals {
  uint64_t passes;    // how often all was written
  uint64_t time_ns;   // when it last was
  uint32_t entries;   // used up to now: those that follow were never written
  uint32_t left_out;  // sockets for which there was no entry
  uint32_t channels;  // of the program's
  uint32_t areas;     // of registered memory
  uint64_t area_bytes;
};

template <typename T>
struct Guarded {
  uint64_t sequence;
  T value;
};

struct Header {
  uint64_t magic;
  uint32_t layout;
  uint32_t version;  // of the library: major, minor, patch, a byte each
  uint32_t header_bytes;
  uint32_t entry_bytes;
  uint32_t most_sockets;
  int32_t pid;  // in the process's own namespace: a forked child has the page of its parent's
  Guarded<Totals> totals;
};

struct alignas(64) Entry : Guarded<SocketFigures> {};

inline constexpr size_t kHeaderBytes = 4096;
inline constexpr size_t kPageBytes = kHeaderBytes + kMostSockets * sizeof(Entry);

static_assert(sizeof(Header) <= kHeaderBytes);
// They are copied a word at a time.
static_assert(sizeof(SocketFigures) % 8 == 0 && sizeof(Totals) % 8 == 0);
static_assert(std::is_trivially_copyable_v<SocketFigures> && std::is_trivially_copyable_v<Totals>);

constexpr size_t place_of(uint32_t entry) noexcept { return kHeaderBytes + entry * sizeof(Entry); }

}  // namespace sio::internal::stats
