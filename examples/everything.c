// SPDX-License-Identifier: BSD-2-Clause
//
// everything ADDRESS PORT        one channel with sockets, a timer, signals and a message queue
//
// Answers each message, counts them, and says every second how many there were. What is written
// into the message queue /sio-everything goes to all peers. SIGINT or SIGTERM ends it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <sio/sio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PEERS = 64, QUEUE_TEXT = 128 };
static int peers[MOST_PEERS], peer_count;
static unsigned long long answered;

static int check(int result, const char* what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

static void leave(int peer) {
  for (int i = 0; i < peer_count; ++i)
    if (peers[i] == peer) peers[i] = peers[--peer_count];
  sio_close(peer);
}

// What is in the queue goes to everybody; it is short enough to be copied.
static void tell_all(mqd_t queue) {
  char text[QUEUE_TEXT];
  for (ssize_t n; (n = mq_receive(queue, text, sizeof text, NULL)) >= 0;)
    for (int i = 0; i < peer_count; ++i) sio_send(peers[i], text, (size_t)n, MSG_DONTWAIT);
}

// 0: it is time to go.
static int handle(const event_data_t* event, int listener) {
  switch (event->kind) {
    case EC_ACCEPT: {
      const int peer = sio_accept(listener, NULL, NULL);
      if (peer >= 0 && peer_count < MOST_PEERS) peers[peer_count++] = peer;
      else if (peer >= 0) sio_close(peer);
      break;
    }
    case EC_RECV:  // sent back from where it lies, and released when the peer has it
      ++answered;
      if (sio_send(event->fd, event->data.buf, event->data.len, SIO_RELEASE | MSG_DONTWAIT) != 0)
        sio_release(event->data.mem, event->data.buf, event->data.len);
      break;
    case EC_EOF: case EC_HUP:
      leave(event->fd);
      break;
    case EC_TIMER:
      printf("%llu answered, %d connected\n", answered, peer_count);
      fflush(stdout);
      break;
    case EC_MQ:
      tell_all(event->fd);
      break;
    case EC_SIGNAL:  // SIGINT or SIGTERM
      return printf("signal %d\n", event->fd), 0;
  }
  return 1;
}

int main(int argc, char** argv) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  if (argc != 3 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1)
    return fprintf(stderr, "usage: everything ADDRESS PORT\n"), 2;
  at.sin_port = htons((uint16_t)atoi(argv[2]));
  sigset_t ends; sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);  // before there is any other thread

  const ec_t ec = check(ec_create(0), "ec_create");
  const int listener = check(sio_socket(AF_INET, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), "sio_socket");
  check(ec_add_fd(ec, listener, EC_DELIVER, NULL), "ec_add_fd");
  check(sio_bind(listener, (struct sockaddr*)&at, sizeof at), "sio_bind");
  check(sio_listen(listener, 16), "sio_listen");
  const struct itimerspec second = {{1, 0}, {1, 0}};
  check(ec_add_timer(ec, CLOCK_MONOTONIC, &second, 0, NULL), "ec_add_timer");
  check(ec_add_signal(ec, &ends, NULL), "ec_add_signal");
  struct mq_attr sizes = {.mq_maxmsg = 8, .mq_msgsize = QUEUE_TEXT};
  const mqd_t queue = mq_open("/sio-everything", O_CREAT | O_RDONLY | O_NONBLOCK, 0600, &sizes);
  check(ec_add_mq(ec, check(queue, "mq_open"), EPOLLIN, NULL), "ec_add_mq");
  event_data_t event;
  do {
    while (ec_next_event(ec, &event) != 0) ec_delay(ec, NULL);
  } while (handle(&event, listener));
  mq_unlink("/sio-everything");
  while (peer_count > 0) leave(peers[0]);
  sio_close(listener);
  return 0;
}
