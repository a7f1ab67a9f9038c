/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_feed.h - hand-written events for the join: a client trail, a probe trail, and
 * what comes out.  Times are ms of one clock unless a name ends in _ns; the message
 * timestamps of a test's batches are their creation times in ms.
 */
#ifndef ACKTRAIL_TEST_JOIN_FEED_H
#define ACKTRAIL_TEST_JOIN_FEED_H

#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>
#include "join.h"

#define MS	1000000ull
#define OUT_MAX	4096

struct feed {
	struct join *j;
	struct trail client, probe;
	struct tl_batch *out[OUT_MAX];
	uint32_t nr;
	struct tl_phase phase[OUT_MAX][TL_MAX_PHASES];
	struct tl_parts part[OUT_MAX][TL_MAX_PHASES];
	uint32_t syncs, syncs_on_path;
};

static void feed_take(void *arg, struct tl_batch *b)
{
	struct feed *f = arg;
	struct tl_batch *c;

	if (f->nr == OUT_MAX)
		abort();
	c = malloc(sizeof(*c));
	*c = *b;
	c->attempts = malloc((b->nr_attempts + 1) * sizeof(*c->attempts));
	if (b->nr_attempts)
		memcpy(c->attempts, b->attempts, b->nr_attempts * sizeof(*c->attempts));
	if (b->nr_phases)
		memcpy(f->phase[f->nr], b->phases, b->nr_phases * sizeof(*b->phases));
	c->phases = f->phase[f->nr];
	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (c->phases[i].parts) {
			f->part[f->nr][i] = *c->phases[i].parts;
			c->phases[i].parts = &f->part[f->nr][i];
		}
	c->topic = b->topic ? strdup(b->topic) : NULL;
	c->verdict.text = strdup(b->verdict.text);
	for (uint32_t i = 0; i < c->verdict.nr; i++)
		if (c->verdict.causes[i].culprit)
			c->verdict.causes[i].culprit = strdup(c->verdict.causes[i].culprit);
	f->out[f->nr++] = c;
}

static void feed_sync(void *arg, const struct tl_sync *s)
{
	struct feed *f = arg;

	f->syncs++;
	f->syncs_on_path += s->on_path;
}

static struct event at(struct trail *t, enum at_type type, uint64_t ms)
{
	struct event ev = { .trail = t, .type = type, .tid = 1, .ns = ms * MS };

	return ev;
}

static void give(struct feed *f, struct event ev)
{
	join_event(f->j, &ev);
}

static void give_text(struct feed *f, struct event ev, const char *text)
{
	ev.tail = text;
	ev.tail_len = (uint32_t)strlen(text);
	join_event(f->j, &ev);
}

static struct feed *feed_new(void)
{
	struct feed *f = calloc(1, sizeof(*f));
	struct join_conf conf = { .batch = feed_take, .sync = feed_sync, .arg = f };

	f->client.header.kind = AT_KIND_SHIM;
	f->client.axis_exact = true;
	f->client.live = true;
	f->client.header.uuid[0] = 0xc1;
	f->probe.header.kind = AT_KIND_PROBE;
	f->probe.axis_exact = true;
	f->probe.header.uuid[0] = 0xb1;
	f->j = join_new(&conf);
	join_add_trail(f->j, &f->client);
	return f;
}

static void feed_free(struct feed *f)
{
	for (uint32_t i = 0; i < f->nr; i++) {
		free((char *)f->out[i]->topic);
		free((char *)f->out[i]->verdict.text);
		for (uint32_t k = 0; k < f->out[i]->verdict.nr; k++)
			free((char *)f->out[i]->verdict.causes[k].culprit);
		free(f->out[i]->attempts);
		free(f->out[i]);
	}
	join_free(f->j);
	free(f);
}

static void feed_end(struct feed *f)
{
	join_end(f->j);
}

/* ---- the client's side ------------------------------------------------------------ */

static void topic(struct feed *f, struct trail *t, uint32_t id, const char *name)
{
	struct event ev = at(t, AT_EV_TOPIC, 0);

	ev.topic.topic = id;
	give_text(f, ev, name);
}

