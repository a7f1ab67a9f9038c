/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_broker.c - the probe's events: what the broker read, appended, synced and
 * answered, tied to batches by identity.
 */
#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>
#include "join_int.h"

/* ---- connections and requests -------------------------------------------------- */

static struct bconn *bconn_get(struct join *j, struct jtrail *t, uint32_t id)
{
	struct key2 key = { t->index, id };
	struct bconn *c;

	HASH_FIND(hh, j->bconns, &key, sizeof(key), c);
	if (c)
		return c;
	c = join_alloc(sizeof(*c));
	c->key = key;
	c->trail = t;
	HASH_ADD(hh, j->bconns, key, sizeof(c->key), c);
	return c;
}

static struct breq *breq_find(struct join *j, struct jtrail *t, uint32_t conn, uint32_t corr)
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
	r = join_alloc(sizeof(*r));
	r->key = (struct key3){ t->index, conn, corr };
	r->bconn = bconn_get(j, t, conn);
	r->read_ns = event_axis(ev, ev->ns);
	r->broker = t->broker;
	HASH_ADD(hh, j->breqs, key, sizeof(r->key), r);
	DL_APPEND(r->bconn->open, r);
	return r;
}

static void breq_free(struct join *j, struct breq *r)
{
	if (!r->answered_ns)
		DL_DELETE(r->bconn->open, r);
	HASH_DEL(j->breqs, r);
	if (r->req)
		r->req->breq = NULL;
	free(r->links);
	free(r);
}

void breq_unlink(struct join *j, struct breq *r)
{
	if (r->live_links && --r->live_links == 0 && r->over)
		breq_free(j, r);
}

/* What it was busy with, as far as known yet. */
struct busy busy_of(struct join *j, const struct breq *r)
{
	struct busy b = { .read = r->read_ns, .answered = r->answered_ns, .known = TL_KNOWN_EXACT };

	for (uint32_t i = 0; i < r->nr_links; i++) {
		const struct jbatch *jb = r->links[i].batch;
		const struct tl_attempt *a;

		if (!jb)
			continue;
		a = &jb->b.attempts[r->links[i].attempt];
		b.append += a->append_end_ns - a->append_begin_ns;
		b.fsync += a->sync.ns + a->index.ns;
		b.fsync += plog_held(j, jb, r->bconn->trail, r->read_ns,
				     a->append_begin_ns ? a->append_begin_ns : j->now,
				     a->append_begin_ns != 0, &b.culprit);
	}
	if (r->req && r->req->throttle_ms > 0)
		b.throttle = r->req->throttle_ms * JOIN_MS;
	return b;
}

static void bconn_remember(struct join *j, struct breq *r)
{
	struct bconn *c = r->bconn;
	struct busy *slot;

	if (!c->ring)
		c->ring = join_alloc(JOIN_BUSY * sizeof(*c->ring));
	slot = &c->ring[c->nr_busy++ % JOIN_BUSY];
	*slot = busy_of(j, r);
	for (uint32_t i = 0; i < r->nr_links && !slot->culprit; i++)
		if (r->links[i].batch)
			slot->culprit = parts_culprit(j, &r->links[i].batch->b
						      .attempts[r->links[i].attempt].sync);
}

/* ---- a partition's log, one append at a time ------------------------------------- */

#define HANDOVER	(5 * JOIN_MS)	/* from the end of one append to the next one's begin */

static struct plog *plog_get(struct join *j, const struct jtrail *t, struct topic *topic,
			     int32_t partition, bool make)
{
	struct part_key key = { topic, t->index, partition };
	struct plog *p;

	HASH_FIND(hh, j->plogs, &key, sizeof(key), p);
	if (p || !make)
		return p;
	p = join_alloc(sizeof(*p));
	p->key = key;
	HASH_ADD(hh, j->plogs, key, sizeof(p->key), p);
	return p;
}

