// SPDX-License-Identifier: BSD-2-Clause
/* app_calls.c - every way to hand a message over, and every way for it to end. */
#include "app.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int plain(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "");
	client_produce(&c, 1000);
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* The broker answers with an error that is not retried. */
static int failed(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "linger.ms=200");
	client_produce(&c, 3);
	client_wait(&c);
	rd_kafka_mock_push_request_errors(rd_kafka_handle_mock_cluster(c.rk), 0, 1,
					  RD_KAFKA_RESP_ERR_INVALID_RECORD);
	client_produce(&c, 5);
	client_wait(&c);
	client_produce(&c, 2);
	client_wait(&c);
	client_close(&c);
	return 0;
}

static int expired(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "message.timeout.ms=1500 socket.timeout.ms=1000");
	client_produce(&c, 4);
	client_wait(&c);
	client_rtt(&c, 20000);
	client_produce(&c, 6);
	client_wait(&c);
	client_close(&c);
	return 0;
}

static int purged(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "linger.ms=0");
	client_produce(&c, 3);
	client_wait(&c);
	client_rtt(&c, 20000);
	client_produce(&c, 20);
	rd_kafka_purge(c.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* destroy without flush: librdkafka says nothing of these messages. */
static int dropped(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "");
	client_produce(&c, 3);
	client_wait(&c);
	client_rtt(&c, 20000);
	client_produce(&c, 9);
	client_close(&c);
	return 0;
}

static volatile bool polling;

static void *poller(void *arg)
{
	struct client *c = arg;

	while (polling)
		rd_kafka_poll(c->rk, 10);
	return NULL;
}

/* QUEUE_FULL; then a call that waits for room because its flag says so. */
static int queue_full(char **args)
{
	struct client c;
	pthread_t thread;

	(void)args;
	client_open(&c, "queue.buffering.max.messages=10 linger.ms=0");
	client_produce(&c, 1);
	client_wait(&c);
	client_rtt(&c, 300);
	for (int i = 0; i < 15; i++) {
		int r = client_produce_one(&c, 0, 100);

		if (r)
			printf("refused: %s errno=%d\n", rd_kafka_err2name(rd_kafka_last_error()), errno);
	}
	polling = true;
	MUST(!pthread_create(&thread, NULL, poller, &c));
	printf("blocking call: %d\n", client_produce_one(&c, RD_KAFKA_MSG_F_BLOCK, 100));
	while (rd_kafka_outq_len(c.rk) > 0)
		sched_yield();
	polling = false;
	pthread_join(thread, NULL);
	client_close(&c);
	return 0;
}

static int too_large(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "message.max.bytes=2000");
	client_produce(&c, 2);
	printf("too large: %d", client_produce_one(&c, 0, 5000));
	printf(" %s errno=%d\n", rd_kafka_err2name(rd_kafka_last_error()), errno);
	client_produce(&c, 2);
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* ---- a partitioner that fails -------------------------------------------- */

static int32_t fails_on_x(const rd_kafka_topic_t *rkt, const void *key, size_t len, int32_t nr,
			  void *rkt_opaque, void *msg_opaque)
{
	(void)rkt, (void)nr, (void)rkt_opaque, (void)msg_opaque;
	return len && *(const char *)key == 'x' ? 4711 : 0;
}

