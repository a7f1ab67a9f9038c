/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include "batch_view.h"
#include "handover.h"
#include "join_base.h"
#include "rows.h"

/* Before each row in a block. */
struct row_head {
	_Alignas(16) struct tl_batch *batch;	/* behind this; or allocated, being too large for a block */
	uint32_t bytes;				/* of both */
};

struct rows {
	struct handover *handover;
	struct handover_block *filling;
	void (*row)(void *arg, struct tl_batch *b);
	void *arg;
};

static void *write_rows(void *arg)
{
	struct rows *r = arg;
	struct handover_block *b;

	while ((b = handover_next(r->handover)))
		while (b->at < b->len) {
			struct row_head *h = (struct row_head *)(b->bytes + b->at);

			r->row(r->arg, h->batch);
			if (h->bytes == sizeof(*h))
				free(h->batch);
			b->at += h->bytes;
		}
	return NULL;
}

struct rows *rows_start(void (*row)(void *arg, struct tl_batch *b), void *arg)
{
	struct rows *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->row = row;
	r->arg = arg;
	if (handover_start("rows", &r->handover, write_rows, r))
		return r;
	free(r);
	return NULL;
}

/* Room for n bytes in the block that is being filled. */
static void *room(struct rows *r, size_t n)
{
	struct handover_block *b = r->filling;
	void *at;

	if (b && sizeof(b->bytes) - b->len < n) {
		handover_full(r->handover);
		b = NULL;
	}
	if (!b)
		b = r->filling = handover_empty(r->handover);
	at = b->bytes + b->len;
	b->len += (uint32_t)n;
	return at;
}

void rows_put(struct rows *r, struct tl_batch *b)
{
	size_t n = batch_bytes(b);
	bool fits = n <= HANDOVER_BYTES / 8;
	struct row_head *h = room(r, sizeof(*h) + (fits ? n : 0));

	h->batch = fits ? batch_pack(h + 1, b) : batch_copy(b);
	h->bytes = (uint32_t)(sizeof(*h) + (fits ? n : 0));
	if (!h->batch)
		join_no_memory();
}

void rows_end(struct rows *r)
{
	if (!r)
		return;
	if (r->filling)
		handover_full(r->handover);
	handover_end(r->handover);
	handover_close(r->handover);
	free(r);
}
