// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviours that do something to the process or to the machine.
//
//   counters   says "rnr N", or "rnr none"
//   link-down  takes the interface of this machine's address down for ms=; says "down" before it
//              and "up" after it
//   first-call  has a call that is its first to need a device, where the kernel has no more
//              descriptors; says "dma_alloc E" or "dma_import E" (call=) with the errno
//   no-memory  has dma_assoc where the kernel gives no more memory; says "dma_assoc E", and again
//              when it does
//   no-device  hides all RDMA devices from itself; says "dma_alloc E", "dma_import E",
//              "sio_bind E", "sio_listen E" and "sio_connect E" with the errnos, or "skip REASON"
//   host       listens at all addresses, or address=; says "accepted" of each connection that
//   comes, and
//              is held, and "datagram" when one that it then sends to itself has come; at last
//              "failed ERRNO"
//   latecomer  has memory for RDMA before it hears "CALL TYPE PORT" (bind, connect or sendto;
//              seqpacket or datagram), which it does at address= and says "CALL ERRNO"
//   memlock    gives up CAP_IPC_LOCK, limits locked memory to 64 KiB; says "dma_alloc E", each
//              line that was logged as "log LINE", and, with port=, "sio_connect E"
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>

#include "conformance/behaviours.h"
#include "conformance/counters.h"
#include "conformance/datagrams.h"
#include "conformance/denials.h"

