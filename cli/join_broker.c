/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_broker.c - the probe's events: what the broker read, appended, synced and
 * answered, tied to batches by identity.
 */
#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>
#include "clocks.h"
#include "join_int.h"

#define OTHER_CLOCK_WAIT (5000 * JOIN_MS)
#define ALIVE		(5000 * JOIN_MS)	/* a probe is not silent for longer: bpf/disk.c */

/* ---- connections and requests -------------------------------------------------- */

static struct bconn *bconn_get(struct join *j, struct jtrail *t, uint32_t id)
{
	void **near = near_slot(t, NEAR_BCONN, id);
	struct key2 key = { t->index, id };
	struct bconn *c;

	if (near)
		c = *near;
	else
		HASH_FIND(hh, j->bconns, &key, sizeof(key), c);
	if (c)
		return c;
	c = join_alloc(sizeof(*c));
	if (near)
		*near = c;
	c->key = key;
	c->trail = t;
	HASH_ADD(hh, j->bconns, key, sizeof(c->key), c);
	return c;
}

struct breq *breq_find(struct join *j, const struct jtrail *t, uint32_t conn, uint32_t corr)
{
	struct key3 key = { t->index, conn, corr };
	struct breq *r;

	HASH_FIND(hh, j->breqs, &key, sizeof(key), r);
	return r;
}

static struct breq *breq_get(struct join *j, struct jtrail *t, const struct event *ev,
			     uint32_t conn, uint32_t corr)
{
	struct breq *r = breq_find(j, t, conn, corr);

	if (r)
		return r;
	r = pool_get(&j->pool.breq, sizeof(*r));
	r->key = (struct key3){ t->index, conn, corr };
	r->bconn = bconn_get(j, t, conn);
	r->read_ns = event_axis(ev, ev->ns);
	r->broker = t->broker;
	HASH_ADD(hh, j->breqs, key, sizeof(r->key), r);
	if (!r->bconn->prev)
		DL_APPEND(t->bconns, r->bconn);
	DL_APPEND(r->bconn->open, r);
	return r;
}

/* It may have no request open any more. */
static void bconn_rests(struct bconn *c)
{
	if (c->open || !c->prev)
		return;
	DL_DELETE(c->trail->bconns, c);
	c->prev = NULL;
}

void breq_free(struct join *j, struct breq *r)
{
	if (!r->answered_ns) {
		DL_DELETE(r->bconn->open, r);
		bconn_rests(r->bconn);
	}
	if (!r->replaced)
		HASH_DEL(j->breqs, r);
	if (r->req)
		r->req->breq = NULL;
	turn_unkeep(r);
	links_free(&r->links);
	pool_put(&j->pool.breq, r);
}

void breq_unlink(struct join *j, struct breq *r)
{
	if (r->live_links && --r->live_links == 0 && r->over)
		breq_free(j, r);
}

static bool is_loopback(uint64_t hi, uint64_t lo)
{
	return !hi && (lo == 1 || lo >> 24 == 0xffff7f);
}

/* The same connection from both ends: its requests tell it, or else its address. */
static void conns_pair(struct conn *c, struct bconn *b)
{
	if (c->bconn || b->conn)
		return;
	c->bconn = b;
	b->conn = c;
	if (c->told && c->peer && b->peer_port && c->local_port && b->peer_port != c->local_port)
		c->peer->relayed = true;
}

/* An address of one host's own stands on others for something else, and one port of a client's goes to several brokers. */
static bool may_pair(const struct conn *c, const struct bconn *b)
{
	bool own = c->peer_hi == c->local_hi && c->peer_lo == c->local_lo;

	if (c->bconn || c->end_ns || c->local_port != b->peer_port || c->local_hi != b->peer_hi ||
	    c->local_lo != b->peer_lo)
		return false;
	if ((own || is_loopback(b->peer_hi, b->peer_lo)) && !clocks_same(c->trail->t, b->trail->t))
		return false;
	/* The port may be another on the way (a container's). */
	if (c->broker >= 0 && b->target && b->target->broker >= 0)
		return c->broker == b->target->broker;
	return !c->peer_port || !b->local_port || c->peer_port == b->local_port;
}

static void pair_by_address(struct join *j, struct bconn *b)
{
	struct conn *c, *tmp, *found = NULL;

	if (b->conn || !b->peer_port || b->tried == j->nr_addresses)
		return;
	b->tried = j->nr_addresses;
	HASH_ITER(hh, j->conns, c, tmp) {
		if (!may_pair(c, b))
			continue;
		if (found)
			return;			/* which of them its requests may tell */
		found = c;
	}
	if (found)
		conns_pair(found, b);
}

