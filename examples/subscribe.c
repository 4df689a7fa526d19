// SPDX-License-Identifier: BSD-2-Clause
//
// subscribe ADDRESS GROUP PORT     says what publish sends to GROUP, until that says "bye"
//
// ADDRESS is the one of this host's at which it comes in. Any number may run on a host.
#include <errno.h>
#include <sio/ec.h>
#include <sio/sio.h>
#include <string.h>

#include "common.h"

static void die(const char* what) {
  perror(what);
  exit(1);
}

// A member of the group, whose datagrams come to the channel.
static int join(ec_t channel, const char* ip, const char* group, const char* port) {
  const struct sockaddr_in at = address(ip, port);
  const struct ip_mreq member = {address(group, port).sin_addr, at.sin_addr};
  const int on = 1;
  const int s = sio_socket(AF_INET, SOCK_DGRAM, 0);
  if (s < 0) die("sio_socket");
  // Others on this host listen at the same port.
  if (sio_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) die("SO_REUSEADDR");
  if (ec_add_fd(channel, s, EC_DELIVER, NULL) != 0) die("ec_add_fd");
  if (sio_bind(s, (const struct sockaddr*)&at, sizeof at) != 0) die("sio_bind");
  if (sio_setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member) != 0)
    die("IP_ADD_MEMBERSHIP");
  return s;
}

// False: it was the last one.
static int show(const event_data_t* event) {
  const struct sockaddr_in* from = (const struct sockaddr_in*)event->data.from;
  char ip[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &from->sin_addr, ip, sizeof ip);
  const int last = event->data.len == 3 && memcmp(event->data.buf, "bye", 3) == 0;
  if (!last) printf("%.*s from %s\n", (int)event->data.len, (const char*)event->data.buf, ip);
  sio_release(event->data.mem, event->data.buf, event->data.len);
  return !last;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: subscribe ADDRESS GROUP PORT\n");
    return 2;
  }
  const ec_t channel = ec_create(0);
  if (channel < 0) die("ec_create");
  const int s = join(channel, argv[1], argv[2], argv[3]);
  int more = 1;
  while (more) {
    event_data_t event;
    if (ec_next_event(channel, &event) == 0) {
      if (event.kind == EC_RECV) more = show(&event);
    } else if (errno != EAGAIN || (ec_delay(channel, NULL) != 0 && errno != EINTR)) {
      die("ec_delay");
    }
  }
  struct sio_info info;
  socklen_t size = sizeof info;
  if (sio_getsockopt(s, SOL_SIO, SIO_INFO, &info, &size) != 0) die("SIO_INFO");
  printf("%llu missing\n", (unsigned long long)info.datagrams_lost);
  sio_close(s);
  return ec_destroy(channel);
}
