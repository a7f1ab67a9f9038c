/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_acks.c - folds of acknowledged or failed messages, resolved to the batches that
 * carried them.
 */
#include "join_int.h"

enum {	/* rd_kafka_resp_err_t, as far as an outcome depends on it */
	ERR_DESTROY = -197, ERR_TRANSPORT = -195, ERR_TIMED_OUT = -192,
	ERR_PURGE_QUEUE = -152, ERR_PURGE_INFLIGHT = -151,
};

static enum tl_outcome outcome_of(int32_t err)
{
	switch (err) {
	case 0:			 return TL_OUTCOME_ACKED;
	case ERR_TIMED_OUT:	 return TL_OUTCOME_EXPIRED;
	case ERR_PURGE_QUEUE:
	case ERR_PURGE_INFLIGHT: return TL_OUTCOME_PURGED;
	case ERR_DESTROY:	 return TL_OUTCOME_DROPPED;	/* destroy without flush */
	default:		 return TL_OUTCOME_FAILED;
	}
}

struct fold {
	const struct ev_acks *e;
	const struct event *ev;
	struct jtrail *trail;
	struct topic *topic;
	struct part *part;
	int64_t	 ns, last_ns, created_first, created_last;
	int64_t	 first_ts, last_ts, slack;	/* ms, as a batch's header has them, give or take slack */
	uint32_t left, pos;
};

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static bool usable(const struct fold *f, const struct jbatch *jb)
{
	return !jb->inst_id || !f->e->inst || jb->inst_id == f->e->inst;
}

/* Created, acknowledged: the fold knows it for its first and last message only. */
static void fold_times(const struct fold *f, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;
	int64_t first = f->created_first + (b->first_ts_ms - f->first_ts) * JOIN_MS;
	int64_t last = f->created_first + (b->max_ts_ms - f->first_ts) * JOIN_MS;
	int64_t at = f->ns;

	if (b->first_ts_ms <= f->first_ts + f->slack || b->count == f->e->count) {
		b->created_first_ns = f->created_first;
	} else {
		b->created_first_ns = clamp(first, f->created_first, f->created_last);
		b->created_inferred = true;
	}
	b->created_last_ns = b->max_ts_ms + f->slack >= f->last_ts ? f->created_last :
			     clamp(last, b->created_first_ns, f->created_last);
	/* Folded across responses: not acknowledged before its own came. */
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		if (b->attempts[i].response_read_ns > at)
			at = b->attempts[i].response_read_ns;
	if (at > f->last_ns && f->last_ns >= f->ns)
		at = f->last_ns;
	if (!f->e->err)
		b->acked_ns = at;
	b->resolved_ns = at;
}

/*
 * A produce call that had to wait for room: librdkafka dates its message from before the
 * wait, and queues it after.  The shim times the call's entry to a tick of the kernel.
 */
#define TICK (10 * JOIN_MS)

static void find_stall(struct join *j, const struct fold *f, struct jbatch *jb)
{
	uint32_t n = j->nr_stalls < JOIN_STALLS ? j->nr_stalls : JOIN_STALLS;
	int64_t queued = jb->b.nr_attempts ? jb->b.attempts[0].write_begin_ns : jb->b.resolved_ns;

	for (uint32_t i = 0; i < n; i++) {
		struct stalled *s = &j->stalls[(j->nr_stalls - 1 - i) % JOIN_STALLS];
		int64_t made = jb->b.created_first_ns, until = s->end < queued ? s->end : queued;

		if (s->trail != f->trail->index || s->inst != f->e->inst || s->topic != jb->topic ||
		    (s->partition >= 0 && s->partition != jb->b.partition))
			continue;
		if (s->begin <= made && made <= s->begin + TICK && made < until) {
			jb->b.created_first_ns = until;
			jb->b.blocked_ns = until - made;
			s->topic = NULL;	/* one message waited in it */
			return;
		}
	}
}

/*
 * Some of a batch's messages ended in one way, the rest ends in another: that is a row of
 * its own, sent as the whole was.
 */
struct jbatch *acks_rest(struct join *j, struct jbatch *jb)
{
	struct jbatch *rest = jbatch_new(j, jb->trail, jb->topic, jb->b.partition);

