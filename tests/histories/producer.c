// SPDX-License-Identifier: BSD-2-Clause
/* producer.c - a producer with random settings, its threads, and what it hears. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "history.h"

/* ---- hearing ---------------------------------------------------------------- */

static void hear(struct heard *h, const rd_kafka_message_t *m)
{
	h->times++;
	h->err = m->err;
	h->partition = m->partition;
	h->named = m->rkt;
	h->offset = m->offset;
	/* Of the app's own array element (produce_batch) nothing more may be asked. */
	h->status = m->rkt ? (int32_t)rd_kafka_message_status(m) : 0;
	h->ns = now_ns();
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct msg *msg = m->_private;

	(void)rk, (void)opaque;
	hear(&msg->call, m);
}

/* The old callback tells nothing but the error. */
static void on_delivery_old(rd_kafka_t *rk, void *payload, size_t len, rd_kafka_resp_err_t err,
			    void *opaque, void *msg_opaque)
{
	struct msg *msg = msg_opaque;

	(void)rk, (void)payload, (void)len, (void)opaque;
	msg->call.times++;
	msg->call.err = err;
	msg->call.ns = now_ns();
}

/* Its timestamp, as the library will write it. */
static rd_kafka_resp_err_t on_send(rd_kafka_t *rk, rd_kafka_message_t *m, void *arg)
{
	struct msg *msg = m->_private;
	rd_kafka_timestamp_type_t type;

	(void)rk, (void)arg;
	msg->stamp_ms = rd_kafka_message_timestamp(m, &type);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_acknowledgement(rd_kafka_t *rk, rd_kafka_message_t *m, void *arg)
{
	struct producer *p = arg;
	struct msg *msg = m->_private;

	(void)rk;
	hear(&msg->ack, m);
	msg->order = __atomic_add_fetch(&p->acked, 1, __ATOMIC_RELAXED);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_request_sent(rd_kafka_t *rk, int fd, const char *name, int32_t broker,
					   int16_t api, int16_t version, int32_t corr, size_t size,
					   void *arg)
{
	struct producer *p = arg;
	uint32_t n;

	(void)rk, (void)fd, (void)name, (void)version;
	if (api)			/* Produce is 0 */
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	n = __atomic_fetch_add(&p->nr_sent, 1, __ATOMIC_RELAXED);
	if (n < MAX_SENT)
		p->sent[n] = (struct sent){ broker, corr, size, now_ns() };
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *errstr,
				  size_t size)
{
	(void)conf, (void)errstr, (void)size;
	rd_kafka_interceptor_add_on_send(rk, "history", on_send, arg);
	rd_kafka_interceptor_add_on_acknowledgement(rk, "history", on_acknowledgement, arg);
	rd_kafka_interceptor_add_on_request_sent(rk, "history", on_request_sent, arg);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- settings --------------------------------------------------------------- */

struct settings { rd_kafka_conf_t *conf; struct producer *p; };

static void set(struct settings *s, const char *key, const char *value)
{
	char why[512];
	size_t len = strlen(s->p->text);

	if (rd_kafka_conf_set(s->conf, key, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		die(key, why);
	snprintf(s->p->text + len, sizeof(s->p->text) - len, "%s%s=%s", len ? " " : "", key, value);
}

static void set_number(struct settings *s, const char *key, int value)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", value);
	set(s, key, text);
}

static void settings(const struct history *h, struct producer *p, rd_kafka_conf_t *conf, struct rng *r)
{
	static const char *const codecs[] = { "none", "none", "gzip", "snappy", "lz4", "zstd" };
	static const int lingers[] = { 0, 1, 5, 20, 100, 300 };
	static const int timeouts[] = { 300, 600, 1000, 1500, 3000, 60000 };
	static const int sockets[] = { 100, 300, 1000, 60000, 60000 };
	static const int batches[] = { 1, 3, 20, 100, 10000, 10000 };
	static const int retries[] = { 1, 3, 100, 100, 2147483647 };
	static const int backoffs[] = { 1, 10, 100 };
	static const int queues[] = { 10, 60, 100000, 100000, 100000 };
	struct settings s = { conf, p };
	int linger;

	p->idempotent = rng_percent(r, 50);
	p->acks = p->idempotent || rng_percent(r, 80) ? -1 : rng_percent(r, 75) ? 1 : 0;
	p->timeout_ms = RNG_PICK(r, timeouts);
	if (h->ending == END_EXIT)	/* nothing happens after the report */
		p->timeout_ms = 60000;
	set(&s, "enable.idempotence", p->idempotent ? "true" : "false");
	set_number(&s, "acks", p->acks);
	set_number(&s, "max.in.flight.requests.per.connection", 1 + rng_below(r, 5));
	set_number(&s, "message.timeout.ms", p->timeout_ms);
	linger = RNG_PICK(r, lingers);
	set_number(&s, "linger.ms", linger < p->timeout_ms ? linger : 5);
	set(&s, "compression.codec", RNG_PICK(r, codecs));
	set_number(&s, "batch.num.messages", RNG_PICK(r, batches));
	set_number(&s, "socket.timeout.ms", RNG_PICK(r, sockets));
	set_number(&s, "message.send.max.retries",
		   !p->idempotent && rng_percent(r, 20) ? 0 : RNG_PICK(r, retries));
	set_number(&s, "retry.backoff.ms", RNG_PICK(r, backoffs));
	set_number(&s, "queue.buffering.max.messages", RNG_PICK(r, queues));
	set_number(&s, "queue.buffering.backpressure.threshold", p->idempotent || rng_percent(r, 70) ? 1 : 5);
	if (p->idempotent && rng_percent(r, 15))
		set(&s, "enable.gapless.guarantee", "true");
	if (rng_percent(r, 25))
		set_number(&s, "message.max.bytes", 1000);
	set_number(&s, "reconnect.backoff.ms", 10);
	set_number(&s, "reconnect.backoff.max.ms", 20 + rng_below(r, 200));
	set_number(&s, "topic.metadata.refresh.fast.interval.ms", 20);
	set_number(&s, "topic.metadata.refresh.interval.ms", 500);
	set_number(&s, "log_level", 0);
}

void producer_open(struct history *h, struct producer *p, struct rng *r)
{
	static const enum report reports[] = {
		REPORT_MSG_CB, REPORT_MSG_CB, REPORT_MSG_CB, REPORT_MSG_CB, REPORT_OLD_CB, REPORT_EVENT,
	};
	static const int paces[] = { 0, 30, 100, 100 };	/* % of the time that there is */
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct timespec ts;
	char why[512], name[16];

	settings(h, p, conf, r);
	p->report = RNG_PICK(r, reports);
	if (h->ending >= END_DESTROY && rng_percent(r, 10))
		p->report = REPORT_NONE;
	/* The old callback and events do without an offset or a partition. */
	p->intercept = h->intercept || p->report != REPORT_MSG_CB;
	p->stamp = rng_percent(r, 50) ? STAMP_LIBRARY : rng_percent(r, 50) ? STAMP_FAR : STAMP_NEAR;
	clock_gettime(CLOCK_REALTIME, &ts);
	p->stamp_ms = p->stamp == STAMP_FAR ? 1577836800000 : ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
	p->threads = 1 + rng_below(r, MAX_THREADS);
	p->lazy = rng_percent(r, 20);
	p->nr_msgs = (uint32_t)(40 + rng_below(r, 360));
	p->pace_us = h->run_ms * 10 * RNG_PICK(r, paces) * p->threads / (int)p->nr_msgs;
	p->msgs = calloc(p->nr_msgs, sizeof(*p->msgs));
	p->sent = calloc(MAX_SENT, sizeof(*p->sent));
	pthread_mutex_init(&p->lock, NULL);
	for (uint32_t i = 0; i < p->nr_msgs; i++) {
		p->msgs[i].p = p;
		p->msgs[i].seq = i;
	}

	snprintf(name, sizeof(name), "p%d", p->nr);
	rd_kafka_conf_set(conf, "client.id", name, why, sizeof(why));
	rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(h->mock), why,
			  sizeof(why));
	if (p->intercept)
		rd_kafka_conf_interceptor_add_on_new(conf, "history", on_new, p);
	if (p->report == REPORT_MSG_CB)
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	else if (p->report == REPORT_OLD_CB)
		rd_kafka_conf_set_dr_cb(conf, on_delivery_old);
	else if (p->report == REPORT_EVENT)
		rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!p->rk)
		die("rd_kafka_new", why);
	for (int i = 0; i < h->topics; i++)
		p->rkt[i] = rd_kafka_topic_new(p->rk, topic_names[i], NULL);
}

/* ---- producing -------------------------------------------------------------- */

struct maker { struct history *h; struct producer *p; struct rng rng; };

static int32_t partition_for(struct maker *k, int topic)
{
	return rng_percent(&k->rng, 15) ? RD_KAFKA_PARTITION_UA : rng_below(&k->rng, k->h->partitions[topic]);
}

static int32_t produce_one(struct maker *k, struct msg *m, int flags)
{
	struct producer *p = k->p;
	char payload[1500];
	size_t len = 16 + (size_t)rng_below(&k->rng, rng_percent(&k->rng, 5) ? 1400 : 200);
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

	memset(payload, 'x', len);
	snprintf(payload, len, "%d %u ", p->nr, m->seq);
	m->tried = true;
	m->begin_ns = now_ns();
	if (p->stamp != STAMP_LIBRARY) {
		pthread_mutex_lock(&p->lock);
		m->stamp_ms = p->stamp_ms++;
		err = rd_kafka_producev(p->rk, RD_KAFKA_V_RKT(p->rkt[m->topic]),
					RD_KAFKA_V_PARTITION(m->wanted),
					RD_KAFKA_V_VALUE(payload, len), RD_KAFKA_V_MSGFLAGS(flags),
					RD_KAFKA_V_TIMESTAMP(m->stamp_ms), RD_KAFKA_V_OPAQUE(m),
					RD_KAFKA_V_END);
		pthread_mutex_unlock(&p->lock);
	} else if (rng_percent(&k->rng, 30)) {
		err = rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(topic_names[m->topic]),
					RD_KAFKA_V_PARTITION(m->wanted),
					RD_KAFKA_V_VALUE(payload, len), RD_KAFKA_V_MSGFLAGS(flags),
					RD_KAFKA_V_OPAQUE(m), RD_KAFKA_V_END);
	} else if (rd_kafka_produce(p->rkt[m->topic], m->wanted, flags, payload, len, NULL, 0, m)) {
		err = rd_kafka_last_error();
	}
	m->end_ns = now_ns();
	return err;
}

static void produce_several(struct maker *k, struct msg *m, int nr)
{
	rd_kafka_message_t list[8] = { { 0 } };
	char payload[8][64];

	for (int i = 0; i < nr; i++) {
		m[i].topic = m->topic;
		m[i].wanted = m->wanted;
		m[i].tried = true;
		m[i].begin_ns = now_ns();
		list[i].payload = payload[i];
		list[i].len = (size_t)snprintf(payload[i], sizeof(payload[i]), "%d %u ", k->p->nr, m[i].seq);
		list[i]._private = &m[i];
	}
	rd_kafka_produce_batch(k->p->rkt[m->topic], m->wanted, RD_KAFKA_MSG_F_COPY, list, nr);
	for (int i = 0; i < nr; i++) {
		m[i].refused = list[i].err;
		m[i].end_ns = now_ns();
	}
}

static void *make(void *arg)
{
	struct maker *k = arg;
	struct producer *p = k->p;
	int64_t until = now_ns() + (k->h->run_ms + 500) * 1000000LL;

	while (now_ns() < until) {
		int nr = rng_percent(&k->rng, 10) && p->intercept && p->stamp == STAMP_LIBRARY ? 8 : 1;
		uint32_t i = __atomic_fetch_add(&p->taken, (uint32_t)nr, __ATOMIC_RELAXED);
		struct msg *m = &p->msgs[i];

		if (i + (uint32_t)nr > p->nr_msgs)
			break;
		m->topic = rng_below(&k->rng, k->h->topics);
		m->wanted = partition_for(k, m->topic);
		if (nr > 1)
			produce_several(k, m, nr);
		else	/* a full queue that waits is emptied by the poller, at the latest when all expire */
			m->refused = produce_one(k, m, RD_KAFKA_MSG_F_COPY |
				(p->timeout_ms <= 3000 && rng_percent(&k->rng, 3) ? RD_KAFKA_MSG_F_BLOCK : 0));
		/* In bursts: batches are to be of all sizes. */
		if (p->pace_us && rng_percent(&k->rng, 20))
			usleep((useconds_t)rng_below(&k->rng, 10 * p->pace_us));
	}
	free(k);
	return NULL;
}

static void serve_events(rd_kafka_queue_t *q)
{
	rd_kafka_event_t *ev = rd_kafka_queue_poll(q, 10);
	const rd_kafka_message_t *m;

	if (!ev)
		return;
	while ((m = rd_kafka_event_message_next(ev)))
		on_delivery(NULL, m, NULL);
	rd_kafka_event_destroy(ev);
}

static void *poll_all(void *arg)
{
	struct producer *p = arg;
	rd_kafka_queue_t *q = rd_kafka_queue_get_main(p->rk);
	struct rng r = { (uint64_t)p->nr };

	while (!__atomic_load_n(&p->quiet, __ATOMIC_RELAXED)) {
		if (p->report == REPORT_EVENT)
			serve_events(q);
		else
			rd_kafka_poll(p->rk, 10);
		if (p->lazy && rng_percent(&r, 5))
			usleep((useconds_t)rng_below(&r, 300000));
	}
	rd_kafka_queue_destroy(q);
	return NULL;
}

void producer_start(struct history *h, struct producer *p)
{
	if (pthread_create(&p->poller, NULL, poll_all, p))
		die("pthread_create", "failed");
	for (int i = 0; i < p->threads; i++) {
		struct maker *k = calloc(1, sizeof(*k));

		*k = (struct maker){ h, p, { rng_next(&h->rng) } };
		if (pthread_create(&p->maker[i], NULL, make, k))
			die("pthread_create", "failed");
	}
}

void producer_join(struct producer *p)
{
	for (int i = 0; i < p->threads; i++)
		pthread_join(p->maker[i], NULL);
}

void producer_quiet(struct producer *p)
{
	__atomic_store_n(&p->quiet, true, __ATOMIC_RELAXED);
	pthread_join(p->poller, NULL);
}
