/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "batch_view.h"
#include "clocks.h"
#include "joined.h"
#include "log_dump.h"
#include "rows.h"
#include "say.h"

enum { KEY_SLOW = 0x500, KEY_LOG_DUMP, KEY_CLOCK };

static const struct argp_option options[] = {
	{ "format", 'f', "FORMAT", 0, "text (default) or ndjson", 1 },
	{ "slow", KEY_SLOW, "MS", 0,
	  "An acknowledged batch is late when it took this long since its creation (100)", 1 },
	{ "log-dump", KEY_LOG_DUMP, "FILE|DIR", 0,
	  "What Kafka's DumpLogSegments printed: which batches are in the log", 1 },
	{ "clock-offset", KEY_CLOCK, "HOST=MS", 0,
	  "Clocks of that host's trails are so much ahead of the first trail's, instead of what the requests tell", 1 },
	{ 0 }
};

/* "broker1=-3.25" */
static bool clock_given(struct joined *c, char *arg)
{
	char *eq = strrchr(arg, '='), *end = NULL;
	double ms = eq ? strtod(eq + 1, &end) : 0;
	struct clock_given *more;

	if (!eq || eq == arg || end == eq + 1 || *end || !(ms > -1e15 && ms < 1e15))
		return false;
	more = realloc(c->given, (c->nr_given + 1) * sizeof(*more));
	if (!more)
		return false;
	*eq = 0;
	c->given = more;
	more[c->nr_given++] = (struct clock_given){ arg, (int64_t)(ms * 1e6) };
	return true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct joined *c = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &c->filter;
		return 0;
	case 'f':
		c->format = format_arg(state, arg);
		return 0;
	case KEY_SLOW:
		errno = 0;
		c->slow_ns = (int64_t)(strtod(arg, &end) * 1e6);
		if (errno || *end || end == arg || c->slow_ns <= 0)
			argp_error(state, "--slow wants milliseconds, not “%s”", arg);
		return 0;
	case KEY_CLOCK:
		if (!clock_given(c, arg))
			argp_error(state, "--clock-offset wants HOST=MILLISECONDS, not “%s”", arg);
		return 0;
	case KEY_LOG_DUMP:
		c->bad_dump |= !log_dump_read(&c->log_dump, arg);
		return 0;
	case ARGP_KEY_ARGS:
		c->paths = state->argv + state->next;
		c->nr_paths = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which TRAIL?");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = { { &filter_argp, 0, "Filters:", 2 }, { 0 } };
const struct argp joined_argp = { options, parse, NULL, NULL, children, NULL, NULL };
const struct argp_child joined_children[] = { { &joined_argp, 0, NULL, 0 }, { 0 } };

error_t joined_parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

bool joined_open(struct joined *c)
{
	struct event ev;

	c->reader = c->bad_dump ? NULL : reader_open(c->paths, c->nr_paths);
	if (!c->reader) {
		log_dump_free(c->log_dump);
		return false;
	}
	c->clocks = clocks_learn(c->reader, c->given, c->nr_given);
	if (c->filter.since.from_end || c->filter.until.from_end ||
	    c->filter.since.of_day || c->filter.until.of_day) {
		while (reader_next(c->reader, &ev))
			if (event_axis(&ev, ev.ns) > c->end_ns)
				c->end_ns = event_axis(&ev, ev.ns);
		reader_rewind(c->reader);
	}
	filter_resolve(&c->filter, c->end_ns);
	return true;
}

/* ---- what is kept --------------------------------------------------------------- */

struct pass {
	struct joined *c;
	void (*batch)(void *arg, struct tl_batch *b);
	void *arg;
	struct rows *rows;		/* writes them; NULL: batch() is called at once */
	struct tl_batch **slowest;	/* a heap: the fastest on top */
	uint32_t nr;
};

static int64_t length(const struct tl_batch *b)
{
	return b->end_ns - b->created_first_ns;
}

static void sift(struct tl_batch **h, uint32_t nr, uint32_t i)
{
	for (;;) {
		uint32_t k = 2 * i + 1, least = i;
		struct tl_batch *t = h[i];

		if (k < nr && length(h[k]) < length(h[least]))
			least = k;
		if (k + 1 < nr && length(h[k + 1]) < length(h[least]))
			least = k + 1;
		if (least == i)
			return;
		h[i] = h[least];
		h[least] = t;
		i = least;
	}
}

static void keep_slow(struct pass *p, const struct tl_batch *b)
{
	uint32_t max = p->c->filter.slowest;

	if (p->nr == max && length(p->slowest[0]) >= length(b))
		return;
	if (p->nr == max) {
		free(p->slowest[0]);
		p->slowest[0] = p->slowest[--p->nr];
		sift(p->slowest, p->nr, 0);
	}
	p->slowest[p->nr] = batch_copy(b);
	if (!p->slowest[p->nr])
		return;
	p->nr++;
	for (uint32_t i = p->nr - 1; i && length(p->slowest[i]) < length(p->slowest[(i - 1) / 2]);
	     i = (i - 1) / 2) {
		struct tl_batch *t = p->slowest[i];

		p->slowest[i] = p->slowest[(i - 1) / 2];
		p->slowest[(i - 1) / 2] = t;
	}
}

static int slower_first(const void *a, const void *b)
{
	int64_t x = length(*(struct tl_batch *const *)a), y = length(*(struct tl_batch *const *)b);

	return x > y ? -1 : x < y;
}

static void take(void *arg, struct tl_batch *b)
{
	struct pass *p = arg;
	int32_t brokers[16];
	struct filter_row row = {
		.topic = b->topic, .client = b->producer.client_id, .has_partition = true,
		.partition = b->partition, .brokers = brokers, .outcome = (int)b->outcome,
		.begin_ns = b->created_first_ns, .end_ns = b->end_ns, .control = b->control,
	};

	if (p->c->on_row)
		p->c->on_row(p->arg, b);
	if (b->moved && !p->c->attempts)
		return;
	for (uint32_t i = 0; i < b->nr_attempts && row.nr_brokers < 16; i++)
		if (b->attempts[i].broker >= 0)
			brokers[row.nr_brokers++] = b->attempts[i].broker;
	if (!filter_row(&p->c->filter, &row))
		return;
	if (p->c->on_kept)
		p->c->on_kept(p->arg, b);
	if (p->slowest)
		keep_slow(p, b);
	else if (p->rows)
		rows_put(p->rows, b);
	else
		p->batch(p->arg, b);
}

/* Its evidence tells nothing of these clients, and what it does not show did not happen elsewhere. */
static void say_foreign(struct joined *c, const struct join *j)
{
	for (int i = 0; i < reader_nr_trails(c->reader); i++) {
		const struct trail *t = reader_trail(c->reader, i);

		if (!join_is_foreign(j, t) || c->foreign_said)
			continue;
		say("trail %s: its probe saw none of the batches that these clients sent: it witnessed another broker, "
		    "other topics, or another time", t->path);
	}
	c->foreign_said = true;
}

void joined_run(struct joined *c, void (*batch)(void *arg, struct tl_batch *b),
		void (*sync)(void *arg, const struct tl_sync *s), void *arg)
{
	struct pass p = { .c = c, .batch = batch, .arg = arg };
	struct join_conf conf = {
		.batch = take, .arg = &p, .topic_name = trail_topic, .file = trail_file,
		.file_path = trail_file_path, .slow_ns = c->slow_ns, .log_dump = c->log_dump,
		.clocks = c->clocks,
	};
	struct join *j;
	struct event ev;

	/* Syncs have no business with the filters of batches: the command sees to them. */
	if (sync && !batch) {
		conf.batch = NULL;
		conf.sync = sync;
		conf.arg = arg;
	}
	if (batch && c->filter.slowest) {
		p.slowest = calloc(c->filter.slowest, sizeof(*p.slowest));
		if (!p.slowest)
			say("--slowest %u is more than memory holds", c->filter.slowest);
	}
	if (batch && !p.slowest && reader_is_long(c->reader))
		p.rows = rows_start(batch, arg);
	j = join_new(&conf);
	for (int i = 0; i < reader_nr_trails(c->reader); i++)
		join_add_trail(j, reader_trail(c->reader, i));
	while (reader_next(c->reader, &ev)) {
		if (c->on_event)
			c->on_event(arg, &ev);
		join_event(j, &ev);
	}
	join_end(j);
	say_foreign(c, j);
	rows_end(p.rows);
	if (p.slowest) {
		qsort(p.slowest, p.nr, sizeof(*p.slowest), slower_first);
		for (uint32_t i = 0; i < p.nr; i++) {
			batch(arg, p.slowest[i]);
			free(p.slowest[i]);
		}
		free(p.slowest);
	}
	join_free(j);
}

int joined_close(struct joined *c)
{
	int status = (int)say_incomplete(c->reader);

	clocks_free(c->clocks);
	free(c->given);
	reader_close(c->reader);
	log_dump_free(c->log_dump);
	return status;
}
