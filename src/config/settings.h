// SPDX-License-Identifier: BSD-2-Clause
//
// Settings: built-in, overridden by a file, overridden by the environment. Read once, at the
// library's first use; a socket's options override them for that socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sio::internal {

struct Settings {
  std::string provider = "auto";       // auto, verbs or soft
  uint32_t slot_size = 8192;           // bytes of payload of a slot
  uint32_t recv_slots = 64;            // slots for data
  uint32_t copy_max = 1024;            // bytes: messages up to this are copied from anywhere
  uint32_t spin_us = 50;               // microseconds of spinning before a wait sleeps
  uint32_t keepalive_ms = 5000;        // milliseconds of silence before a probe; 0: never
  uint32_t connect_timeout_ms = 5000;  // milliseconds from sio_connect to the peer's answer
  uint32_t send_quota = 64;            // SENDs in flight on a connection
  uint32_t send_window = 4;            // SENDs in flight above which small messages gather
  uint32_t ring_entries = 1024;        // events of a channel's own ring
  uint64_t default_area = 0;           // bytes of a socket's own area; 0: its receive memory
  uint32_t stats = 0;                  // 1: figures are kept for sio_stat
  std::string log = "warn";
};

const Settings& settings();

// Where a value came from, for sio_info --config.
struct SettingOrigin {
  std::string name;
  std::string value;
  std::string origin;  // "built-in", the file's path, or the environment variable
};
std::vector<SettingOrigin> describe_settings();
// Variables SIO_... that are no settings, nor for anything else that belongs to libsio.
std::vector<std::string> unknown_variables();

}  // namespace sio::internal