static void instance(struct feed *f, uint64_t ms, uint32_t flags, uint32_t max_in_flight)
{
	struct event ev = at(&f->client, AT_EV_INSTANCE, ms);

	ev.instance.inst = 1;
	ev.instance.linger_us = 5000;
	ev.instance.message_timeout_ms = 5000;
	ev.instance.socket_timeout_ms = 60000;
	ev.instance.batch_messages = 10000;
	ev.instance.max_in_flight = max_in_flight;
	ev.instance.acks = -1;
	ev.instance.flags = flags;
	give_text(f, ev, "tester");
}

static void connection(struct feed *f, uint64_t ms, uint32_t conn)
{
	struct event ev = at(&f->client, AT_EV_CONN, ms);

	ev.conn.conn = conn;
	ev.conn.inst = 1;
	ev.conn.broker = 1;
	ev.conn.connect_ns = ev.ns;
	ev.conn.local_port = 40000 + conn;
	ev.conn.peer_port = 9092;
	give(f, ev);
}

/* What most tests begin with: instance 1 of topic 1, and its connection 1. */
static void producer(struct feed *f, uint32_t flags, uint32_t max_in_flight)
{
	topic(f, &f->client, 1, "orders");
	instance(f, 900, flags, max_in_flight);
	connection(f, 950, 1);
}

static void connection_end(struct feed *f, uint64_t ms, uint32_t conn)
{
	struct event ev = at(&f->client, AT_EV_CONN_END, ms);

	ev.conn_end.conn = conn;
	ev.conn_end.how = AT_END_CLOSED;
	give(f, ev);
}

struct bat { uint32_t conn, corr, topic, crc, count; int32_t partition, seq; int64_t created, created_last; };

/* Its first bytes were written at `ms`. */
static void written_in_part(struct feed *f, uint64_t ms, const struct bat *b)
{
	struct event ev = at(&f->client, AT_EV_BATCH, ms);

	ev.batch.begin_ns = ev.ns;
	ev.batch.conn = b->conn;
	ev.batch.corr = b->corr;
	ev.batch.topic = b->topic;
	ev.batch.partition = b->partition;
	ev.batch.crc = b->crc;
	ev.batch.count = b->count;
	ev.batch.bytes = 100 * b->count;
	ev.batch.first_ts_ms = b->created;
	ev.batch.max_ts_ms = b->created_last ? b->created_last : b->created;
	ev.batch.producer_id = b->seq > 0 ? 7 : -1;
	ev.batch.base_sequence = b->seq > 0 ? b->seq : -1;
	give(f, ev);
}

/* Written whole at `ms`. */
static void written(struct feed *f, uint64_t ms, const struct bat *b)
{
	struct event ev = at(&f->client, AT_EV_REQUEST, ms);

	written_in_part(f, ms, b);
	ev.request.begin_ns = ev.ns;
	ev.request.conn = b->conn;
	ev.request.corr = b->corr;
	ev.request.size = 100 * b->count + 50;
	ev.request.acks = -1;
	ev.request.batches = 1;
	give_text(f, ev, "tester");
}

static void replied(struct feed *f, uint64_t ms, const struct bat *b, int16_t error, int64_t offset)
{
	struct event ev = at(&f->client, AT_EV_REPLY, ms);

	ev.reply.conn = b->conn;
	ev.reply.corr = b->corr;
	ev.reply.topic = b->topic;
	ev.reply.partition = b->partition;
	ev.reply.error = error;
	ev.reply.base_offset = error ? -1 : offset;
	give(f, ev);
	ev = at(&f->client, AT_EV_RESPONSE, ms);
	ev.response.conn = b->conn;
	ev.response.corr = b->corr;
	give(f, ev);
}

/* A fold of acknowledgements; offset -1: none. */
static void acks(struct feed *f, uint64_t ms, uint32_t topic_id, int32_t partition, int32_t err,
		 uint32_t persisted, int64_t offset, uint32_t count, uint64_t first, uint64_t last)
{
	struct event ev = at(&f->client, AT_EV_ACKS, ms);

	ev.acks.inst = 1;
	ev.acks.topic = topic_id;
	ev.acks.partition = partition;
	ev.acks.err = err;
	ev.acks.persisted = persisted;
	ev.acks.count = count;
	ev.acks.created_first_ns = first * MS;
	ev.acks.created_last_ns = last * MS;
	ev.acks.last_ns = ev.ns;
	/* librdkafka tells no timestamps and no offsets with an error. */
	ev.acks.first_ts_ms = err ? -1 : (int64_t)first;
	ev.acks.last_ts_ms = err ? -1 : (int64_t)last;
	ev.acks.first_offset = err || offset < 0 ? -1001 : offset;
	ev.acks.last_offset = err || offset < 0 ? -1001 : offset + count - 1;
	give(f, ev);
}

