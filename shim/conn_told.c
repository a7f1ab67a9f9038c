// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn_told.c - what the parsers read in a connection's bytes, written into the trail,
 * and the requests that wait for their responses.
 */
#include <string.h>

#include "conn_int.h"

#define SLOW_NS 1000000000u		/* answered later: restated in the ring that lasts */

/* ---- topics -------------------------------------------------------------- */

static const struct topic *topic_of(struct conn *c, const struct wire_name *name)
{
	const struct topic *last = c->last_topic;

	if (name->is_id)
		return topic_by_uuid((const uint8_t *)name->text);
	if (last && last->len == name->len && !memcmp(last->name, name->text, name->len))
		return last;
	return c->last_topic = topic_by_name(name->text, name->len);
}

/* ---- requests ------------------------------------------------------------ */

void conn_write_batch(struct thread *t, enum at_ring ring, const struct ev_batch *batch,
		      const struct topic *topic, uint64_t ns, uint16_t flags)
{
	struct ev_batch *ev = emit(t, ring, AT_EV_BATCH, ns, sizeof(*ev), topic, NULL, 0);

	if (!ev)
		return;
	*ev = *batch;
	ev->flags |= flags;
	emit_done(t, ring);
}

static void on_batch(void *ctx, const struct wire_request *rq, const struct wire_name *name,
		     const struct wire_batch *b)
{
	struct pass *p = ctx;
	struct conn *c = p->c;
	const struct topic *topic = topic_of(c, name);
	struct ev_batch batch = {
		.begin_ns = b->begin_ns, .corr = rq->corr,
		.topic = topic ? topic->id : 0, .partition = b->partition,
		.bytes = b->id.bytes, .index = b->index, .producer_id = -1, .base_sequence = -1,
		.epoch = -1,
	};

	if (!conn_ready(p))
		return;
	batch.conn = c->id;
	if (b->old_format) {
		batch.flags = AT_BATCH_OLD_FORMAT;
	} else {
		batch.first_ts_ms = b->id.first_ts_ms;
		batch.max_ts_ms = b->id.max_ts_ms;
		batch.producer_id = b->id.producer_id;
		batch.base_offset = b->id.base_offset;
		batch.crc = b->id.crc;
		batch.count = b->id.count;
		batch.base_sequence = b->id.base_sequence;
		batch.epoch = b->id.epoch;
		batch.attributes = b->id.attributes;
	}
	conn_write_batch(p->t, AT_BULK, &batch, topic, b->end_ns, 0);
	if (!b->index) {
		c->first = batch;
		c->first_topic = topic;
	}
}

/* acks=0 is never answered. */
static void enqueue(struct conn *c, const struct wire_request *rq)
{
	uint32_t tail = c->tail;
	struct inflight *f = &c->queue[tail % NR_INFLIGHT];

	if (rq->api == KAFKA_PRODUCE && rq->batches && !rq->acks)
		return;
	if (tail - conn_oldest(c) >= NR_INFLIGHT) {
		live_skip();		/* its response will come as unmatched */
		return;
	}
	f->sent_ns = rq->end_ns;
	f->corr = rq->corr;
	f->api = rq->api;
	f->version = rq->version;
	f->batches = rq->batches;
	f->restated = false;
	if (rq->batches) {
		f->batch = c->first;
		f->topic = c->first_topic;
	}
	__atomic_store_n(&c->tail, tail + 1, __ATOMIC_RELEASE);
}

static void on_request(void *ctx, const struct wire_request *rq)
{
	struct pass *p = ctx;
	struct conn *c = p->c;
	struct ev_request *ev;

	if (!conn_ready(p))
		return;
	ev = emit(p->t, AT_BULK, AT_EV_REQUEST, rq->end_ns, sizeof(*ev), NULL, rq->client,
		  rq->client_len);
	if (ev) {
		ev->begin_ns = rq->begin_ns;
		ev->conn = c->id;
		ev->corr = rq->corr;
		ev->size = rq->size;
		ev->api = rq->api;
		ev->version = rq->version;
		ev->timeout_ms = rq->timeout_ms;
		ev->acks = rq->acks;
		ev->batches = rq->batches;
		emit_done(p->t, AT_BULK);
	}
	enqueue(c, rq);
	c->out_proven = true;
}

