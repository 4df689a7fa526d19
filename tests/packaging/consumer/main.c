/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Uses what needs no device: a channel, and an event of the program's own.
 */
#include <stdio.h>

#include <sio/sio.h>

int main(void) {
	event_data_t event;
	int seen;
	ec_t ec = ec_create(0);
	if (ec == -1) {
		perror("ec_create");
		return 1;
	}
	seen = ec_post(ec, 42, &event) == 0 && ec_next_event(ec, &event) == 0 && event.kind == EC_USER &&
	       event.value == 42 && event.cookie == &event && sizeof event == 64;
	return seen && ec_destroy(ec) == 0 ? 0 : 1;
}
