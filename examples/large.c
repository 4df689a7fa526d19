// SPDX-License-Identifier: BSD-2-Clause
//
// large listen ADDRESS PORT            takes messages of up to 16 MiB and says what has come
// large ADDRESS PORT [BYTES [COUNT]]   sends COUNT messages of BYTES
//
// A message larger than a slot needs receive memory beyond the slots, and the receiver says how
// much it has: the largest message is what is left of dma_assoc's size when the slots are taken.
#include <errno.h>
#include <sio/sio.h>
#include <string.h>

#include "common.h"

enum {
  USUAL = 8 << 20,
  SLOTS = (64 + 4) * 8192,  // recv-slots, 4 for control frames, each of slot-size
  RECEIVE = SLOTS + 2 * USUAL  // one comes while the program looks at another, or one of twice as much
};

static void die(const char* what) {
  perror(what);
  exit(1);
}

static dma_mem_t area_of(size_t size) {
  dma_mem_t area;
  if (dma_alloc(&area, size, 0) != 0) die("dma_alloc");
  return area;
}

static void receive(const struct sockaddr_in* at) {
  const dma_mem_t area = area_of(RECEIVE);  // for one peer; each takes so much of it
  const int listener = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  if (dma_assoc(listener, area, RECEIVE, DMA_RECV) != 0) die("dma_assoc");
  if (sio_bind(listener, (const struct sockaddr*)at, sizeof *at) != 0) die("sio_bind");
  if (sio_listen(listener, 1) != 0) die("sio_listen");
  const int peer = sio_accept(listener, NULL, NULL);
  if (peer < 0) die("sio_accept");
  char* message;  // where the device placed it, in one piece
  unsigned count = 0;
  int length;
  while ((length = sio_recv(peer, (void**)&message, SIZE_MAX, 0)) >= 0 && message != NULL) {
    const int whole = length == 0 || (message[0] == (char)count && message[length - 1] == (char)count);
    printf("message %u: %d bytes%s\n", count++, length, whole ? "" : ", not what was sent");
    sio_release(area, message, (size_t)length);  // room for another
  }
  if (length < 0) die("sio_recv");
  sio_close(peer);
  sio_close(listener);
  if (dma_free(area, RECEIVE) != 0) die("dma_free");
}

static void send_to(const struct sockaddr_in* to, size_t bytes, int count) {
  const dma_mem_t area = area_of(2 * bytes + 128);
  const int peer = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  if (dma_assoc(peer, area, 0, DMA_SEND) != 0) die("dma_assoc");
  if (sio_connect(peer, (const struct sockaddr*)to, sizeof *to) != 0) die("sio_connect");
  uint64_t most;
  socklen_t size = sizeof most;
  if (sio_getsockopt(peer, SOL_SIO, SIO_MAX_MESSAGE, &most, &size) != 0) die("SIO_MAX_MESSAGE");
  if (bytes > most) {
    fprintf(stderr, "the peer takes messages of up to %llu bytes\n", (unsigned long long)most);
    sio_close(peer);
    exit(1);
  }
  for (int i = 0; i < count; ++i) {
    void* block;  // to be filled while the one before is on its way
    while (sio_reserve(area, &block, bytes) != 0)
      if (errno != ENOBUFS || sio_flush(peer, NULL) != 0) die("sio_reserve");
    memset(block, i, bytes);
    if (sio_send(peer, block, bytes, SIO_RELEASE) != 0) die("sio_send");
  }
  sio_close(peer);
  if (dma_free(area, 2 * bytes + 128) != 0) die("dma_free");
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "listen") == 0) {
    const struct sockaddr_in at = address(argv[2], argv[3]);
    receive(&at);
  } else if (argc >= 3 && argc <= 5 && (argc == 3 || atoi(argv[3]) > 0)) {
    const struct sockaddr_in to = address(argv[1], argv[2]);
    send_to(&to, argc > 3 ? (size_t)atoi(argv[3]) : USUAL, argc > 4 ? atoi(argv[4]) : 10);
  } else {
    fprintf(stderr, "usage: large listen ADDRESS PORT | large ADDRESS PORT [BYTES [COUNT]]\n");
    return 2;
  }
  return 0;
}
