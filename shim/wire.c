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

void wire_length(struct wire_pull *p, uint8_t state, unsigned plain_bytes)
{
	if (p->flexible)
		wire_uvarint(p, state);
	else
		wire_need(p, state, plain_bytes);
}

/* Compact values are one more than they mean. */
int64_t wire_value(const struct wire_pull *p, unsigned plain_bytes)
{
	if (p->flexible)
		return (int64_t)p->value - 1;
	return plain_bytes == 2 ? (int16_t)kafka_be16(p->buf) : (int32_t)kafka_be32(p->buf);
}

uint32_t wire_count(struct wire_pull *p, int64_t n)
{
	if (n > (int64_t)p->left) {
		wire_stop(p, WIRE_BROKEN);
		return 0;
	}
	return n > 0 ? (uint32_t)n : 0;
}

void wire_tags(struct wire_pull *p, uint8_t next)
{
	p->after_tags = next;
	wire_uvarint(p, WIRE_TAG_COUNT);
}

bool wire_tag(struct wire_pull *p)
{
	switch (p->state) {
	case WIRE_TAG_COUNT:
		p->tags = wire_count(p, (int64_t)p->value);
		break;
	case WIRE_TAG_ID:
		wire_uvarint(p, WIRE_TAG_SIZE);
		return false;
	default:
		wire_skip(p, p->value);
		p->tags--;
		break;
	}
	if (p->off)
		return false;
	if (p->tags)
		wire_uvarint(p, WIRE_TAG_ID);
	return !p->tags;
}

void wire_begin_frame(struct wire_pull *p, uint32_t size)
{
	p->left = size;
	p->in_frame = true;
}

void wire_rest_of_frame(struct wire_pull *p)
{
	wire_skip(p, p->left);
	wire_need(p, WIRE_END, 1);
}

bool wire_frame_over(struct wire_pull *p)
{
	if (!p->in_frame || p->left)
		return false;
	if (p->state != WIRE_END)
		wire_stop(p, WIRE_BROKEN);
	return !p->off;
}

void wire_next_frame(struct wire_pull *p)
{
	p->in_frame = false;
	p->left = 4;
	wire_need(p, WIRE_FRAME, 4);
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
