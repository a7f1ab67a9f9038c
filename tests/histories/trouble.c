// SPDX-License-Identifier: BSD-2-Clause
/* trouble.c - what befalls the brokers while the producers run. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <unistd.h>
#include "history.h"

enum { API_PRODUCE = 0, API_METADATA = 3, API_INIT_PRODUCER_ID = 22 };

static const rd_kafka_resp_err_t passing[] = {
	RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
	RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
	RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
	RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR__TRANSPORT,
	RD_KAFKA_RESP_ERR__TRANSPORT,
};
static const rd_kafka_resp_err_t lasting[] = {
	RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
	RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_UNKNOWN,
};
static const rd_kafka_resp_err_t sequence[] = {
	RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
	RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER,
};
static const int delays[] = { 0, 0, 1, 30, 150, 600, 1500 };

static int32_t some_broker(struct history *h)
{
	return 1 + rng_below(&h->rng, h->brokers);
}

static rd_kafka_resp_err_t some_error(struct history *h)
{
	int n = rng_below(&h->rng, 100);

	if (n < 55)
		return RNG_PICK(&h->rng, passing);
	if (n < 70)
		return RNG_PICK(&h->rng, lasting);
	if (n < 80)
		return RNG_PICK(&h->rng, sequence);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void push_errors(struct history *h)
{
	rd_kafka_resp_err_t errors[5];
	int nr = 1 + rng_below(&h->rng, 5);

	for (int i = 0; i < nr; i++)
		errors[i] = some_error(h);
	rd_kafka_mock_push_request_errors_array(h->mock, API_PRODUCE, (size_t)nr, errors);
}

static void push_delays(struct history *h)
{
	int32_t broker = some_broker(h);

	for (int i = 1 + rng_below(&h->rng, 4); i > 0; i--)
		rd_kafka_mock_broker_push_request_error_rtts(h->mock, broker, API_PRODUCE, 1,
			rng_percent(&h->rng, 50) ? RD_KAFKA_RESP_ERR_NO_ERROR : some_error(h),
			RNG_PICK(&h->rng, delays));
}

static void move_leader(struct history *h)
{
	int topic = rng_below(&h->rng, h->topics), partition = rng_below(&h->rng, h->partitions[topic]);
	int32_t to = some_broker(h);

	/*
	 * To none, where librdkafka bears it: newer mock clusters (2.4, KIP-951) look up the leader
	 * of a partition to answer a Produce (rd_kafka_mock_Produce_reply_tags_partition_write).
	 */
	if (rng_percent(&h->rng, 15) && !h->recorded)
		to = -1;
	rd_kafka_mock_partition_set_leader(h->mock, topic_names[topic], partition, to);
}

static void purge(struct history *h)
{
	static const int flags[] = {
		RD_KAFKA_PURGE_F_QUEUE, RD_KAFKA_PURGE_F_INFLIGHT,
		RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT,
		RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING,
	};

	rd_kafka_purge(h->p[rng_below(&h->rng, h->producers)].rk, RNG_PICK(&h->rng, flags));
}

static enum trouble kind(int n)
{
	static const struct { int below; enum trouble kind; } kinds[] = {
		{ 22, TROUBLE_errors }, { 42, TROUBLE_delays }, { 54, TROUBLE_rtt }, { 64, TROUBLE_down },
		{ 78, TROUBLE_up }, { 90, TROUBLE_moves }, { 93, TROUBLE_metadata },
		{ 96, TROUBLE_producer_id }, { 100, TROUBLE_topic },
	};
	int i = 0;

	while (n >= kinds[i].below)
		i++;
	return kinds[i].kind;
}

static void one(struct history *h)
{
	enum trouble what = kind(rng_below(&h->rng, 100));

	h->did[what]++;
	switch (what) {
	case TROUBLE_errors:
		push_errors(h);
		break;
	case TROUBLE_delays:
		push_delays(h);
		break;
	case TROUBLE_rtt:
		rd_kafka_mock_broker_set_rtt(h->mock, rng_percent(&h->rng, 30) ? -1 : some_broker(h),
					     RNG_PICK(&h->rng, delays));
		break;
	case TROUBLE_down:
		rd_kafka_mock_broker_set_down(h->mock, rng_percent(&h->rng, 20) ? -1 : some_broker(h));
		break;
	case TROUBLE_up:
		rd_kafka_mock_broker_set_up(h->mock, rng_percent(&h->rng, 50) ? -1 : some_broker(h));
		break;
	case TROUBLE_moves:
		move_leader(h);
		break;
	case TROUBLE_metadata:
		rd_kafka_mock_push_request_errors(h->mock, API_METADATA, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
		break;
	case TROUBLE_producer_id:
		rd_kafka_mock_push_request_errors(h->mock, API_INIT_PRODUCER_ID, 1,
						  RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
		break;
	default:
		rd_kafka_mock_topic_set_error(h->mock, topic_names[rng_below(&h->rng, h->topics)],
					      rng_percent(&h->rng, 50) ? RD_KAFKA_RESP_ERR_NO_ERROR :
					      RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
	}
}

void trouble_run(struct history *h)
{
	int64_t until = now_ns() + h->run_ms * 1000000LL;
	int purges = h->purges;

	/* Some begin in trouble, some have one fair start. */
	if (rng_percent(&h->rng, 60))
		usleep((useconds_t)rng_below(&h->rng, 100000));
	while (now_ns() < until) {
		one(h);
		if (purges && rng_percent(&h->rng, 20)) {
			purges--;
			h->did[TROUBLE_purges]++;
			purge(h);
		}
		usleep((useconds_t)rng_below(&h->rng, 120000));
	}
}

void trouble_heal(struct history *h)
{
	rd_kafka_mock_clear_request_errors(h->mock, API_PRODUCE);
	rd_kafka_mock_clear_request_errors(h->mock, API_METADATA);
	rd_kafka_mock_clear_request_errors(h->mock, API_INIT_PRODUCER_ID);
	rd_kafka_mock_broker_set_rtt(h->mock, -1, 0);
	rd_kafka_mock_broker_set_up(h->mock, -1);
	for (int t = 0; t < h->topics; t++) {
		rd_kafka_mock_topic_set_error(h->mock, topic_names[t], RD_KAFKA_RESP_ERR_NO_ERROR);
		for (int i = 0; i < h->partitions[t]; i++)
			rd_kafka_mock_partition_set_leader(h->mock, topic_names[t], i, 1 + i % h->brokers);
	}
}