static void plog_append(struct join *j, const struct jtrail *t, const struct jbatch *jb, uint32_t tid,
			int64_t begin, int64_t end)
{
	struct plog *p = plog_get(j, t, jb->topic, jb->b.partition, true);

	p->ring[p->nr++ % JOIN_HOLDS] = (struct hold){ begin, end, 0, tid, NULL };
}

static void plog_sync(struct join *j, const struct jtrail *t, const struct bthread *th, uint32_t tid,
		      int64_t begin, int64_t end, const struct tl_parts *parts)
{
	struct plog *p = plog_get(j, t, th->topic, th->partition, false);
	struct hold *h;

	if (!p || !p->nr)
		return;
	h = &p->ring[(p->nr - 1) % JOIN_HOLDS];
	if (h->tid != tid || end < h->end)
		return;
	h->end = end;
	h->fsync += end - begin;
	if (!h->culprit)
		h->culprit = parts_culprit(j, parts);
}

/*
 * A request that waits to append to a partition whose log others hold, one after the
 * other, until the moment it gets it, waits for them.  Nothing less will do: most of
 * the time must be theirs, and the last one must have handed over.
 */
int64_t plog_held(struct join *j, const struct jbatch *jb, const struct jtrail *t, int64_t from, int64_t to,
		  bool handed_over, const char **culprit)
{
	const struct plog *p = jb->topic ? plog_get(j, t, jb->topic, jb->b.partition, false) : NULL;
	int64_t held = 0, fsync = 0, last = 0;
	uint32_t n;

	if (!p || to - from < JOIN_MS)
		return 0;
	n = p->nr < JOIN_HOLDS ? p->nr : JOIN_HOLDS;
	for (uint32_t i = 0; i < n; i++) {
		const struct hold *h = &p->ring[(p->nr - 1 - i) % JOIN_HOLDS];
		int64_t b = h->begin > from ? h->begin : from, e = h->end < to ? h->end : to;

		if (h->end <= from)
			break;
		if (e <= b)
			continue;
		held += e - b;
		fsync += h->end > h->begin ? (int64_t)((double)h->fsync * (double)(e - b) /
						       (double)(h->end - h->begin)) : 0;
		if (h->end > last)
			last = h->end;
		if (culprit && !*culprit)
			*culprit = h->culprit;
	}
	if (held * 5 < (to - from) * 4 || (handed_over && to - last > HANDOVER))
		return 0;
	return fsync;
}

/* The same connection from both ends: its requests tell it, or else its address. */
static void conns_pair(struct conn *c, struct bconn *b)
{
	if (c->bconn || b->conn)
		return;
	c->bconn = b;
	b->conn = c;
}

static void pair_by_address(struct join *j, struct bconn *b)
{
	struct conn *c, *tmp;

	if (b->conn || !b->peer_port)
		return;
	HASH_ITER(hh, j->conns, c, tmp)
		if (!c->bconn && !c->end_ns && c->local_port == b->peer_port &&
		    c->local_hi == b->peer_hi && c->local_lo == b->peer_lo)
			conns_pair(c, b);
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
	link_add(&r->links, &r->nr_links, jb, n);
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
	for (uint32_t i = 0; i < r->nr_links; i++)
		if (r->links[i].batch)
			batch_link(r->links[i].batch, r->links[i].attempt, br);
}

static void arrival(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_arrival *e = &ev->arrival;
	struct breq *r = breq_get(j, t, ev, e->conn, e->corr);
	struct key2 key = { t->index, e->pid };
	struct target *target;

	if (r->told)
		return;
	HASH_FIND(hh, j->targets, &key, sizeof(key), target);
	r->told = true;
	r->read_ns = event_axis(ev, ev->ns);
	r->arrived_ns = event_axis(ev, e->arrived_ns);
	r->size = e->size;
	r->api = e->api;
	r->acks = e->acks;
	r->broker = target ? target->broker : t->broker;
	r->client_id = join_intern(j, ev->tail, ev->tail_len);
	r->bconn->peer_hi = e->peer_hi;
	r->bconn->peer_lo = e->peer_lo;
	r->bconn->peer_port = e->peer_port;
	pair_by_address(j, r->bconn);
	breq_by_corr(j, r);
}

