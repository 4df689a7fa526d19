// SPDX-License-Identifier: BSD-2-Clause
//
// everything ADDRESS PORT        one channel with sockets, a timer, signals and a message queue
//
// Answers each message, counts them, and says every second how many there were. What is written
// into the message queue /sio-everything goes to all peers. SIGINT or SIGTERM ends it.
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sio/sio.h>

#include "common.h"

enum { MOST_PEERS = 64, QUEUE_TEXT = 128 };
static struct peer { int socket; void* message; size_t length; } peers[MOST_PEERS];  // socket 0: none
static ec_t ec;
static int peer_count;
static unsigned long long answered;

static void leave(struct peer* peer) {
  if (peer->message != NULL) sio_release(NULL, peer->message, peer->length);
  sio_close(peer->socket);
  *peer = (struct peer){0};
  --peer_count;
}

// Sends back what has come, from where it lies. Until there is room for a message (EC_WRITABLE) no
// other is taken: a peer that does not read its answers is held up, and nobody else.
static void answer(struct peer* peer) {
  for (;; peer->message = NULL, ++answered) {
    if (peer->message == NULL) {
      const int length = sio_recv(peer->socket, &peer->message, SIZE_MAX, MSG_DONTWAIT);
      if (length < 0) break;
      if (peer->message == NULL) return leave(peer);  // it sends no more, and has all answers
      peer->length = (size_t)length;
    }
    if (sio_send(peer->socket, peer->message, peer->length, SIO_RELEASE | MSG_DONTWAIT) != 0) break;
  }
  if (errno != EAGAIN) leave(peer);
}

// What is in the queue goes to everybody who has room for it; it is short enough to be copied.
static void tell_all(mqd_t queue) {
  char text[QUEUE_TEXT];
  for (ssize_t n; (n = mq_receive(queue, text, sizeof text, NULL)) >= 0;)
    for (struct peer* peer = peers; peer < peers + MOST_PEERS; ++peer)
      if (peer->socket != 0) sio_send(peer->socket, text, (size_t)n, MSG_DONTWAIT);
}

static void welcome(int listener) {
  struct peer* peer = peers;
  while (peer < peers + MOST_PEERS && peer->socket != 0) ++peer;
  const int socket = sio_accept_ec(listener, NULL, NULL, SOCK_NONBLOCK, ec, peer);
  if (socket < 0) return perror("sio_accept_ec");
  if (peer == peers + MOST_PEERS) return (void)sio_close(socket);
  peer->socket = socket;
  ++peer_count;
}

// 0: it is time to go.
static int handle(const event_data_t* event, int listener) {
  switch (event->kind) {
    case EC_ACCEPT: welcome(listener); break;
    case EC_MQ: tell_all(event->fd); break;
    case EC_TIMER: printf("%llu answered, %d connected\n", answered, peer_count); break;
    case EC_SIGNAL: return printf("signal %d\n", event->fd), 0;  // SIGINT or SIGTERM
    default:  // EC_READABLE, EC_WRITABLE, EC_EOF, EC_HUP
      if (event->cookie != NULL) answer(event->cookie);
  }
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: everything ADDRESS PORT\n"), 2;
  const struct sockaddr_in at = address(argv[1], argv[2]);
  sigset_t ends;
  sigemptyset(&ends), sigaddset(&ends, SIGINT), sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);  // before there is any other thread
  setvbuf(stdout, NULL, _IOLBF, 0);
  ec = check(ec_create(0), "ec_create");
  const int listener = check(sio_socket(AF_INET, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), "sio_socket");
  check(ec_add_fd(ec, listener, EPOLLIN, NULL), "ec_add_fd");
  check(sio_bind(listener, (const struct sockaddr*)&at, sizeof at), "sio_bind");
  check(sio_listen(listener, 16), "sio_listen");
  check(ec_add_timer(ec, CLOCK_MONOTONIC, &(struct itimerspec){{1, 0}, {1, 0}}, 0, NULL), "timer");
  check(ec_add_signal(ec, &ends, NULL), "ec_add_signal");
  struct mq_attr sizes = {.mq_maxmsg = 8, .mq_msgsize = QUEUE_TEXT};
  const mqd_t queue = mq_open("/sio-everything", O_CREAT | O_RDONLY | O_NONBLOCK, 0600, &sizes);
  check(ec_add_mq(ec, check(queue, "mq_open"), EPOLLIN, NULL), "ec_add_mq");
  event_data_t event;
  do {
    while (ec_next_event(ec, &event) != 0) ec_delay(ec, NULL);
  } while (handle(&event, listener));
  mq_unlink("/sio-everything");
  for (struct peer* peer = peers; peer < peers + MOST_PEERS; ++peer)
    if (peer->socket != 0) leave(peer);
  return sio_close(listener);
}