static bool same_id(const char *a, const char *b)
{
	return !a || !b || !*a || !*b || !strcmp(a, b);
}

/*
 * Two clients may send the same batch with the same CorrId in the same ms.  Those are not one request
 * whose clients call themselves otherwise, that was read before it was written, or whose connection is
 * known to be another.
 */
bool breq_may_be(struct join *j, const struct breq *br, const struct conn *c, const char *client_id,
		 int64_t begin_ns)
{
	const struct inst *in = client_id ? NULL : inst_find(j, c->key.trail, c->inst);

	if (c->bconn == br->bconn)
		return true;
	if (!same_id(br->client_id, in ? in->client_id : client_id))
		return false;
	if (br->told && br->read_ns < begin_ns && clocks_same(c->trail->t, br->bconn->trail->t))
		return false;
	if (br->bconn->conn && br->bconn->conn != c && !br->bconn->conn->end_ns)
		return false;
	return !c->bconn || c->bconn == br->bconn || c->bconn->trail != br->bconn->trail || c->bconn->end_ns;
}

/* A client's request and the broker's: same bytes. */
static void reqs_pair(struct join *j, struct req *r, struct breq *br)
{
	if (r->breq || br->req)
		return;
	(void)j;
	r->breq = br;
	br->req = r;
	conns_pair(r->conn, br->bconn);
}

static void batch_link(struct jbatch *jb, uint32_t n, struct breq *r)
{
	struct tl_attempt *a = &jb->b.attempts[n];

	if (jb->state[n].breq)
		return;
	jb->state[n].breq = r;
	jb->b.broker_seen = true;
	r->live_links++;
	link_add(&r->links, jb, n);
	if (a->broker < 0)
		a->broker = r->broker;
}

/* Without identities in it (bytes not resident): by connection, CorrId and size. */
static void breq_by_corr(struct join *j, struct breq *br)
{
	struct key3 key;
	struct req *r;

	if (br->req || !br->bconn->conn)
		return;
	key = (struct key3){ br->bconn->conn->key.trail, br->bconn->conn->key.id, br->key.corr };
	HASH_FIND(hh, j->reqs, &key, sizeof(key), r);
	if (!r || (r->size && br->size && r->size != br->size))
		return;
	reqs_pair(j, r, br);
	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch)
			batch_link(r->links.at[i].batch, r->links.at[i].attempt, br);
}

/* One probe may watch several brokers. */
static struct target *target_of(struct join *j, const struct jtrail *t, uint32_t pid)
{
	struct key2 key = { t->index, pid };
	struct target *g;

	HASH_FIND(hh, j->targets, &key, sizeof(key), g);
	return g;
}

int32_t broker_of(struct join *j, const struct jtrail *t, uint32_t pid)
{
	const struct target *g = target_of(j, t, pid);

	return g ? g->broker : t->broker;
}

/* From here on its CorrId stands for another one. */
static void breq_replace(struct join *j, struct breq *r)
{
	HASH_DEL(j->breqs, r);
	r->replaced = true;
}

static void arrival(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_arrival *e = &ev->arrival;
	struct breq *r = breq_find(j, t, e->conn, e->corr);

	if (r && r->told && r->read_ns == event_axis(ev, ev->ns))
		return;
	if (r && r->told)
		breq_replace(j, r);		/* a client that counts none */
	r = breq_get(j, t, ev, e->conn, e->corr);
	r->told = true;
	r->read_ns = event_axis(ev, ev->ns);
	r->first_ns = event_axis(ev, e->first_ns);
	r->arrived_ns = event_axis(ev, e->arrived_ns);
	r->size = e->size;
	r->api = e->api;
	r->acks = e->acks;
	/* Where batches could be read acks were, too. */
	r->unasked = e->api == KAFKA_PRODUCE && e->batches && !e->acks;
	r->broker = broker_of(j, t, e->pid);
	r->client_id = join_intern(j, ev->tail, ev->tail_len);
	if (r->bconn->peer_port != e->peer_port || r->bconn->peer_hi != e->peer_hi || r->bconn->peer_lo != e->peer_lo)
		r->bconn->tried = 0;
	r->bconn->peer_hi = e->peer_hi;
	r->bconn->peer_lo = e->peer_lo;
	r->bconn->peer_port = e->peer_port;
	r->bconn->local_port = e->local_port;
	r->bconn->target = target_of(j, t, e->pid);
	if (!r->bconn->seen_ns || r->read_ns < r->bconn->seen_ns)
		r->bconn->seen_ns = r->read_ns;
	turn_begins(j, r);
	bconn_rests(r->bconn);
	quiet_arrival(r, ev);
	pair_by_address(j, r->bconn);
	breq_by_corr(j, r);
}

