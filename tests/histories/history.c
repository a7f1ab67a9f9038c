// SPDX-License-Identifier: BSD-2-Clause
/*
 * history SEED REPORT: producers against librdkafka's mock cluster, through a random
 * history that the seed tells, and a report of what became of every message by the
 * app's own callbacks.  It knows nothing of acktrail.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "history.h"

const char *const topic_names[MAX_TOPICS] = { "orders", "audit-log" };

uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

int rng_below(struct rng *r, int n)
{
	return (int)(rng_next(r) % (uint64_t)n);
}

bool rng_percent(struct rng *r, int n)
{
	return rng_below(r, 100) < n;
}

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void die(const char *what, const char *why)
{
	fprintf(stderr, "history: %s: %s\n", what, why);
	exit(2);
}

/*
 * An instance of its own, so that brokers outlive the producers; a consumer, so that a
 * single producer is the only one.
 */
static void open_mock(struct history *h)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[512];

	rd_kafka_conf_set(conf, "client.id", "mock", why, sizeof(why));
	rd_kafka_conf_set(conf, "log_level", "0", why, sizeof(why));
	h->mock_rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!h->mock_rk)
		die("rd_kafka_new", why);
	h->mock = rd_kafka_mock_cluster_new(h->mock_rk, h->brokers);
	if (!h->mock)
		die("mock cluster", "none");
	record_start(h);
	for (int i = 0; i < h->topics; i++)
		rd_kafka_mock_topic_create(h->mock, topic_names[i], h->partitions[i], 1);
}

static void plan(struct history *h)
{
	static const enum ending endings[] = {
		END_FLUSH, END_FLUSH, END_FLUSH, END_FLUSH, END_FLUSH, END_PURGE, END_PURGE,
		END_DESTROY, END_DESTROY, END_DESTROY_DOWN, END_EXIT,
	};
	struct rng *r = &h->rng;

	h->brokers = 1 + rng_below(r, 3);
	h->topics = 1 + rng_below(r, MAX_TOPICS);
	for (int i = 0; i < h->topics; i++)
		h->partitions[i] = 1 + rng_below(r, 4);
	h->producers = 1 + rng_percent(r, 25);
	/* Few live to see librdkafka's scan for expired messages, once a second, do its work twice. */
	h->run_ms = rng_percent(r, 80) ? 100 + rng_below(r, 400) : 500 + rng_below(r, 700);
	h->ending = RNG_PICK(r, endings);
	h->purges = rng_percent(r, 15) ? 1 + rng_below(r, 2) : 0;
	/* Where some callbacks never come, only an interceptor knows the fate. */
	h->intercept = h->ending >= END_DESTROY || rng_percent(r, 70);
}

static void *destroy(void *arg)
{
	struct producer *p = arg;

	for (int i = 0; i < MAX_TOPICS; i++)
		if (p->rkt[i])
			rd_kafka_topic_destroy(p->rkt[i]);
	rd_kafka_destroy(p->rk);
	return NULL;
}

static bool flushed(struct producer *p, int ms)
{
	int64_t until = now_ns() + ms * 1000000LL;

	while (rd_kafka_flush(p->rk, 100) && now_ns() < until)
		;
	return !rd_kafka_outq_len(p->rk);
}

static void finish(struct history *h)
{
	const int all = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT;

	for (int i = 0; i < h->producers && h->ending <= END_PURGE; i++) {
		struct producer *p = &h->p[i];
		int patience = p->timeout_ms < 3000 ? p->timeout_ms : 3000;

		if (h->ending == END_PURGE)
			rd_kafka_purge(p->rk, all);
		/* Some come out of their trouble late, or not even by a purge: destroyed as they are. */
		if (!flushed(p, patience + 2500))
			rd_kafka_purge(p->rk, all);
		flushed(p, 3000);
	}
	for (int i = 0; i < h->producers; i++)
		producer_quiet(&h->p[i]);
	for (int i = 0; i < h->producers; i++)
		destroy(&h->p[i]);
}

int main(int argc, char **argv)
{
	static struct history h;

	if (argc != 3) {
		fprintf(stderr, "usage: history SEED REPORT\n");
		return 2;
	}
	h.seed = strtoull(argv[1], NULL, 10);
	h.rng.s = h.seed * 0xda942042e4dd58b5u + 1;
	plan(&h);
	open_mock(&h);
	for (int i = 0; i < h.producers; i++) {
		struct rng r = { rng_next(&h.rng) };

		h.p[i].nr = i + 1;
		producer_open(&h, &h.p[i], &r);
	}
	for (int i = 0; i < h.producers; i++)
		producer_start(&h, &h.p[i]);
	trouble_run(&h);
	for (int i = 0; i < h.producers; i++)
		producer_join(&h.p[i]);
	if (h.ending <= END_PURGE)
		trouble_heal(&h);
	else if (h.ending >= END_DESTROY_DOWN)
		rd_kafka_mock_broker_set_down(h.mock, -1);
	if (h.ending == END_EXIT) {
		/* Nothing more is answered; what is to happen at once has happened. */
		usleep(500000);
		for (int i = 0; i < h.producers; i++)
			producer_quiet(&h.p[i]);
		record_read(&h);
		report_write(&h, argv[2]);
		return 0;
	}
	finish(&h);
	record_read(&h);
	rd_kafka_mock_cluster_destroy(h.mock);
	rd_kafka_destroy(h.mock_rk);
	report_write(&h, argv[2]);
	return 0;
}