/* Accepted by on_send, taken back by an acknowledgement inside the call: failed. */
static int partitioner(char **args)
{
	struct client c;
	rd_kafka_conf_t *conf = client_conf(&c, "linger.ms=100");
	rd_kafka_topic_conf_t *topic_conf = rd_kafka_topic_conf_new();
	rd_kafka_message_t batch[6];

	(void)args;
	rd_kafka_topic_conf_set_partitioner_cb(topic_conf, fails_on_x);
	rd_kafka_conf_set_default_topic_conf(conf, topic_conf);
	client_start(&c, conf);
	client_metadata(&c);
	memset(batch, 0, sizeof(batch));
	for (int i = 0; i < 6; i++) {
		batch[i].payload = "payload";
		batch[i].len = 7;
		batch[i].key = i % 2 ? "x" : "k";
		batch[i].key_len = 1;
		batch[i]._private = client_opaque(&c);
	}
	printf("batch: %d of 6\n", rd_kafka_produce_batch(c.topic, RD_KAFKA_PARTITION_UA,
							  RD_KAFKA_MSG_F_COPY, batch, 6));
	c.accepted += 6;
	for (int i = 0; i < 6; i++) {
		printf("  %d %s\n", i, rd_kafka_err2name(batch[i].err));
		c.failed += batch[i].err != 0;
	}
	for (int i = 0; i < 2; i++) {
		int r = rd_kafka_produce(c.topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, "p", 1,
					 i ? "x" : "k", 1, client_opaque(&c));

		printf("single: %d %s\n", r, r ? rd_kafka_err2name(rd_kafka_last_error()) : "");
		c.accepted++;
		c.failed += r != 0;
	}
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* An array that fills the queue halfway. */
static int batch_full(char **args)
{
	rd_kafka_message_t batch[8];
	struct client c;

	(void)args;
	client_open(&c, "queue.buffering.max.messages=5 linger.ms=0");
	client_produce(&c, 1);
	client_wait(&c);
	client_rtt(&c, 200);
	memset(batch, 0, sizeof(batch));
	for (int i = 0; i < 8; i++) {
		batch[i].payload = "payload";
		batch[i].len = 7;
		batch[i]._private = client_opaque(&c);
	}
	printf("batch: %d of 8\n", rd_kafka_produce_batch(c.topic, 0, RD_KAFKA_MSG_F_COPY, batch, 8));
	for (int i = 0; i < 8; i++) {
		printf("  %d %s\n", i, rd_kafka_err2name(batch[i].err));
		client_count(&c, batch[i].err);
	}
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* ---- rd_kafka_producev and its array twin --------------------------------- */

#define H(n) RD_KAFKA_V_HEADER("h" #n, #n, -1)
#define H10(n) H(n##0), H(n##1), H(n##2), H(n##3), H(n##4), H(n##5), H(n##6), H(n##7), H(n##8), H(n##9)

static rd_kafka_headers_t *three_headers(void)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(3);

	rd_kafka_header_add(headers, "a", -1, "1", -1);
	rd_kafka_header_add(headers, "b", -1, NULL, 0);
	rd_kafka_header_add(headers, "c", -1, "333", 3);
	return headers;
}

static void say(struct client *c, const char *what, rd_kafka_resp_err_t err)
{
	printf("%s: %s\n", what, rd_kafka_err2name(err));
	client_count(c, err);
	client_wait(c);
}

static int producev(char **args)
{
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t err;
	struct client c;

	(void)args;
	client_open(&c, "message.max.bytes=20000");
	c.show = true;
	say(&c, "by name", rd_kafka_producev(c.rk, RD_KAFKA_V_TOPIC("other"), RD_KAFKA_V_PARTITION(0),
		RD_KAFKA_V_VALUE("12345", 5), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		RD_KAFKA_V_OPAQUE(client_opaque(&c)), RD_KAFKA_V_END));
	say(&c, "by topic", rd_kafka_producev(c.rk, RD_KAFKA_V_RKT(c.topic), RD_KAFKA_V_PARTITION(1),
		RD_KAFKA_V_VALUE("12", 2), RD_KAFKA_V_KEY("key", 3), RD_KAFKA_V_TIMESTAMP(1700000000123),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(client_opaque(&c)),
		H(1), H(2), RD_KAFKA_V_HEADER("null", NULL, 0), RD_KAFKA_V_END));
	say(&c, "headers", rd_kafka_producev(c.rk, RD_KAFKA_V_RKT(c.topic), RD_KAFKA_V_PARTITION(0),
		RD_KAFKA_V_HEADERS(three_headers()), RD_KAFKA_V_OPAQUE(client_opaque(&c)), RD_KAFKA_V_END));
	say(&c, "120 headers", rd_kafka_producev(c.rk, RD_KAFKA_V_TOPIC("orders"), RD_KAFKA_V_PARTITION(0),
		H10(1), H10(2), H10(3), H10(4), H10(5), H10(6), H10(7), H10(8), H10(9), H10(10), H10(11), H10(12),
		RD_KAFKA_V_OPAQUE(client_opaque(&c)), RD_KAFKA_V_VALUE("v", 1),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
	err = rd_kafka_producev(c.rk, RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_END);
	say(&c, "no topic", err);
	headers = three_headers();
	err = rd_kafka_producev(c.rk, RD_KAFKA_V_RKT(c.topic), RD_KAFKA_V_HEADERS(headers), H(1), RD_KAFKA_V_END);
	say(&c, "both kinds of headers", err);
	rd_kafka_headers_destroy(headers);	/* not taken: the call failed */
	err = rd_kafka_producev(c.rk, RD_KAFKA_V_RKT(c.topic), (rd_kafka_vtype_t)4711, 0, RD_KAFKA_V_END);
	say(&c, "no such argument", err);
	static char large[30000];
	err = rd_kafka_producev(c.rk, RD_KAFKA_V_RKT(c.topic), RD_KAFKA_V_PARTITION(0),
				RD_KAFKA_V_VALUE(large, sizeof(large)), RD_KAFKA_V_END);
	say(&c, "too large", err);
	client_close(&c);
	return 0;
}

static int produceva(char **args)
{
	struct client c;

	(void)args;
	client_open(&c, "message.max.bytes=2000");
	c.show = true;
	for (int i = 0; i < 2; i++) {
		static char large[5000];
		rd_kafka_vu_t vus[] = {
			{ .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = "orders" },
			{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0 },
			{ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { large, i ? sizeof(large) : 10 } },
			{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
			{ .vtype = RD_KAFKA_VTYPE_HEADER, .u.header = { "h", "v", 1 } },
			{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = client_opaque(&c) },
		};
		rd_kafka_error_t *error = rd_kafka_produceva(c.rk, vus, sizeof(vus) / sizeof(*vus));

		say(&c, i ? "too large" : "fits", rd_kafka_error_code(error));
		rd_kafka_error_destroy(error);
	}
	client_close(&c);
	return 0;
}

const struct scenario call_scenarios[] = {
	{ "plain", plain }, { "failed", failed }, { "expired", expired }, { "purged", purged },
	{ "dropped", dropped }, { "queue-full", queue_full }, { "too-large", too_large },
	{ "partitioner", partitioner }, { "batch-full", batch_full }, { "producev", producev },
	{ "produceva", produceva }, { 0 },
};
