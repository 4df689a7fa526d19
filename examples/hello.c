// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <sio/sio.h>
#include <stdio.h>
int main(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7000)};
  inet_pton(AF_INET, "10.9.0.1", &to.sin_addr);
  int s = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  if (sio_connect(s, (struct sockaddr*)&to, sizeof to) != 0) return perror("sio_connect"), 1;
  sio_send(s, "hello", 5, 0);
  void* message;                                 /* points into the socket's own DMA area */
  int length = sio_recv(s, &message, 8192, 0);
  printf("%.*s\n", length, (char*)message);
  sio_release(NULL, message, (size_t)length);    /* the memory goes back to the device */
  return sio_close(s);
}