static struct jbatch *broker_batch(struct join *j, struct jtrail *t, const struct ident *id)
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

static void broker_only_pend(struct join *j, struct jbatch *jb, int64_t ns)
{
	if (jb->b.client)
		return;
	jb->b.resolved_ns = jb->b.end_ns = ns;
	jbatch_pend(j, jb);
}

static void arrival_batch(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_arrival_batch *e = &ev->arrival_batch;
	struct ident id = { join_topic(j, t, e->topic), e->first_ts_ms, e->partition,
			    e->crc, e->count, 0 };
	struct breq *r = breq_get(j, t, ev, e->conn, e->corr);
	struct jbatch *head = ident_find(j, &id), *jb;
	uint32_t n;

	for (uint32_t i = 0; i < r->nr_links; i++)
		if (r->links[i].batch && !memcmp(&r->links[i].batch->ident, &id, sizeof(id)))
			return;		/* linked by its CorrId already */
	DL_FOREACH2(head, jb, id_next)
		for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
			struct req *req = jb->state[i].req;

			if (!req || req->breq || jb->b.attempts[i].corr_id != e->corr ||
			    (req->size && r->size && req->size != r->size))
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

	if (!r || r->answered_ns)
		return;
	r->written_ns = event_axis(ev, ev->answer.begin_ns ? ev->answer.begin_ns : ev->ns);
	r->answered_ns = event_axis(ev, ev->ns);
	DL_DELETE(r->bconn->open, r);
	bconn_remember(j, r);
	r->over = true;
	for (uint32_t i = 0; i < r->nr_links; i++) {
		struct jbatch *jb = r->links[i].batch;

		if (jb && !jb->b.client && jb->pending) {
			DL_DELETE2(j->pending, jb, pend_prev, pend_next);
			j->nr_pending--;
			jb->pending = false;
			broker_only_pend(j, jb, r->written_ns);
		}
	}
	if (!r->live_links)
		breq_free(j, r);
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

/* ---- the log --------------------------------------------------------------------- */

static struct file *file_named(struct join *j, struct jtrail *t, const struct ev_file *e,
			       const char *path, size_t len)
{
	struct key2 key = { t->index, e->file };
	struct file *f;

	HASH_FIND(hh, j->files, &key, sizeof(key), f);
	if (!f) {
		f = join_alloc(sizeof(*f));
		f->key = key;
		HASH_ADD(hh, j->files, key, sizeof(f->key), f);
	}
	f->topic = join_topic(j, t, e->topic);
	f->partition = e->partition;
	f->path = join_intern(j, path, len);
	f->dev = e->dev;
	f->ino = e->ino;
	f->segment = e->segment;
	f->role = e->role;
	return f;
}

static struct file *file_get(struct join *j, struct jtrail *t, uint32_t id)
{
	struct key2 key = { t->index, id };
	const struct ev_file *e;
	struct file *f = NULL;
	const char *path;

	if (!id)
		return NULL;
	HASH_FIND(hh, j->files, &key, sizeof(key), f);
	if (f || !j->conf.file)
		return f;
	e = j->conf.file(t->t, id);
	if (!e)
		return NULL;
	path = j->conf.file_path ? j->conf.file_path(t->t, id) : NULL;
	return file_named(j, t, e, path, path ? strlen(path) : 0);
}

static void file_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	if (ev->file.file)
		file_named(j, t, &ev->file, ev->tail, ev->tail_len);
}

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

static struct bthread *thread_get(struct join *j, struct jtrail *t, uint32_t tid)
{
	struct key2 key = { t->index, tid };
	struct bthread *th;

	HASH_FIND(hh, j->threads, &key, sizeof(key), th);
	if (th)
		return th;
	th = join_alloc(sizeof(*th));
	th->key = key;
	HASH_ADD(hh, j->threads, key, sizeof(th->key), th);
	return th;
}

