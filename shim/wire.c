// SPDX-License-Identifier: BSD-2-Clause
/* wire.c - pulling fields out of a stream of length-framed messages. */
#include <string.h>

#include "wire.h"

void wire_need(struct wire_pull *p, uint8_t state, unsigned bytes)
{
	p->state = state;
	p->need = (uint16_t)bytes;
	p->have = 0;
	p->fresh = true;
}

void wire_uvarint(struct wire_pull *p, uint8_t state)
{
	wire_need(p, state, 0);
	p->value = 0;
	p->shift = 0;
}

/* The frame must hold what is passed over. */
void wire_skip(struct wire_pull *p, uint64_t bytes)
{
	if (bytes > p->left)
		wire_stop(p, WIRE_BROKEN);
	else
		p->skip = bytes;
}

void wire_stop(struct wire_pull *p, enum wire_off why)
{
	p->off = (uint8_t)why;
}

static bool take_byte(struct wire_pull *p, uint8_t byte)
{
	if (p->shift > 28) {		/* no length or count needs more than 32 bits */
		wire_stop(p, WIRE_BROKEN);
		return false;
	}
	p->value |= (uint64_t)(byte & 0x7f) << p->shift;
	p->shift = (uint8_t)(p->shift + 7);
	return !(byte & 0x80);
}

bool wire_pull(struct wire_pull *p, const uint8_t **bytes, size_t *len, uint64_t now_ns)
{
	while (*len && !p->off) {
		size_t n;

		if (p->skip) {
			n = p->skip < *len ? (size_t)p->skip : *len;
			p->skip -= n;
			p->left -= (uint32_t)n;
			*bytes += n;
			*len -= n;
			if (!p->skip)
				return false;	/* the caller may have waited for this */
			continue;
		}
		n = p->need ? (size_t)(p->need - p->have) : 1;
		if (p->left < n) {
			wire_stop(p, WIRE_BROKEN);
			return false;
		}
		if (p->fresh) {
			p->field_ns = now_ns;
			p->fresh = false;
		}
		if (n > *len)
			n = *len;
		if (p->need)
			memcpy(p->buf + p->have, *bytes, n);
		bool whole = p->need ? p->have + n == p->need : take_byte(p, **bytes);

		p->have = (uint16_t)(p->have + n);
		p->left -= (uint32_t)n;
		*bytes += n;
		*len -= n;
		if (whole)
			return true;
	}
	return false;
}