	rest->b.client = rest->b.sent = rest->b.created_inferred = true;
	rest->b.count = jb->b.count - jb->taken;
	rest->b.first_ts_ms = jb->b.first_ts_ms;
	rest->b.max_ts_ms = jb->b.max_ts_ms;
	rest->b.producer = jb->b.producer;
	rest->inst_id = jb->inst_id;
	rest->inst = jb->inst;
	rest->part = jb->part;
	rest->peer = jb->peer;
	rest->split_from = rest->rest = true;
	rest->ident = jb->ident;
	rest->index = jb->index + jb->taken;	/* names a row of its own */
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		struct req *r = jb->state[i].req;
		uint32_t n = jbatch_attempt(rest);

		rest->b.attempts[n] = jb->b.attempts[i];
		rest->state[n].appender = jb->state[i].appender;
		if (!r)
			continue;
		rest->state[n].req = r;
		r->live_links++;
		link_add(&r->links, rest, n);
	}
	rest->in_part = true;
	DL_APPEND_ELEM2(jb->part->open, jb, rest, part_prev, part_next);
	fate_resolve(j, jb, jb->b.outcome, jb->b.resolved_ns);
	return rest;
}

static void fold_take(struct join *j, struct fold *f, struct jbatch *jb, enum tl_join how)
{
	struct tl_batch *b;
	int64_t first;
	uint32_t n;

	if (jb->taken && jb->b.err != f->e->err)
		jb = acks_rest(j, jb);
	b = &jb->b;
	first = jb->taken ? b->created_first_ns : 0;
	n = b->count - jb->taken < f->left ? b->count - jb->taken : f->left;
	fold_times(f, jb);
	if (first)
		b->created_first_ns = first;
	jb->taken += n;
	b->err = f->e->err;
	if (b->join < how)
		b->join = how;
	if (!jb->inst_id)
		jb->inst_id = f->e->inst;
	jb->inst = inst_find(j, f->trail->index, jb->inst_id);
	b->fatal = jb->inst && jb->inst->fatal_ns && outcome_of(f->e->err) == TL_OUTCOME_PURGED;
	if (!first)
		find_stall(j, f, jb);
	f->left -= n;
	f->pos += n;
	if (!jb->in_uncalled) {
		jb->in_uncalled = true;
		DL_APPEND2(f->part->uncalled, jb, call_prev, call_next);
	}
	if (jb->taken < b->count) {	/* the rest of it ends later */
		b->outcome = outcome_of(f->e->err);
		return;
	}
	if (outcome_of(f->e->err) == TL_OUTCOME_FAILED && jb->part && jb->part->again)
		jb->part->again->open_since = 0;	/* not to be sent again */
	fate_resolve(j, jb, outcome_of(f->e->err), b->resolved_ns);
}

/* The offset that a success reply told, or -1. */
static int64_t replied_offset(const struct jbatch *jb)
{
	for (uint32_t i = jb->b.nr_attempts; i-- > 0; )
		if (jb->b.attempts[i].answered && jb->b.attempts[i].base_offset >= 0)
			return jb->b.attempts[i].base_offset;
	return -1;
}

static void fold_by_offset(struct join *j, struct fold *f)
{
	struct jbatch *jb, *tmp;

	DL_FOREACH_SAFE2(f->part->open, jb, tmp, part_next) {
		int64_t base = replied_offset(jb);

		if (base < 0 || base < f->e->first_offset || !usable(f, jb) ||
		    base + jb->b.count - 1 > f->e->last_offset || jb->b.count > f->left)
			continue;
		f->pos = (uint32_t)(base - f->e->first_offset);
		fold_take(j, f, jb, TL_JOIN_OFFSET);
	}
}

/* May these messages be that batch's, as far as its replies say? */
static bool agrees(const struct fold *f, const struct jbatch *jb)
{
	bool ok = false, failed = false;

	for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
		if (attempt_ok(jb, &jb->b.attempts[i]))
			ok = true;
		else if (jb->b.attempts[i].answered)
			failed = true;
	if (f->e->err)
		return !ok;
	return ok ? replied_offset(jb) < 0 : !failed;
}

/* Wall time of that process, in ms: what librdkafka stamps messages with. */
static int64_t wall_ms(const struct event *ev, uint64_t raw_ns)
{
	const struct at_header *h = &ev->trail->header;

	return (int64_t)(raw_ns + (h->created_real_ns - h->created_mono_ns)) / JOIN_MS;
}

