// SPDX-License-Identifier: BSD-2-Clause
//
// What the examples share: a check of calls, and the address and port of the command line.
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int check(int result, const char* what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

static inline struct sockaddr_in address(const char* ip, const char* port) {
  struct sockaddr_in at;
  memset(&at, 0, sizeof at);
  at.sin_family = AF_INET;
  if (inet_pton(AF_INET, ip, &at.sin_addr) != 1) {
    fprintf(stderr, "%s is no IPv4 address, like 127.0.0.1\n", ip);
    exit(2);
  }
  char* end;
  const long number = strtol(port, &end, 10);
  if (end == port || *end != '\0' || number < 0 || number > 65535) {
    fprintf(stderr, "%s is no port, 1 to 65535\n", port);
    exit(2);
  }
  at.sin_port = htons((uint16_t)number);
  return at;
}

#endif
