/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.c - many trails, one stream of events in the order of time.
 *
 * An index pass looks at every chunk once: it keeps where the chunk is and its
 * earliest time, learns the names, and counts what is damaged.  Then one heap
 * over all chunks gives the order: a chunk that comes up is read and its events
 * are sorted, and it stays in memory until its last event has been handed out.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "reader.h"
#include "reader_find.h"
#include "say.h"
#include "trail_open.h"

/* An event of an open chunk, by time. */
struct item {
	uint64_t ns;
	uint32_t off;
};

/* A chunk read into memory. */
struct loaded {
	struct chunk chunk;
	struct item *item;
	uint32_t nr, pos;
};

/* A chunk as the index knows it. */
struct source {
	struct open_trail *trail;
	uint32_t index;			/* in the file */
	uint32_t generation, committed;
	uint64_t seq;
	uint64_t min_ns;		/* earliest event, raw */
	struct loaded *loaded;		/* NULL: not yet */
	int64_t	 key;			/* axis time of its next event */
};

struct reader {
	struct open_trail **trail;
	int	 nr_trails;
	int	 nr_unread;		/* named, and nothing of it could be read */
	struct source *source;
	size_t	 nr_sources, room;
	struct source **heap;
	size_t	 nr_heap;
	size_t	 nr_loaded;		/* chunks in memory */
	size_t	 nr_done;		/* sources used up, for the progress */
	bool	 advance;		/* heap[0]'s event was handed out */
	bool	 want_unknown;
};

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

/* fd: of what was unpacked, which it takes; else -1 */
static void add_trail(struct reader *r, const char *path, int fd)
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
static void set_axis(struct reader *r)
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

static int64_t axis(const struct open_trail *t, uint64_t raw_ns)
{
	return (int64_t)(raw_ns + (uint64_t)t->pub.to_axis_ns);
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
			trail_event(t, c, &place, &ev);
			trail_learn_name(t, &ev);
			continue;
		}
		if (!timed || place.event.ns < *min_ns)
			*min_ns = place.event.ns;
		timed = true;
		if (place.event.ns > *max_ns)
			*max_ns = place.event.ns;
		if (place.event.type == AT_EV_INSTANCE) {
			trail_event(t, c, &place, &ev);
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
		case CHUNK_UNUSED:
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

static bool index_all(struct reader *r)
{
	uint64_t done = 0, total = 0;
	bool ok = true;

	for (int i = 0; i < r->nr_trails; i++)
		total += r->trail[i]->nr_chunks;
	for (int i = 0; ok && i < r->nr_trails; i++)
		ok = index_trail(r, r->trail[i], &done, total);
	say_progress_done();
	r->heap = calloc(r->nr_sources + 1, sizeof(*r->heap));
	return ok && r->heap;
}

/* ---- one chunk in memory ------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static void unload(struct reader *r, struct source *s)
{
	if (!s->loaded)
		return;
	r->nr_loaded--;
	free(s->loaded->chunk.bytes);
	free(s->loaded->item);
	free(s->loaded);
	s->loaded = NULL;
}

static bool list_events(const struct reader *r, struct source *s)
{
	struct loaded *l = s->loaded;
	bool sorted = true;
	struct place place;
	uint64_t bad = 0;
	uint32_t off = 0;

	/* The smallest event is its header alone. */
	l->item = malloc((l->chunk.len / sizeof(struct at_event) + 1) * sizeof(*l->item));
	if (!l->item)
		return false;
	while (chunk_next(s->trail, &l->chunk, &off, &place, &bad)) {
		struct item *it = &l->item[l->nr];

		if (!place.known && !r->want_unknown)
			continue;
		it->off = place.off;
		it->ns = place.known && event_is_name(place.event.type) ? s->min_ns : place.event.ns;
		sorted &= !l->nr || it->ns >= it[-1].ns;
		l->nr++;
	}
	if (!sorted)
		qsort(l->item, l->nr, sizeof(*l->item), by_time);
	return l->nr > 0;
}

/*
 * Read the chunk as the index saw it: what its thread has added since belongs to
 * the next look, and what was recycled since is no more.
 */
static bool load(struct reader *r, struct source *s)
{
	struct open_trail *t = s->trail;
	struct loaded *l = s->loaded = calloc(1, sizeof(*l));
	enum chunk_state state;

	r->nr_loaded += l != NULL;
	if (l)
		l->chunk.bytes = malloc(t->pub.header.chunk_size);
	if (!l || !l->chunk.bytes) {
		t->pub.incomplete = true;
		goto drop;
	}
	state = trail_chunk(t, s->index, &l->chunk);
	if (state != CHUNK_OK || l->chunk.header.seq != s->seq ||
	    l->chunk.header.generation != s->generation) {
		t->pub.recycled_chunks++;
		goto drop;
	}
	if (l->chunk.len > s->committed)
		l->chunk.len = s->committed;
	if (list_events(r, s))
		return true;
drop:
	unload(r, s);
	return false;
}

