/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include "address.h"

const char *address_text(char buf[ADDRESS_TEXT], uint64_t hi, uint64_t lo, uint32_t port)
{
	char ip[INET6_ADDRSTRLEN] = "";
	bool v4 = !hi && lo >> 32 == 0xffff;
	uint8_t bytes[16];

	buf[0] = 0;
	if (!port)
		return buf;
	for (int i = 0; i < 8; i++) {
		bytes[i] = (uint8_t)(hi >> (56 - 8 * i));
		bytes[8 + i] = (uint8_t)(lo >> (56 - 8 * i));
	}
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + 12 : bytes, ip, sizeof(ip));
	snprintf(buf, ADDRESS_TEXT, v4 ? "%s:%u" : "[%s]:%u", ip, port & 0xffffu);
	return buf;
}
