/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_kafka.h - Kafka's bytes made by hand, for tests: Produce requests and
 * responses of versions 3 to 13, and frames of other APIs.
 *
 * Written from the protocol guide, not from the parser: what is built here is said
 * in a struct, so a test knows what the parser has to find.
 *
 *	struct bytes b = { 0 };
 *	struct made_request rq = { .version = 9, .corr = 7, .client = "c", .topics = 1,
 *				   .partitions = 1, .batches = 1, .body = 20, .topic = "t" };
 *	made_request(&b, &rq);
 *	free(b.p);
 */
#ifndef ACKTRAIL_MAKE_KAFKA_H
#define ACKTRAIL_MAKE_KAFKA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>

struct bytes { uint8_t *p; size_t len, room; };

static inline void put(struct bytes *b, const void *from, size_t len)
{
	if (b->len + len > b->room) {
		b->room = (b->len + len) * 2;
		b->p = realloc(b->p, b->room);
		if (!b->p)
			abort();
	}
	if (len)
		memcpy(b->p + b->len, from, len);
	b->len += len;
}

static inline void put_be(struct bytes *b, uint64_t value, unsigned bytes)
{
	while (bytes--)
		put(b, &(uint8_t){ (uint8_t)(value >> (8 * bytes)) }, 1);
}

static inline void put_uvarint(struct bytes *b, uint64_t value)
{
	for (; value > 127; value >>= 7)
		put(b, &(uint8_t){ (uint8_t)(value | 0x80) }, 1);
	put(b, &(uint8_t){ (uint8_t)value }, 1);
}

/* A length or count as that encoding has it; -1: null. */
static inline void put_size(struct bytes *b, bool flexible, int64_t n, unsigned plain_bytes)
{
	if (flexible)
		put_uvarint(b, (uint64_t)(n + 1));
	else
		put_be(b, (uint64_t)n, plain_bytes);
}

static inline void put_text(struct bytes *b, bool flexible, const char *text)
{
	put_size(b, flexible, text ? (int64_t)strlen(text) : -1, 2);
	if (text)
		put(b, text, strlen(text));
}

