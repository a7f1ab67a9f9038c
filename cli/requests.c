/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <acktrail/kafka.h>
#include "join_int.h"
#include "requests.h"
#include "table.h"

#define MAX_WAITING	200000u	/* rows held back behind one that is open */

const char *const request_end_names[NR_REQUEST_ENDS] = {
	"open", "answered", "timed-out", "unsent", "connection-closed", "no-answer-asked",
};

static const char *const apis[] = {
	"Produce", "Fetch", "ListOffsets", "Metadata", "LeaderAndIsr", "StopReplica", "UpdateMetadata",
	"ControlledShutdown", "OffsetCommit", "OffsetFetch", "FindCoordinator", "JoinGroup", "Heartbeat",
	"LeaveGroup", "SyncGroup", "DescribeGroups", "ListGroups", "SaslHandshake", "ApiVersions",
	"CreateTopics", "DeleteTopics", "DeleteRecords", "InitProducerId", "OffsetForLeaderEpoch",
	"AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "WriteTxnMarkers", "TxnOffsetCommit",
	"DescribeAcls", "CreateAcls", "DeleteAcls", "DescribeConfigs", "AlterConfigs",
	"AlterReplicaLogDirs", "DescribeLogDirs", "SaslAuthenticate", "CreatePartitions",
	"CreateDelegationToken", "RenewDelegationToken", "ExpireDelegationToken",
	"DescribeDelegationToken", "DeleteGroups", "ElectLeaders", "IncrementalAlterConfigs",
	"AlterPartitionReassignments", "ListPartitionReassignments", "OffsetDelete",
	"DescribeClientQuotas", "AlterClientQuotas", "DescribeUserScramCredentials",
	"AlterUserScramCredentials", "Vote", "BeginQuorumEpoch", "EndQuorumEpoch", "DescribeQuorum",
	"AlterPartition", "UpdateFeatures", "Envelope", "FetchSnapshot", "DescribeCluster",
	"DescribeProducers", "BrokerRegistration", "BrokerHeartbeat", "UnregisterBroker",
	"DescribeTransactions", "ListTransactions", "AllocateProducerIds", "ConsumerGroupHeartbeat",
	"ConsumerGroupDescribe", "ControllerRegistration", "GetTelemetrySubscriptions", "PushTelemetry",
	"AssignReplicasToDirs", "ListConfigResources", "DescribeTopicPartitions", "ShareGroupHeartbeat",
	"ShareGroupDescribe", "ShareFetch", "ShareAcknowledge",
};

const char *kafka_api_name(int16_t api)
{
	return api >= 0 && (size_t)api < sizeof(apis) / sizeof(*apis) ? apis[api] : NULL;
}

struct wire {			/* a connection */
	struct key2 key;
	uint32_t inst;
	int32_t	 broker;
	uint64_t peer_hi, peer_lo;
	uint32_t peer_port;
	uint32_t max_corr;
	uint32_t batch_corr;		/* a batch that was told before its request */
	int32_t	 batch_partition;
	const char *batch_topic;
	uint32_t closed[KAFKA_API_MAX + 1];	/* ended with it, and the library has yet to say so */
	struct sent *open;
	UT_hash_handle hh;
};

struct sent {
	struct key3 key;
	struct request r;
	struct wire *wire;		/* NULL: none */
	bool	 hashed;
	struct sent *prev, *next;	/* all, by time of sending */
	struct sent *open_prev, *open_next;
	UT_hash_handle hh;
};

struct client { char *id; UT_hash_handle hh; };

struct requests {
	void (*row)(void *arg, const struct request *r);
	void *arg;
	struct wire *wires;
	struct sent *table, *all;
	struct client *clients;
	uint32_t nr;
};

struct requests *requests_new(void (*row)(void *arg, const struct request *r), void *arg)
{
	struct requests *rs = join_alloc(sizeof(*rs));

	rs->row = row;
	rs->arg = arg;
	return rs;
}

static const char *client_named(struct requests *rs, const char *id, size_t n)
{
	struct client *c;

	if (!n)
		return NULL;
	HASH_FIND(hh, rs->clients, id, n, c);
	if (c)
		return c->id;
	c = join_alloc(sizeof(*c));
	c->id = join_alloc(n + 1);
	memcpy(c->id, id, n);
	HASH_ADD_KEYPTR(hh, rs->clients, c->id, n, c);
	return c->id;
}

static struct wire *wire_get(struct requests *rs, const struct event *ev, uint32_t conn)
{
	struct key2 key = { ev->trail->index, conn };
	struct wire *w;

	HASH_FIND(hh, rs->wires, &key, sizeof(key), w);
	if (w)
		return w;
	w = join_alloc(sizeof(*w));
	w->key = key;
	w->broker = -1;
	HASH_ADD(hh, rs->wires, key, sizeof(w->key), w);
	return w;
}

static struct sent *sent_find(struct requests *rs, const struct event *ev, uint32_t conn, uint32_t corr)
{
	struct key3 key = { ev->trail->index, conn, corr };
	struct sent *s;

