/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_client.c - the shim's events: instances, requests, batches and their replies as
 * the client's sockets saw them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>
#include "clocks.h"
#include "join_int.h"
#include "requests.h"

#define RETRY_MAX	(1000 * JOIN_MS)	/* retry.backoff.max.ms */

struct inst *inst_find(struct join *j, uint32_t trail, uint32_t id)
{
	void **near = near_slot(j->trails[trail], NEAR_INST, id);
	struct key2 key = { trail, id };
	struct inst *in;

	if (near)
		return *near;
	HASH_FIND(hh, j->insts, &key, sizeof(key), in);
	return in;
}

struct part *part_get(struct join *j, struct jtrail *t, uint32_t id, int32_t partition)
{
	struct part_key key = { join_topic(j, t, id), t->index, partition };
	struct part *p, **near = near_part(t, id, partition);

	if (near && *near && (*near)->key.topic == key.topic)
		return *near;
	HASH_FIND(hh, j->parts, &key, sizeof(key), p);
	if (!p) {
		p = join_alloc(sizeof(*p));
		p->key = key;
		HASH_ADD(hh, j->parts, key, sizeof(p->key), p);
	}
	if (near)
		*near = p;
	return p;
}

/* ---- requests -------------------------------------------------------------- */

static void req_free(struct join *j, struct req *r)
{
	struct conn *c = r->conn;

	DL_DELETE(c->reqs, r);
	if (!c->reqs)
		DL_DELETE(c->trail->asking, c);
	c->nr_flying -= r->flying;
	HASH_DEL(j->reqs, r);
	if (r->breq)
		r->breq->req = NULL;
	if (r->lib)
		lib_landed(r->lib);
	links_free(&r->links);
	pool_put(&j->pool.req, r);
}

void req_over(struct join *j, struct req *r)
{
	r->over = true;
	if (!r->live_links)
		req_free(j, r);
}

void req_unlink(struct join *j, struct req *r)
{
	if (r->live_links && --r->live_links == 0 && r->over)
		req_free(j, r);
}

static struct req *req_find(struct join *j, struct jtrail *t, uint32_t conn, uint32_t corr)
{
	struct key3 key = { t->index, conn, corr };
	struct req *r;

	HASH_FIND(hh, j->reqs, &key, sizeof(key), r);
	return r;
}

static struct req *req_get(struct join *j, struct jtrail *t, uint32_t conn, uint32_t corr)
{
	struct req *r = req_find(j, t, conn, corr);

	if (r)
		return r;
	r = pool_get(&j->pool.req, sizeof(*r));
	r->key = (struct key3){ t->index, conn, corr };
	r->conn = conn_get(j, t, conn);
	if (corr > r->conn->max_corr)
		r->conn->max_corr = corr;
	HASH_ADD(hh, j->reqs, key, sizeof(r->key), r);
	if (!r->conn->reqs)
		DL_APPEND(t->asking, r->conn);
	DL_APPEND(r->conn->reqs, r);
	return r;
}

/* The first Produce ends what comes before it. */
static void inst_produces(struct inst *in, int64_t ns)
{
	if (!in || in->produced)
		return;
	in->produced = true;
	in->produced_ns = ns;
	spans_close(&in->prelude, ns);
}

/*
 * A broker has a batch of it: its start is over, and it has an id.  Where that was not told before, what would have
 * told it was lost or cannot be read; how long it lasted is not known.
 */
void inst_accepted(struct inst *in)
{
	if (!in)
		return;
	in->prelude.open_since = in->no_id.open_since = 0;
	in->produced = true;
}

static void id_asked(struct join *j, struct inst *in, const struct req *r)
{
	const char *error = tl_error_name(in->id_error);
	char text[128];

	/* A later one bumps the epoch: nothing is sent until it is answered. */
	if (in->no_id.nr)
		spans_open(&in->no_id, r->end_ns, TL_CAUSE_IDEMPOTENCE);
	if (in->id_refused_ns && !in->produced)
		cold_step(in, join_intern(j, text, (size_t)snprintf(text, sizeof(text), "until InitProducerId was tried again after %s",
								     error ? error : "an error")), in->id_refused_ns, r->begin_ns);
	in->id_refused_ns = 0;
}

