/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_index.c - what a reader reads: its trails, where each lies on the axis, and one
 * look at every chunk: where it is and its earliest time; names are learned, and what
 * is damaged is counted.  That by all CPUs, a trail each.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "parallel.h"
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

/* One trail's sources; each trail is looked at by one thread. */
struct part {
	struct source *source;
	size_t nr, room;
	bool failed;			/* out of memory */
};

struct index {
	struct reader *r;
	struct part *part;		/* a trail each */
	atomic_uint_fast64_t done;	/* chunks looked at */
	uint64_t total;
	pthread_mutex_t say;
};

static struct source *add_source(struct part *p)
{
	if (p->nr == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct source *more = realloc(p->source, room * sizeof(*more));

		if (!more)
			return NULL;
		p->source = more;
		p->room = room;
	}
	return memset(&p->source[p->nr++], 0, sizeof(struct source));
}

static void progress(struct index *x, uint64_t chunks)
{
	uint64_t done = atomic_fetch_add(&x->done, chunks) + chunks;

	if (pthread_mutex_trylock(&x->say))
		return;			/* another one is saying it */
	say_progress("indexing", done, x->total);
	pthread_mutex_unlock(&x->say);
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

static void index_trail(void *arg, size_t nr)
{
	struct index *x = arg;
	struct part *p = &x->part[nr];
	struct open_trail *t = x->r->trail[nr];
	struct chunk c = { .bytes = malloc(t->pub.header.chunk_size) };
	uint64_t oldest[2] = { 0, 0 }, newest = 0;

	p->failed = !c.bytes;
	for (uint32_t i = 0, next; i < t->nr_chunks && !p->failed; progress(x, next - i), i = next) {
		enum at_ring ring = i < t->pub.header.nr_bulk ? AT_BULK : AT_LAST;
		struct source *s;
		uint64_t min_ns;

		next = i + 1;
		/* A header may claim more chunks than the file has: stop where it ends. */
		if (t->pub.header.chunk_off + (uint64_t)i * t->pub.header.chunk_size >= t->pub.file_bytes) {
			next = t->nr_chunks;
			continue;
		}
		switch (trail_chunk(t, i, &c)) {
		case CHUNK_UNUSED:
			next = trail_skip_hole(t, i + 1);
			continue;
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
		s = add_source(p);
		p->failed = !s;
		if (!s)
			break;
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
}

/* What was found of each trail, in the order of the trails. */
static bool collect(struct reader *r, const struct part *part)
{
	size_t nr = 0;

	for (int i = 0; i < r->nr_trails; i++) {
		if (part[i].failed)
			return false;
		nr += part[i].nr;
	}
	r->source = calloc(nr + 1, sizeof(*r->source));
	r->waiting = calloc(nr + 1, sizeof(*r->waiting));
	if (!r->source || !r->waiting)
		return false;
	for (int i = 0; i < r->nr_trails; i++) {
		struct trail *t = &r->trail[i]->pub;

		if (part[i].nr)
			memcpy(&r->source[r->nr_sources], part[i].source, part[i].nr * sizeof(*r->source));
		r->nr_sources += part[i].nr;
		if (!t->bad_bytes)
			continue;
		t->incomplete = true;
		say("trail %s is damaged: %llu bytes cannot be read and were skipped", t->path,
		    (unsigned long long)t->bad_bytes);
	}
	return true;
}

bool reader_index(struct reader *r)
{
	struct index x = { .r = r, .say = PTHREAD_MUTEX_INITIALIZER };
	bool ok;

	x.part = calloc((size_t)r->nr_trails, sizeof(*x.part));
	if (!x.part)
		return false;
	for (int i = 0; i < r->nr_trails; i++)
		x.total += r->trail[i]->nr_chunks;
	chunk_begin();
	parallel_each((size_t)r->nr_trails, index_trail, &x);
	say_progress_done();
	ok = collect(r, x.part);
	for (int i = 0; i < r->nr_trails; i++)
		free(x.part[i].source);
	free(x.part);
	return ok;
}
