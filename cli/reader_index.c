/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_index.c - what a reader reads: its trails, where each lies on the axis, and one
 * look at every chunk: where it is and its earliest time; names are learned, and what
 * is damaged is counted.
 */
#include <stdlib.h>
#include <string.h>

#include "reader_int.h"
#include "say.h"

/* ---- which trails -------------------------------------------------------- */

/* The same trail may be named twice, or lie there as a copy. */
static bool is_twin(const struct reader *r, const struct open_trail *t)
{
	static const uint8_t none[16];

	for (int i = 0; i < r->nr_trails; i++)
		if (memcmp(t->pub.header.uuid, none, sizeof(none)) &&
		    !memcmp(t->pub.header.uuid, r->trail[i]->pub.header.uuid, sizeof(none))) {
			if (strcmp(t->pub.path, r->trail[i]->pub.path))
				say("%s is the same trail as %s: read once", t->pub.path,
				    r->trail[i]->pub.path);
			return true;
		}
	return false;
}

void reader_add(struct reader *r, const char *path, int fd)
{
	struct open_trail *t = fd >= 0 ? trail_adopt(path, fd) : trail_open(path), **more;

	if (!t) {
		r->nr_unread++;
		return;
	}
	more = is_twin(r, t) ? NULL : realloc(r->trail, ((size_t)r->nr_trails + 1) * sizeof(*more));
	if (!more) {
		trail_close(t);
		return;
	}
	r->trail = more;
	t->pub.index = (uint32_t)r->nr_trails;
	r->trail[r->nr_trails++] = t;
}

/* ---- the axis ------------------------------------------------------------ */

/* The pair taken nearest to a moment of the wall clock: steps of it hurt least there. */
static const struct at_clock_pair *nearest(const struct open_trail *t, uint64_t real_ns)
{
	const struct at_clock_pair *best = NULL;
	uint64_t best_gap = 0;

	for (int i = 0; i < t->nr_clocks; i++) {
		const struct at_clock_pair *p = &t->clock[i];
		uint64_t gap = p->real_ns > real_ns ? p->real_ns - real_ns : real_ns - p->real_ns;

		if (!best || gap < best_gap) {
			best = p;
			best_gap = gap;
		}
	}
	return best;
}

/* An earlier trail of the same boot. */
static const struct open_trail *boot_mate(const struct reader *r, int i)
{
	const char *boot = r->trail[i]->pub.header.boot_id;

	for (int k = 0; boot[0] && k < i; k++)
		if (!strcmp(r->trail[k]->pub.header.boot_id, boot))
			return r->trail[k];
	return NULL;
}

/*
 * Trails of one boot share a clock up to the offsets of their time namespaces,
 * which are known.  Those of other boots are placed by the wall clock of the first of
 * them, until clocks.c knows better.
 */
void reader_set_axis(struct reader *r)
{
	const struct open_trail *first = r->trail[0];
	const struct at_clock_pair *origin = first->nr_clocks ? &first->clock[0] : NULL;

	for (int i = 0; i < r->nr_trails; i++) {
		struct open_trail *t = r->trail[i];
		const struct open_trail *peer = boot_mate(r, i);
		const struct at_clock_pair *pair;

		t->pub.axis_exact = !i || (peer && peer->pub.axis_exact);
		if (peer) {
			t->pub.to_axis_ns = peer->pub.to_axis_ns + peer->pub.header.timens_mono_ns -
					    t->pub.header.timens_mono_ns;
		} else if (!i) {
			t->pub.to_axis_ns = origin ? (int64_t)(origin->real_ns - origin->mono_ns) : 0;
		} else if ((pair = nearest(t, origin ? origin->real_ns : 0))) {
			t->pub.to_axis_ns = (int64_t)(pair->real_ns - pair->mono_ns);
		}
	}
}

/* ---- the index ----------------------------------------------------------- */

static struct source *add_source(struct reader *r)
{
	if (r->nr_sources == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		struct source *more = realloc(r->source, room * sizeof(*more));

		if (!more)
			return NULL;
		r->source = more;
		r->room = room;
	}
	return memset(&r->source[r->nr_sources++], 0, sizeof(struct source));
}

/*
 * Looks at each event: learns names, counts what is not known or damaged.  The
 * earliest time of those that have one goes to *min_ns; false: there is no event.
 */
