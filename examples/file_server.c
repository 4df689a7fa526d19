// SPDX-License-Identifier: BSD-2-Clause
//
// file_server ADDRESS PORT FILE       sends FILE to each peer that connects (file_client)
//
// The kernel reads the file into the very blocks that are sent, and nothing copies it in between:
// while some pieces of it are on their way to a peer the next one is being read.
#include <errno.h>
#include <fcntl.h>
#include <sio/aio.h>
#include <sio/sio.h>

#include "common.h"

enum { PIECE = 8192, PIECES = 8, MOST_PEERS = 16, FREE = 0, READING, READ, SENDING };
struct piece { struct aio_cb request; struct peer* peer; int state; };
struct peer { struct piece pieces[PIECES]; int socket, over; off_t at; };
static int file;
static ec_t ec;

static struct piece* find(struct peer* peer, int state) {
  for (struct piece* p = peer->pieces; p < peer->pieces + PIECES; ++p)
    if (p->state == state) return p;
  return NULL;
}

// One is read at a time, so that they are sent in their order.
static void advance(struct peer* peer) {
  struct piece* p = find(peer, READ);
  if (p != NULL && !peer->over) {
    if (aio_send(&p->request, 0) == 0) p->state = SENDING;
    else if (errno == EAGAIN) return;  // until EC_WRITABLE
    else peer->over = 1;
  }
  if (!peer->over && find(peer, READING) == NULL && (p = find(peer, FREE)) != NULL) {
    p->request.aio_fildes = file;
    p->request.aio_nbytes = PIECE;
    p->request.aio_offset = peer->at;
    check(aio_read_ec(&p->request), "aio_read_ec");
    p->state = READING;
  }
  if (!peer->over || find(peer, READING) != NULL || find(peer, SENDING) != NULL) return;
  sio_close(peer->socket);
  for (p = peer->pieces; p < peer->pieces + PIECES; ++p) sio_release(NULL, p->request.aio_buf, PIECE);
  free(peer);
}

static void ended(struct piece* p, size_t length, int error) {
  const int was_read = p->state == READING;
  p->state = FREE;
  if (error != 0 || length == 0) p->peer->over = 1;
  else if (was_read) {
    p->state = READ;
    p->request.aio_fildes = p->peer->socket;
    p->request.aio_nbytes = length;
    p->peer->at += (off_t)length;
  }
  advance(p->peer);
}

static void welcome(int listener, dma_mem_t area) {
  struct peer* peer = calloc(1, sizeof *peer);
  if (peer == NULL || (peer->socket = sio_accept_ec(listener, NULL, NULL, 0, ec, peer)) < 0) return free(peer);
  for (struct piece* p = peer->pieces; p < peer->pieces + PIECES; ++p) {
    check(sio_reserve(area, &p->request.aio_buf, PIECE), "sio_reserve");
    p->request.aio_sigevent.sigev_notify = SIGEV_EC;
    p->request.aio_sigevent.sigev_ec = ec;
    p->peer = peer;
  }
  advance(peer);
}

int main(int argc, char** argv) {
  if (argc != 4) return fputs("usage: file_server ADDRESS PORT FILE\n", stderr), 2;
  const struct sockaddr_in at = address(argv[1], argv[2]);
  file = check(open(argv[3], O_RDONLY), argv[3]);
  ec = check(ec_create(0), "ec_create");
  dma_mem_t area;
  check(dma_alloc(&area, MOST_PEERS * PIECES * PIECE, 0), "dma_alloc");
  const int listener = check(sio_socket(AF_INET, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), "sio_socket");
  check(dma_assoc(listener, area, 0, DMA_SEND), "dma_assoc");
  check(ec_add_fd(ec, listener, EPOLLIN, NULL), "ec_add_fd");
  check(sio_bind(listener, (const struct sockaddr*)&at, sizeof at), "sio_bind");
  check(sio_listen(listener, MOST_PEERS), "sio_listen");
  for (event_data_t event;;) {
    while (ec_next_event(ec, &event) != 0) ec_delay(ec, NULL);
    if (event.kind == EC_EOF || event.kind == EC_HUP) ((struct peer*)event.cookie)->over = 1;
    if (event.kind == EC_ACCEPT) welcome(listener, area);
    else if (event.kind == EC_AIO) ended(event.cookie, event.data.len, event.error);
    else advance(event.cookie);
  }
}
