// SPDX-License-Identifier: BSD-2-Clause
//
// ping listen ADDRESS PORT       answers what it gets, without copying it
// ping ADDRESS PORT [COUNT]      sends COUNT messages and waits for each to come back
#include <sio/sio.h>
#include <string.h>

#include "common.h"

static void die(const char* what) {
  perror(what);
  exit(1);
}

// Sends each message back from where it lies; it is released when the peer has it.
static void serve(const struct sockaddr_in* at) {
  const int listener = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  if (sio_bind(listener, (const struct sockaddr*)at, sizeof *at) != 0) die("sio_bind");
  if (sio_listen(listener, 16) != 0) die("sio_listen");
  const int peer = sio_accept(listener, NULL, NULL);
  if (peer < 0) die("sio_accept");
  void* message;
  int length;
  while ((length = sio_recv(peer, &message, SIZE_MAX, 0)) >= 0 && message != NULL) {
    if (sio_send(peer, message, (size_t)length, SIO_RELEASE) != 0) die("sio_send");
  }
  if (length < 0) die("sio_recv");
  sio_close(peer);
  sio_close(listener);
}

static void ping(const struct sockaddr_in* to, int count) {
  const int peer = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  if (sio_connect(peer, (const struct sockaddr*)to, sizeof *to) != 0) die("sio_connect");
  for (int i = 0; i < count; ++i) {
    char text[32];
    const int length = snprintf(text, sizeof text, "ping %d", i);
    if (sio_send(peer, text, (size_t)length, 0) != 0) die("sio_send");
    void* answer;
    const int got = sio_recv(peer, &answer, SIZE_MAX, 0);
    if (got != length || memcmp(answer, text, (size_t)got) != 0) die("sio_recv");
    sio_release(NULL, answer, (size_t)got);
  }
  sio_close(peer);
  printf("%d pings came back\n", count);
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "listen") == 0) {
    const struct sockaddr_in at = address(argv[2], argv[3]);
    serve(&at);
  } else if (argc == 3 || (argc == 4 && atoi(argv[3]) > 0)) {
    const struct sockaddr_in to = address(argv[1], argv[2]);
    ping(&to, argc == 4 ? atoi(argv[3]) : 10);
  } else {
    fprintf(stderr, "usage: ping listen ADDRESS PORT | ping ADDRESS PORT [COUNT]\n");
    return 2;
  }
  return 0;
}
