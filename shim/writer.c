// SPDX-License-Identifier: BSD-2-Clause
/*
 * writer.c - chunks, events and clocks of a trail.  The file's life (making the
 * directory and the window, moving it at the end) is in window.c.
 */
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "writer.h"

#define CLOCK_EVERY_NS 1000000000u

static struct at_chunk *chunk_at(struct at_writer *w, enum at_ring ring, uint64_t n)
{
	uint32_t nr = ring == AT_BULK ? w->header->nr_bulk : w->header->nr_last;
	uint64_t i = n % nr + (ring == AT_BULK ? 0 : w->header->nr_bulk);

	return (struct at_chunk *)(w->chunks + i * w->header->chunk_size);
}

/* A reader that copies the chunk meanwhile sees the generation change. */
static void chunk_recycle(struct at_writer *w, struct at_chunk *c, enum at_ring ring,
			  uint64_t seq, uint32_t tid, uint64_t ns)
{
	__atomic_fetch_add(&c->generation, 1, __ATOMIC_SEQ_CST);
	for (unsigned t = 0; t < AT_NR_TYPES; t++) {
		if (c->nr[t])
			__atomic_fetch_add(&w->account->overwritten[t], c->nr[t], __ATOMIC_RELAXED);
		c->nr[t] = 0;
	}
	c->magic = AT_CHUNK_MAGIC;
	c->ring = ring;
	__atomic_store_n(&c->committed, 0, __ATOMIC_RELAXED);
	c->seq = seq;
	c->tid = tid;
	c->first_ns = ns;
	__atomic_fetch_add(&c->generation, 1, __ATOMIC_SEQ_CST);
}

/* The next chunk that no thread holds; a thread that sleeps keeps its own. */
static struct at_chunk *chunk_take(struct at_writer *w, struct at_pen *pen,
				   enum at_ring ring, uint64_t ns)
{
	uint32_t nr = ring == AT_BULK ? w->header->nr_bulk : w->header->nr_last;
	struct at_chunk *old = pen->chunk[ring];

	pen->chunk[ring] = NULL;
	pen->seq[ring]++;
	if (old)
		__atomic_store_n(&old->owned, 0, __ATOMIC_RELEASE);
	for (uint32_t tries = 0; tries < nr; tries++) {
		uint64_t n = __atomic_fetch_add(&w->taken[ring], 1, __ATOMIC_RELAXED);
		struct at_chunk *c = chunk_at(w, ring, n);
		uint32_t free = 0;

		if (!__atomic_compare_exchange_n(&c->owned, &free, 1, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		chunk_recycle(w, c, ring, n + 1, pen->tid, ns);
		pen->chunk[ring] = c;
		return c;
	}
	return NULL;
}

bool at_writer_room(struct at_writer *w, struct at_pen *pen, enum at_ring ring, uint64_t ns,
		    size_t bytes)
{
	struct at_chunk *c = pen->chunk[ring];

	if (!w->base)
		return false;
	if (!c || sizeof(*c) + c->committed + bytes > w->header->chunk_size)
		c = chunk_take(w, pen, ring, ns);
	return c;
}

void *at_writer_begin(struct at_writer *w, struct at_pen *pen, enum at_ring ring,
		      enum at_type type, uint64_t ns, size_t fields, const char *tail,
		      size_t tail_len)
{
	struct at_chunk *c;
	struct at_event *ev;
	size_t len, room;

	if (!w->base)
		return NULL;
	if (tail_len > AT_STR_MAX)
		tail_len = AT_STR_MAX;
	len = sizeof(*ev) + fields + tail_len;
	room = (len + 7) & ~(size_t)7;
	if (!at_writer_room(w, pen, ring, ns, room)) {
		__atomic_fetch_add(&w->account->lost[type], 1, __ATOMIC_RELAXED);
		return NULL;
	}
	c = pen->chunk[ring];
	ev = (struct at_event *)((uint8_t *)(c + 1) + c->committed);
	ev->type = (uint16_t)type;
	ev->len = (uint16_t)len;
	ev->tid = pen->tid;
	ev->ns = ns;
	memset(ev + 1, 0, room - sizeof(*ev));
	if (tail_len)
		memcpy((uint8_t *)(ev + 1) + fields, tail, tail_len);
	return ev + 1;
}

void at_writer_commit(struct at_pen *pen, enum at_ring ring)
{
	struct at_chunk *c = pen->chunk[ring];
	struct at_event *ev = (struct at_event *)((uint8_t *)(c + 1) + c->committed);

	c->nr[ev->type]++;
	__atomic_store_n(&c->committed, c->committed + ((ev->len + 7u) & ~7u), __ATOMIC_RELEASE);
}

void at_writer_release(struct at_writer *w, struct at_pen *pen)
{
	for (int ring = AT_BULK; ring <= AT_LAST; ring++) {
		if (w->base && pen->chunk[ring])
			__atomic_store_n(&pen->chunk[ring]->owned, 0, __ATOMIC_RELEASE);
		pen->chunk[ring] = NULL;
		pen->seq[ring]++;
	}
}

static void take_pair(struct at_writer *w)
{
	struct at_clock_page *page = w->clocks;
	uint64_t n = page->nr, end;
	struct at_clock_pair *pair = &page->pair[n ? 1 + (n - 1) % (AT_NR_CLOCKS - 1) : 0];
	struct timespec real;

	pair->mono_ns = at_now();
	clock_gettime(CLOCK_REALTIME, &real);
	end = at_now();
	pair->real_ns = (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec;
	pair->width_ns = end - pair->mono_ns;
	pair->mono_ns += pair->width_ns / 2;
	__atomic_store_n(&page->nr, n + 1, __ATOMIC_RELEASE);
}

void at_writer_tick(struct at_writer *w, uint64_t now_ns)
{
	uint64_t due = __atomic_load_n(&w->next_clock_ns, __ATOMIC_RELAXED);

	if (now_ns < due || !w->base)
		return;
	if (__atomic_compare_exchange_n(&w->next_clock_ns, &due, now_ns + CLOCK_EVERY_NS, false,
					__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		take_pair(w);
}
