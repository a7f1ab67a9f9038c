// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire_metadata.c - Metadata responses of versions 10 to 13: which id a topic has.
 * Since version 13 a Produce names topics by id alone (KIP-516).
 */
#include <string.h>

#include "wire.h"

enum state {
	THROTTLE = WIRE_METADATA, BROKER_COUNT, BROKER_ID, BROKER_HOST, BROKER_PORT, BROKER_RACK,
	CLUSTER, CONTROLLER, TOPIC_COUNT, TOPIC_ERROR, TOPIC_LEN, TOPIC_NAME, TOPIC_ID, INTERNAL,
	PARTITION_COUNT, PARTITION, REPLICAS, IN_SYNC, OFFLINE, OPERATIONS,
};

/* Pass over n elements (or a null array) of that size, then read a length. */
static void skip_then_length(struct wire_responses *w, unsigned size, uint8_t state)
{
	int64_t n = wire_value(&w->p, 4);

	wire_skip(&w->p, n > 0 ? (uint64_t)n * size : 0);
	wire_uvarint(&w->p, state);
}

static void skip_then_need(struct wire_responses *w, uint8_t state, unsigned bytes)
{
	int64_t n = wire_value(&w->p, 2);

	wire_skip(&w->p, n > 0 ? (uint64_t)n : 0);
	wire_need(&w->p, state, bytes);
}

static void next_broker(struct wire_responses *w)
{
	if (w->topics) {
		w->topics--;
		wire_need(&w->p, BROKER_ID, 4);
	} else {
		wire_uvarint(&w->p, CLUSTER);
	}
}

static void next_topic(struct wire_responses *w)
{
	if (w->topics) {
		w->topics--;
		wire_need(&w->p, TOPIC_ERROR, 2);
	} else {
		wire_rest_of_frame(&w->p);
	}
}

/* error, index, leader, leader epoch; then the three lists of replicas */
static void next_partition(struct wire_responses *w)
{
	if (w->partitions) {
		w->partitions--;
		wire_need(&w->p, PARTITION, 14);
	} else {
		wire_need(&w->p, OPERATIONS, 4);
	}
}

/* Null where the client asked by an id that is not known; too long where it asked for nonsense. */
static void topic_len(struct wire_responses *w)
{
	int64_t n = wire_value(&w->p, 2);

	w->topic.len = 0;
	w->topic.is_id = false;
	if (n > 0 && n <= KAFKA_TOPIC_MAX)
		wire_need(&w->p, TOPIC_NAME, (unsigned)n);
	else
		skip_then_need(w, TOPIC_ID, 16);
}

static void topic_id(struct wire_responses *w, const struct wire_response_ops *ops, void *ctx)
{
	static const uint8_t none[16];

	if (w->topic.len && memcmp(w->p.buf, none, sizeof(none)))
		ops->topic(ctx, &w->rs, &w->topic, w->p.buf);
	wire_need(&w->p, INTERNAL, 1);
}

void wire_metadata_begin(struct wire_responses *w)
{
	wire_need(&w->p, THROTTLE, 4);
}

void wire_metadata_tags_done(struct wire_responses *w)
{
	switch (w->p.after_tags) {
	case BROKER_ID: next_broker(w); break;
	case PARTITION: next_partition(w); break;
	default: next_topic(w); break;
	}
}

void wire_metadata_step(struct wire_responses *w, const struct wire_response_ops *ops, void *ctx)
{
	struct wire_pull *p = &w->p;
	int64_t n;

	switch (p->state) {
	case THROTTLE:
		w->rs.throttle_ms = (int32_t)kafka_be32(p->buf);
		wire_uvarint(p, BROKER_COUNT);
		break;
	case BROKER_COUNT:
		w->topics = wire_count(p, wire_value(p, 4));
		next_broker(w);
		break;
	case BROKER_ID: wire_uvarint(p, BROKER_HOST); break;
	case BROKER_HOST: skip_then_need(w, BROKER_PORT, 4); break;
	case BROKER_PORT: wire_uvarint(p, BROKER_RACK); break;
	case BROKER_RACK:
		n = wire_value(p, 2);
		wire_skip(p, n > 0 ? (uint64_t)n : 0);
		wire_tags(p, BROKER_ID);
		break;
	case CLUSTER: skip_then_need(w, CONTROLLER, 4); break;
	case CONTROLLER: wire_uvarint(p, TOPIC_COUNT); break;
	case TOPIC_COUNT:
		w->topics = wire_count(p, wire_value(p, 4));
		next_topic(w);
		break;
	case TOPIC_ERROR: wire_uvarint(p, TOPIC_LEN); break;
	case TOPIC_LEN: topic_len(w); break;
	case TOPIC_NAME:
		w->topic.len = p->need;
		memcpy(w->topic.text, p->buf, p->need);
		w->topic.text[p->need] = 0;
		wire_need(p, TOPIC_ID, 16);
		break;
	case TOPIC_ID: topic_id(w, ops, ctx); break;
	case INTERNAL: wire_uvarint(p, PARTITION_COUNT); break;
	case PARTITION_COUNT:
		w->partitions = wire_count(p, wire_value(p, 4));
		next_partition(w);
		break;
	case PARTITION: wire_uvarint(p, REPLICAS); break;
	case REPLICAS: skip_then_length(w, 4, IN_SYNC); break;
	case IN_SYNC: skip_then_length(w, 4, OFFLINE); break;
	case OFFLINE:
		n = wire_value(p, 4);
		wire_skip(p, n > 0 ? (uint64_t)n * 4 : 0);
		wire_tags(p, PARTITION);
		break;
	case OPERATIONS: wire_tags(p, TOPIC_COUNT); break;
	}
}
