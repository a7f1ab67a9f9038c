// SPDX-License-Identifier: BSD-2-Clause
/* sync_talk.c - a listener that reads a request as Kafka does, and a client of it, in one process. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sync_async.h"

static int listener = -1;

int talk_listen(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, len) || listen(listener, 4) ||
	    getsockname(listener, (struct sockaddr *)&a, &len))
		return -1;
	return ntohs(a.sin_port);
}

/* ApiVersions v0, correlation id 7, client id "me": its size in 4 bytes, then the rest in one read. */
int talk_once(int port)
{
	static const uint8_t request[] = { 0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, 'm', 'e' };
	static const uint8_t answer[] = { 0, 0, 0, 4, 0, 0, 0, 7 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons((uint16_t)port) };
	uint8_t data[16];
	int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), in, bad;

	if (out < 0 || connect(out, (struct sockaddr *)&a, sizeof(a)) ||
	    write(out, request, sizeof(request)) != sizeof(request))
		return -1;
	in = accept(listener, NULL, NULL);
	bad = in < 0 || read(in, data, 4) != 4 || read(in, data, 12) != 12 ||
	      write(in, answer, sizeof(answer)) != sizeof(answer) || read(out, data, sizeof(answer)) != sizeof(answer);
	close(in);
	close(out);
	return bad ? -1 : 0;
}