const struct wire_request_ops conn_request_ops = { .batch = on_batch, .request = on_request };

/* ---- responses ----------------------------------------------------------- */

/*
 * A broker answers in order, so what stands before corr in the queue will not be
 * answered any more.  A corr that is not there leaves the queue alone.
 */
static bool on_match(void *ctx, uint32_t corr, int16_t *api, int16_t *version)
{
	struct conn *c = ((struct pass *)ctx)->c;
	uint32_t tail = __atomic_load_n(&c->tail, __ATOMIC_ACQUIRE);

	for (uint32_t i = conn_oldest(c); i != tail; i++) {
		const struct inflight *f = &c->queue[i % NR_INFLIGHT];

		if (f->corr != corr)
			continue;
		c->answered = *f;
		*api = f->api;
		*version = f->version;
		__atomic_store_n(&c->head, i + 1, __ATOMIC_RELEASE);
		return true;
	}
	memset(&c->answered, 0, sizeof(c->answered));
	return false;
}

static enum at_ring ring_of(const struct conn *c, const struct wire_response *rs, uint64_t now)
{
	return rs->error || now - c->answered.sent_ns > SLOW_NS ? AT_LAST : AT_BULK;
}

static void on_reply(void *ctx, const struct wire_response *rs, const struct wire_name *name,
		     const struct wire_reply *r)
{
	struct pass *p = ctx;
	struct conn *c = p->c;
	uint64_t now = c->in.p.field_ns;
	enum at_ring ring = ring_of(c, rs, now);
	const struct topic *topic = topic_of(c, name);
	struct ev_reply *ev;

	if (ring == AT_LAST && !r->index && c->answered.batches && !c->answered.restated)
		conn_write_batch(p->t, AT_LAST, &c->answered.batch, c->answered.topic,
				 c->answered.sent_ns, AT_BATCH_RESTATED);
	ev = emit(p->t, ring, AT_EV_REPLY, now, sizeof(*ev), topic, NULL, 0);
	if (ev) {
		ev->conn = c->id;
		ev->corr = rs->corr;
		ev->topic = topic ? topic->id : 0;
		ev->partition = r->partition;
		ev->base_offset = r->base_offset;
		ev->log_append_ms = r->log_append_ms;
		ev->error = r->error;
		ev->index = r->index;
		emit_done(p->t, ring);
	}
	/* The acknowledgements that follow on this thread belong to this batch. */
	p->t->answered = c->answered.batches == 1 ? c->answered.batch.count : 0;
}

static void on_response(void *ctx, const struct wire_response *rs)
{
	struct pass *p = ctx;
	struct conn *c = p->c;
	enum at_ring ring = rs->matched ? ring_of(c, rs, rs->end_ns) : AT_BULK;
	struct ev_response *ev = emit(p->t, ring, AT_EV_RESPONSE, rs->end_ns, sizeof(*ev), NULL,
				      NULL, 0);

	if (!ev)
		return;
	ev->sent_ns = c->answered.sent_ns;
	ev->conn = c->id;
	ev->corr = rs->corr;
	ev->size = rs->size;
	ev->api = rs->api;
	ev->version = rs->version;
	ev->throttle_ms = rs->throttle_ms;
	ev->error = rs->error;
	if (!rs->matched)
		ev->flags |= AT_RESP_UNMATCHED;
	emit_done(p->t, ring);
}

static void on_topic(void *ctx, const struct wire_response *rs, const struct wire_name *name,
		     const uint8_t *id)
{
	struct pass *p = ctx;
	bool late;
	const struct topic *topic = topic_learn(id, name->text, name->len, &late);

	(void)rs;
	if (topic && late)
		emit_topic(p->t, topic);
}

const struct wire_response_ops conn_response_ops = {
	.match = on_match, .reply = on_reply, .response = on_response, .topic = on_topic,
};
