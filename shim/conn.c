// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn.c - one connection of the app to a broker: its birth and death, and its bytes
 * on their way through the parsers.
 *
 * One thread may send while another receives, so the two directions share only
 * the queue of requests in flight: one producer, one consumer, no lock.  A second
 * sender (or receiver) at the same time would interleave bytes; the parser then
 * steps aside for that connection.
 */
#include <string.h>
#include <sys/mman.h>

#include "conn_int.h"

static uint32_t conn_ids;
/*
 * Closed connections to use again, never unmapped: a thread may still hold one, or remember
 * it (.sealed).  The address of the last one, and where that has no bits, how often one was
 * taken: who read the top before cannot take it when it is there again.
 */
static uintptr_t spares;

#define TAKEN ((uintptr_t)AT_PAGE - 1)	/* the bits that count */

/* ---- birth --------------------------------------------------------------- */

static struct conn *take_spare(void)
{
	uintptr_t top = __atomic_load_n(&spares, __ATOMIC_ACQUIRE), rest;
	struct conn *c;

	do {
		c = (struct conn *)(top & ~TAKEN);
		if (!c)
			return NULL;
		rest = (uintptr_t)__atomic_load_n(&c->spare, __ATOMIC_RELAXED) | ((top + 1) & TAKEN);
	} while (!__atomic_compare_exchange_n(&spares, &top, rest, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return c;
}

/* Its head stays as it is: closed, and with its number, until it is another's. */
static void put_spare(struct conn *c)
{
	uintptr_t top = __atomic_load_n(&spares, __ATOMIC_RELAXED);
	uintptr_t queue = ((uintptr_t)c->queue + AT_PAGE - 1) & ~((uintptr_t)AT_PAGE - 1);

	if (c->tail)
		madvise((void *)queue, (uintptr_t)(c + 1) - queue, MADV_DONTNEED);
	do
		__atomic_store_n(&c->spare, (struct conn *)(top & ~TAKEN), __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&spares, &top, (uintptr_t)c | (top & TAKEN), false,
					    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

struct conn *conn_new(int fd, uint64_t connect_ns)
{
	struct conn *c = take_spare();

	if (!c) {
		c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (c == MAP_FAILED)
			return NULL;
	}
	memset(c, 0, offsetof(struct conn, queue));
	c->fd = fd;
	c->connect_ns = connect_ns;
	c->broker = -1;
	wire_requests_init(&c->out);
	wire_responses_init(&c->in);
	conn_sync_new(c);
	return c;
}

/* Before its first Kafka bytes a connection belongs to no life yet. */
bool conn_usable(const struct conn *c)
{
	return !c->id || c->life == live_number();
}

uint32_t conn_id(const struct conn *c)
{
	return c->id;
}

bool conn_parsed(const struct conn *c)
{
	return c->id && (!c->tls || c->plain) && !c->out.p.off && c->out_synced && conn_current(c);
}

static void write_conn(struct thread *t, const struct conn *c)
{
	struct ev_conn *ev = emit(t, AT_LAST, AT_EV_CONN, at_now(), sizeof(*ev), NULL, NULL, 0);

	if (!ev)
		return;
	tcp_ends(c->fd, ev);
	ev->connect_ns = c->connect_ns;
	ev->conn = c->id;
	ev->inst = c->inst;
	ev->broker = c->broker;
	ev->fd = (uint32_t)c->fd;
	if (c->tls)
		ev->flags |= AT_CONN_TLS;
	if (c->midstream)
		ev->flags |= AT_CONN_MIDSTREAM;
	emit_done(t, AT_LAST);
}

static void begin(struct thread *t, struct conn *c)
{
	c->id = __atomic_add_fetch(&conn_ids, 1, __ATOMIC_RELAXED);
	c->life = t->life;
	write_conn(t, c);
}

void conn_identify(struct thread *t, struct conn *c, uint32_t inst, int32_t broker)
{
	if (!conn_usable(c) || (c->id && c->inst == inst && c->broker == broker))
		return;
	c->inst = inst;
	c->broker = broker;
	if (c->id)
		write_conn(t, c);
	else
		begin(t, c);
}

/*
 * A whole request is the first evidence of Kafka where librdkafka itself is not
 * seen (linked statically, or another client): the trail is opened here.
 */
bool conn_ready(struct pass *p)
{
	if (!p->t && live_open())
		p->t = thread_enter();
	if (!p->t)
		return false;
	if (!p->c->id)
		begin(p->t, p->c);
	return true;
}

/* ---- bytes --------------------------------------------------------------- */

static bool enter(uint8_t *guard, struct conn *c)
{
	if (!c->closed && !__atomic_exchange_n(guard, 1, __ATOMIC_ACQUIRE))
		return true;
	if (!c->closed) {
		c->out.p.off = c->in.p.off = WIRE_BROKEN;	/* bytes are lost to us now */
		live_skip();
	}
	return false;
}

static void leave(uint8_t *guard)
{
	__atomic_store_n(guard, 0, __ATOMIC_RELEASE);
}

static void given_up(struct thread *t, struct conn *c, enum at_conn_end how)
{
	struct ev_conn_end *ev = emit(t, AT_LAST, AT_EV_CONN_END, at_now(), sizeof(*ev), NULL, NULL, 0);

	if (!ev)
		return;
	ev->conn = c->id;
	ev->how = how;
	ev->inflight = c->tail - c->head;
	emit_done(t, AT_LAST);
}

/* The app's bytes on their way out, clear. */
static void send_clear(struct conn *c, const void *bytes, size_t len, uint64_t now_ns, bool first)
{
	struct pass p = { .c = c };
	bool synced, known;

	if ((c->out.p.off && conn_current(c)) || !enter(&c->sending, c)) {
		c->unparsed += len;
		return;
	}
	p.t = thread_enter();
	synced = c->out_synced && conn_current(c);
	known = synced || !c->id;
	if (!conn_sync_out(c, bytes, len, first)) {
		c->unparsed += len;
		goto out;
	}
	if (!known && p.t)
		write_conn(p.t, c);		/* and now from its middle on */
	wire_feed_requests(&c->out, bytes, len, now_ns, &conn_request_ops, &p);
	if (c->out.p.off == WIRE_TLS)
		c->tls = true;
	else if (c->out.p.off && conn_sync_given_up(c) && c->id && p.t)
		given_up(p.t, c, AT_END_PARSER_OFF);
out:
	if (p.t)
		thread_leave(p.t);
	leave(&c->sending);
}

static void receive_clear(struct conn *c, const void *bytes, size_t len, uint64_t now_ns, bool first)
{
	struct pass p = { .c = c, .t = thread_enter() };

	if (!p.t)
		return;
	p.t->acks_break = true;
	p.t->answered = 0;
	if ((c->in.p.off && c->in_session == live_session()) || !c->id || !enter(&c->receiving, c)) {
		c->unparsed += len;
	} else {
		if (conn_sync_in(c, bytes, len, first))
			wire_feed_responses(&c->in, bytes, len, now_ns, &conn_response_ops, &p);
		else
			c->unparsed += len;
		if (c->in.p.off)
			given_up(p.t, c, AT_END_PARSER_OFF);
		leave(&c->receiving);
	}
	thread_leave(p.t);
}

void conn_sent(struct conn *c, const void *bytes, size_t len, uint64_t now_ns, bool first)
{
	if (!c->tls) {
		send_clear(c, bytes, len, now_ns, first);
	} else if (!c->plain) {
		if (unlikely(!conn_current(c)))
			conn_sync_out(c, bytes, len, false);
		c->unparsed += len;
	}
}

void conn_received(struct conn *c, const void *bytes, size_t len, uint64_t now_ns, bool first)
{
	struct thread *t;

	if (!c->tls) {
		receive_clear(c, bytes, len, now_ns, first);
		return;
	}
	/* Sealed: still, acknowledgements that follow belong to another response. */
	t = c->plain ? NULL : thread_enter();
	if (!t)
		return;
	t->acks_break = true;
	t->answered = 0;
	c->unparsed += len;
	thread_leave(t);
}

/* The handshake has passed the socket before the first clear byte passes here. */
void conn_sent_plain(struct conn *c, const void *bytes, size_t len, uint64_t now_ns)
{
	if (c->tls && !c->plain) {
		wire_requests_init(&c->out);
		c->plain = true;
	}
	if (c->plain)
		send_clear(c, bytes, len, now_ns, true);
}

void conn_received_plain(struct conn *c, const void *bytes, size_t len, uint64_t now_ns)
{
	if (c->plain)
		receive_clear(c, bytes, len, now_ns, true);
}

bool conn_is_other(const struct conn *c)
{
	return c->out.p.off == WIRE_NOT_KAFKA;
}

/* ---- death --------------------------------------------------------------- */

static void write_full(struct conn *c, uint64_t begin_ns, uint64_t now_ns, bool over)
{
	struct thread *t = c->id ? thread_enter() : NULL;
	struct ev_full *ev = t && c->life == t->life ?
		emit(t, AT_BULK, AT_EV_FULL, now_ns, sizeof(*ev), NULL, NULL, 0) : NULL;

	if (ev) {
		ev->begin_ns = begin_ns;
		ev->conn = c->id;
		ev->over = over;
		emit_done(t, AT_BULK);
	}
	if (t)
		thread_leave(t);
}

void conn_full(struct conn *c, uint64_t since_ns, uint64_t now_ns)
{
	if (!c || c->closed || !conn_usable(c) || c->full_ns)
		return;
	c->full_ns = since_ns;
	write_full(c, since_ns, now_ns, false);
}

void conn_took(struct conn *c, uint64_t now_ns)
{
	uint64_t since = c->full_ns;

	if (likely(!since))
		return;
	c->full_ns = 0;
	write_full(c, since, now_ns, true);
}

void conn_peer_ended(struct conn *c, int err)
{
	if (!c || c->peer_ended)
		return;
	c->peer_ended = true;
	c->peer_err = err;
}

void conn_closed(struct conn *c, enum at_conn_end how, int err)
{
	uint32_t oldest = conn_current(c) ? conn_oldest(c) : c->tail;
	struct ev_conn_end *ev;
	struct thread *t;

	c->closed = true;
	if (how == AT_END_CLOSED && c->peer_ended) {
		how = c->peer_err ? AT_END_ERROR : AT_END_EOF;
		err = c->peer_err;
	}
	if (__atomic_exchange_n(&c->sending, 1, __ATOMIC_ACQUIRE) ||
	    __atomic_exchange_n(&c->receiving, 1, __ATOMIC_ACQUIRE)) {
		live_skip();		/* another thread is inside: leave it its memory */
		return;
	}
	t = thread_enter();
	if (t && c->id && c->life == t->life) {
		/* What stays unanswered must not be recycled with the healthy. */
		for (uint32_t i = oldest; i != c->tail; i++) {
			const struct inflight *f = &c->queue[i % NR_INFLIGHT];

			if (f->batches && !f->restated)
				conn_write_batch(t, AT_LAST, &f->batch, f->topic, f->sent_ns,
						 AT_BATCH_RESTATED | AT_BATCH_OPEN);
		}
		ev = emit(t, AT_LAST, AT_EV_CONN_END, at_now(), sizeof(*ev), NULL, NULL, 0);
		if (ev) {
			ev->conn = c->id;
			ev->how = c->tls && !c->plain ? AT_END_TLS : how;
			ev->err = err;
			ev->inflight = c->tail - oldest;
			ev->unparsed = c->unparsed;
			emit_done(t, AT_LAST);
		}
	}
	if (t)
		thread_leave(t);
	put_spare(c);
}
