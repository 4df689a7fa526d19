// SPDX-License-Identifier: BSD-2-Clause
//
// publish ADDRESS GROUP PORT [COUNT]     sends COUNT prices to all who listen, and "bye"
//
// ADDRESS is the one of this host's that they leave from. See subscribe.c.
#include <sio/sio.h>

#include "common.h"

static void die(const char* what) {
  perror(what);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    fprintf(stderr, "usage: publish ADDRESS GROUP PORT [COUNT]\n");
    return 2;
  }
  const struct sockaddr_in from = address(argv[1], "0");
  const struct sockaddr_in to = address(argv[2], argv[3]);
  const int count = argc == 5 ? atoi(argv[4]) : 10;
  const int s = sio_socket(AF_INET, SOCK_DGRAM, 0);
  if (sio_bind(s, (const struct sockaddr*)&from, sizeof from) != 0) die("sio_bind");
  // So that each message need not say where it goes.
  if (sio_connect(s, (const struct sockaddr*)&to, sizeof to) != 0) die("sio_connect");
  for (int i = 0; i < count; ++i) {
    char text[32];
    const int length = snprintf(text, sizeof text, "price %d", 100 + i);
    if (sio_send(s, text, (size_t)length, 0) != 0) die("sio_send");
  }
  if (sio_send(s, "bye", 3, 0) != 0) die("sio_send");
  if (sio_flush(s, NULL) != 0) die("sio_flush");  // all has left; who hears it, nobody knows
  printf("%d published\n", count);
  return sio_close(s);
}