struct req *req_sent(struct join *j, struct jtrail *t, uint32_t conn, uint32_t corr, const struct req *like)
{
	struct req *r = req_find(j, t, conn, corr);
	struct conn *c = conn_get(j, t, conn);
	bool unasked = like->api == KAFKA_PRODUCE && like->acks == 0;
	struct inst *in;

	if (r && r->told)
		return NULL;
	if (!r && c->max_corr >= corr && c->max_corr) {
		/* Restated, and long answered; CorrIds of a connection only grow. */
		return NULL;
	}
	r = req_get(j, t, conn, corr);
	r->told = true;
	r->begin_ns = like->begin_ns;
	r->end_ns = like->end_ns;
	r->size = like->size;
	r->api = like->api;
	r->version = like->version;
	r->acks = like->acks;
	r->client_id = like->client_id;
	conn_sign(c, r->end_ns, SIGN_LIFE);
	if (!c->nr_flying)
		c->asked_ns = r->end_ns;
	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch)
			r->links.at[i].batch->b.attempts[r->links.at[i].attempt].write_end_ns = r->end_ns;
	conn_has_room(c, r->begin_ns);
	if (r->end_ns - r->begin_ns > JOIN_MS)
		spans_add(&c->peer->busy, r->begin_ns, r->end_ns);
	if (!r->over && !unasked)
		peer_fly(j, r);
	in = inst_of(j, t, c);
	if (r->api == KAFKA_PRODUCE)
		inst_produces(in, r->begin_ns);
	else if (in && !in->produced)
		spans_open(&in->prelude, r->begin_ns, TL_CAUSE_COLD_START);
	if (in && r->api == KAFKA_INIT_PRODUCER_ID)
		id_asked(j, in, r);
	if (!unasked)
		return r;
	/* Nobody answers: it is over once it is written. */
	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch)
			fate_replied(j, r->links.at[i].batch, r->links.at[i].attempt);
	req_over(j, r);
	return NULL;
}

static void request_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_request *e = &ev->request;

	conn_thread(conn_get(j, t, e->conn), ev->tid);
	req_sent(j, t, e->conn, e->corr, &(struct req){
		.begin_ns = event_axis(ev, e->begin_ns ? e->begin_ns : ev->ns), .end_ns = event_axis(ev, ev->ns),
		.size = e->size, .api = e->api, .version = e->version, .acks = e->acks,
		.client_id = join_intern(j, ev->tail, ev->tail_len) });
}

/* Has that instance a request under way on any connection?  Without a library's word, on that one. */
static bool conns_flying(const struct inst *in, const struct conn *own)
{
	const struct conn *c;

	if (!in->key.id)
		return own->nr_flying;
	DL_FOREACH(own->trail->asking, c)
		if (c->inst == in->key.id && !c->end_ns && c->nr_flying)
			return true;
	return false;
}

void req_answered(struct join *j, struct req *r, int64_t ns, int16_t error)
{
	struct inst *in = inst_of(j, r->conn->trail, r->conn);

	r->response_ns = ns;
	if (in && in->drain_since && r->api == KAFKA_PRODUCE)
		in->drain_conn = r->conn;
	conn_sign(r->conn, ns, SIGN_LIFE);
	r->conn->answered_ns = ns;
	r->conn->served |= r->api == KAFKA_PRODUCE;
	r->conn->answered_corr = r->key.corr;
	if (r->breq && r->breq->written_ns && conn_local(r->conn))
		quiet_proof(&r->conn->trail->quiet, r->breq->written_ns, ns, 50 * JOIN_MS);
	peer_land(j, r, ns);
	if (in && !in->produced) {
		const char *name = kafka_api_name(r->api);

		cold_step(in, name ? name : "other requests", r->end_ns, ns);
		if (in->prelude.open_since && !conns_flying(in, r->conn))
			spans_close(&in->prelude, ns);
	}
	if (in && r->api == KAFKA_INIT_PRODUCER_ID && !error) {
		spans_close(&in->no_id, ns);
	} else if (in && r->api == KAFKA_INIT_PRODUCER_ID) {
		in->id_refused_ns = ns;
		in->id_error = error;
	}
	for (uint32_t i = 0; i < r->links.nr; i++) {
		struct link *l = &r->links.at[i];

		if (!l->batch)
			continue;
		l->batch->b.attempts[l->attempt].response_read_ns = ns;
		fate_replied(j, l->batch, l->attempt);
	}
	req_over(j, r);
}