/* Timestamps that an app sets say nothing about when. */
static bool stamped_by_app(const struct fold *f, const struct jbatch *jb)
{
	int64_t raw = jb->b.attempts[0].write_begin_ns - f->ev->trail->to_axis_ns;
	int64_t wall = wall_ms(f->ev, (uint64_t)raw);

	if (!f->slack)		/* those of the fold are an app's own, too */
		return false;
	return jb->b.first_ts_ms > wall + 1000 || jb->b.first_ts_ms + 600000 < wall;
}

static bool within(const struct fold *f, const struct jbatch *jb)
{
	return jb->b.first_ts_ms + f->slack >= f->first_ts && jb->b.max_ts_ms <= f->last_ts + f->slack;
}

static bool touches(const struct fold *f, const struct jbatch *jb)
{
	return jb->b.max_ts_ms + f->slack >= f->first_ts && jb->b.first_ts_ms <= f->last_ts + f->slack;
}

/* Errors of requests that were under way. */
static bool unanswered(int32_t err)
{
	return err == ERR_TRANSPORT || err == ERR_PURGE_INFLIGHT;
}

/* Kafka's errors that nobody tries again (CORRUPT_MESSAGE: newer ones do): the batch ends with them, at once. */
static bool lasting(int16_t code)
{
	static const int16_t codes[] = { 10, 18, 21, 29, 31, 44, 76, 87 };

	for (unsigned i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

/* Just these messages, as far as number and timestamps go. */
static bool is_whole(const struct fold *f, const struct jbatch *jb)
{
	return !f->slack && jb->b.count == f->e->count && jb->b.first_ts_ms == f->first_ts &&
	       jb->b.max_ts_ms == f->last_ts;
}

static bool may_hold(const struct fold *f, const struct jbatch *jb)
{
	const struct tl_attempt *last = &jb->b.attempts[jb->b.nr_attempts - 1];

	if (!usable(f, jb) || !agrees(f, jb))
		return false;
	if (jb->b.attempts[0].write_begin_ns + f->slack * JOIN_MS < f->created_first)
		return false;
	if (unanswered(f->e->err) && last->answered)
		return false;
	if (f->e->err < -1 && last->answered && lasting(last->error_code))
		return false;
	if (f->e->err == ERR_PURGE_INFLIGHT && last->ended_ns)
		return false;
	if (f->e->err == ERR_PURGE_QUEUE && !last->answered && !last->ended_ns)
		return false;
	/*
	 * Never sent, says the library: not one that was, and was not refused.  But newer ones
	 * say it also of requests to a broker that they gave up (rd_kafka_broker_decommission).
	 */
	return !(f->e->err && !f->e->persisted && !last->answered) || (last->ended_ns && is_whole(f, jb));
}

/*
 * A broker's verdict is handed on at once, by the thread that read it, so the last reply
 * before the fold that says just that is the fold's.  Besides errors that is a duplicate,
 * whose offsets begin at -1.
 */
static void fold_by_reply(struct join *j, struct fold *f)
{
	struct jbatch *jb, *best = NULL;
	int64_t read = 0;

	if (f->e->err < -1 || (!f->e->err && f->e->first_offset != -1))
		return;
	DL_FOREACH2(f->part->open, jb, part_next) {
		const struct tl_attempt *a = &jb->b.attempts[jb->b.nr_attempts - 1];

		if (!usable(f, jb) || !a->answered || a->response_read_ns > f->ns ||
		    a->error_code != (f->e->err ? f->e->err : DUPLICATE_SEQUENCE))
			continue;
		if (a->response_read_ns >= read) {
			read = a->response_read_ns;
			best = jb;
		}
	}
	if (best)
		fold_take(j, f, best, TL_JOIN_TIMESTAMPS);
}

/*
 * Requests that are given up end in the order in which they were sent, each by itself, and
 * at once when their connection does.
 */
static void fold_by_request(struct join *j, struct fold *f)
{
	struct jbatch *jb, *best = NULL;
	int64_t written = 0, ended = 0;

	if (!unanswered(f->e->err))
		return;
	DL_FOREACH2(f->part->open, jb, part_next) {
		const struct tl_attempt *a = &jb->b.attempts[jb->b.nr_attempts - 1];

		if (jb->b.count - jb->taken != f->left || !may_hold(f, jb) ||
		    (f->e->err == ERR_TRANSPORT && (!a->ended_ns || a->ended_ns > f->ns)))
			continue;
		if (!best || a->ended_ns > ended || (a->ended_ns == ended && a->write_begin_ns < written)) {
			written = a->write_begin_ns;
			ended = a->ended_ns;
			best = jb;
		}
	}
	if (best)
		fold_take(j, f, best, TL_JOIN_TIMESTAMPS);
}

static bool before(const struct jbatch *a, const struct jbatch *b)
{
	const struct tl_producer *p = &a->b.producer, *q = &b->b.producer;

	return p->id >= 0 && q->id >= 0 &&
	       (p->epoch < q->epoch || (p->epoch == q->epoch && p->base_sequence < q->base_sequence));
}

/*
 * Acknowledged implicitly: librdkafka takes everything before a batch that the broker
 * accepted as accepted, too, whatever it was answered.  That reply came just before;
 * false when there was none (acks=0).
 */
static bool fold_implicit(struct join *j, struct fold *f)
{
	struct jbatch *jb, *tmp, *last = NULL;
	int64_t read = 0;

	if (!(f->e->flags & AT_ACKS_IMPLICIT))
		return false;
	DL_FOREACH2(f->part->open, jb, part_next) {
		const struct tl_attempt *a = &jb->b.attempts[jb->b.nr_attempts - 1];

		if (usable(f, jb) && attempt_ok(jb, a) && a->response_read_ns <= f->ns &&
		    a->response_read_ns >= read) {
			read = a->response_read_ns;
			last = jb;
		}
	}
	DL_FOREACH_SAFE2(f->part->open, jb, tmp, part_next)
		if (last && f->left && usable(f, jb) && before(jb, last) &&
		    jb->b.count - jb->taken <= f->left)
			fold_take(j, f, jb, TL_JOIN_SEQUENCE);
	return last;
}

/*
 * No offset to go by: batches in the order in which they were written, first those
 * whose timestamps all lie within the fold's; then those that lie there in part (a
 * batch's messages may expire in several scans).  At last those whose timestamps tell
 * little: later than their messages (which waited for room in the queue), then any (an
 * app's own).  What was sent is older than what was not, so it ends no later.
 */
static void fold_by_order(struct join *j, struct fold *f)
{
	struct jbatch *jb, *tmp;

	DL_FOREACH_SAFE2(f->part->open, jb, tmp, part_next)
		if (f->left && jb->b.count - jb->taken <= f->left && may_hold(f, jb) &&
		    (within(f, jb) || stamped_by_app(f, jb)))
			fold_take(j, f, jb, TL_JOIN_TIMESTAMPS);
	DL_FOREACH_SAFE2(f->part->open, jb, tmp, part_next)
		if (f->left && f->e->err && jb->b.count > 1 && may_hold(f, jb) && touches(f, jb)) {
			jb->b.created_inferred = true;
			fold_take(j, f, jb, TL_JOIN_TIMESTAMPS);
		}
	for (int later = 1; later >= 0 && f->slack; later--)
		DL_FOREACH_SAFE2(f->part->open, jb, tmp, part_next)
			if (f->left && (f->e->err || jb->b.count - jb->taken <= f->left) && may_hold(f, jb) &&
			    (!later || jb->b.max_ts_ms + f->slack >= f->first_ts)) {
				jb->b.created_inferred = true;
				fold_take(j, f, jb, TL_JOIN_NONE);
			}
}

/* Written in part: no broker takes that. */
static bool cut_short(const struct jbatch *jb, uint32_t attempt)
{
	const struct req *r = jb->state[attempt].req;

	return r && !r->told && !may_lack(jb->trail, AT_EV_REQUEST) && !jb->trail->t->wrapped[AT_BULK];
}

/*
 * Never sent, says the library, and newer ones say it of a request, too, whose broker they gave
 * up: one that ended without an answer may have carried some of these.
 */
static bool maybe_sent(const struct fold *f)
{
	const struct jbatch *jb;

	DL_FOREACH2(f->part->open, jb, part_next) {
		const struct tl_attempt *last = &jb->b.attempts[jb->b.nr_attempts - 1];

		if (usable(f, jb) && !jb->taken && !last->answered && last->ended_ns &&
		    !cut_short(jb, jb->b.nr_attempts - 1) && (touches(f, jb) || stamped_by_app(f, jb)))
			return true;
	}
	return false;
}

/* Messages that no batch on the wire carried, as far as was seen. */
static void fold_rest(struct join *j, struct fold *f)
{
	const struct ev_acks *e = f->e;
	struct jbatch *jb = jbatch_new(j, f->trail, f->topic, e->partition);
	struct tl_batch *b = &jb->b;

	b->client = true;
	b->sent = !e->err || e->persisted || maybe_sent(f);
	b->count = f->left;
	b->first_ts_ms = f->first_ts;
	b->max_ts_ms = f->last_ts;
	if (!e->err && e->first_offset >= 0)
		b->base_offset = e->first_offset + f->pos;
	jb->part = f->part;
	jb->inst_id = e->inst;
	jb->peer = peer_find(j, f->trail->index, e->inst, e->broker);
	if (!jb->peer)
		jb->peer = f->part->peer;
	/* What is left of a fold begins later than the fold did. */
	if (f->pos)
		b->created_inferred = true;
	lib_attempts(j, jb, f->ev, f->created_first, f->ns, b->base_offset);
	fold_take(j, f, jb, TL_JOIN_NONE);
	jb->b.created_first_ns = f->created_first;
	if (j->lib && e->err && e->persisted)
		broker_claim(j, jb, f->slack);
}

/* Offsets that no batch has: of one that was lost, then. */
static bool maybe_lost(const struct fold *f)
{
	return !f->e->err && f->e->first_offset >= 0 &&
	       (may_lack(f->trail, AT_EV_BATCH) || may_lack(f->trail, AT_EV_REPLY));
}

void acks_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_acks *e = &ev->acks;
	struct fold f = {
		.e = e, .ev = ev, .trail = t,
		.topic = join_topic(j, t, e->topic),
		.ns = event_axis(ev, ev->ns),
		.last_ns = event_axis(ev, e->last_ns ? e->last_ns : ev->ns),
		.created_first = event_axis(ev, e->created_first_ns),
		.created_last = event_axis(ev, e->created_last_ns ? e->created_last_ns
								  : e->created_first_ns),
		.left = e->count,
	};
	bool implicit;

	if (!e->count)
		return;
	if (e->err)
		idemp_failed(inst_find(j, t->index, e->inst), f.topic, e->partition, f.ns, e->err, true);
	else
		inst_accepted(inst_find(j, t->index, e->inst));
	if (f.created_first > f.ns)
		f.created_first = f.ns;
	quiet_alive(&t->quiet, f.created_first);	/* the app made a message then */
	quiet_alive(&t->quiet, f.created_last);
	/* Messages stamped by the broker do not tell what their record has. */
	if (e->first_ts_ms >= 0 && !(e->flags & AT_ACKS_LOG_APPEND)) {
		f.first_ts = e->first_ts_ms;
		f.last_ts = e->last_ts_ms > e->first_ts_ms ? e->last_ts_ms : e->first_ts_ms;
	} else {
		f.first_ts = wall_ms(ev, e->created_first_ns);
		f.last_ts = wall_ms(ev, e->created_last_ns ? e->created_last_ns : e->created_first_ns);
		f.slack = 2;
	}
	/* What came back for another try may be queued behind what is younger. */
	if (f.created_last < f.created_first) {
		int64_t first = f.created_first, ts = f.first_ts;

		f.created_first = f.created_last;
		f.created_last = first;
		if (f.slack) {
			f.first_ts = f.last_ts;
			f.last_ts = ts;
		}
	}
	f.part = part_get(j, t, e->topic, e->partition);
	if (!e->err && e->first_offset >= 0)
		fold_by_offset(j, &f);
	implicit = f.left && fold_implicit(j, &f);
	if (f.left)
		fold_by_reply(j, &f);
	if (f.left)
		fold_by_request(j, &f);
	if (f.left && !implicit && !maybe_lost(&f))
		fold_by_order(j, &f);
	if (f.left)
		fold_rest(j, &f);
	callbacks_settle(f.part, j->now);
}
