// SPDX-License-Identifier: BSD-2-Clause
/*
 * acks.c - acknowledgements, folded into batches.
 *
 * librdkafka acknowledges the messages of one response one after the other, on one
 * thread, in the order of the records (rd_kafka_dr_msgq).  So a batch is one event
 * that grows in place: per message a few loads and adds.
 */
#include <string.h>

#include "shim.h"

#define SLOW_NS 1000000000u	/* what took longer goes to the ring that lasts */
#define SCAN_NS 5000000u	/* there is no such pause within one scan for expired messages
				   (rd_kafka_broker_toppar_msgq_scan, once a second) */
#define ORDER_NS 5000u

static enum at_count category(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR_NO_ERROR: return AT_ACKED;
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: return AT_EXPIRED;
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return AT_PURGED;
	case RD_KAFKA_RESP_ERR__DESTROY: return AT_DROPPED;	/* destroy without flush */
	default: return AT_FAILED;
	}
}

const struct topic *acks_topic(const struct lib *lib, const rd_kafka_message_t *m)
{
	const char *name = m->rkt ? lib->rd_kafka_topic_name(m->rkt) : NULL;

	return name ? topic_by_name(name, strlen(name)) : NULL;
}

/* When produce() took the message: librdkafka keeps it in us of CLOCK_MONOTONIC. */
static uint64_t created_ns(const struct lib *lib, const rd_kafka_message_t *m, uint64_t now)
{
	int64_t latency_us = lib->rd_kafka_message_latency(m);

	return latency_us >= 0 ? now - (uint64_t)latency_us * 1000 : 0;
}

/*
 * The timestamp that its record has.  Of a failed message librdkafka will not tell it, and
 * asks nothing but that message's err (rd_kafka_message_timestamp); nobody else has the
 * message while it is being acknowledged.
 */
static int64_t timestamp_ms(const struct lib *lib, rd_kafka_message_t *m, rd_kafka_timestamp_type_t *type)
{
	rd_kafka_resp_err_t err = m->err;
	int64_t ms;

	m->err = RD_KAFKA_RESP_ERR_NO_ERROR;
	ms = lib->rd_kafka_message_timestamp(m, type);
	m->err = err;
	return ms;
}

/*
 * Failed messages of one fate follow each other within one scan of a queue, in the order
 * in which they were produced, give or take the clock: where that order begins anew
 * another batch does.
 */
static bool same_fate(const struct lib *lib, const rd_kafka_message_t *m, const struct ev_acks *ev,
		      bool known)
{
	uint64_t now = at_now();

	return now - ev->last_ns <= SCAN_NS &&
	       (!known || created_ns(lib, m, now) + ORDER_NS >= ev->created_last_ns);
}

static bool continues(const struct thread *t, const struct ev_acks *ev, const struct instance *in,
		      const rd_kafka_message_t *m, uint32_t persisted, bool known)
{
	if (t->acks_break || !fold_open(t, &t->acks) || t->acks_rkt != m->rkt ||
	    ev->inst != in->id || ev->partition != m->partition || ev->err != (int32_t)m->err ||
	    ev->persisted != persisted)
		return false;
	if (m->err)
		return same_fate(in->lib, m, ev, known);
	/* Offsets mean something on success alone; implicit acks all say -1001. */
	return m->offset == ev->last_offset + 1 ||
	       (m->offset < 0 && m->offset == ev->last_offset);
}

static void begin_batch(struct thread *t, struct instance *in, rd_kafka_message_t *m,
			uint32_t persisted, bool known)
{
	const struct lib *lib = in->lib;
	const struct topic *topic = acks_topic(lib, m);
	uint64_t now = at_now(), created = known ? created_ns(lib, m, now) : now;
	enum at_ring ring = m->err || now - created > SLOW_NS ? AT_LAST : AT_BULK;
	rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
	struct ev_acks *ev;

	t->acks.ev = NULL;
	t->acks_break = false;
	t->acks_expect = m->err ? 0 : t->answered;
	t->answered = 0;
	ev = emit(t, ring, AT_EV_ACKS, now, sizeof(*ev), topic, NULL, 0);
	if (!ev)
		return;
	ev->created_first_ns = ev->created_last_ns = created;
	ev->last_ns = now;
	ev->first_offset = ev->last_offset = m->offset;
	ev->inst = in->id;
	ev->topic = topic ? topic->id : 0;
	ev->partition = m->partition;
	ev->err = m->err;
	ev->persisted = persisted;
	ev->broker = known && lib->rd_kafka_message_broker_id ? lib->rd_kafka_message_broker_id(m) : -1;
	ev->count = 1;
	if (known)
		ev->first_ts_ms = ev->last_ts_ms = timestamp_ms(lib, m, &type);
	if (type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME)
		ev->flags |= AT_ACKS_LOG_APPEND;
	if (!m->err && m->offset == RD_KAFKA_OFFSET_INVALID)
		ev->flags |= AT_ACKS_IMPLICIT;
	if (t->acks_expect > 1)
		ev->flags |= AT_ACKS_LAST_UNSEEN;	/* until the last one is seen */
	emit_done(t, ring);
	t->acks = (struct fold){ ev, t->pen.seq[ring], ring };
	t->acks_rkt = m->rkt;
	calls_learn(m->rkt, in);
}

static void add_message(struct thread *t, struct ev_acks *ev, const struct lib *lib,
			rd_kafka_message_t *m, bool known)
{
	uint32_t count = ev->count + 1;
	uint64_t created;

	if (!m->err)
		ev->last_offset = m->offset;
	/*
	 * The last message's times count, and a clock costs more than the rest of this
	 * function.  The wire told how many messages the batch has; where it could not,
	 * any may be the last.
	 */
	if (known && (!t->acks_expect || count == t->acks_expect)) {
		rd_kafka_timestamp_type_t type;
		int64_t ts = timestamp_ms(lib, m, &type);

		ev->last_ns = at_now();
		created = created_ns(lib, m, ev->last_ns);
		if (!m->err || created > ev->created_last_ns)
			ev->created_last_ns = created;
		/* An app's own timestamps have an order of their own: of failed messages the extremes. */
		if (!m->err || ts > ev->last_ts_ms)
			ev->last_ts_ms = ts;
		if (m->err && ts < ev->first_ts_ms)
			ev->first_ts_ms = ts;
		ev->flags &= ~AT_ACKS_LAST_UNSEEN;
	}
	__atomic_store_n(&ev->count, count, __ATOMIC_RELEASE);
}

rd_kafka_resp_err_t acks_on_acknowledgement(rd_kafka_t *rk, rd_kafka_message_t *m, void *arg)
{
	struct instance *in = arg;
	struct thread *t = thread_enter();
	uint32_t persisted = m->err ? 0 : RD_KAFKA_MSG_STATUS_PERSISTED;
	bool known;

	(void)rk;
	if (!t)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	if (in->life == t->life) {
		/*
		 * In produce_batch() a failed partitioner acknowledges the app's own
		 * array element, which no rd_kafka_message_* function may touch.
		 */
		known = !t->in_produce_batch && m->rkt;
		t->acked++;
		if (m->err && known && in->lib->rd_kafka_message_status)
			persisted = in->lib->rd_kafka_message_status(m);
		if (continues(t, t->acks.ev, in, m, persisted, known))
			add_message(t, t->acks.ev, in->lib, m, known);
		else
			begin_batch(t, in, m, persisted, known);
		session_ended(t, in, m, known, category(m->err));
	}
	thread_leave(t);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