/* How likely it is that this append is that attempt's: 0 not at all. */
static int append_rank(const struct jbatch *jb, uint32_t i, const struct jtrail *t, int64_t begin)
{
	const struct link_state *st = &jb->state[i];
	const struct tl_attempt *a = &jb->b.attempts[i];

	if (st->appended || (a->answered && a->error_code))
		return 0;
	if (st->breq)
		return st->breq->read_ns <= begin && st->breq->key.trail == t->index &&
		       !(st->breq->answered_ns && st->breq->answered_ns < begin) ? 3 : 0;
	return a->on_wire && a->write_begin_ns <= begin ? 2 : 1;
}

static struct jbatch *append_find(struct jbatch *head, const struct jtrail *t, int64_t begin,
				  uint32_t *attempt)
{
	struct jbatch *jb, *best = NULL;
	int rank = 0;

	DL_FOREACH2(head, jb, id_next) {
		bool has = false;

		for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
			has |= jb->state[i].appended;
		if (has)
			continue;
		for (uint32_t i = jb->b.nr_attempts; i-- > 0; ) {
			int r = append_rank(jb, i, t, begin);

			if (r > rank) {
				rank = r;
				best = jb;
				*attempt = i;
			}
		}
	}
	return best;
}

static void append_take(struct join *j, struct jtrail *t, struct jbatch *jb, uint32_t n,
			const struct event *ev, enum tl_join how)
{
	const struct ev_append *e = &ev->append;
	struct tl_attempt *a = &jb->b.attempts[n];
	struct file *f = file_get(j, t, e->file);
	struct bthread *th = thread_get(j, t, ev->tid);
	int64_t begin = event_axis(ev, e->begin_ns ? e->begin_ns : ev->ns);

	jb->state[n].appended = true;
	jb->b.broker_seen = true;
	a->append_begin_ns = begin;
	a->append_end_ns = event_axis(ev, ev->ns);
	if (e->base_offset >= 0 && a->base_offset < 0)
		a->base_offset = e->base_offset;
	if (!jb->b.bytes)
		jb->b.bytes = e->bytes;
	if (a->broker < 0)
		a->broker = t->broker;
	/* The weaker of two ways says how sure it is. */
	if (jb->b.client && (how < TL_JOIN_CRC || jb->b.join < how))
		jb->b.join = how;
	if (f && f->role != AT_ROLE_PASSING && !jb->file) {
		jb->file = f;
		DL_APPEND2(f->waiting, jb, file_prev, file_next);
	}
	if (!th->nr_links || th->begin_ns != begin) {
		th->nr_links = 0;
		th->begin_ns = begin;
	}
	th->end_ns = a->append_end_ns;
	plog_append(j, t, jb, ev->tid, begin, a->append_end_ns);
	th->topic = jb->topic;
	th->partition = jb->b.partition;
	link_add(&th->links, &th->nr_links, jb, n);
}

static struct jbatch *by_sequence(struct join *j, const struct ident *id, const struct ev_append *e,
				  const struct jtrail *t, int64_t begin, uint32_t *attempt)
{
	struct sequence key = { id->topic, e->producer_id, e->partition, e->base_sequence,
				(uint32_t)(uint16_t)e->epoch, e->count };
	struct sequence_slot *s;
	struct jbatch *jb;

	if (e->producer_id < 0 || e->base_sequence < 0)
		return NULL;
	HASH_FIND(hh, j->sequences, &key, sizeof(key), s);
	if (!s)
		return NULL;
	DL_FOREACH2(s->head, jb, seq_next)
		for (uint32_t i = jb->b.nr_attempts; i-- > 0; )
			if (append_rank(jb, i, t, begin)) {
				*attempt = i;
				return jb;
			}
	return NULL;
}

/* Another broker's copy of a batch that is known here. */
static void replica_append(struct jbatch *head, struct jtrail *t, int64_t ns)
{
	struct jbatch *jb;

	DL_FOREACH2(head, jb, id_next) {
		bool has = jb->b.nr_replicas >= 4;

		for (uint32_t i = 0; i < jb->b.nr_replicas; i++)
			has |= jb->b.replicas[i].broker == t->broker;
		if (has)
			continue;
		jb->b.replicas[jb->b.nr_replicas++] = (struct tl_replica){ t->broker, ns, 0 };
		return;
	}
}

