// SPDX-License-Identifier: BSD-2-Clause
/* conn_wait.c - what a connection waits for: the oldest request without an answer. */
#include "conn_int.h"

#define SAMPLE_NS 1000000000u	/* between two looks at TCP */
#define NR_RESTATED 256u		/* at one look */
#define NONE_WAITS	-2		/* .api of what was answered out of its turn */

/*
 * Where the bytes cannot be read, librdkafka's own word counts.  Both calls come from the
 * broker's thread, which alone uses the connection.
 */
void conn_lib_request(struct thread *t, struct conn *c, int16_t api, uint64_t now_ns)
{
	struct inflight *f = &c->queue[c->tail % NR_INFLIGHT];

	t->sealed = c;
	t->sealed_id = c->id;
	if (c->tail - conn_oldest(c) >= NR_INFLIGHT)
		return;			/* what is overdue then is another's */
	f->sent_ns = now_ns;
	f->api = api;
	f->batches = 0;
	__atomic_store_n(&c->tail, c->tail + 1, __ATOMIC_RELEASE);
}

/* It does not say which: the oldest of its kind. */
void conn_lib_response(struct thread *t, int16_t api)
{
	struct conn *c = t->sealed;
	uint32_t i;

	if (!c || c->closed || c->id != t->sealed_id)
		return;
	c->head = conn_oldest(c);
	for (i = c->head; i != c->tail && c->queue[i % NR_INFLIGHT].api != api; i++)
		;
	if (i != c->tail)
		c->queue[i % NR_INFLIGHT].api = NONE_WAITS;
	for (i = c->head; i != c->tail && c->queue[i % NR_INFLIGHT].api == NONE_WAITS; i++)
		;
	__atomic_store_n(&c->head, i, __ATOMIC_RELEASE);
}

uint64_t conn_waiting_since(const struct conn *c)
{
	uint32_t head = conn_oldest(c);

	if (!c->id || !conn_usable(c) || !conn_current(c))
		return 0;
	if (head != __atomic_load_n(&c->tail, __ATOMIC_ACQUIRE))
		return c->queue[head % NR_INFLIGHT].sent_ns;
	/* Its bytes find no room. */
	return conn_parsed(c) && c->out.p.in_frame ? c->out.rq.begin_ns : 0;
}

/* What goes unanswered must not be recycled with the healthy, should we be killed. */
void conn_overdue(struct thread *t, struct conn *c, uint64_t before_ns)
{
	uint32_t tail = __atomic_load_n(&c->tail, __ATOMIC_ACQUIRE), nr = 0;

	for (uint32_t i = conn_oldest(c); i != tail && nr < NR_RESTATED; i++) {
		struct inflight *f = &c->queue[i % NR_INFLIGHT];

		if (f->sent_ns >= before_ns)
			break;
		if (!f->batches || f->restated)
			continue;
		conn_write_batch(t, AT_LAST, &f->batch, f->topic, f->sent_ns,
				 AT_BATCH_RESTATED | AT_BATCH_OPEN);
		f->restated = true;
		nr++;
	}
}

uint64_t conn_greeting_since(const struct conn *c)
{
	return !c->id && c->tls && !c->plain && !c->closed ? c->connect_ns : 0;
}

/* An answer that lies there, late, is the last chance to learn since when. */
bool conn_sample_due(struct conn *c, uint64_t now_ns, bool readable)
{
	if (now_ns < (readable ? c->next_unread_ns : c->next_sample_ns))
		return false;
	c->next_sample_ns = now_ns + SAMPLE_NS;
	c->next_unread_ns = now_ns + SAMPLE_NS / 10;
	return true;
}
