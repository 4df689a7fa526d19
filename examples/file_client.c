// SPDX-License-Identifier: BSD-2-Clause
//
// file_client ADDRESS PORT            writes the file that file_server sends to stdout
#include <sio/sio.h>

#include "common.h"

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: file_client ADDRESS PORT\n"), 2;
  const struct sockaddr_in at = address(argv[1], argv[2]);
  const int server = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  if (sio_connect(server, (const struct sockaddr*)&at, sizeof at) != 0) return perror("sio_connect"), 1;
  void* piece;
  int length;
  while ((length = sio_recv(server, &piece, SIZE_MAX, 0)) > 0) {  // from where the device placed it
    fwrite(piece, 1, (size_t)length, stdout);
    sio_release(NULL, piece, (size_t)length);
  }
  if (length < 0) perror("sio_recv");
  sio_close(server);
  return length < 0;
}