/* ---- the heap ------------------------------------------------------------ */

static bool before(const struct source *a, const struct source *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->trail != b->trail)
		return a->trail->pub.index < b->trail->pub.index;
	return a->index < b->index;
}

static void sift_down(struct reader *r, size_t i)
{
	for (;;) {
		size_t least = i, child = 2 * i + 1;

		for (size_t k = child; k < child + 2 && k < r->nr_heap; k++)
			if (before(r->heap[k], r->heap[least]))
				least = k;
		if (least == i)
			return;
		struct source *s = r->heap[i];

		r->heap[i] = r->heap[least];
		r->heap[least] = s;
		i = least;
	}
}

static void pop(struct reader *r)
{
	unload(r, r->heap[0]);
	r->heap[0] = r->heap[--r->nr_heap];
	r->nr_done++;
	if (r->nr_heap)
		sift_down(r, 0);
}

void reader_rewind(struct reader *r)
{
	for (size_t i = 0; i < r->nr_sources; i++) {
		struct source *s = &r->source[i];

		unload(r, s);
		s->key = axis(s->trail, s->min_ns);
		r->heap[i] = s;
	}
	r->nr_heap = r->nr_sources;
	for (size_t i = r->nr_heap / 2; i-- > 0; )
		sift_down(r, i);
	r->advance = false;
	r->nr_done = 0;
	for (int i = 0; i < r->nr_trails; i++)
		r->trail[i]->pub.nr_events = 0;
}

/* The event handed out last has been used: on to the next of its chunk. */
static void advance(struct reader *r)
{
	struct source *s = r->heap[0];
	struct loaded *l = s->loaded;

	r->advance = false;
	if (++l->pos == l->nr) {
		pop(r);
		say_progress("reading", r->nr_done, r->nr_sources);
		return;
	}
	s->key = axis(s->trail, l->item[l->pos].ns);
	sift_down(r, 0);
}

bool reader_next(struct reader *r, struct event *ev)
{
	if (r->advance)
		advance(r);
	while (r->nr_heap) {
		struct source *s = r->heap[0];
		struct place place = { .known = true };

		if (!s->loaded) {
			if (!load(r, s)) {
				pop(r);
				continue;
			}
			s->key = axis(s->trail, s->loaded->item[0].ns);
			sift_down(r, 0);
			continue;
		}
		place.off = s->loaded->item[s->loaded->pos].off;
		memcpy(&place.event, s->loaded->chunk.bytes + place.off, sizeof(place.event));
		place.known = place.event.type < AT_NR_TYPES &&
			      schema_own()->event[place.event.type].name;
		trail_event(s->trail, &s->loaded->chunk, &place, ev);
		s->trail->pub.nr_events++;
		r->advance = true;
		return true;
	}
	say_progress_done();
	return false;
}

/* ---- opening and closing ------------------------------------------------- */

/* A descriptor is held for each trail: a fleet has more than the usual limit. */
static void allow_many_files(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

struct reader *reader_open(char *const paths[], int nr_paths)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct paths found = { 0 };

	if (!r) {
		say("out of memory");
		return NULL;
	}
	allow_many_files();
	for (int i = 0; i < nr_paths; i++)
		r->nr_unread += !paths_find(&found, paths[i]);
	for (size_t i = 0; i < found.nr; i++) {
		add_trail(r, found.path[i], found.fd[i]);
		found.fd[i] = -1;
	}
	paths_free(&found);
	if (!r->nr_trails)
		goto fail;
	set_axis(r);
	if (!index_all(r)) {
		say("out of memory");
		goto fail;
	}
	reader_rewind(r);
	return r;
fail:
	reader_close(r);
	return NULL;
}

void reader_close(struct reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr_sources; i++)
		unload(r, &r->source[i]);
	for (int i = 0; i < r->nr_trails; i++)
		trail_close(r->trail[i]);
	free(r->source);
	free(r->heap);
	free(r->trail);
	free(r);
}

int reader_nr_trails(const struct reader *r)
{
	return r->nr_trails;
}

struct trail *reader_trail(const struct reader *r, int i)
{
	return &r->trail[i]->pub;
}

size_t reader_nr_loaded(const struct reader *r)
{
	return r->nr_loaded;
}

void reader_want_unknown(struct reader *r, bool want)
{
	r->want_unknown = want;
	reader_rewind(r);
}

bool reader_incomplete(const struct reader *r)
{
	if (r->nr_unread)
		return true;
	for (int i = 0; i < r->nr_trails; i++)
		if (r->trail[i]->pub.incomplete || r->trail[i]->pub.lost || trail_killed(&r->trail[i]->pub))
			return true;
	return false;
}