static void append_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_append *e = &ev->append;
	struct ident id = { join_topic(j, t, e->topic), e->first_ts_ms, e->partition,
			    e->crc, e->count, 0 };
	int64_t begin = event_axis(ev, e->begin_ns ? e->begin_ns : ev->ns);
	struct jbatch *head = ident_find(j, &id), *jb;
	struct place place = { id.topic, e->base_offset, e->partition, e->count };
	struct place_slot *ps;
	uint32_t n = 0;

	if (e->ret <= 0)
		return;
	if (e->flags & AT_BATCH_FOLLOWER) {
		replica_append(head, t, event_axis(ev, ev->ns));
		return;
	}
	jb = append_find(head, t, begin, &n);
	if (jb) {
		append_take(j, t, jb, n, ev, TL_JOIN_CRC);
		return;
	}
	jb = by_sequence(j, &id, e, t, begin, &n);
	if (jb) {
		append_take(j, t, jb, n, ev, TL_JOIN_SEQUENCE);
		return;
	}
	HASH_FIND(hh, j->places, &place, sizeof(place), ps);
	if (ps)
		return;			/* told twice */
	jb = broker_batch(j, t, &id);
	jb->b.bytes = e->bytes;
	jb->b.base_offset = e->base_offset;
	jb->b.max_ts_ms = e->max_ts_ms;
	jb->b.control = e->attributes & KAFKA_ATTR_CONTROL;
	jb->b.producer.id = e->producer_id >= 0 ? e->producer_id : -1;
	jb->b.producer.epoch = e->epoch;
	jb->b.producer.base_sequence = e->base_sequence;
	append_take(j, t, jb, jbatch_attempt(jb), ev, TL_JOIN_NONE);
	if (e->base_offset >= 0) {
		ps = jb->place = join_alloc(sizeof(*ps));
		ps->key = place;
		ps->batch = jb;
		HASH_ADD(hh, j->places, key, sizeof(ps->key), ps);
	}
	broker_only_pend(j, jb, event_axis(ev, ev->ns));
}

/*
 * The reply told where a batch went, and no append had its CRC: take the append at
 * that very place, unless that is a batch of its own.
 */
void broker_adopt(struct join *j, struct jbatch *jb)
{
	const struct tl_attempt *mine = &jb->b.attempts[jb->b.counted];
	struct place key = { jb->topic, mine->base_offset, jb->b.partition, jb->b.count };
	struct tl_attempt *a, *from;
	struct place_slot *ps;
	struct jbatch *other;
	struct bthread *th, *tmp;

	HASH_FIND(hh, j->places, &key, sizeof(key), ps);
	if (!ps || ps->batch->b.client || ps->batch == jb)
		return;
	other = ps->batch;
	a = &jb->b.attempts[jb->b.counted];
	from = &other->b.attempts[0];
	a->append_begin_ns = from->append_begin_ns;
	a->append_end_ns = from->append_end_ns;
	a->sync_begin_ns = from->sync_begin_ns;
	a->sync_end_ns = from->sync_end_ns;
	a->index_end_ns = from->index_end_ns;
	a->sync = from->sync;
	a->index = from->index;
	jb->state[jb->b.counted].appended = true;
	jb->b.broker_seen = true;
	jb->b.on_disk_ns = other->b.on_disk_ns;
	jb->b.join = TL_JOIN_OFFSET;
	if (other->file && !jb->file) {
		jb->file = other->file;
		DL_APPEND2(jb->file->waiting, jb, file_prev, file_next);
	}
	HASH_ITER(hh, j->threads, th, tmp)
		for (uint32_t i = 0; i < th->nr_links; i++)
			if (th->links[i].batch == other)
				th->links[i] = (struct link){ jb, jb->b.counted };
	/* Its request, if it had one, was told under another CRC: it goes with it. */
	jbatch_drop(j, other);
}