static void response_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_response *e = &ev->response;
	struct req *r = req_find(j, t, e->conn, e->corr);
	int64_t ns = event_axis(ev, ev->ns);

	if (!r || r->over)
		return;
	conn_thread(r->conn, ev->tid);
	r->throttle_ms = e->throttle_ms;
	if (e->throttle_ms > 0)
		spans_add(&r->conn->throttled, ns, ns + e->throttle_ms * JOIN_MS);
	req_answered(j, r, ns, e->error);
}

/*
 * It is sent again after retry.backoff.ms, and first: what is behind it in its partition's queue
 * waits, too (rd_kafka_toppar_producer_serve() looks at the head's backoff alone).
 */
static void part_refused(struct jbatch *jb, const struct tl_attempt *a)
{
	if (!a->error_code || attempt_ok(jb, a) || !jb->part || jb->resolved)
		return;
	if (!jb->part->again)
		jb->part->again = join_alloc(sizeof(*jb->part->again));
	spans_open(jb->part->again, a->response_read_ns, cause_of_error(a->error_code));
}

static void reply_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_reply *e = &ev->reply;
	struct req *r = req_find(j, t, e->conn, e->corr);
	struct topic *topic = join_topic(j, t, e->topic);

	if (!r)
		return;
	for (uint32_t i = 0; i < r->links.nr; i++) {
		struct jbatch *jb = r->links.at[i].batch;
		struct tl_attempt *a;

		if (!jb || jb->b.partition != e->partition || (topic && jb->topic != topic))
			continue;
		a = &jb->b.attempts[r->links.at[i].attempt];
		if (a->answered)
			continue;
		a->answered = true;
		a->error_code = e->error;
		a->base_offset = !e->error && e->base_offset >= 0 ? e->base_offset : -1;
		a->response_read_ns = event_axis(ev, ev->ns);
		part_refused(jb, a);
		if (e->error == OUT_OF_ORDER_SEQUENCE)
			idemp_failed(inst_find(j, t->index, r->conn->inst), jb->topic, e->partition, a->response_read_ns,
				     e->error, false);
		fate_replied(j, jb, r->links.at[i].attempt);
	}
}

/* ---- batches --------------------------------------------------------------- */

/* The same batch again, or another with the same content? */
static bool is_retry(const struct jbatch *jb, const struct jtrail *t, const struct conn *c,
		     const struct ev_batch *e)
{
	const struct tl_attempt *last;

	if (jb->trail != t || !jb->b.client || jb->resolved || !jb->b.nr_attempts)
		return false;
	if (jb->b.producer.id != (e->producer_id >= 0 ? e->producer_id : -1))
		return false;
	if (jb->inst_id && c->inst && jb->inst_id != c->inst)
		return false;
	last = &jb->b.attempts[jb->b.nr_attempts - 1];
	if (e->producer_id >= 0)
		return jb->b.producer.base_sequence == e->base_sequence &&
		       jb->b.producer.epoch == e->epoch;
	if (last->answered)
		return last->error_code != 0;
	return last->ended_ns || last->conn != e->conn;
}

static struct jbatch *batch_find(struct join *j, struct jtrail *t, const struct conn *c,
				 const struct ident *id, const struct ev_batch *e, int64_t begin_ns)
{
	struct jbatch *head = ident_find(j, id), *jb;

	DL_FOREACH2(head, jb, id_next)
		if (is_retry(jb, t, c, e))
			return jb;
	/* The broker's half may have been read first. */
	DL_FOREACH2(head, jb, id_next) {
		const struct tl_attempt *a = &jb->b.attempts[0];

		if (jb->b.client || !jb->b.nr_attempts)
			continue;
		if (jb->state[0].breq ? a->corr_id == e->corr && breq_may_be(j, jb->state[0].breq, c, NULL, begin_ns)
				      : a->append_begin_ns >= begin_ns || !clocks_same(t->t, jb->trail->t))
			return jb;
	}
	return NULL;
}

