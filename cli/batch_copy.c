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

static size_t phases_bytes(const struct tl_batch *b)
{
	size_t n = padded(b->nr_phases * sizeof(*b->phases));

	for (uint32_t i = 0; i < b->nr_phases; i++)
		n += (b->phases[i].parts ? padded(sizeof(*b->phases[i].parts)) : 0) +
		     (b->phases[i].chain ? padded(sizeof(*b->phases[i].chain)) : 0);
	return n;
}

size_t batch_bytes(const struct tl_batch *b)
{
	return padded(sizeof(*b)) + padded(b->nr_attempts * sizeof(*b->attempts)) + phases_bytes(b) +
	       padded(text_bytes(b->verdict.text)) + padded(text_bytes(b->moved_into));
}

static void *take(char **at, const void *from, size_t n)
{
	void *to = *at;

	if (!n)
		return NULL;
	*at += padded(n);
	return memcpy(to, from, n);
}

static struct tl_phase *take_phases(char **at, const struct tl_batch *b)
{
	struct tl_phase *to = take(at, b->phases, b->nr_phases * sizeof(*b->phases));

	for (uint32_t i = 0; i < b->nr_phases; i++) {
		if (to[i].parts)
			to[i].parts = take(at, to[i].parts, sizeof(*to[i].parts));
		if (to[i].chain)
			to[i].chain = take(at, to[i].chain, sizeof(*to[i].chain));
	}
	return to;
}

struct tl_phase *phases_copy(const struct tl_batch *b)
{
	char *room = malloc(phases_bytes(b) + 1), *at = room;

	if (room)
		take_phases(&at, b);
	return (struct tl_phase *)room;
}

struct tl_batch *batch_pack(void *room, const struct tl_batch *b)
{
	char *at = room;
	struct tl_batch *c = take(&at, b, sizeof(*b));

	c->attempts = take(&at, b->attempts, b->nr_attempts * sizeof(*b->attempts));
	c->phases = take_phases(&at, b);
	c->verdict.text = take(&at, b->verdict.text, text_bytes(b->verdict.text));
	c->moved_into = take(&at, b->moved_into, text_bytes(b->moved_into));
	return c;
}

struct tl_batch *batch_copy(const struct tl_batch *b)
{
	void *room = malloc(batch_bytes(b));

	return room ? batch_pack(room, b) : NULL;
}
