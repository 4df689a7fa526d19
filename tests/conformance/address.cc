// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "conformance/lines.h"
#include "conformance/support.h"
#include "provider/provider.h"

namespace sio::test {
namespace {

const char* own_address() {
  for (const char* name : {"SIO_RXE_SELF", "SIO_TEST_ADDRESS"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return nullptr;
}

std::string text_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text,
              sizeof text);
  }
  return text;
}

// The interfaces' addresses, until one of which `found` says so.
template <typename Found>
void search_interfaces(Found found) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(all, freeifaddrs);
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr != nullptr && found(*one)) return;
  }
}

}  // namespace

bool on_soft() { return std::strcmp(internal::provider::instance().name(), "soft") == 0; }

bool have_address() { return own_address() != nullptr || on_soft(); }

int machines() {
  const char* value = std::getenv("SIO_RXE_MACHINES");
  return value != nullptr && std::strcmp(value, "2") == 0 ? 2 : 1;
}

const char* no_groups(const Address& from) {
  if (from.family() == AF_INET) return nullptr;
  if (!on_soft()) return "the kernel's connection manager has no IPv6 groups with RoCE v2";
  const int fd = must(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  const Fd owner(fd);
  const unsigned index = if_nametoindex(interface_of(from.text()).c_str());
  must(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index), "IPV6_MULTICAST_IF");
  const Address group("ff15::7:1", 9);
  if (sendto(fd, "", 0, 0, group.get(), group.size()) == 0) return nullptr;
  return "this host has no route to IPv6 groups by the interface of the address";
}

Address::Address(const std::string& text, uint16_t port) {
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage_);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage_);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
  } else {
    fail("%s is no address", text.c_str());
  }
}

Address::Address(int fd, int (*name)(int, sockaddr*, socklen_t*)) {
  socklen_t size = sizeof storage_;
  must(name(fd, reinterpret_cast<sockaddr*>(&storage_), &size), "a socket's name");
  if (size != this->size()) fail("a name of %u bytes", static_cast<unsigned>(size));
}

Address::Address(const sockaddr* address) {
  const bool v6 = address->sa_family == AF_INET6;
  std::memcpy(&storage_, address, v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
}

Address Address::self(uint16_t port) {
  const char* text = own_address();
  if (text == nullptr && on_soft()) text = "127.0.0.1";
  if (text == nullptr) fail("neither SIO_RXE_SELF nor SIO_TEST_ADDRESS is set");
  return {text, port};
}

socklen_t Address::size() const {
  return family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

uint16_t Address::port() const {
  return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(storage_).sin6_port
                                    : reinterpret_cast<const sockaddr_in&>(storage_).sin_port);
}

std::string Address::text() const { return text_of(get()); }

std::string Address::whole() const { return "[" + text() + "]:" + std::to_string(port()); }

std::string interface_of(const std::string& address) {
  std::string name;
  search_interfaces([&](const ifaddrs& one) {
    if (text_of(one.ifa_addr) == address) name = one.ifa_name;
    return !name.empty();
  });
  return name;
}

std::string global_ipv6_of(const std::string& interface) {
  std::string text;
  search_interfaces([&](const ifaddrs& one) {
    if (one.ifa_name != interface || one.ifa_addr->sa_family != AF_INET6) return false;
    const auto& address = reinterpret_cast<const sockaddr_in6*>(one.ifa_addr)->sin6_addr;
    if (!IN6_IS_ADDR_LINKLOCAL(&address) && !IN6_IS_ADDR_LOOPBACK(&address)) {
      text = text_of(one.ifa_addr);
    }
    return !text.empty();
  });
  return text;
}

Address self_of(int family) {
  const Address v4 = Address::self();
  if (family == AF_INET) return v4;
  const std::string v6 = global_ipv6_of(interface_of(v4.text()));
  if (!v6.empty()) return {v6, 0};
  return on_soft() ? Address("::1", 0) : Address();
}

}  // namespace sio::test