static void batch_adopt(struct join *j, struct jbatch *jb, struct jtrail *t)
{
	pending_leave(j, jb);
	jbatch_displace(j, jb);
	jb->resolved = false;
	jb->b.outcome = TL_OUTCOME_OPEN;
	jb->b.resolved_ns = 0;
	jb->trail = t;
}

static void batch_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_batch *e = &ev->batch;
	struct conn *c = conn_get(j, t, e->conn);
	struct req *r = req_find(j, t, e->conn, e->corr);
	struct topic *topic = join_topic(j, t, e->topic);
	struct ident id = { topic, e->first_ts_ms, e->partition, e->crc, e->count, 0 };
	bool old = e->flags & AT_BATCH_OLD_FORMAT, retry;
	int64_t begin_ns;
	struct jbatch *jb;
	struct tl_attempt *a;
	uint32_t n;

	for (uint32_t i = 0; r && i < r->links.nr; i++)
		if (r->links.at[i].batch && r->links.at[i].batch->index == e->index &&
		    r->links.at[i].batch->ident.crc == e->crc)
			return;				/* restated */
	if (e->flags & AT_BATCH_RESTATED && !r && e->corr <= c->max_corr)
		return;
	r = req_get(j, t, e->conn, e->corr);
	if (r->over && r->response_ns)
		return;
	if (!(e->flags & AT_BATCH_RESTATED))
		conn_thread(c, ev->tid);

	begin_ns = event_axis(ev, e->begin_ns ? e->begin_ns : ev->ns);
	jb = old ? NULL : batch_find(j, t, c, &id, e, begin_ns);
	retry = jb && jb->b.client;
	if (jb && !retry) {
		batch_adopt(j, jb, t);
		n = 0;
	} else {
		if (!jb) {
			jb = jbatch_new(j, t, topic, e->partition);
			if (!old)
				jbatch_identify(j, jb, &id);
		}
		n = jbatch_attempt(jb);
	}
	if (!retry) {
		struct tl_batch *b = &jb->b;

		b->client = b->sent = true;
		b->crc = e->crc;
		b->has_crc = !old;
		b->count = e->count;
		b->bytes = e->bytes;
		b->first_ts_ms = e->first_ts_ms;
		b->max_ts_ms = e->max_ts_ms;
		b->control = e->attributes & KAFKA_ATTR_CONTROL;
		b->producer.id = e->producer_id >= 0 ? e->producer_id : -1;
		b->producer.epoch = e->epoch;
		b->producer.base_sequence = e->base_sequence;
		jb->index = e->index;
		jb->inst_id = c->inst;
		jb->inst = inst_find(j, t->index, c->inst);
		if (!jb->in_seq)
			jbatch_sequence(j, jb);
		jb->part = part_get(j, t, e->topic, e->partition);
		jb->in_part = true;
		DL_APPEND2(jb->part->open, jb, part_prev, part_next);
	}
	a = &jb->b.attempts[n];
	a->on_wire = true;
	a->conn = e->conn;
	a->corr_id = e->corr;
	a->broker = c->broker >= 0 ? c->broker : a->broker;
	a->write_begin_ns = begin_ns;
	a->write_end_ns = r->told ? r->end_ns : event_axis(ev, ev->ns);
	jb->state[n].req = r;
	jb->peer = jb->part->peer = c->peer;
	r->live_links++;
	link_add(&r->links, jb, n);
	if (!retry)
		batch_absorb(j, jb);
	if (!retry && wire_alone(jb))
		fate_passed_over(j, jb, a->write_begin_ns);
	if (jb->part && jb->part->again && jb->part->again->open_since)
		spans_close(jb->part->again, wire_alone(jb) ||
			    a->write_begin_ns - jb->part->again->open_since < RETRY_MAX ?
			    a->write_begin_ns : jb->part->again->open_since + RETRY_MAX);
	if (!r->over)
		idemp_flies(jb, a->write_begin_ns);
	inst_produces(jb->inst, a->write_begin_ns);
	idemp_sent(inst_find(j, t->index, c->inst), topic, e->partition, e->producer_id, e->epoch, a->write_begin_ns);
}

