/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_append.c - the probe's appends: which file and place of which partition's
 * log a batch went to, and which batch that was.
 */
#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>
#include "join_int.h"

#define INDEX_SOON	(5 * JOIN_MS)	/* it is written right behind the log; a thread may have no CPU for a moment */

static struct file *file_find(struct join *j, struct jtrail *t, uint32_t id)
{
	void **near = near_slot(t, NEAR_FILE, id);
	struct key2 key = { t->index, id };
	struct file *f;

	if (near)
		return *near;
	HASH_FIND(hh, j->files, &key, sizeof(key), f);
	return f;
}

static struct file *file_named(struct join *j, struct jtrail *t, const struct ev_file *e,
			       const char *path, size_t len)
{
	void **near = near_slot(t, NEAR_FILE, e->file);
	struct key2 key = { t->index, e->file };
	struct file *f = file_find(j, t, e->file);

	if (!f) {
		f = join_alloc(sizeof(*f));
		if (near)
			*near = f;
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

struct file *file_get(struct join *j, struct jtrail *t, uint32_t id)
{
	struct file *f = id ? file_find(j, t, id) : NULL;
	const struct ev_file *e;
	const char *path;

	if (!id)
		return NULL;
	if (f || !j->conf.file)
		return f;
	e = j->conf.file(t->t, id);
	if (!e)
		return NULL;
	path = j->conf.file_path ? j->conf.file_path(t->t, id) : NULL;
	return file_named(j, t, e, path, path ? strlen(path) : 0);
}

void file_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	if (ev->file.file)
		file_named(j, t, &ev->file, ev->tail, ev->tail_len);
}

struct bthread *bthread_get(struct join *j, struct jtrail *t, uint32_t tid)
{
	struct key2 key = { t->index, tid };
	struct bthread *th;

	HASH_FIND(hh, j->threads, &key, sizeof(key), th);
	if (th)
		return th;
	th = join_alloc(sizeof(*th));
	th->key = key;
	LL_PREPEND(t->threads, th);
	HASH_ADD(hh, j->threads, key, sizeof(th->key), th);
	return th;
}

static bool part_of_pause(const struct ev_pause *e, enum tl_part_name *part)
{
	switch (e->why) {
	case AT_PAUSE_DIRTY:	*part = TL_PART_DIRTY; return true;
	case AT_PAUSE_PAGE:	*part = TL_PART_STABLE; return true;
	case AT_PAUSE_LOG:	*part = TL_PART_SHARED; return true;
	case AT_PAUSE_JOURNAL:	*part = e->transaction ? TL_PART_SHARED : TL_PART_HANDLE; return true;
	default:		return false;
	}
}

/*
 * An append goes to the indexes, too, by a mapping, so that no call shows it: a page that has to be made writable
 * may wait as a write does, and again and again.  And the log is held meanwhile.
 */
static bool index_waits(struct link_state *st, const struct tl_attempt *a, const struct ev_pause *e,
			enum tl_part_name part, int64_t begin, int64_t end)
{
	if ((st->breq && st->breq->answered_ns && st->breq->answered_ns < end) ||
	    (a->sync_begin_ns && a->sync_begin_ns < end) || begin - a->append_end_ns - st->index.end > INDEX_SOON)
		return false;
	if (st->index.end && st->index.part == part && begin >= a->append_end_ns + st->index.end)
		st->index.ns += end - begin;
	else if (end - begin > st->index.ns)
		st->index.ns = end - begin;
	else
		return false;
	st->index.end = end - a->append_end_ns;
	st->index.dev = e->dev;
	st->index.part = part;
	return true;
}

void append_pause(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct key2 key = { t->index, ev->tid };
	int64_t begin = event_axis(ev, ev->pause.begin_ns), end = event_axis(ev, ev->ns);
	enum tl_part_name part;
	struct bthread *th;
	bool any = false;

	HASH_FIND(hh, j->threads, &key, sizeof(key), th);
	if (!th || !th->links.nr || !ev->pause.fault || begin < th->end_ns || end - begin < JOIN_MS ||
	    !part_of_pause(&ev->pause, &part))
		return;
	for (uint32_t i = 0; i < th->links.nr; i++) {
		struct jbatch *jb = th->links.at[i].batch;
		uint32_t n = th->links.at[i].attempt;

		any |= jb && index_waits(&jb->state[n], &jb->b.attempts[n], &ev->pause, part, begin, end);
	}
	if (any)
		plog_pause(j, t, th, end);
}

/* What lies in a sync, or behind the answer, is none of it. */
int64_t append_indexed(const struct link_state *st, const struct tl_attempt *a)
{
	if (!st->index.end || (a->sync_begin_ns && a->sync_begin_ns < a->append_end_ns + st->index.end) ||
	    (a->response_written_ns && a->response_written_ns < a->append_end_ns + st->index.end))
		return 0;
	return st->index.end;
}

/* How likely it is that this append is that attempt's: 0 not at all. */
static int append_rank(const struct jbatch *jb, uint32_t i, const struct jtrail *t, int64_t begin)
{
	const struct link_state *st = &jb->state[i];
	const struct tl_attempt *a = &jb->b.attempts[i];

	if (st->appender || (a->answered && a->error_code))
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
			has |= jb->state[i].appender != NULL;
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

/* A batch of it was seen to be appended: so it is known which thread is at it. */
static bool has_append(const struct breq *r)
{
	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch && r->links.at[i].batch->b.attempts[r->links.at[i].attempt].append_end_ns)
			return true;
	return false;
}

/* Requests that were read by `ns` and are not answered, and no thread is known to be at them: at most `enough`. */
static uint32_t nr_taken(const struct jtrail *t, const struct breq *own, int64_t ns, uint32_t enough)
{
	uint32_t nr = 0;

	for (const struct bconn *c = t->bconns; c && nr < enough; c = c->next)
		for (const struct breq *r = c->open; r && nr < enough; r = r->next)
			nr += r != own && r->read_ns <= ns && !has_append(r);
	return nr;
}

/*
 * Could another of the broker's handlers have taken that request while th was busy?  One
 * that had ended what it was last seen at, up to its answer, when the request was read
 * stood idle; unless it had taken one of those that lie there, too.
 */
static bool other_was_free(struct join *j, const struct jtrail *t, const struct bthread *th, const struct breq *own)
{
	uint32_t nr = 0;

	for (const struct bthread *o = t->threads; o; o = o->next) {
		const struct breq *r;

		if (o == th || o->pid != th->pid || !o->conn || o->free_ns > own->read_ns)
			continue;
		r = breq_find(j, t, o->conn, o->corr);
		nr += !r || (r->answered_ns && r->answered_ns <= th->free_ns);
	}
	return nr && nr_taken(t, own, th->free_ns, nr) < nr;
}

/*
 * Its request lay in the queue that all handlers take from, and the one that took it was
 * still at another request's append or sync: none was free.
 */
static void handler_was(struct join *j, struct jtrail *t, struct link_state *st, const struct bthread *th,
			const struct topic *topic, int32_t partition, int64_t begin)
{
	const struct breq *r = st->breq;

	/* Up to Kafka 3.6 whoever rolls a segment syncs the producers' snapshot, and then makes its own append. */
	if (r && th->roll.begin >= r->read_ns && th->roll.begin > th->begin_ns && th->roll.end <= begin &&
	    th->roll.topic == topic && th->roll.partition == partition &&
	    2 * (th->roll.end - th->roll.begin) >= begin - r->read_ns) {
		st->handler_ns = th->roll.end;
		st->handler_synced = true;
		st->handler_culprit = th->roll.culprit;
		return;
	}
	if (!r || !th->free_ns || th->free_ns <= r->read_ns ||
	    (th->conn == r->key.conn && th->corr == r->key.corr) || other_was_free(j, t, th, r))
		return;
	st->handler_ns = th->free_ns;
	st->handler_synced = 2 * th->fsync_ns >=
			     th->free_ns - (th->begin_ns > r->read_ns ? th->begin_ns : r->read_ns);
	st->handler_culprit = th->culprit;
}

static void append_take(struct join *j, struct jtrail *t, struct jbatch *jb, uint32_t n,
			const struct event *ev, enum tl_join how)
{
	const struct ev_append *e = &ev->append;
	struct tl_attempt *a = &jb->b.attempts[n];
	struct file *f = file_get(j, t, e->file);
	struct bthread *th = bthread_get(j, t, ev->tid);
	struct link_state *st = &jb->state[n];
	int64_t begin = event_axis(ev, e->begin_ns ? e->begin_ns : ev->ns);

	st->appender = t;
	st->thread = th;
	jb->b.broker_seen = true;
	a->append_begin_ns = begin;
	a->append_end_ns = event_axis(ev, ev->ns);
	log_appended(jb, n, how);
	if (e->base_offset >= 0 && a->base_offset < 0)
		a->base_offset = e->base_offset;
	if (!jb->b.bytes)
		jb->b.bytes = e->bytes;
	if (a->broker < 0)
		a->broker = broker_of(j, t, e->pid);
	/* The weaker of two ways says how sure it is. */
	if (jb->b.client && (how < TL_JOIN_CRC || jb->b.join < how))
		jb->b.join = how;
	if (f && f->role != AT_ROLE_PASSING && !jb->file) {
		jb->file = f;
		DL_APPEND2(f->waiting, jb, file_prev, file_next);
	}
	if (th->begin_ns != begin)
		handler_was(j, t, &jb->state[n], th, jb->topic, jb->b.partition, begin);
	if (!th->links.nr || th->begin_ns != begin) {
		th->links.nr = 0;
		th->begin_ns = begin;
		th->pid = e->pid;
		th->fsync_ns = 0;
		th->culprit = NULL;
		th->conn = jb->state[n].breq ? jb->state[n].breq->key.conn : 0;
		th->corr = jb->state[n].breq ? jb->state[n].breq->key.corr : 0;
	}
	th->end_ns = th->free_ns = a->append_end_ns;
	parts_of_append(j, t, ev, &a->append);
	st->stall = stall_of(j, t, ev->tid, a);
	st->lock = plog_append(j, t, jb, th, st->breq ? st->breq->read_ns : 0, a, st->stall);
	th->topic = jb->topic;
	th->partition = jb->b.partition;
	link_add(&th->links, jb, n);
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
static void replica_append(struct join *j, struct jbatch *head, struct jtrail *t, const struct event *ev)
{
	int64_t ns = event_axis(ev, ev->ns), begin = ev->append.begin_ns ? event_axis(ev, ev->append.begin_ns) : ns;
	int32_t broker = broker_of(j, t, ev->append.pid);
	struct bthread *th = bthread_get(j, t, ev->tid);
	struct jbatch *jb;

	DL_FOREACH2(head, jb, id_next) {
		bool has = jb->b.nr_replicas >= 4;

		for (uint32_t i = 0; i < jb->b.nr_replicas; i++)
			has |= jb->b.replicas[i].broker == broker;
		if (has)
			continue;
		if (th->copied_ns != begin)
			th->copies.nr = 0;
		th->copied_ns = begin;
		t->met |= jb->b.client;
		link_add(&th->copies, jb, jb->b.nr_replicas);
		jb->copier[jb->b.nr_replicas] = th;
		jb->b.replicas[jb->b.nr_replicas++] = (struct tl_replica){ .broker = broker, .append_ns = ns };
		return;
	}
}

void append_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_append *e = &ev->append;
	struct ident id = { join_topic(j, t, e->topic), e->first_ts_ms, e->partition,
			    e->crc, e->count, 0 };
	int64_t begin = event_axis(ev, e->begin_ns ? e->begin_ns : ev->ns);
	struct jbatch *head = ident_find(j, &id), *jb;
	struct place place = { id.topic, e->base_offset, e->partition, e->count };
	const struct file *f = file_get(j, t, e->file);
	struct place_slot *ps;
	uint32_t n = 0;

	if (e->ret <= 0 || (f && f->role == AT_ROLE_PASSING))	/* a copy on its way is no append */
		return;
	if (e->flags & AT_BATCH_FOLLOWER) {
		replica_append(j, head, t, ev);
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
		ps = jb->place = pool_get(&j->pool.place, sizeof(*ps));
		ps->key = place;
		ps->batch = jb;
		HASH_ADD(hh, j->places, key, sizeof(ps->key), ps);
	}
	broker_only_pend(j, jb, event_axis(ev, ev->ns));
}

static void chains_move(struct link_state *to, struct link_state *from)
{
	to->lock = from->lock;
	to->stall = from->stall;
	to->after = from->after;
	from->lock = from->stall = from->after = NULL;
}

/* What was appended as `other`, which no client told, was attempt n of this one. */
static void adopt(struct join *j, struct jbatch *jb, uint32_t n, struct jbatch *other, enum tl_join how)
{
	struct tl_attempt *a = &jb->b.attempts[n], *from = &other->b.attempts[0];
	struct bthread *th = other->state[0].thread;

	a->append_begin_ns = from->append_begin_ns;
	a->append_end_ns = from->append_end_ns;
	a->sync_begin_ns = from->sync_begin_ns;
	a->sync_end_ns = from->sync_end_ns;
	a->index_end_ns = from->index_end_ns;
	a->append = from->append;
	a->sync = from->sync;
	a->index = from->index;
	chains_move(&jb->state[n], &other->state[0]);
	jb->state[n].index = other->state[0].index;
	jb->state[n].appender = other->state[0].appender;
	jb->state[n].thread = th;
	jb->b.broker_seen = true;
	jb->b.on_disk_ns = other->b.on_disk_ns;
	jb->b.join = how;
	if (other->file && !jb->file) {
		jb->file = other->file;
		DL_APPEND2(jb->file->waiting, jb, file_prev, file_next);
	}
	for (uint32_t i = 0; th && i < th->links.nr; i++)
		if (th->links.at[i].batch == other)
			th->links.at[i] = (struct link){ jb, n };
	/* Its request, if it had one, was told under another CRC: it goes with it. */
	jbatch_drop(j, other);
}

/*
 * The reply told where a batch went, and no append had its CRC: take the append at
 * that very place, unless that is a batch of its own.
 */
void broker_adopt(struct join *j, struct jbatch *jb)
{
	const struct tl_attempt *mine = &jb->b.attempts[jb->b.counted];
	struct place key = { jb->topic, mine->base_offset, jb->b.partition, jb->b.count };
	struct place_slot *ps;

	HASH_FIND(hh, j->places, &key, sizeof(key), ps);
	if (ps && !ps->batch->b.client && ps->batch != jb)
		adopt(j, jb, jb->b.counted, ps->batch, TL_JOIN_OFFSET);
}

/*
 * Expired, and all that is known of it is its messages' timestamps, give or take `slack`
 * ms, and their number: an append with just those, and no other one, was it.
 */
void broker_claim(struct join *j, struct jbatch *jb, int64_t slack)
{
	struct jbatch *other, *found = NULL;
	const struct tl_batch *b = &jb->b;
	uint32_t n = b->nr_attempts;

	DL_FOREACH2(j->pending, other, pend_next) {
		const struct tl_batch *o = &other->b;

		if (o->client || o->control || other->topic != jb->topic || o->partition != b->partition ||
		    o->count != b->count || !o->nr_attempts || !o->attempts[0].append_begin_ns ||
		    o->first_ts_ms < b->first_ts_ms - slack || o->first_ts_ms > b->first_ts_ms + slack ||
		    o->max_ts_ms < b->max_ts_ms - slack || o->max_ts_ms > b->max_ts_ms + slack)
			continue;
		if (found)
			return;
		found = other;
	}
	while (found && n-- > 0)
		if (jb->b.attempts[n].write_begin_ns <= found->b.attempts[0].append_begin_ns) {
			adopt(j, jb, n, found, TL_JOIN_TIMESTAMPS);
			return;
		}
}