/* ---- syncs ------------------------------------------------------------------------ */

static bool makes_durable(const struct event *ev, const struct file *f)
{
	uint32_t call = ev->sync.call;

	return f && f->role == AT_ROLE_SEGMENT && ev->sync.ret >= 0 &&
	       call != AT_CALL_MSYNC && call != AT_CALL_SYNC_FILE_RANGE;
}

/* Is this sync on the way of what its thread appended last? */
static bool on_the_way(const struct bthread *th, const struct file *f, int64_t begin)
{
	bool mine = false;

	if (!th || !th->nr_links || !f || begin < th->end_ns || f->topic != th->topic ||
	    f->partition != th->partition)
		return false;
	for (uint32_t i = 0; i < th->nr_links; i++) {
		const struct jbatch *jb = th->links[i].batch;
		const struct breq *r = jb ? jb->state[th->links[i].attempt].breq : NULL;

		if (jb && !(r && r->answered_ns && r->written_ns <= begin))
			mine = true;
	}
	return mine;
}

static void sync_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct key2 key = { t->index, ev->tid };
	struct file *f = file_get(j, t, ev->sync.file);
	int64_t begin = event_axis(ev, ev->sync.begin_ns), end = event_axis(ev, ev->ns);
	struct jbatch *jb, *tmp;
	struct tl_parts parts;
	struct bthread *th;
	bool path;

	parts_of_sync(j, t, ev, &parts);
	HASH_FIND(hh, j->threads, &key, sizeof(key), th);
	path = on_the_way(th, f, begin);
	if (path)
		plog_sync(j, t, th, ev->tid, begin, end, &parts);
	for (uint32_t i = 0; path && i < th->nr_links; i++) {
		struct tl_attempt *a;

		if (!th->links[i].batch)
			continue;
		a = &th->links[i].batch->b.attempts[th->links[i].attempt];
		if (f->role == AT_ROLE_SEGMENT && !a->index.ns) {
			if (!a->sync_begin_ns)
				a->sync_begin_ns = begin;
			a->sync_end_ns = end;
			parts_add(&a->sync, &parts);
		} else {
			a->index_end_ns = end;
			parts_add(&a->index, &parts);
		}
	}
	if (th && th->nr_links && !path)
		th->nr_links = 0;	/* it went on to something else */
	if (makes_durable(ev, f))
		DL_FOREACH_SAFE2(f->waiting, jb, tmp, file_next) {
			int64_t appended = 0;

			for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
				if (jb->state[i].appended)
					appended = jb->b.attempts[i].append_end_ns;
			if (appended > begin)
				continue;
			jb->b.on_disk_ns = end;
			DL_DELETE2(f->waiting, jb, file_prev, file_next);
			jb->file = NULL;
		}
	if (j->conf.sync) {
		struct tl_sync s = {
			.host = t->host, .path = f ? f->path : NULL,
			.topic = f && f->topic ? f->topic->name : NULL,
			.partition = f ? f->partition : -1, .role = f ? f->role : AT_ROLE_OTHER,
			.call = ev->sync.call, .tid = ev->tid, .begin_ns = begin, .end_ns = end,
			.ret = ev->sync.ret, .parts = parts, .on_path = path,
		};

		j->conf.sync(j->conf.arg, &s);
	}
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

