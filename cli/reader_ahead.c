/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_ahead.c - the merging of a reader's trails in a thread of its own.
 *
 * It copies each event into blocks; so what the join touches next lies in a row, and
 * reading, sorting and joining share two CPUs.
 */
#include <stdlib.h>
#include <string.h>

#include "handover.h"
#include "reader_int.h"

/* Before each event in a block; the next begins at a multiple of 8. */
struct ahead_event {
	struct open_trail *trail;
	uint64_t bytes;			/* padded, without this */
};

struct ahead {
	struct handover *handover;
	struct reader *reader;
	struct handover_block *reading;	/* by who asks */
};

static void *merge(void *arg)
{
	struct ahead *a = arg;
	struct handover_block *b = handover_empty(a->handover);
	struct merged m;

	while (b && reader_merge(a->reader, &m)) {
		const struct at_event *ev = (const struct at_event *)m.bytes;
		struct ahead_event head = { m.trail, (ev->len + 7u) & ~7u };

		/* An event has 64 KiB at most: an empty block takes it. */
		if (b->len + sizeof(head) + head.bytes > sizeof(b->bytes)) {
			handover_full(a->handover);
			b = handover_empty(a->handover);
			if (!b)
				break;
		}
		memcpy(b->bytes + b->len, &head, sizeof(head));
		memcpy(b->bytes + b->len + sizeof(head), ev, ev->len);
		b->len += (uint32_t)(sizeof(head) + head.bytes);
	}
	if (b)
		handover_full(a->handover);
	handover_end(a->handover);
	return NULL;
}

struct ahead *ahead_start(struct reader *r)
{
	struct ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->reader = r;
	if (handover_start("read ahead", &a->handover, merge, a))
		return a;
	free(a);
	return NULL;
}

bool ahead_next(struct ahead *a, struct merged *m)
{
	struct handover_block *b = a->reading;
	struct ahead_event head;

	while (!b || b->at == b->len) {
		b = a->reading = handover_next(a->handover);
		if (!b)
			return false;
	}
	memcpy(&head, b->bytes + b->at, sizeof(head));
	m->trail = head.trail;
	m->bytes = b->bytes + b->at + sizeof(head);
	b->at += (uint32_t)(sizeof(head) + head.bytes);
	return true;
}

void ahead_stop(struct reader *r)
{
	struct ahead *a = r->ahead;

	r->ahead = NULL;
	if (!a)
		return;
	handover_close(a->handover);
	free(a);
}