/* ---- the library and the app ----------------------------------------------- */

static void instance_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_instance *e = &ev->instance;
	void **near = near_slot(t, NEAR_INST, e->inst);
	struct inst *in = inst_find(j, t->index, e->inst);

	if (!e->inst || e->flags & AT_INST_GONE)
		return;
	if (!in) {
		in = join_alloc(sizeof(*in));
		if (near)
			*near = in;
		in->key = (struct key2){ t->index, e->inst };
		HASH_ADD(hh, j->insts, key, sizeof(in->key), in);
		in->begin_ns = event_axis(ev, ev->ns);
	}
	in->conf = *e;
	if (e->flags & AT_INST_EARLIER)
		in->produced = true;		/* its start was not seen */
	else if (e->flags & AT_INST_IDEMPOTENT && !in->no_id.nr && !in->no_id.open_since)
		spans_open(&in->no_id, in->begin_ns, TL_CAUSE_COLD_START);
	if (ev->tail_len)
		in->client_id = join_intern(j, ev->tail, ev->tail_len);
	if (e->role == 0)
		t->has_producers = true;
}

static void instance_end(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct inst *in = inst_find(j, t->index, ev->instance_end.inst);

	if (in && !in->ending_ns)
		in->ending_ns = event_axis(ev, ev->ns);
	if (ev->instance_end.how != 1)
		return;
	if (in)
		in->end_ns = event_axis(ev, ev->ns);
	fate_instance_end(j, t, &ev->instance_end, event_axis(ev, ev->ns));
}

static void produce_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_produce *e = &ev->produce;

	if (e->err)
		return;
	if (!j->stalls)
		j->stalls = join_alloc(JOIN_STALLS * sizeof(*j->stalls));
	j->stalls[j->nr_stalls++ % JOIN_STALLS] = (struct stalled){
		event_axis(ev, e->begin_ns), event_axis(ev, ev->ns),
		join_topic(j, t, e->topic), t->index, e->inst, e->partition };
}

bool client_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	if (!t->probe)
		quiet_seen(&t->quiet, t, event_axis(ev, ev->ns));
	switch (ev->type) {
	case AT_EV_INSTANCE:	 instance_event(j, t, ev); return true;
	case AT_EV_INSTANCE_END: instance_end(j, t, ev); return true;
	case AT_EV_BROKER_STATE: broker_state(j, t, ev); return true;
	case AT_EV_ACKS:	 acks_event(j, t, ev); return true;
	case AT_EV_CALLBACK:	 callback_event(j, t, ev); return true;
	case AT_EV_PRODUCE:	 produce_event(j, t, ev); return true;
	case AT_EV_CONN:	 conn_event(j, t, ev); return true;
	case AT_EV_CONN_END:	 conn_end(j, t, ev); return true;
	case AT_EV_REQUEST:	 request_event(j, t, ev); return true;
	case AT_EV_BATCH:	 batch_event(j, t, ev); return true;
	case AT_EV_RESPONSE:	 response_event(j, t, ev); return true;
	case AT_EV_TCP:		 tcp_event(j, t, ev); return true;
	case AT_EV_LATE:	 late_event(j, t, ev); return true;
	case AT_EV_CPU_WAIT:	 cpu_event(j, t, ev); return true;
	case AT_EV_FULL:	 full_event(j, t, ev); return true;
	case AT_EV_REPLY:	 reply_event(j, t, ev); return true;
	case AT_EV_LIB_REQUEST:	 lib_request(j, t, ev); return true;
	case AT_EV_LIB_RESPONSE: lib_response(j, t, ev); return true;
	default:
		return false;
	}
}