namespace sio::test {
namespace {

void say_counters(const Options&) {
  const auto rnr = count_rnr();
  say("rnr %s", rnr ? std::to_string(*rnr).c_str() : "none");
}

// -------------------------------------------------------------------------------------- link

void set_link(const std::string& interface, bool up) {
  const Fd any(must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  must(ioctl(any.get(), SIOCGIFFLAGS, &request), "SIOCGIFFLAGS");
  const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
  request.ifr_flags = static_cast<short>(flags);
  must(ioctl(any.get(), SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
}

void link_down(const Options& options) {
  const std::string interface = interface_of(Address::self().text());
  if (interface.empty()) fail("no interface has %s", Address::self().text().c_str());
  // Else the IPv6 addresses would be gone for good.
  std::ofstream("/proc/sys/net/ipv6/conf/" + interface + "/keep_addr_on_down") << "1\n";
  say("down");
  poll(nullptr, 0, 50);  // the line leaves, on this very link
  set_link(interface, false);
  poll(nullptr, 0, options.number("ms", 1000));
  set_link(interface, true);
  say("up");
}

// ------------------------------------------------------------------------------------ no device

int errno_of(int result) { return result == 0 ? 0 : errno; }

void first_call(const Options& options) {
  sio_set_log(nullptr, SIO_LOG_NONE, nullptr);
  forbid_call(SYS_epoll_create1, ENFILE);
  dma_mem_t area;
  alignas(64) static char memory[4096];
  if (options.text("call") == "dma_alloc") say("dma_alloc %d", errno_of(dma_alloc(&area, 4096, 0)));
  if (options.text("call") == "dma_import")
    say("dma_import %d", errno_of(dma_import(&area, memory, sizeof memory, 0)));
}

// The slots of the first socket with so many of them want a table that is not there yet.
void no_memory(const Options&) {
  const Area area(size_t{2} << 20);
  Socket socket = Socket::make();
  socket.set(SIO_SLOT_SIZE, 256).set(SIO_RECV_SLOTS, 4000);
  const auto assoc = [&] {
    return errno_of(dma_assoc(socket.get(), area.get(), area.bytes(), DMA_RECV));
  };
  std::thread([&] {
    forbid_call(SYS_brk, ENOMEM);
    forbid_call(SYS_mmap, ENOMEM);
    say("dma_assoc %d", assoc());
  }).join();
  say("dma_assoc %d", assoc());
}

void no_device(const Options&) {
  const bool hidden = unshare(CLONE_NEWNS) == 0 &&
                      mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                      mount("none", "/dev/infiniband", "tmpfs", 0, nullptr) == 0;
  if (!hidden) return say("skip cannot hide /dev/infiniband: %s", std::strerror(errno));
  sio_set_log(nullptr, SIO_LOG_NONE, nullptr);
  dma_mem_t area;
  say("dma_alloc %d", errno_of(dma_alloc(&area, 4096, 0)));
  alignas(64) static char memory[4096];
  say("dma_import %d", errno_of(dma_import(&area, memory, sizeof memory, 0)));
  const Address self = Address::self();
  Socket socket = Socket::make();
  say("sio_bind %d", errno_of(sio_bind(socket.get(), self.get(), self.size())));
  say("sio_listen %d", errno_of(sio_listen(socket.get(), 1)));
  say("sio_connect %d", socket.try_connect(Address::self(1)));
}

// ------------------------------------------------------------------- devices that come and go

void host(const Options& options) {
  const Address self = own_address(options);
  const Address anywhere(self.family() == AF_INET6 ? "::" : "0.0.0.0", 0);
  Socket listener = Socket::make(0, self.family());
  listener.bind(options.has("address") ? self : anywhere).listen();
  say("listening %d %s", listener.name().port(), self.text().c_str());
  std::vector<Socket> guests;
  for (;;) {
    const int fd = sio_accept(listener.get(), nullptr, nullptr);
    if (fd < 0) break;
    guests.emplace_back(fd);
    say("accepted");
    Socket of_datagrams = make_datagram_socket(0, self.family());
    of_datagrams.bind(self);
    send_to(of_datagrams, of_datagrams.name(), "to itself");
    receive_from(of_datagrams);
    say("datagram");
  }
  say("failed %d", errno);
  hear();
}

void latecomer(const Options& options) {
  const Area area(4096);
  say("ready");
  for (auto words = split_words(hear()); words.size() == 3; words = split_words(hear())) {
    const std::string& call = words[0];
    const Address there(options.text("address"), static_cast<uint16_t>(std::stoi(words[2])));
    const int type = words[1] == "datagram" ? SOCK_DGRAM : SOCK_SEQPACKET;
    Socket socket = Socket::make(0, there.family(), type);
    socket.set(SIO_CONNECT_TIMEOUT, 500);
    const int error = call == "bind" ? errno_of(sio_bind(socket.get(), there.get(), there.size()))
                      : call == "connect" ? socket.try_connect(there)
                                          : try_send_to(socket, there, "x", 1);
    say("%s %d", call.c_str(), error);
  }
}

// -------------------------------------------------------------------------------------- memlock

void drop_ipc_lock() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2] = {};
  must(static_cast<int>(syscall(SYS_capget, &header, sets)), "capget");
  const uint32_t bit = 1u << CAP_IPC_LOCK;
  sets[0].effective &= ~bit;
  sets[0].permitted &= ~bit;
  sets[0].inheritable &= ~bit;
  must(static_cast<int>(syscall(SYS_capset, &header, sets)), "capset");
}

void memlock(const Options& options) {
  const rlimit limit{65536, 65536};
  must(setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit");
  drop_ipc_lock();
  sio_set_log([](int, const char* line, void*) { say("log %s", line); }, SIO_LOG_WARN, nullptr);
  dma_mem_t area;
  const int allocated = errno_of(dma_alloc(&area, size_t{1} << 20, 0));
  say("dma_alloc %d", allocated);
  Socket socket = make_socket(options);
  const int connected = socket.try_connect(destination(options));
  say("sio_connect %d", connected);
}

}  // namespace

const Behaviours& system_behaviours() {
  static const Behaviours table = {{"counters", say_counters}, {"link-down", link_down},
                                   {"first-call", first_call}, {"no-memory", no_memory},
                                   {"no-device", no_device},   {"host", host},
                                   {"latecomer", latecomer},   {"memlock", memlock}};
  return table;
}

}  // namespace sio::test
