/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trail_chunk.c - the chunks of an open trail, and the events in them.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "trail_open.h"

size_t trail_read(int fd, void *buf, size_t len, uint64_t at)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, (uint8_t *)buf + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

/* ---- chunks -------------------------------------------------------------- */

enum chunk_state trail_chunk(const struct open_trail *t, uint32_t i, struct chunk *c)
{
	const struct at_header *h = &t->pub.header;
	uint64_t at = h->chunk_off + (uint64_t)i * h->chunk_size;
	struct at_chunk again;
	size_t got;

	c->len = 0;
	c->cut = false;
	memset(&c->header, 0, sizeof(c->header));
	got = trail_read(t->fd, &c->header, sizeof(c->header), at);
	if (got < sizeof(c->header))
		return CHUNK_UNUSED;	/* cut off: said when the trail was opened */
	if (!c->header.seq && !c->header.magic)
		return CHUNK_UNUSED;
	/* Of a process killed while it recycled, too: what it held is overwritten. */
	if (c->header.generation & 1)
		return CHUNK_RECYCLED;
	if (c->header.magic != AT_CHUNK_MAGIC || !c->header.seq || c->header.ring > AT_LAST ||
	    c->header.committed > h->chunk_size - sizeof(c->header))
		return CHUNK_BAD;
	/* The commit word was read before the events that it vouches for. */
	atomic_thread_fence(memory_order_acquire);
	c->len = (uint32_t)trail_read(t->fd, c->bytes, c->header.committed, at + sizeof(c->header));
	c->cut = c->len < c->header.committed;
	atomic_thread_fence(memory_order_acquire);
	got = trail_read(t->fd, &again, sizeof(again), at);
	if (got == sizeof(again) &&
	    (again.generation != c->header.generation || again.seq != c->header.seq))
		return CHUNK_RECYCLED;
	return CHUNK_OK;
}

/* A ring is made as large as it may get, and most of it stays empty: not even looked at. */
uint32_t trail_skip_hole(const struct open_trail *t, uint32_t i)
{
	const struct at_header *h = &t->pub.header;
	off_t data;

	if (i >= t->nr_chunks)
		return i;
	data = lseek(t->fd, (off_t)(h->chunk_off + (uint64_t)i * h->chunk_size), SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? t->nr_chunks : i;
	data = (data - (off_t)h->chunk_off) / h->chunk_size;
	return data < t->nr_chunks ? (uint32_t)data : t->nr_chunks;
}

/* ---- events -------------------------------------------------------------- */

#define SIZE_OF(NAME, name, nr, when, fields, tail) [nr] = sizeof(struct ev_##name),
#define NOTHING(t, f)
static const uint16_t known_bytes[AT_NR_TYPES] = { AT_EVENTS(SIZE_OF, NOTHING) };
#undef SIZE_OF
#undef NOTHING

/* Offsets of the times among the fields of each event, from trail.h. */
static struct { uint16_t nr, off[8]; } times[AT_NR_TYPES];

void chunk_begin(void)
{
	const struct schema *own = schema_own();

	for (unsigned type = 0; type < AT_NR_TYPES; type++) {
		const struct schema_event *e = &own->event[type];

		times[type].nr = 0;
		for (uint32_t i = 0; i < e->nr_fields; i++) {
			size_t len = strlen(e->field[i].name);

			if (e->field[i].size == 8 && !e->field[i].is_signed && len > 3 &&
			    !strcmp(e->field[i].name + len - 3, "_ns") && times[type].nr < 8)
				times[type].off[times[type].nr++] = e->field[i].off;
		}
	}
}

/* A time that no clock can show comes from damage; sums with it would overflow. */
static bool times_plausible(const struct schema_event *e, uint16_t type, const uint8_t *fields)
{
	for (unsigned i = 0; i < times[type].nr; i++) {
		uint64_t ns;

		if (times[type].off[i] + sizeof(ns) > e->bytes)
			break;
		memcpy(&ns, fields + times[type].off[i], sizeof(ns));
		if (ns >= TRAIL_TIME_MAX)
			return false;
	}
	return true;
}

bool chunk_next(const struct open_trail *t, const struct chunk *c, uint32_t *off,
		struct place *place, uint64_t *bad)
{
	while (c->len - *off >= sizeof(place->event)) {
		uint32_t at = *off, left = c->len - at, padded;
		struct at_event *ev = &place->event;
		const struct schema_event *e;

		memcpy(ev, c->bytes + at, sizeof(*ev));
		if (ev->len < sizeof(*ev) || ev->len > left)
			break;		/* lost our footing: the rest cannot be told apart */
		padded = (ev->len + 7u) & ~7u;
		*off = padded < left ? at + padded : c->len;
		e = ev->type < AT_NR_TYPES ? &t->schema.event[ev->type] : NULL;
		place->off = at;
		place->known = ev->type < AT_NR_TYPES && known_bytes[ev->type];
		if (ev->type != AT_EV_NONE && ev->ns < TRAIL_TIME_MAX &&
		    (!e || !e->name || ev->len >= sizeof(*ev) + e->bytes) &&
		    (!place->known || times_plausible(e, ev->type, c->bytes + at + sizeof(*ev))))
			return true;
		*bad += padded;
	}
	if (!c->cut)	/* else it is the half of an event that the cut has left */
		*bad += c->len - *off;
	*off = c->len;
	return false;
}

void trail_event(struct open_trail *t, const uint8_t *bytes, struct event *ev)
{
	struct at_event head;
	uint32_t len, known;

	memcpy(&head, bytes, sizeof(head));
	len = head.type < AT_NR_TYPES ? t->schema.event[head.type].bytes : 0;
	known = head.type < AT_NR_TYPES ? known_bytes[head.type] : 0;
	ev->trail = &t->pub;
	ev->type = head.type;
	ev->tid = head.tid;
	ev->ns = head.ns;
	ev->raw = bytes + sizeof(head);
	ev->raw_len = len;
	ev->tail = (const char *)ev->raw + len;
	ev->tail_len = head.len - (uint32_t)sizeof(head) - len;
	if (len < known)
		memset((uint8_t *)&ev->topic + len, 0, known - len);
	memcpy(&ev->topic, ev->raw, len < known ? len : known);
}
