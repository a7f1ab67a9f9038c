/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.c - many trails, one stream of events in the order of time.
 *
 * Chunks are read in the order of their earliest events, which reader_index.c has found,
 * and sorted.  A heap of those in memory says whose event is next; a chunk stays until
 * its last one has been handed out.  Where there is much to read a thread of its own does
 * all that, reader_ahead.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "reader_find.h"
#include "reader_int.h"
#include "say.h"

/* ---- one chunk in memory ------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* A chunk is nearly in order, as a rule: each event finds its place among the last few. */
static void sort_items(struct item *item, uint32_t nr)
{
	uint64_t moves = 0;

	for (uint32_t i = 1; i < nr; i++) {
		struct item it = item[i];
		uint32_t k = i;

		for (; k && item[k - 1].ns > it.ns; k--)
			item[k] = item[k - 1];
		item[k] = it;
		moves += i - k;
		if (moves > 32 * (uint64_t)nr) {	/* it is not */
			qsort(item, nr, sizeof(*item), by_time);
			return;
		}
	}
}

static void loaded_free(struct loaded *l)
{
	free(l->chunk.bytes);
	free(l->item);
	free(l);
}

/* Buffers for a chunk of that trail: one that was used before, if it is large enough. */
static struct loaded *loaded_get(struct reader *r, const struct open_trail *t)
{
	uint32_t room = t->pub.header.chunk_size;
	struct loaded *l = r->free;

