// SPDX-License-Identifier: BSD-2-Clause
/*
 * fuzz_wire: any bytes through both wire parsers.  Neither may crash, and the same
 * bytes in two pieces must give the same callbacks as in one.
 *
 * The input's first four bytes are ours: where to cut (16 bits), and the API and the
 * version that answered requests are said to have had.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define CHECK(what) do {							\
	if (!(what)) {								\
		fprintf(stderr, "fuzz_wire: %s:%d: %s\n", __FILE__, __LINE__, #what); \
		abort();							\
	}									\
} while (0)

/* The callbacks as a number: FNV-1a over every field that they were given. */
struct heard { uint64_t hash, calls; uint8_t api, version; };

static void add(struct heard *h, const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h->hash = (h->hash ^ ((const uint8_t *)p)[i]) * 1099511628211u;
}

#define ADD(h, field) add(h, &(field), sizeof(field))

static void add_name(struct heard *h, const struct wire_name *topic)
{
	CHECK(topic->len && topic->len <= KAFKA_TOPIC_MAX);
	ADD(h, topic->len);
	ADD(h, topic->is_id);
	add(h, topic->text, topic->len);
}

static void on_batch(void *ctx, const struct wire_request *rq, const struct wire_name *topic,
		     const struct wire_batch *b)
{
	struct heard *h = ctx;

	CHECK(rq->api == KAFKA_PRODUCE);
	CHECK(rq->version >= KAFKA_PRODUCE_MIN && rq->version <= KAFKA_PRODUCE_MAX);
	CHECK(b->id.bytes >= KAFKA_B_SIZE && b->id.bytes <= rq->size);
	CHECK(b->index == rq->batches - 1 || !rq->batches);
	h->calls++;
	ADD(h, rq->corr);
	add_name(h, topic);
	ADD(h, b->partition);
	ADD(h, b->index);
	ADD(h, b->old_format);
	ADD(h, b->id.bytes);
	ADD(h, b->id.crc);
	ADD(h, b->id.count);
	ADD(h, b->id.producer_id);
	ADD(h, b->id.first_ts_ms);
}

static void on_request(void *ctx, const struct wire_request *rq)
{
	struct heard *h = ctx;

	CHECK(rq->client_len <= sizeof(rq->client));
	CHECK(rq->size >= 10 && rq->size <= KAFKA_FRAME_MAX);
	h->calls++;
	ADD(h, rq->corr);
	ADD(h, rq->size);
	ADD(h, rq->api);
	ADD(h, rq->version);
	ADD(h, rq->acks);
	ADD(h, rq->timeout_ms);
	ADD(h, rq->batches);
	add(h, rq->client, rq->client_len);
}

static bool on_match(void *ctx, uint32_t corr, int16_t *api, int16_t *version)
{
	const struct heard *h = ctx;

	*api = h->api & 0x7f;
	*version = h->version & 0xf;
	return !(corr & 0x80);
}

static void on_reply(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
		     const struct wire_reply *r)
{
	struct heard *h = ctx;

	CHECK(rs->matched && rs->api == KAFKA_PRODUCE);
	h->calls++;
	ADD(h, rs->corr);
	add_name(h, topic);
	ADD(h, r->partition);
	ADD(h, r->base_offset);
	ADD(h, r->error);
	ADD(h, r->index);
}

static void on_response(void *ctx, const struct wire_response *rs)
{
	struct heard *h = ctx;

	h->calls++;
	ADD(h, rs->corr);
	ADD(h, rs->size);
	ADD(h, rs->api);
	ADD(h, rs->matched);
	ADD(h, rs->error);
	ADD(h, rs->throttle_ms);
}

static void on_topic(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
		     const uint8_t *id)
{
	struct heard *h = ctx;

	CHECK(rs->matched && rs->api == KAFKA_METADATA && !topic->is_id);
	h->calls++;
	ADD(h, rs->corr);
	add_name(h, topic);
	add(h, id, 16);
}

static const struct wire_request_ops request_ops = { .batch = on_batch, .request = on_request };
static const struct wire_response_ops response_ops = {
	.match = on_match, .reply = on_reply, .response = on_response, .topic = on_topic,
};

/* A piece in memory of exactly its size, so that a read beyond it is seen. */
static uint8_t *piece(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len);

	if (copy && len)
		memcpy(copy, p, len);
	return copy;
}

static void feed(bool responses, struct heard *h, const uint8_t *p, size_t len, size_t cut)
{
	struct wire_responses rs;
	struct wire_requests rq;
	uint8_t *parts[2] = { piece(p, cut), piece(p + cut, len - cut) };
	size_t lens[2] = { cut, len - cut };

	wire_requests_init(&rq);
	wire_responses_init(&rs);
	for (int i = 0; i < 2; i++) {
		if (responses)
			wire_feed_responses(&rs, parts[i], lens[i], 1, &response_ops, h);
		else
			wire_feed_requests(&rq, parts[i], lens[i], 1, &request_ops, h);
		free(parts[i]);
	}
	uint8_t off = responses ? rs.p.off : rq.p.off;

	ADD(h, off);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 4)
		return 0;
	size_t len = size - 4, cut = len ? (size_t)(data[0] << 8 | data[1]) % (len + 1) : 0;

	for (int responses = 0; responses < 2; responses++) {
		struct heard whole = { .hash = 1, .api = data[2], .version = data[3] }, split = whole;

		feed(responses, &whole, data + 4, len, 0);
		feed(responses, &split, data + 4, len, cut);
		CHECK(whole.calls == split.calls);
		CHECK(whole.hash == split.hash);
	}
	return 0;
}
