// SPDX-License-Identifier: BSD-2-Clause
#include "config/settings.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <boost/program_options.hpp>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string_view>

#include "base/log.h"
#include "wire/hello.h"

namespace sio::internal {
namespace {

namespace po = boost::program_options;

constexpr const char* kDefaultFile = "/etc/sio.conf";

// One row of the table of settings: how it is read and printed, and what it takes.
struct Row {
  const char* name;
  std::string takes;
  std::function<bool(Settings&, const std::string&)> set;  // false: not a valid value
  std::function<std::string(const Settings&)> get;
};

// What a number must be beside being within its range.
struct Check {
  const char* text = "";
  bool (*holds)(uint64_t value) = nullptr;
};

template <typename T>
Row number(const char* name, T Settings::*member, uint64_t least, uint64_t most, Check check = {}) {
  const auto set = [=](Settings& s, const std::string& text) {
    char* end = nullptr;
    // 064 is 64: who writes a file of settings does not think of C.
    const int base = text.rfind("0x", 0) == 0 || text.rfind("0X", 0) == 0 ? 16 : 10;
    const uint64_t value = std::strtoull(text.c_str(), &end, base);
    if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) == 0 || *end != '\0') {
      return false;
    }
    if (value < least || value > most || (check.holds != nullptr && !check.holds(value)))
      return false;
    s.*member = static_cast<T>(value);
    return true;
  };
  return {name, std::to_string(least) + " to " + std::to_string(most) + check.text, set,
          [member](const Settings& s) { return std::to_string(s.*member); }};
}

