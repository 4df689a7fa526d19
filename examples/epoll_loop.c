// SPDX-License-Identifier: BSD-2-Clause
//
// COMMAND | epoll_loop ADDRESS PORT        a program with an epoll loop of its own takes a channel in
//
// Sends each line of its input, a pipe or a terminal, as a message, prints each answer, and ends when all have come.
#include <sio/sio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common.h"

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
  check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

// Whether there is more input.
static int send_line(int peer, unsigned* waiting) {
  char line[1024];
  if (fgets(line, sizeof line, stdin) == NULL) return 0;
  check(sio_send(peer, line, strlen(line), 0), "sio_send");
  ++*waiting;
  return 1;
}

// All that the channel has, until it says that there is nothing: then its descriptor is armed.
static void take_events(ec_t ec, unsigned* waiting) {
  event_data_t event;
  while (ec_next_event(ec, &event) == 0) {
    if (event.kind == EC_HUP) {
      fprintf(stderr, "epoll_loop: %s\n", strerror(event.error));
      exit(1);
    }
    if (event.kind != EC_RECV) continue;
    fwrite(event.data.buf, 1, event.data.len, stdout);
    sio_release(event.data.mem, event.data.buf, event.data.len);
    --*waiting;
  }
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: COMMAND | epoll_loop ADDRESS PORT\n");
    return 2;
  }
  const struct sockaddr_in to = address(argv[1], argv[2]);
  const ec_t ec = check(ec_create(0), "ec_create");
  const int peer = check(sio_socket(AF_INET, SOCK_SEQPACKET, 0), "sio_socket");
  check(ec_add_fd(ec, peer, EC_DELIVER, NULL), "ec_add_fd");
  check(sio_connect(peer, (const struct sockaddr*)&to, sizeof to), "sio_connect");

  const int epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  watch(epoll, STDIN_FILENO);
  watch(epoll, ec_to_fd(ec));
  setvbuf(stdin, NULL, _IONBF, 0);  // what stdio holds back epoll does not tell of
  unsigned waiting = 0;
  for (int more = 1; more || waiting > 0;) {
    struct epoll_event ready;
    if (epoll_wait(epoll, &ready, 1, -1) != 1) continue;
    if (ready.data.fd != STDIN_FILENO) {
      take_events(ec, &waiting);
    } else if (!(more = send_line(peer, &waiting))) {
      check(epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL), "epoll_ctl");
    }
  }
  sio_close(peer);
  return 0;
}