	if (l && l->room >= room) {
		r->free = l->next;
		l->nr = l->pos = 0;
		return l;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->room = room;
	l->chunk.bytes = malloc(room);
	/* The smallest event is its header alone. */
	l->item = malloc((room / sizeof(struct at_event) + 1) * sizeof(*l->item));
	if (l->chunk.bytes && l->item)
		return l;
	loaded_free(l);
	return NULL;
}

static void unload(struct reader *r, struct source *s)
{
	if (!s->loaded)
		return;
	r->nr_loaded--;
	s->loaded->next = r->free;
	r->free = s->loaded;
	s->loaded = NULL;
}

static bool list_events(const struct reader *r, struct source *s)
{
	struct loaded *l = s->loaded;
	struct place place;
	uint64_t bad = 0;
	uint32_t off = 0;

	while (chunk_next(s->trail, &l->chunk, &off, &place, &bad)) {
		struct item *it = &l->item[l->nr];

		if (place.known ? !(r->types >> place.event.type & 1) : !r->want_unknown)
			continue;
		it->off = place.off;
		it->ns = place.known && event_is_name(place.event.type) ? s->min_ns : place.event.ns;
		l->nr++;
	}
	sort_items(l->item, l->nr);
	return l->nr > 0;
}

/*
 * Read the chunk as the index saw it: what its thread has added since belongs to
 * the next look, and what was recycled since is no more.
 */
static bool load(struct reader *r, struct source *s)
{
	struct open_trail *t = s->trail;
	struct loaded *l = s->loaded = loaded_get(r, t);
	enum chunk_state state;

	if (!l) {
		t->failed = true;
		return false;
	}
	r->nr_loaded++;
	state = trail_chunk(t, s->index, &l->chunk);
	if (state != CHUNK_OK || l->chunk.header.seq != s->seq ||
	    l->chunk.header.generation != s->generation) {
		t->nr_recycled++;
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

/* ---- whose turn it is ------------------------------------------------------ */

static bool before(struct turn a, struct turn b)
{
	return a.key != b.key ? a.key < b.key : a.source < b.source;
}

static int by_turn(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return before(*x, *y) ? -1 : before(*y, *x);
}

/* The first of the heap, which is to have the turn t: where it belongs. */
static void sift_down(struct reader *r, struct turn t)
{
	struct turn *h = r->heap;
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->nr_heap) {
		if (child + 1 < r->nr_heap && before(h[child + 1], h[child]))
			child++;
		if (!before(h[child], t))
			break;
		h[i] = h[child];
		i = child;
	}
	h[i] = t;
}

static bool push(struct reader *r, struct turn t)
{
	size_t i = r->nr_heap;

	if (i == r->heap_room) {
		size_t room = i ? 2 * i : 64;
		struct turn *more = realloc(r->heap, room * sizeof(*more));

		if (!more)
			return false;
		r->heap = more;
		r->heap_room = room;
	}
	for (r->nr_heap++; i && before(t, r->heap[(i - 1) / 2]); i = (i - 1) / 2)
		r->heap[i] = r->heap[(i - 1) / 2];
	r->heap[i] = t;
	return true;
}

/* By the time that it is its turn the event is in the cache: those of other chunks come before. */
static int64_t next_key(const struct source *s)
{
	const struct loaded *l = s->loaded;
	const struct item *next = &l->item[l->pos];

	__builtin_prefetch(l->chunk.bytes + next->off);
	__builtin_prefetch(l->chunk.bytes + next->off + 64);
	return reader_axis(s->trail, next->ns);
}

/* What may come before anything in memory is read in. */
static void load_due(struct reader *r)
{
	while (r->nr_due < r->nr_sources &&
	       (!r->nr_heap || before(r->waiting[r->nr_due], r->heap[0]))) {
		uint32_t nr = r->waiting[r->nr_due++].source;
		struct source *s = &r->source[nr];

		if (!load(r, s)) {
			r->nr_done++;
		} else if (!push(r, (struct turn){ next_key(s), nr })) {
			s->trail->failed = true;
			unload(r, s);
		}
	}
}

void reader_rewind(struct reader *r)
{
	ahead_stop(r);
	r->begun = false;
	for (size_t i = 0; i < r->nr_sources; i++) {
		struct source *s = &r->source[i];

		unload(r, s);
		r->waiting[i] = (struct turn){ reader_axis(s->trail, s->min_ns), (uint32_t)i };
	}
	qsort(r->waiting, r->nr_sources, sizeof(*r->waiting), by_turn);
	r->nr_due = r->nr_heap = 0;
	r->advance = false;
	r->nr_done = 0;
	r->types = UINT64_MAX;
	for (int i = 0; i < r->nr_trails; i++)
		r->trail[i]->pub.nr_events = 0;
}

/* The event handed out last has been used: on to the next of its chunk. */
static void advance(struct reader *r)
{
	struct turn t = r->heap[0];
	struct source *s = &r->source[t.source];
	struct loaded *l = s->loaded;

	r->advance = false;
	if (++l->pos < l->nr) {
		t.key = next_key(s);
	} else {
		unload(r, s);
		t = r->heap[--r->nr_heap];
		say_progress("reading", ++r->nr_done, r->nr_sources);
	}
	if (r->nr_heap)
		sift_down(r, t);
}

bool reader_merge(struct reader *r, struct merged *m)
{
	struct source *s;

	if (r->advance)
		advance(r);
	load_due(r);
	if (!r->nr_heap)
		return false;
	s = &r->source[r->heap[0].source];
	m->trail = s->trail;
	m->bytes = s->loaded->chunk.bytes + s->loaded->item[s->loaded->pos].off;
	r->advance = true;
	return true;
}

/* What the merging met goes into the trail only at its end: it may run in another thread than those who read that. */
static void publish(struct open_trail *t)
{
	t->pub.incomplete |= t->failed;
	t->pub.recycled_chunks += t->nr_recycled;
	t->failed = false;
	t->nr_recycled = 0;
}

bool reader_next(struct reader *r, struct event *ev)
{
	struct merged m;

	if (!r->begun) {
		r->ahead = reader_is_long(r) ? ahead_start(r) : NULL;
		r->begun = true;
	}
	if (!(r->ahead ? ahead_next(r->ahead, &m) : reader_merge(r, &m))) {
		ahead_stop(r);
		say_progress_done();
		for (int i = 0; i < r->nr_trails; i++)
			publish(r->trail[i]);
		return false;
	}
	trail_event(m.trail, m.bytes, ev);
	m.trail->pub.nr_events++;
	return true;
}

void reader_only(struct reader *r, uint64_t types)
{
	reader_rewind(r);
	r->types = types;
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
		reader_add(r, found.path[i], found.fd[i]);
		found.fd[i] = -1;
	}
	paths_free(&found);
	if (!r->nr_trails)
		goto fail;
	reader_set_axis(r);
	if (!reader_index(r)) {
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
	ahead_stop(r);
	for (size_t i = 0; i < r->nr_sources; i++)
		unload(r, &r->source[i]);
	for (struct loaded *l = r->free, *next; l; l = next) {
		next = l->next;
		loaded_free(l);
	}
	for (int i = 0; i < r->nr_trails; i++)
		trail_close(r->trail[i]);
	free(r->source);
	free(r->waiting);
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

bool reader_is_long(const struct reader *r)
{
	return r->nr_sources >= 32;
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