static void called_back(struct feed *f, uint64_t ms, uint64_t until, uint32_t topic_id, int32_t partition,
			int32_t err, uint32_t count)
{
	struct event ev = at(&f->client, AT_EV_CALLBACK, ms);

	ev.callback.inst = 1;
	ev.callback.topic = topic_id;
	ev.callback.partition = partition;
	ev.callback.err = err;
	ev.callback.count = count;
	ev.callback.last_ns = until * MS;
	give(f, ev);
}

/* ---- the broker's side -------------------------------------------------------------- */

enum { FILE_SEGMENT = 1, FILE_INDEX = 2, FILE_OTHER = 3 };

static void file(struct feed *f, uint32_t id, uint32_t role, uint32_t topic_id, int32_t partition)
{
	struct event ev = at(&f->probe, AT_EV_FILE, 0);

	ev.file.file = id;
	ev.file.role = role;
	ev.file.topic = topic_id;
	ev.file.partition = partition;
	ev.file.dev = 7;
	ev.file.ino = id;
	give_text(f, ev, "/log/x");
}

/* A probe that sees all, of one partition: files 1 and 2 are its segment and index. */
static void probe(struct feed *f)
{
	struct event ev = at(&f->probe, AT_EV_TARGET, 1);

	join_add_trail(f->j, &f->probe);
	ev.target.pid = 9;
	ev.target.broker = 1;
	give(f, ev);
	for (uint32_t i = 0; i < AT_NR_COVER; i++) {
		ev = at(&f->probe, AT_EV_COVERAGE, 1);
		ev.coverage.what = i;
		ev.coverage.on = 1;
		give(f, ev);
	}
	ev = at(&f->probe, AT_EV_DEVICE, 1);
	ev.device.dev = 7;
	give_text(f, ev, "loop0");
	topic(f, &f->probe, 1, "orders");
	file(f, FILE_SEGMENT, AT_ROLE_SEGMENT, 1, 0);
	file(f, FILE_INDEX, AT_ROLE_INDEX, 1, 0);
	file(f, FILE_OTHER, AT_ROLE_OTHER, 0, -1);
}

static void arrived(struct feed *f, uint64_t arrived_ms, uint64_t read_ms, const struct bat *b)
{
	struct event ev = at(&f->probe, AT_EV_ARRIVAL, read_ms);

	ev.arrival.arrived_ns = arrived_ms * MS;
	ev.arrival.begin_ns = ev.ns;
	ev.arrival.pid = 9;
	ev.arrival.conn = b->conn;
	ev.arrival.corr = b->corr;
	ev.arrival.size = 100 * b->count + 50;
	ev.arrival.peer_port = 40000 + b->conn;
	ev.arrival.acks = -1;
	ev.arrival.batches = 1;
	give_text(f, ev, "tester");
	ev = at(&f->probe, AT_EV_ARRIVAL_BATCH, read_ms);
	ev.arrival_batch.conn = b->conn;
	ev.arrival_batch.corr = b->corr;
	ev.arrival_batch.topic = b->topic;
	ev.arrival_batch.partition = b->partition;
	ev.arrival_batch.crc = b->crc;
	ev.arrival_batch.count = b->count;
	ev.arrival_batch.first_ts_ms = b->created;
	ev.arrival_batch.producer_id = b->seq > 0 ? 7 : -1;
	ev.arrival_batch.base_sequence = b->seq > 0 ? b->seq : -1;
	give(f, ev);
}