	HASH_FIND(hh, rs->table, &key, sizeof(key), s);
	return s;
}

static struct sent *sent_new(struct requests *rs, const struct event *ev, struct wire *w, int64_t ns)
{
	struct sent *s = join_alloc(sizeof(*s)), *p;

	s->wire = w;
	s->r.trail = ev->trail;
	s->r.broker = s->r.partition = -1;
	s->r.version = -1;
	s->r.sent_ns = ns;
	rs->nr++;
	if (!rs->all || rs->all->prev->r.sent_ns <= ns) {
		DL_APPEND(rs->all, s);
		return s;
	}
	/* Its writing was recycled, only the answer tells when that was. */
	DL_FOREACH(rs->all, p)
		if (p->r.sent_ns > ns)
			break;
	DL_PREPEND_ELEM(rs->all, p, s);
	return s;
}

static void sent_open(struct requests *rs, struct sent *s, const struct event *ev, uint32_t corr)
{
	s->key = (struct key3){ ev->trail->index, s->wire->key.id, corr };
	s->hashed = true;
	HASH_ADD(hh, rs->table, key, sizeof(s->key), s);
	DL_APPEND2(s->wire->open, s, open_prev, open_next);
}

static void sent_over(struct requests *rs, struct sent *s, enum request_end how, int64_t ns)
{
	s->r.end = how;
	s->r.end_ns = ns;
	if (!s->hashed)
		return;
	s->hashed = false;
	HASH_DEL(rs->table, s);
	DL_DELETE2(s->wire->open, s, open_prev, open_next);
}

static void tell(struct requests *rs, struct sent *s)
{
	if (s->wire) {
		s->r.conn = s->wire->key.id;
		s->r.inst = s->wire->inst;
		s->r.broker = s->wire->broker;
		s->r.peer_hi = s->wire->peer_hi;
		s->r.peer_lo = s->wire->peer_lo;
		s->r.peer_port = s->wire->peer_port;
	}
	rs->row(rs->arg, &s->r);
	if (s->hashed)
		sent_over(rs, s, REQUEST_OPEN, 0);
	DL_DELETE(rs->all, s);
	rs->nr--;
	free(s);
}

static void conn_told(struct requests *rs, const struct event *ev)
{
	const struct ev_conn *e = &ev->conn;
	struct wire *w = wire_get(rs, ev, e->conn);

	if (e->inst)
		w->inst = e->inst;
	if (e->broker >= 0)
		w->broker = e->broker;
	w->peer_hi = e->peer_hi;
	w->peer_lo = e->peer_lo;
	w->peer_port = e->peer_port;
}

static void conn_over(struct requests *rs, const struct event *ev)
{
	struct wire *w = wire_get(rs, ev, ev->conn_end.conn);
	struct sent *s, *tmp;

	if (ev->conn_end.how > AT_END_REUSED)
		return;				/* given up on, not closed */
	DL_FOREACH_SAFE2(w->open, s, tmp, open_next) {
		if (s->r.api >= 0 && s->r.api <= KAFKA_API_MAX)
			w->closed[s->r.api]++;
		sent_over(rs, s, REQUEST_CLOSED, event_axis(ev, ev->ns));
	}
}

static void request_told(struct requests *rs, const struct event *ev)
{
	const struct ev_request *e = &ev->request;
	struct wire *w = wire_get(rs, ev, e->conn);
	struct sent *s = sent_find(rs, ev, e->conn, e->corr);

	if (s || (w->max_corr && e->corr <= w->max_corr))
		return;				/* restated */
	w->max_corr = e->corr;
	s = sent_new(rs, ev, w, event_axis(ev, ev->ns));
	s->r.client_id = client_named(rs, ev->tail, ev->tail_len);
	s->r.has_corr = true;
	s->r.corr = e->corr;
	s->r.size = e->size;
	s->r.api = e->api;
	s->r.version = e->version;
	s->r.batches = e->batches;
	if (w->batch_topic && w->batch_corr == e->corr) {
		s->r.topic = w->batch_topic;
		s->r.partition = w->batch_partition;
	}
	if (e->api == KAFKA_PRODUCE && !e->acks)
		sent_over(rs, s, REQUEST_NO_ANSWER, s->r.sent_ns);
	else
		sent_open(rs, s, ev, e->corr);
}

static void response_told(struct requests *rs, const struct event *ev)
{
	const struct ev_response *e = &ev->response;
	struct sent *s = sent_find(rs, ev, e->conn, e->corr);
	struct wire *w = wire_get(rs, ev, e->conn);

	if (!s) {
		if (e->flags & AT_RESP_UNMATCHED || !e->sent_ns || e->corr <= w->max_corr)
			return;
		w->max_corr = e->corr;
		s = sent_new(rs, ev, w, event_axis(ev, e->sent_ns));
		s->r.has_corr = true;
		s->r.corr = e->corr;
		s->r.api = e->api;
		s->r.version = e->version;
	}
	s->r.answer_size = e->size;
	s->r.error = e->error;
	s->r.throttle_ms = e->throttle_ms;
	sent_over(rs, s, REQUEST_ANSWERED, event_axis(ev, ev->ns));
}

