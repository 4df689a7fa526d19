// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <sio/sio.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) {                /* hello [ADDRESS [PORT]] */
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(argc > 2 ? (uint16_t)atoi(argv[2]) : 7000)};
  if (inet_pton(AF_INET, argc > 1 ? argv[1] : "127.0.0.1", &to.sin_addr) != 1)
    return fprintf(stderr, "usage: hello [IPV4-ADDRESS [PORT]]\n"), 2;
  int length, s = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  void* message;                                 /* will point into the socket's own DMA area */
  if (sio_connect(s, (struct sockaddr*)&to, sizeof to) != 0 || sio_send(s, "hello", 5, 0) < 0 ||
      (length = sio_recv(s, &message, SIZE_MAX, 0)) < 0)
    return perror("hello"), 1;
  if (message == NULL) return fprintf(stderr, "hello: the peer has ended\n"), 1;
  printf("%.*s\n", length, (char*)message);
  sio_release(NULL, message, (size_t)length);    /* the memory goes back to the device */
  return sio_close(s);
}
