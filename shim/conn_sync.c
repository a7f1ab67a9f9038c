// SPDX-License-Identifier: BSD-2-Clause
/*
 * conn_sync.c - a connection whose bytes passed unseen for a while, since recording was
 * turned off or not yet on: where does a frame begin?
 *
 * Clients begin a request with a call of its own (rd_kafka_transport_send), so its header
 * is looked for at the beginning of calls alone.  A response begins where a call brought
 * its size and then the CorrId of a request that was seen.
 */
#include "conn_int.h"

#define NR_STRANGE 256u		/* calls; then it is no Kafka, unless librdkafka said so */

void conn_sync_new(struct conn *c)
{
	const struct at_writer *w = live_trail();

	c->out_session = c->in_session = live_session();
	c->midstream = c->out_session && w && c->connect_ns < w->header->on_ns;
	c->out_synced = c->in_synced = !c->midstream;
}

bool conn_current(const struct conn *c)
{
	return c->out_session == live_session();
}

static void begin_session(struct conn *c, uint32_t session)
{
	c->out_synced = c->out_proven = false;
	c->midstream = true;
	c->strange = 0;
	c->out.p.off = 0;
	c->out.p.in_frame = false;
	c->floor = c->tail;
	__atomic_store_n(&c->out_session, session, __ATOMIC_RELEASE);
}

bool conn_sync_out(struct conn *c, const void *bytes, size_t len, bool first)
{
	if (unlikely(!conn_current(c)))
		begin_session(c, live_session());
	if (likely(c->out_synced))
		return true;
	if (!first)
		return false;
	if (!c->plain && wire_tls_begins(bytes, len)) {
		c->tls = true;
		return false;
	}
	if (!wire_request_begins(bytes, len)) {
		if (!c->id && ++c->strange == NR_STRANGE)
			c->out.p.off = WIRE_NOT_KAFKA;
		return false;
	}
	wire_requests_init(&c->out);
	c->out.past_first = true;
	c->floor = c->tail;
	c->out_synced = true;
	return true;
}

bool conn_sync_given_up(struct conn *c)
{
	if (!c->midstream || c->out_proven || c->out.p.off != WIRE_BROKEN)
		return true;
	c->out.p.off = 0;
	c->out_synced = false;
	return false;
}

bool conn_sync_in(struct conn *c, const void *bytes, size_t len, bool first)
{
	uint32_t session = live_session(), tail;

	if (unlikely(c->in_session != session)) {
		c->in_session = session;
		c->in_synced = false;
		c->in.p.off = 0;
	}
	if (likely(c->in_synced))
		return true;
	if (!first || len < 8 || !c->out_synced ||
	    __atomic_load_n(&c->out_session, __ATOMIC_ACQUIRE) != session ||
	    !wire_response_begins(bytes, len))
		return false;
	c->head = conn_oldest(c);
	tail = __atomic_load_n(&c->tail, __ATOMIC_ACQUIRE);
	for (uint32_t i = c->head; i != tail; i++) {
		if (c->queue[i % NR_INFLIGHT].corr != kafka_be32((const uint8_t *)bytes + 4))
			continue;
		wire_responses_init(&c->in);
		return c->in_synced = true;
	}
	return false;
}