struct jbatch *broker_batch(struct join *j, struct jtrail *t, const struct ident *id)
{
	struct jbatch *jb = jbatch_new(j, t, id->topic, id->partition);

	jb->b.broker_seen = true;
	jb->b.sent = true;
	jb->b.has_crc = true;
	jb->b.crc = id->crc;
	jb->b.count = id->count;
	jb->b.first_ts_ms = id->first_ts;
	jb->b.outcome = TL_OUTCOME_BROKER_ONLY;
	jb->resolved = true;
	jbatch_identify(j, jb, id);
	return jb;
}

void broker_only_pend(struct join *j, struct jbatch *jb, int64_t ns)
{
	if (jb->b.client)
		return;
	jb->b.resolved_ns = jb->b.end_ns = ns;
	pending_enter(j, jb);
}

static void arrival_batch(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_arrival_batch *e = &ev->arrival_batch;
	struct ident id = { join_topic(j, t, e->topic), e->first_ts_ms, e->partition,
			    e->crc, e->count, 0 };
	struct breq *r = breq_get(j, t, ev, e->conn, e->corr);
	struct jbatch *head = ident_find(j, &id), *jb;
	uint32_t n;

	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch && !memcmp(&r->links.at[i].batch->ident, &id, sizeof(id)))
			return;		/* linked by its CorrId already */
	DL_FOREACH2(head, jb, id_next)
		for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
			struct req *req = jb->state[i].req;

			if (!req || req->breq || jb->b.attempts[i].corr_id != e->corr ||
			    (req->size && r->size && req->size != r->size) ||
			    !breq_may_be(j, r, req->conn, req->client_id, jb->b.attempts[i].write_begin_ns))
				continue;
			reqs_pair(j, req, r);
			batch_link(jb, i, r);
			jb->b.join = TL_JOIN_CRC;
			return;
		}
	jb = broker_batch(j, t, &id);
	jb->b.bytes = e->bytes;
	jb->b.producer.id = e->producer_id >= 0 ? e->producer_id : -1;
	jb->b.producer.epoch = e->epoch;
	jb->b.producer.base_sequence = e->base_sequence;
	n = jbatch_attempt(jb);
	jb->b.attempts[n].corr_id = e->corr;
	jb->b.attempts[n].conn = e->conn;
	batch_link(jb, n, r);
	broker_only_pend(j, jb, r->read_ns);
}

static void answer(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct breq *r = breq_find(j, t, ev->answer.conn, ev->answer.corr);
	struct bconn *c = r ? r->bconn : NULL;

	if (!r || r->answered_ns)
		return;
	turn_ends(j, r, event_axis(ev, ev->answer.begin_ns ? ev->answer.begin_ns : ev->ns), event_axis(ev, ev->ns),
		  ev->answer.throttle_ms * JOIN_MS);
	bconn_rests(c);
}

static void arrival_end(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct bconn *c = bconn_get(j, t, ev->arrival_end.conn);
	struct breq *r, *tmp;

	c->end_ns = event_axis(ev, ev->ns);
	c->drained_ns = event_axis(ev, ev->arrival_end.drained_ns);
	DL_FOREACH_SAFE(c->open, r, tmp) {
		r->over = true;
		if (!r->live_links)
			breq_free(j, r);
	}
}

/* ---- the probe itself --------------------------------------------------------------- */

static void target_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct key2 key = { t->index, ev->target.pid };
	struct target *g;

	HASH_FIND(hh, j->targets, &key, sizeof(key), g);
	if (!g) {
		g = join_alloc(sizeof(*g));
		g->key = key;
		HASH_ADD(hh, j->targets, key, sizeof(g->key), g);
	}
	g->broker = t->broker = ev->target.broker;
}

static void coverage(struct jtrail *t, const struct event *ev)
{
	uint32_t what = ev->coverage.what;

	if (what >= AT_NR_COVER)
		return;
	if (ev->coverage.on) {
		t->covered[what] = true;
		t->cover_from[what] = event_axis(ev, ev->ns);
		t->cover_to[what] = 0;
	} else if (t->covered[what]) {
		t->cover_to[what] = event_axis(ev, ev->ns);
	}
}

/* A sign of life. */
static void target_seen(struct join *j, struct jtrail *t, uint32_t pid, const struct event *ev)
{
	struct key2 key = { t->index, pid };
	struct target *g;

	HASH_FIND(hh, j->targets, &key, sizeof(key), g);
	if (g)
		quiet_seen(&g->quiet, t, event_axis(ev, ev->ns));
}