/* What the parser could not follow (TLS out of reach): the library's word that it sent. */
static void lib_told(struct requests *rs, const struct event *ev)
{
	const struct ev_lib_request *e = &ev->lib_request;
	struct wire *w = wire_get(rs, ev, e->conn);
	struct sent *s;

	if (e->inst)
		w->inst = e->inst;
	if (e->broker >= 0)
		w->broker = e->broker;
	if (sent_find(rs, ev, e->conn, e->corr))
		return;
	s = sent_new(rs, ev, w, event_axis(ev, ev->ns));
	s->r.has_corr = true;
	s->r.corr = e->corr;
	s->r.size = (uint32_t)e->size;
	s->r.api = (int16_t)e->api;
	s->r.version = (int16_t)e->version;
	sent_open(rs, s, ev, e->corr);
}

static bool of_broker(const struct wire *w, const struct event *ev)
{
	return w->key.trail == ev->trail->index && w->inst == ev->lib_response.inst &&
	       w->broker == ev->lib_response.broker;
}

/*
 * The library gave a request up; it does not say which.  It looks at those in flight
 * first, oldest first, then at those that it has yet to write.
 */
static void lib_ended(struct requests *rs, const struct event *ev)
{
	const struct ev_lib_response *e = &ev->lib_response;
	bool late = e->err == -185 /* _TIMED_OUT */ || e->err == -166;
	struct sent *s, *oldest = NULL;
	struct wire *w, *tmp;

	if ((e->size && e->err) || e->api < 0 || e->api > KAFKA_API_MAX)
		return;				/* it was answered: the wire tells more */
	HASH_ITER(hh, rs->wires, w, tmp) {
		if (!of_broker(w, ev))
			continue;
		DL_FOREACH2(w->open, s, open_next)
			if (s->r.api == e->api) {
				if (!oldest || s->r.sent_ns < oldest->r.sent_ns)
					oldest = s;
				break;
			}
	}
	if (oldest && !e->err) {	/* where the wire tells nothing: answered, or none was asked for */
		oldest->r.answer_size = (uint32_t)e->size;
		sent_over(rs, oldest, e->size ? REQUEST_ANSWERED : REQUEST_NO_ANSWER, event_axis(ev, ev->ns));
	}
	if (!e->err)
		return;
	if (oldest) {
		oldest->r.lib_error = e->err;
		sent_over(rs, oldest, late ? REQUEST_TIMED_OUT : REQUEST_CLOSED, event_axis(ev, ev->ns));
		return;
	}
	HASH_ITER(hh, rs->wires, w, tmp)
		if (of_broker(w, ev) && w->closed[e->api] && !late) {
			w->closed[e->api]--;
			return;			/* told when its connection ended */
		}
	s = sent_new(rs, ev, NULL, event_axis(ev, ev->ns));
	s->r.inst = e->inst;
	s->r.broker = e->broker;
	s->r.api = (int16_t)e->api;
	s->r.lib_error = e->err;
	sent_over(rs, s, REQUEST_UNSENT, s->r.sent_ns);
}

static void batch_told(struct requests *rs, const struct event *ev)
{
	struct wire *w = wire_get(rs, ev, ev->batch.conn);
	struct sent *s = sent_find(rs, ev, ev->batch.conn, ev->batch.corr);

	w->batch_corr = ev->batch.corr;
	w->batch_partition = ev->batch.partition;
	w->batch_topic = trail_topic(ev->trail, ev->batch.topic);
	if (!s || s->r.topic)
		return;
	s->r.topic = w->batch_topic;
	s->r.partition = w->batch_partition;
}

void requests_event(struct requests *rs, const struct event *ev)
{
	switch (ev->type) {
	case AT_EV_CONN:	 conn_told(rs, ev); break;
	case AT_EV_CONN_END:	 conn_over(rs, ev); break;
	case AT_EV_REQUEST:	 request_told(rs, ev); break;
	case AT_EV_BATCH:	 batch_told(rs, ev); break;
	case AT_EV_RESPONSE:	 response_told(rs, ev); break;
	case AT_EV_LIB_REQUEST:	 lib_told(rs, ev); break;
	case AT_EV_LIB_RESPONSE: lib_ended(rs, ev); break;
	default:		 return;
	}
	while (rs->all && (rs->all->r.end != REQUEST_OPEN || rs->nr > MAX_WAITING))
		tell(rs, rs->all);
}

void requests_end(struct requests *rs)
{
	while (rs->all)
		tell(rs, rs->all);
}

void requests_free(struct requests *rs)
{
	struct wire *w, *wt;
	struct client *c, *ct;
	struct sent *s;

	while ((s = rs->all)) {
		if (s->hashed)
			HASH_DEL(rs->table, s);
		DL_DELETE(rs->all, s);
		free(s);
	}
	HASH_ITER(hh, rs->wires, w, wt) { HASH_DEL(rs->wires, w); free(w); }
	HASH_ITER(hh, rs->clients, c, ct) { HASH_DEL(rs->clients, c); free(c->id); free(c); }
	free(rs);
}
