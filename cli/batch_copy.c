/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch_copy.c - a batch that outlives its telling: all that is the batch's own in one
 * piece of memory; names stay the join's.
 */
#include <stdlib.h>
#include <string.h>
#include "batch_view.h"

static size_t padded(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static size_t text_bytes(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

size_t batch_bytes(const struct tl_batch *b)
{
	size_t n = padded(sizeof(*b)) + padded(b->nr_attempts * sizeof(*b->attempts)) +
		   padded(b->nr_phases * sizeof(*b->phases));

	for (uint32_t i = 0; i < b->nr_phases; i++)
		n += (b->phases[i].parts ? padded(sizeof(*b->phases[i].parts)) : 0) +
		     (b->phases[i].chain ? padded(sizeof(*b->phases[i].chain)) : 0);
	return n + padded(text_bytes(b->verdict.text)) + padded(text_bytes(b->moved_into));
}

static void *take(char **at, const void *from, size_t n)
{
	void *to = *at;

	if (!n)
		return NULL;
	*at += padded(n);
	return memcpy(to, from, n);
}

struct tl_batch *batch_pack(void *room, const struct tl_batch *b)
{
	char *at = room;
	struct tl_batch *c = take(&at, b, sizeof(*b));

	c->attempts = take(&at, b->attempts, b->nr_attempts * sizeof(*b->attempts));
	c->phases = take(&at, b->phases, b->nr_phases * sizeof(*b->phases));
	for (uint32_t i = 0; i < c->nr_phases; i++) {
		struct tl_phase *p = &c->phases[i];

		if (p->parts)
			p->parts = take(&at, p->parts, sizeof(*p->parts));
		if (p->chain)
			p->chain = take(&at, p->chain, sizeof(*p->chain));
	}
	c->verdict.text = take(&at, b->verdict.text, text_bytes(b->verdict.text));
	c->moved_into = take(&at, b->moved_into, text_bytes(b->moved_into));
	return c;
}

struct tl_batch *batch_copy(const struct tl_batch *b)
{
	void *room = malloc(batch_bytes(b));

	return room ? batch_pack(room, b) : NULL;
}