/* n tagged fields; nothing where the encoding has none. */
static inline void put_tags(struct bytes *b, bool flexible, unsigned n)
{
	if (!flexible)
		return;
	put_uvarint(b, n);
	for (unsigned i = 0; i < n; i++) {
		put_uvarint(b, 200 + i);
		put_uvarint(b, i * 3);
		put(b, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", i * 3 < 30 ? i * 3 : 30);
	}
}

static inline size_t frame_begin(struct bytes *b)
{
	put_be(b, 0, 4);
	return b->len;
}

static inline void frame_end(struct bytes *b, size_t begin)
{
	uint32_t n = (uint32_t)(b->len - begin);

	for (int i = 0; i < 4; i++)
		b->p[begin - 4 + (size_t)i] = (uint8_t)(n >> (24 - 8 * i));
}

/* ---- requests ------------------------------------------------------------ */

struct made_request {
	int16_t	 version, acks;
	int32_t	 timeout_ms;
	uint32_t corr;
	const char *client, *transaction;	/* NULL: null */
	const char *topic;		/* of the first; the others add a digit.  Since v13 an id */
	unsigned topics, partitions, batches;
	unsigned body;			/* bytes of records behind each batch header */
	unsigned tags;			/* tagged fields wherever there may be some */
	uint8_t	 magic;			/* 0: 2, as usual; 1: the format before */
};

/* The n-th batch of a request is this. */
static inline struct kafka_batch_id made_batch_id(const struct made_request *rq, unsigned n)
{
	return (struct kafka_batch_id){
		.base_offset = 0, .bytes = KAFKA_B_SIZE + rq->body, .crc = 0xc0000000u + rq->corr * 100 + n,
		.count = n + 1, .first_ts_ms = 1700000000000 + n, .max_ts_ms = 1700000000500 + n,
		.producer_id = n % 2 ? -1 : 4000 + (int64_t)n, .base_sequence = n % 2 ? -1 : (int32_t)(n * 10),
		.epoch = (int16_t)(n % 2 ? -1 : 3), .attributes = (uint16_t)(n % 5), .magic = 2,
	};
}

static inline void made_topic(const struct made_request *rq, unsigned n, char out[KAFKA_TOPIC_MAX + 8])
{
	if (n)
		snprintf(out, KAFKA_TOPIC_MAX + 8, "%.*s%u", KAFKA_TOPIC_MAX - 2, rq->topic, n % 10);
	else
		snprintf(out, KAFKA_TOPIC_MAX + 8, "%s", rq->topic);
}

static inline void put_batch(struct bytes *b, const struct kafka_batch_id *id, uint8_t magic)
{
	put_be(b, (uint64_t)id->base_offset, 8);
	put_be(b, id->bytes - KAFKA_B_OVERHEAD, 4);
	put_be(b, 0xffffffff, 4);		/* leader epoch */
	put_be(b, magic, 1);
	put_be(b, id->crc, 4);
	put_be(b, id->attributes, 2);
	put_be(b, id->count - 1, 4);
	put_be(b, (uint64_t)id->first_ts_ms, 8);
	put_be(b, (uint64_t)id->max_ts_ms, 8);
	put_be(b, (uint64_t)id->producer_id, 8);
	put_be(b, (uint16_t)id->epoch, 2);
	put_be(b, (uint32_t)id->base_sequence, 4);
	put_be(b, id->count, 4);
	for (unsigned i = KAFKA_B_SIZE; i < id->bytes; i++)
		put_be(b, i * 37, 1);		/* records: never looked at */
}

static inline void made_head(struct bytes *b, int16_t api, int16_t version, uint32_t corr,
			     const char *client)
{
	put_be(b, (uint16_t)api, 2);
	put_be(b, (uint16_t)version, 2);
	put_be(b, corr, 4);
	put_text(b, false, client);		/* never compact: KIP-482 */
}

static inline void made_request(struct bytes *b, const struct made_request *rq)
{
	bool flex = rq->version >= 9;
	size_t at = frame_begin(b);
	unsigned n = 0;

	made_head(b, 0, rq->version, rq->corr, rq->client);
	put_tags(b, flex, rq->tags);
	put_text(b, flex, rq->transaction);
	put_be(b, (uint16_t)rq->acks, 2);
	put_be(b, (uint32_t)rq->timeout_ms, 4);
	put_size(b, flex, rq->topics, 4);
	for (unsigned t = 0; t < rq->topics; t++) {
		char topic[KAFKA_TOPIC_MAX + 8];

		made_topic(rq, t, topic);
		if (rq->version >= 13)
			put(b, (char[16]){ 'i', 'd', (char)('0' + t) }, 16);
		else
			put_text(b, flex, topic);
		put_size(b, flex, rq->partitions, 4);
		for (unsigned p = 0; p < rq->partitions; p++) {
			put_be(b, p * 7, 4);
			put_size(b, flex, (int64_t)rq->batches * (KAFKA_B_SIZE + rq->body), 4);
			for (unsigned i = 0; i < rq->batches; i++, n++) {
				struct kafka_batch_id id = made_batch_id(rq, n);

				put_batch(b, &id, rq->magic ? rq->magic : 2);
			}
			put_tags(b, flex, rq->tags);
		}
		put_tags(b, flex, rq->tags);
	}
	put_tags(b, flex, rq->tags);
	frame_end(b, at);
}

/* A request of another API: a header and a body that nobody reads. */
static inline void made_other(struct bytes *b, int16_t api, int16_t version, uint32_t corr,
			      const char *client, size_t body)
{
	size_t at = frame_begin(b);

	made_head(b, api, version, corr, client);
	while (body--)
		put_be(b, body, 1);
	frame_end(b, at);
}

/* ---- responses ----------------------------------------------------------- */

struct made_response {
	int16_t	 version;
	uint32_t corr;
	const char *topic;
	unsigned topics, partitions, errors;	/* record_errors of each partition, since v8 */
	int32_t	 throttle_ms;
	int16_t	 error;				/* of every partition */
	unsigned tags;
};

static inline int64_t made_offset(const struct made_response *rs, unsigned n)
{
	return (int64_t)rs->corr * 1000 + n;
}

static inline void made_record_errors(struct bytes *b, const struct made_response *rs, bool flex)
{
	put_size(b, flex, rs->errors, 4);
	for (unsigned i = 0; i < rs->errors; i++) {
		put_be(b, i, 4);
		put_text(b, flex, i % 2 ? "this record is bad" : NULL);
		put_tags(b, flex, rs->tags);
	}
	put_text(b, flex, rs->errors ? "the batch is bad" : NULL);
}

static inline void made_response(struct bytes *b, const struct made_response *rs)
{
	struct made_request names = { .topic = rs->topic };
	bool flex = rs->version >= 9;
	size_t at = frame_begin(b);
	unsigned n = 0;

	put_be(b, rs->corr, 4);
	put_tags(b, flex, rs->tags);
	put_size(b, flex, rs->topics, 4);
	for (unsigned t = 0; t < rs->topics; t++) {
		char topic[KAFKA_TOPIC_MAX + 8];

		made_topic(&names, t, topic);
		if (rs->version >= 13)
			put(b, (char[16]){ 'i', 'd', (char)('0' + t) }, 16);
		else
			put_text(b, flex, topic);
		put_size(b, flex, rs->partitions, 4);
		for (unsigned p = 0; p < rs->partitions; p++, n++) {
			put_be(b, p * 7, 4);
			put_be(b, (uint16_t)rs->error, 2);
			put_be(b, (uint64_t)made_offset(rs, n), 8);
			put_be(b, (uint64_t)-1, 8);	/* log append time */
			if (rs->version >= 5)
				put_be(b, 0, 8);	/* log start offset */
			if (rs->version >= 8)
				made_record_errors(b, rs, flex);
			put_tags(b, flex, rs->tags);
		}
		put_tags(b, flex, rs->tags);
	}
	put_be(b, (uint32_t)rs->throttle_ms, 4);
	put_tags(b, flex, rs->tags);
	frame_end(b, at);
}

/* ---- Metadata responses, versions 10 to 13 --------------------------------- */

struct made_metadata {
	int16_t	 version;
	uint32_t corr;
	const char *topic, *rack;
	unsigned topics, partitions, brokers, replicas;
	int32_t	 throttle_ms;
	bool	 no_name, no_id;	/* of the first topic */
	bool	 too_long;		/* the first topic's name */
	unsigned tags;
};

/* False: that topic's name is not one that can be kept. */
static inline bool made_metadata_name(const struct made_metadata *md, unsigned n,
				      char out[KAFKA_TOPIC_MAX + 8])
{
	struct made_request names = { .topic = md->topic };

	made_topic(&names, n, out);
	return n || !(md->no_name || md->too_long);
}

static inline void made_metadata_id(const struct made_metadata *md, unsigned n, uint8_t out[16])
{
	memset(out, 0, 16);
	if (n || !md->no_id)
		memcpy(out, (char[16]){ 'i', 'd', (char)('0' + n) }, 16);	/* as Produce has it */
}

static inline void put_ints(struct bytes *b, unsigned n)
{
	put_uvarint(b, n + 1);
	while (n--)
		put_be(b, n, 4);
}

static inline void put_metadata_topic(struct bytes *b, const struct made_metadata *md, unsigned n)
{
	char topic[KAFKA_TOPIC_MAX + 8], nonsense[401];
	uint8_t id[16];

	memset(nonsense, 'x', sizeof(nonsense) - 1);
	nonsense[sizeof(nonsense) - 1] = 0;
	put_be(b, 0, 2);
	if (made_metadata_name(md, n, topic))
		put_text(b, true, topic);
	else
		put_text(b, true, md->too_long ? nonsense : NULL);
	made_metadata_id(md, n, id);
	put(b, id, 16);
	put_be(b, 0, 1);			/* internal */
	put_size(b, true, md->partitions, 4);
	for (unsigned p = 0; p < md->partitions; p++) {
		put_be(b, 0, 2);
		put_be(b, p, 4);
		put_be(b, 1, 4);		/* leader */
		put_be(b, 5, 4);		/* its epoch */
		put_ints(b, md->replicas);
		put_ints(b, md->replicas);
		put_ints(b, 0);
		put_tags(b, true, md->tags);
	}
	put_be(b, 0x80000000, 4);		/* operations */
	put_tags(b, true, md->tags);
}

static inline void made_metadata(struct bytes *b, const struct made_metadata *md)
{
	size_t at = frame_begin(b);

	put_be(b, md->corr, 4);
	put_tags(b, true, md->tags);
	put_be(b, (uint32_t)md->throttle_ms, 4);
	put_size(b, true, md->brokers, 4);
	for (unsigned i = 0; i < md->brokers; i++) {
		put_be(b, i + 1, 4);
		put_text(b, true, "broker.example");
		put_be(b, 9092, 4);
		put_text(b, true, md->rack);
		put_tags(b, true, md->tags);
	}
	put_text(b, true, "cluster");
	put_be(b, 1, 4);
	put_size(b, true, md->topics, 4);
	for (unsigned t = 0; t < md->topics; t++)
		put_metadata_topic(b, md, t);
	if (md->version == 10)
		put_be(b, 0x80000000, 4);
	if (md->version >= 13)
		put_be(b, 0, 2);
	put_tags(b, true, md->tags);
	frame_end(b, at);
}

#endif