Row word(const char* name, std::string Settings::*member, const std::vector<std::string>& words) {
  std::string takes;
  for (const std::string& one : words) takes += (takes.empty() ? "" : ", ") + one;
  const auto set = [=](Settings& s, const std::string& text) {
    s.*member = text;
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  return {name, takes, set, [member](const Settings& s) { return s.*member; }};
}

constexpr Check kMultipleOf64{", a multiple of 64",
                              [](uint64_t value) { return value % wire::kSlotAlign == 0; }};
constexpr Check kPowerOfTwo{", a power of two",
                            [](uint64_t value) { return std::has_single_bit(value); }};

const std::vector<Row>& rows() {
  static const auto* const table = new std::vector<Row>{
      word("provider", &Settings::provider, {"auto", "verbs", "soft"}),
      number("slot-size", &Settings::slot_size, wire::kMinSlotSize, wire::kMaxSlotSize,
             kMultipleOf64),
      number("recv-slots", &Settings::recv_slots, wire::kMinSlots, wire::kMaxSlots),
      number("copy-max", &Settings::copy_max, 0, 8192),
      number("spin-us", &Settings::spin_us, 0, 1'000'000),
      number("keepalive-ms", &Settings::keepalive_ms, 0, 86'400'000),
      number("connect-timeout-ms", &Settings::connect_timeout_ms, 1, 600'000),
      number("send-quota", &Settings::send_quota, 4, 4096),
      number("send-window", &Settings::send_window, 1, 4096),
      number("ring-entries", &Settings::ring_entries, 2, 1u << 24, kPowerOfTwo),
      number("default-area", &Settings::default_area, 0, uint64_t{1} << 40),
      number("stats", &Settings::stats, 0, 1),
      word("log", &Settings::log, {"error", "warn", "info", "debug", "none"}),
  };
  return *table;
}

struct Loaded {
  Settings settings;
  std::vector<SettingOrigin> origins;
};

SettingOrigin& origin_of(Loaded& loaded, const std::string& name) {
  return *std::find_if(loaded.origins.begin(), loaded.origins.end(),
                       [&](const SettingOrigin& o) { return o.name == name; });
}

// A value that makes no sense is said and passed over: a library has no better way to refuse.
void apply(Loaded& loaded, const std::string& name, const std::string& text,
           const std::string& origin) {
  const Row& row =
      *std::find_if(rows().begin(), rows().end(), [&](const Row& r) { return name == r.name; });
  Settings with = loaded.settings;
  if (!row.set(with, text)) {
    LOG_ERROR("%s: %s=%s is not a valid value (%s): not used", origin.c_str(), name.c_str(),
              text.c_str(), row.takes.c_str());
    return;
  }
  loaded.settings = with;
  origin_of(loaded, name).value = row.get(with);
  origin_of(loaded, name).origin = origin;
}

// SIO_SLOT_SIZE -> slot-size; "" for what is none of ours, which Boost then passes over.
std::string setting_of_variable(const std::string& variable) {
  if (variable.rfind("SIO_", 0) != 0) return "";
  std::string name = variable.substr(4);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  const bool known =
      std::any_of(rows().begin(), rows().end(), [&](const Row& r) { return name == r.name; });
  return known ? name : "";
}

void read_file(Loaded& loaded, const po::options_description& options) {
  const char* chosen = std::getenv("SIO_CONFIG");
  const std::string path = chosen != nullptr ? chosen : kDefaultFile;
  std::ifstream file(path);
  file.peek();  // of a folder that can not be read, which can be opened
  if (file.bad() || !file.is_open()) {
    const int error = errno;
    if (chosen != nullptr || error != ENOENT) {
      LOG_ERROR("%s%s: %s: not used", chosen != nullptr ? "SIO_CONFIG: " : "", path.c_str(),
                errno_text(error));
    }
    return;
  }
  try {
    const auto parsed = po::parse_config_file(file, options, true);
    for (const auto& option : parsed.options) {
      if (option.unregistered) {
        LOG_WARN("%s: no such setting: %s", path.c_str(), option.string_key.c_str());
      } else {
        apply(loaded, option.string_key, option.value.front(), path);
      }
    }
  } catch (const po::error& error) {
    LOG_ERROR("%s: %s: nothing of this file is used", path.c_str(), error.what());
  }
}

// Known, and no setting: where the settings are; what tests/rxe/run tells the programs in its
// machine, and what tests are told; which host docker/compose.yaml leads to.
bool is_for_others(const std::string& variable) {
  constexpr std::string_view kWhole[] = {"SIO_CONFIG", "SIO_HOST"};
  constexpr std::string_view kBeginnings[] = {"SIO_RXE_", "SIO_TEST_", "SIO_FAULT_", "SIO_FUZZ_"};
  return std::ranges::find(kWhole, variable) != std::end(kWhole) ||
         std::ranges::any_of(kBeginnings, [&](auto with) { return variable.starts_with(with); });
}

// A socket's options may make its memory smaller, so this can be meant.
void tell_small_area(const Settings& settings) {
  const uint64_t least = uint64_t{settings.recv_slots + wire::kControlSlots} * settings.slot_size;
  if (settings.default_area == 0 || settings.default_area >= least) return;
  LOG_WARN(
      "default-area=%llu is less than recv-slots and 4 more of slot-size take, which is %llu: "
      "sockets with these have one as large as that",
      static_cast<unsigned long long>(settings.default_area),
      static_cast<unsigned long long>(least));
}

Loaded* load() {
  auto* loaded = new Loaded;
  po::options_description options;
  for (const Row& row : rows()) {
    options.add_options()(row.name, po::value<std::string>());
    loaded->origins.push_back({row.name, row.get(loaded->settings), "built-in"});
  }
  read_file(*loaded, options);
  const auto environment = po::parse_environment(options, setting_of_variable);
  for (const auto& option : environment.options) {
    std::string variable = "SIO_" + option.string_key;
    std::transform(variable.begin(), variable.end(), variable.begin(), [](unsigned char c) {
      return c == '-' ? '_' : static_cast<char>(std::toupper(c));
    });
    apply(*loaded, option.string_key, option.value.front(), variable);
  }
  set_log_level(log_level_of(loaded->settings.log.c_str()));
  tell_small_area(loaded->settings);
  // Perhaps the program's own. Of a misspelt one nobody would ever hear.
  for (const std::string& variable : unknown_variables()) {
    LOG_INFO("%s is no setting of the library's: not used", variable.c_str());
  }
  return loaded;
}

Loaded& loaded() {
  static Loaded* const all = load();
  return *all;
}

}  // namespace

const Settings& settings() { return loaded().settings; }

std::vector<SettingOrigin> describe_settings() { return loaded().origins; }

std::vector<std::string> unknown_variables() {
  std::vector<std::string> unknown;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string variable(*at, std::strcspn(*at, "="));
    if (!variable.starts_with("SIO_") || is_for_others(variable)) continue;
    if (setting_of_variable(variable).empty()) unknown.push_back(variable);
  }
  return unknown;
}

}  // namespace sio::internal