bool broker_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	switch (ev->type) {
	case AT_EV_TARGET:	  target_event(j, t, ev); return true;
	case AT_EV_FILE:	  file_event(j, t, ev); return true;
	case AT_EV_DEVICE:	  parts_device(j, t, ev); return true;
	case AT_EV_ARRIVAL:	  arrival(j, t, ev); return true;
	case AT_EV_ARRIVAL_BATCH: arrival_batch(j, t, ev); return true;
	case AT_EV_ANSWER:	  target_seen(j, t, ev->answer.pid, ev); answer(j, t, ev); return true;
	case AT_EV_ARRIVAL_END:	  arrival_end(j, t, ev); return true;
	case AT_EV_APPEND:	  target_seen(j, t, ev->append.pid, ev); append_event(j, t, ev); return true;
	case AT_EV_SYNC:	  target_seen(j, t, ev->sync.pid, ev); sync_event(j, t, ev); return true;
	case AT_EV_WAKE:	  target_seen(j, t, ev->wake.pid, ev); wake_event(j, t, ev); return true;
	case AT_EV_THREAD:	  thread_event(j, t, ev); return true;
	case AT_EV_BLOCK:	  parts_block(j, t, ev); return true;
	case AT_EV_COMMIT:	  parts_commit(j, t, ev); return true;
	case AT_EV_PAUSE:	  parts_pause(j, t, ev); append_pause(j, t, ev); return true;
	case AT_EV_COVERAGE:	  coverage(t, ev); return true;
	default:		  return false;
	}
}

/* ---- before a batch is told ---------------------------------------------------------- */

/* Could a probe still tell something about one of its attempts? */
bool broker_may_tell(struct join *j, const struct jbatch *jb)
{
	(void)j;
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		const struct tl_attempt *a = &jb->b.attempts[i];
		const struct link_state *st = &jb->state[i];
		const struct bconn *bc = st->breq ? st->breq->bconn :
					 st->req ? st->req->conn->bconn : NULL;

		if (st->breq && turn_may_last(j, st->breq))
			return true;
		if (chain_may_tell(j, st->stall) || chain_may_tell(j, st->lock) || chain_may_tell(j, st->after))
			return true;
		if (st->breq)
			continue;
		/* The axis has other hosts' events where their clocks put them, give or take. */
		if (j->several_clocks && j->now - jb->b.resolved_ns < OTHER_CLOCK_WAIT)
			return true;
		if (a->answered)
			continue;
		if (bc && !bc->end_ns)
			return true;
		/* Nobody knows that connection from the other side: other brokers' probes. */
		if (!bc && j->now - jb->b.resolved_ns < 5000 * JOIN_MS)
			return true;
	}
	return false;
}

/*
 * Until when it watched that.  A probe that was killed tells no end: as far as its last event,
 * or `grace` more, as it looks at the disks every few seconds where it has nothing else to tell.
 */
int64_t cover_until(const struct jtrail *t, uint32_t what, int64_t grace)
{
	if (t->cover_to[what])
		return t->cover_to[what];
	if (t->t->live || t->end_ns || !t->t->newest_ns)
		return INT64_MAX;
	return (int64_t)t->t->newest_ns + t->t->to_axis_ns + grace;
}

int64_t requests_until(const struct jtrail *t)
{
	return t->covered[AT_COVER_REQUEST] ? cover_until(t, AT_COVER_REQUEST, ALIVE) : INT64_MAX;
}

/* Did a probe watch that broker from..to, its requests or at least its log? */
static bool watched(const struct jtrail *t, int64_t from, int64_t to)
{
	static const int either[] = { AT_COVER_REQUEST, AT_COVER_APPEND };

	for (int i = 0; i < 2; i++) {
		int k = either[i];

		if (t->covered[k] && t->cover_from[k] <= from && cover_until(t, (uint32_t)k, ALIVE) >= to)
			return true;
	}
	return false;
}

bool broker_probed(struct join *j, const struct jbatch *jb)
{
	if (!jb->b.client)
		return true;
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		const struct tl_attempt *a = &jb->b.attempts[i];
		const struct link_state *st = &jb->state[i];
		const struct bconn *bc = st->breq ? st->breq->bconn :
					 st->req ? st->req->conn->bconn : NULL;
		int64_t to = a->response_read_ns ? a->response_read_ns : a->ended_ns ? a->ended_ns : jb->b.end_ns;
		bool seen = bc && bc->trail->probe && watched(bc->trail, a->write_begin_ns, to);

		for (uint32_t k = 0; k < j->nr_trails && !bc && !seen; k++) {
			const struct jtrail *t = j->trails[k];

			if (t->probe && a->broker >= 0 && t->broker == a->broker)
				seen = watched(t, a->write_begin_ns, to);
		}
		if (!seen)
			return false;
	}
	return jb->b.nr_attempts > 0;
}