static void appended(struct feed *f, uint64_t begin, uint64_t end, uint32_t tid, const struct bat *b,
		     int64_t offset)
{
	struct event ev = at(&f->probe, AT_EV_APPEND, end);

	ev.tid = tid;
	ev.append.begin_ns = begin * MS;
	ev.append.ret = 100;
	ev.append.pid = 9;
	ev.append.file = FILE_SEGMENT;
	ev.append.topic = b->topic;
	ev.append.partition = b->partition;
	ev.append.crc = b->crc;
	ev.append.count = b->count;
	ev.append.first_ts_ms = b->created;
	ev.append.max_ts_ms = b->created_last ? b->created_last : b->created;
	ev.append.base_offset = offset;
	ev.append.producer_id = b->seq > 0 ? 7 : -1;
	ev.append.base_sequence = b->seq > 0 ? b->seq : -1;
	give(f, ev);
}

static void synced(struct feed *f, uint64_t begin, uint64_t end, uint32_t tid, uint32_t file_id,
		   uint32_t call)
{
	struct event ev = at(&f->probe, AT_EV_SYNC, end);

	ev.tid = tid;
	ev.sync.begin_ns = begin * MS;
	ev.sync.dev = 7;
	ev.sync.ino = file_id;
	ev.sync.file = file_id;
	ev.sync.call = call;
	give(f, ev);
}

static void flushed(struct feed *f, uint64_t issue, uint64_t done)
{
	struct event ev = at(&f->probe, AT_EV_BLOCK, done);

	ev.block.issue_ns = issue * MS;
	ev.block.dev = 7;
	ev.block.op = AT_OP_FLUSH;
	give(f, ev);
}

static void answered(struct feed *f, uint64_t ms, const struct bat *b)
{
	struct event ev = at(&f->probe, AT_EV_ANSWER, ms);

	ev.answer.begin_ns = ev.ns;
	ev.answer.conn = b->conn;
	ev.answer.corr = b->corr;
	give(f, ev);
}

static void arrival_ended(struct feed *f, uint64_t ms, uint32_t conn)
{
	struct event ev = at(&f->probe, AT_EV_ARRIVAL_END, ms);

	ev.arrival_end.conn = conn;
	ev.arrival_end.drained_ns = ev.ns;
	give(f, ev);
}

/* ---- looking at what came out --------------------------------------------------------- */

static int64_t phase_ms(const struct tl_batch *b, enum tl_phase_name name)
{
	int64_t ns = 0;

	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (b->phases[i].name == name)
			ns += b->phases[i].ns;
	return ns / (int64_t)MS;
}

static const struct tl_phase *phase_of(const struct tl_batch *b, enum tl_phase_name name)
{
	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (b->phases[i].name == name)
			return &b->phases[i];
	return NULL;
}

/* Phases follow each other and add up; parts add up to their phase.  Else why not. */
static const char *unsound(const struct tl_batch *b)
{
	int64_t at_ns = b->created_first_ns, sum = 0;

	for (uint32_t i = 0; i < b->nr_phases; i++) {
		const struct tl_phase *p = &b->phases[i];
		int64_t parts = 0;

		if (p->begin_ns != at_ns)
			return "a gap or an overlap";
		if (p->ns <= 0)
			return "a phase without length";
		at_ns += p->ns;
		sum += p->ns;
		for (int k = 0; p->parts && k < TL_NR_PARTS; k++) {
			if (p->parts->part[k] < 0)
				return "a negative part";
			parts += p->parts->part[k];
		}
		if (p->parts && parts != p->ns)
			return "parts that do not add up";
	}
	if (sum != b->end_ns - b->created_first_ns)
		return "phases that do not add up";
	if (b->outcome != TL_OUTCOME_OPEN && b->end_ns != b->resolved_ns)
		return "an end that is not the resolution";
	return NULL;
}

/* Not every test uses all of it. */
__attribute__((unused)) static void *const feed_unused[] = {
	(void *)connection_end, (void *)called_back, (void *)flushed, (void *)arrival_ended,
	(void *)answered, (void *)synced, (void *)appended, (void *)arrived, (void *)probe,
	(void *)phase_ms, (void *)phase_of, (void *)unsound, (void *)replied, (void *)feed_end,
	(void *)acks, (void *)written, (void *)instance, (void *)connection, (void *)producer, (void *)feed_new,
	(void *)feed_free, (void *)topic,
};

#endif