bool broker_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	switch (ev->type) {
	case AT_EV_TARGET:	  target_event(j, t, ev); return true;
	case AT_EV_FILE:	  file_event(j, t, ev); return true;
	case AT_EV_DEVICE:	  parts_device(j, t, ev); return true;
	case AT_EV_ARRIVAL:	  arrival(j, t, ev); return true;
	case AT_EV_ARRIVAL_BATCH: arrival_batch(j, t, ev); return true;
	case AT_EV_ANSWER:	  answer(j, t, ev); return true;
	case AT_EV_ARRIVAL_END:	  arrival_end(j, t, ev); return true;
	case AT_EV_APPEND:	  append_event(j, t, ev); return true;
	case AT_EV_SYNC:	  sync_event(j, t, ev); return true;
	case AT_EV_BLOCK:	  parts_block(j, t, ev); return true;
	case AT_EV_COMMIT:	  parts_commit(j, t, ev); return true;
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

		if (st->breq && !st->breq->answered_ns && !st->breq->bconn->end_ns)
			return true;
		if (st->breq || a->answered)
			continue;
		if (bc && !bc->end_ns)
			return true;
		/* Nobody knows that connection from the other side: other brokers' probes. */
		if (!bc && j->now - jb->b.resolved_ns < 5000 * JOIN_MS)
			return true;
	}
	return false;
}

static struct clock_pair *clock_pair(struct join *j, const struct jtrail *a, const struct jtrail *b)
{
	struct key2 key = { a->index, b->index };
	struct clock_pair *p;

	HASH_FIND(hh, j->clocks, &key, sizeof(key), p);
	if (p)
		return p;
	p = join_alloc(sizeof(*p));
	p->key = key;
	HASH_ADD(hh, j->clocks, key, sizeof(p->key), p);
	return p;
}

static void clock_learn(struct clock_pair *p, const struct tl_attempt *a)
{
	if (a->read_ns && a->write_end_ns) {
		int64_t d = a->read_ns - a->write_end_ns;

		if (!p->there || d < p->min_there)
			p->min_there = d;
		p->there = true;
	}
	if (a->response_written_ns && a->response_read_ns) {
		int64_t d = a->response_read_ns - a->response_written_ns;

		if (!p->back || d < p->min_back)
			p->min_back = d;
		p->back = true;
	}
}

static void shift(int64_t *ns, int64_t by)
{
	if (*ns)
		*ns -= by;
}

/* Broker times onto the client's clock, with the bound that the two ways leave. */
static void clock_apply(const struct clock_pair *p, struct tl_attempt *a)
{
	int64_t theta;

	a->broker_known = TL_KNOWN_INFERRED;
	if (!p->there || !p->back)
		return;
	theta = (p->min_there - p->min_back) / 2;
	a->bound_ns = (p->min_there + p->min_back) / 2;
	if (a->bound_ns < 0)
		a->bound_ns = -a->bound_ns;
	a->broker_known = TL_KNOWN_ACROSS;
	shift(&a->arrived_ns, theta);
	shift(&a->read_ns, theta);
	shift(&a->append_begin_ns, theta);
	shift(&a->append_end_ns, theta);
	shift(&a->sync_begin_ns, theta);
	shift(&a->sync_end_ns, theta);
	shift(&a->index_end_ns, theta);
	shift(&a->response_written_ns, theta);
}

void broker_times(struct join *j, struct jbatch *jb)
{
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		struct tl_attempt *a = &jb->b.attempts[i];
		const struct link_state *st = &jb->state[i];
		const struct jtrail *bt = NULL;

		if (st->breq) {
			a->arrived_ns = st->breq->arrived_ns;
			a->read_ns = st->breq->told ? st->breq->read_ns : 0;
			a->response_written_ns = st->breq->written_ns;
			bt = st->breq->bconn->trail;
		} else if (st->req && st->req->conn->bconn) {
			bt = st->req->conn->bconn->trail;
		}
		a->broker_known = TL_KNOWN_EXACT;
		if (!jb->b.client || (!bt && !st->appended))
			continue;
		/* An append without its request: any probe's clock but ours will do. */
		for (uint32_t k = 0; !bt && k < j->nr_trails; k++)
			if (j->trails[k]->probe)
				bt = j->trails[k];
		if (!bt || same_clock(jb->trail, bt))
			continue;
		clock_learn(clock_pair(j, jb->trail, bt), a);
		clock_apply(clock_pair(j, jb->trail, bt), a);
	}
	if (!jb->replied_ok && jb->b.nr_attempts)
		jb->b.counted = jb->b.nr_attempts - 1;
}
