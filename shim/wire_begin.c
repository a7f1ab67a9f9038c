// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire_begin.c - do these bytes look like the beginning of a frame?  For a stream that
 * is read from its middle on.  All that is looked at must be there.
 */
#include "wire.h"

/* Below what a TLS record or a line of text reads as; no broker is told to take that much. */
#define SIZE_MAX_BEGIN 0x14000000u
#define VERSION_MAX 20			/* the youngest API versions stand at 18 */

/* A client's name in anything but ASCII is rare; its stream is not found again. */
static bool is_text(const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (b[i] < 0x20 || b[i] > 0x7e)
			return false;
	return true;
}

bool wire_request_begins(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	uint32_t size;
	uint16_t client;

	if (len < 14)
		return false;
	size = kafka_be32(b);
	client = kafka_be16(b + 12);
	/* A client without a name is none of those that split their requests. */
	return size >= 10u + client && size < SIZE_MAX_BEGIN && kafka_be16(b + 4) <= KAFKA_API_MAX &&
	       kafka_be16(b + 6) <= VERSION_MAX && client && client <= 255 && len >= 14u + client &&
	       is_text(b + 14, client);
}

bool wire_response_begins(const void *bytes, size_t len)
{
	uint32_t size = len < 8 ? 0 : kafka_be32(bytes);

	return size >= 4 && size < SIZE_MAX_BEGIN;
}

/* Records one behind the other, up to the last byte. */
bool wire_tls_begins(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	size_t at = 0;

	while (len - at >= 5 && b[at] >= 20 && b[at] <= 23 && b[at + 1] == 3 && b[at + 2] <= 4) {
		size_t n = 5u + kafka_be16(b + at + 3);

		if (n > len - at)
			return false;
		at += n;
	}
	return at && at == len;
}