static bool survey(struct open_trail *t, const struct chunk *c, uint64_t *min_ns, uint64_t *max_ns)
{
	bool any = false, timed = false;
	uint64_t bad = 0;
	struct place place;
	struct event ev;
	uint32_t off = 0;

	*min_ns = 0;
	while (chunk_next(t, c, &off, &place, &bad)) {
		any = true;
		if (!place.known)
			t->pub.unknown_events++;
		if (place.known && event_is_name(place.event.type)) {
			trail_event(t, c->bytes + place.off, &ev);
			trail_learn_name(t, &ev);
			continue;
		}
		if (!timed || place.event.ns < *min_ns)
			*min_ns = place.event.ns;
		timed = true;
		if (place.event.ns > *max_ns)
			*max_ns = place.event.ns;
		if (place.event.type == AT_EV_INSTANCE) {
			trail_event(t, c->bytes + place.off, &ev);
			if (!ev.instance.role && ev.instance.message_timeout_ms < UINT32_MAX &&
			    ev.instance.message_timeout_ms * 1000000 > t->pub.timeout_ns)
				t->pub.timeout_ns = ev.instance.message_timeout_ms * 1000000;
		}
	}
	if (any && !timed)
		*min_ns = c->header.first_ns < INT64_MAX / 4 ? c->header.first_ns : 0;
	t->pub.bad_bytes += bad;
	return any;
}

static bool index_trail(struct reader *r, struct open_trail *t, uint64_t *done, uint64_t total)
{
	struct chunk c = { .bytes = malloc(t->pub.header.chunk_size) };
	uint64_t oldest[2] = { 0, 0 }, newest = 0;

	if (!c.bytes)
		return false;
	for (uint32_t i = 0; i < t->nr_chunks; i++) {
		enum at_ring ring = i < t->pub.header.nr_bulk ? AT_BULK : AT_LAST;
		struct source *s;
		uint64_t min_ns;

		say_progress("indexing", (*done)++, total);
		/* A header may claim more chunks than the file has: stop where it ends. */
		if (t->pub.header.chunk_off + (uint64_t)i * t->pub.header.chunk_size >= t->pub.file_bytes) {
			*done += t->nr_chunks - i - 1;
			break;
		}
		switch (trail_chunk(t, i, &c)) {
		case CHUNK_UNUSED: {
			uint32_t next = trail_skip_hole(t, i + 1);

			*done += next - i - 1;
			i = next - 1;
			continue;
		}
		case CHUNK_RECYCLED:
			t->pub.recycled_chunks++;
			continue;
		case CHUNK_BAD:
			t->nr_bad_chunks++;
			t->pub.bad_bytes += t->pub.header.chunk_size;
			continue;
		case CHUNK_OK:
			break;
		}
		if (!survey(t, &c, &min_ns, &newest))
			continue;
		if (min_ns && (!oldest[ring] || min_ns < oldest[ring]))
			oldest[ring] = min_ns;
		t->pub.wrapped[ring] |= c.header.seq > (ring == AT_BULK ? t->pub.header.nr_bulk : t->pub.header.nr_last);
		s = add_source(r);
		if (!s) {
			free(c.bytes);
			return false;
		}
		s->trail = t;
		s->index = i;
		s->generation = c.header.generation;
		s->committed = c.len;
		s->seq = c.header.seq;
		s->min_ns = min_ns;
	}
	free(c.bytes);
	t->pub.newest_ns = newest;
	for (int ring = AT_BULK; ring <= AT_LAST; ring++)
		t->pub.held_ns[ring] = oldest[ring] && newest > oldest[ring] ? newest - oldest[ring] : 0;
	if (t->pub.bad_bytes) {
		t->pub.incomplete = true;
		say("trail %s is damaged: %llu bytes cannot be read and were skipped", t->pub.path,
		    (unsigned long long)t->pub.bad_bytes);
	}
	return true;
}

bool reader_index(struct reader *r)
{
	uint64_t done = 0, total = 0;
	bool ok = true;

	for (int i = 0; i < r->nr_trails; i++)
		total += r->trail[i]->nr_chunks;
	for (int i = 0; ok && i < r->nr_trails; i++)
		ok = index_trail(r, r->trail[i], &done, total);
	say_progress_done();
	r->waiting = calloc(r->nr_sources + 1, sizeof(*r->waiting));
	return ok && r->waiting;
}
