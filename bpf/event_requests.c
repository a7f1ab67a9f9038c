// SPDX-License-Identifier: BSD-2-Clause
/*
 * event_requests.c - records of requests and their answers into events of the trail.
 */
#include <stdlib.h>
#include <string.h>

#include <acktrail/kafka.h>
#include "inner.h"
#include "record.h"

/*
 * Batches come before the request that carries them is complete, so they wait
 * here, by connection, to stand behind its ARRIVAL.
 */
struct pending {
	struct pending *next;
	uint32_t conn, corr, topic_nr, topic, nr;
	struct { struct rec_batch r; uint32_t topic; } batch[REC_BATCHES];
};
#define BUCKETS	256u
static struct pending *pending[BUCKETS];

static struct pending **pending_at(uint32_t conn)
{
	struct pending **at = &pending[conn % BUCKETS];

	while (*at && (*at)->conn != conn)
		at = &(*at)->next;
	return at;
}

static struct pending *pending_get(uint32_t conn)
{
	struct pending **at = pending_at(conn);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (*at)
			(*at)->conn = conn;
	}
	return *at;
}

static void pending_drop(uint32_t conn)
{
	struct pending **at = pending_at(conn), *old = *at;

	if (!old)
		return;
	*at = old->next;
	free(old);
}

static void on_topic(struct probe *p, const struct rec_topic *r)
{
	struct pending *pend = pending_get(r->conn);

	if (!pend)
		return;
	pend->topic_nr = r->nr;
	pend->topic = r->by_id ? names_topic_by_id(p, (const uint8_t *)r->name) : names_topic(p, r->name);
}

static void on_batch(struct probe *p, const struct rec_batch *r)
{
	struct pending *pend = pending_get(r->conn);

	(void)p;
	if (!pend)
		return;
	if (pend->corr != r->corr) {
		pend->corr = r->corr;
		pend->nr = 0;
	}
	if (pend->nr == REC_BATCHES)
		return;
	pend->batch[pend->nr].r = *r;
	/* A topic whose record was lost is unknown, not the one before it. */
	pend->batch[pend->nr++].topic = pend->topic_nr == r->topic_nr ? pend->topic : 0;
}

static void on_arrival_batch(struct probe *p, const struct rec_arrival *r, const struct pending *pend,
			     uint32_t i)
{
	const struct rec_batch *b = &pend->batch[i].r;
	struct ev_arrival_batch *ev;
	struct kafka_batch_id id;

	ev = event_begin(p, AT_BULK, AT_EV_ARRIVAL_BATCH, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev),
			 0, pend->batch[i].topic, NULL, 0);
	if (!ev)
		return;
	kafka_batch_decode(&id, b->header);
	ev->conn = r->conn;
	ev->corr = r->corr;
	ev->topic = pend->batch[i].topic;
	ev->partition = b->partition;
	ev->bytes = id.bytes;
	ev->index = b->index;
	if (id.magic == 2) {
		ev->first_ts_ms = id.first_ts_ms;
		ev->producer_id = id.producer_id;
		ev->crc = id.crc;
		ev->count = id.count;
		ev->base_sequence = id.base_sequence;
		ev->epoch = id.epoch;
	} else {
		ev->flags |= AT_BATCH_OLD_FORMAT;
	}
	if (i + 1 == pend->nr && r->flags & (REC_ARRIVAL_MORE | REC_ARRIVAL_UNPARSED))
		ev->flags |= AT_BATCH_MORE;
	event_commit(p, AT_BULK);
}

static void on_arrival(struct probe *p, const struct rec_arrival *r)
{
	struct pending *pend = *pending_at(r->conn);
	struct ev_arrival *ev;

	p->live.requests++;
	ev = event_begin(p, AT_BULK, AT_EV_ARRIVAL, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev),
			 0, 0, r->client, r->client_len <= REC_CLIENT ? r->client_len : 0);
	if (ev) {
		ev->first_ns = r->first_ns;
		ev->arrived_ns = r->arrived_ns;
		ev->begin_ns = r->begin_ns;
		ev->peer_hi = kafka_be64(r->peer);
		ev->peer_lo = kafka_be64(r->peer + 8);
		ev->pid = r->h.pid;
		ev->conn = r->conn;
		ev->corr = r->corr;
		ev->size = r->size;
		ev->peer_port = r->peer_port;
		ev->local_port = r->local_port;
		ev->api = r->api;
		ev->version = r->version;
		ev->timeout_ms = r->timeout_ms;
		ev->acks = r->acks;
		ev->batches = r->batches;
		event_commit(p, AT_BULK);
	}
	for (uint32_t i = 0; pend && pend->corr == r->corr && i < pend->nr; i++)
		on_arrival_batch(p, r, pend, i);
	pending_drop(r->conn);
}

static void on_answer(struct probe *p, const struct rec_answer *r)
{
	struct ev_answer *ev = event_begin(p, AT_BULK, AT_EV_ANSWER, r->h.ns, r->h.pid, r->h.tid,
					   sizeof(*ev), 0, 0, NULL, 0);

	if (!ev)
		return;
	ev->begin_ns = r->begin_ns;
	ev->pid = r->h.pid;
	ev->conn = r->conn;
	ev->corr = r->corr;
	ev->size = r->size;
	ev->throttle_ms = r->throttle_ms;
	event_commit(p, AT_BULK);
}

static void on_conn_end(struct probe *p, const struct rec_conn_end *r)
{
	struct ev_arrival_end *ev = event_begin(p, AT_BULK, AT_EV_ARRIVAL_END, r->h.ns, r->h.pid, r->h.tid,
						sizeof(*ev), 0, 0, NULL, 0);

	pending_drop(r->conn);
	if (!ev)
		return;
	ev->drained_ns = r->drained_ns;
	ev->conn = r->conn;
	ev->how = r->how;
	event_commit(p, AT_BULK);
}

void event_request(struct probe *p, const struct rec *r)
{
	switch ((enum rec_kind)r->kind) {
	case REC_TOPIC:
		on_topic(p, (const void *)r);
		break;
	case REC_BATCH:
		on_batch(p, (const void *)r);
		break;
	case REC_ARRIVAL:
		on_arrival(p, (const void *)r);
		break;
	case REC_ANSWER:
		on_answer(p, (const void *)r);
		break;
	case REC_CONN_END:
		on_conn_end(p, (const void *)r);
		break;
	default:
		break;
	}
}
