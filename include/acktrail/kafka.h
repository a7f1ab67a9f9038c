/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kafka.h - the wire layout that acktrail relies on: frames, the record batch
 * header (magic 2), the few API keys it names.  Source: the Kafka protocol guide
 * and KIP-98 (batch format), KIP-482 (flexible encoding), KIP-516 (topic ids).
 * All integers on the wire are big endian.
 */
#ifndef ACKTRAIL_KAFKA_H
#define ACKTRAIL_KAFKA_H

#include <stdint.h>

enum kafka_api {
	KAFKA_PRODUCE = 0, KAFKA_FETCH = 1, KAFKA_LIST_OFFSETS = 2, KAFKA_METADATA = 3,
	KAFKA_OFFSET_COMMIT = 8, KAFKA_OFFSET_FETCH = 9, KAFKA_FIND_COORDINATOR = 10,
	KAFKA_JOIN_GROUP = 11, KAFKA_HEARTBEAT = 12, KAFKA_LEAVE_GROUP = 13,
	KAFKA_SYNC_GROUP = 14, KAFKA_SASL_HANDSHAKE = 17, KAFKA_API_VERSIONS = 18,
	KAFKA_CREATE_TOPICS = 19, KAFKA_INIT_PRODUCER_ID = 22,
	KAFKA_ADD_PARTITIONS_TO_TXN = 24, KAFKA_ADD_OFFSETS_TO_TXN = 25,
	KAFKA_END_TXN = 26, KAFKA_TXN_OFFSET_COMMIT = 28, KAFKA_SASL_AUTHENTICATE = 36,
	KAFKA_API_MAX = 127,	/* no public key is above 100 yet */
};

#define KAFKA_PRODUCE_FLEXIBLE	9	/* first Produce version with compact types and tags */
#define KAFKA_PRODUCE_TOPIC_ID	13	/* first that names topics by UUID */
#define KAFKA_PRODUCE_MIN	3	/* first that carries magic 2 */
#define KAFKA_PRODUCE_MAX	13
#define KAFKA_METADATA_MIN	10	/* Metadata responses that carry topic ids */
#define KAFKA_METADATA_MAX	13
#define KAFKA_TOPIC_MAX		249	/* bytes */
#define KAFKA_FRAME_MAX		(1u << 30)	/* librdkafka's own ceiling for message.max.bytes */

/* Offsets inside a record batch (magic 2). */
enum kafka_batch {
	KAFKA_B_BASE_OFFSET = 0,	/* int64, filled in by the broker */
	KAFKA_B_LENGTH = 8,		/* int32, bytes behind this field */
	KAFKA_B_LEADER_EPOCH = 12,	/* int32, filled in by the broker */
	KAFKA_B_MAGIC = 16,		/* int8 */
	KAFKA_B_CRC = 17,		/* uint32, CRC-32C of everything behind it */
	KAFKA_B_ATTRIBUTES = 21,	/* int16 */
	KAFKA_B_LAST_DELTA = 23,	/* int32 */
	KAFKA_B_FIRST_TS = 27,		/* int64 ms */
	KAFKA_B_MAX_TS = 35,		/* int64 ms */
	KAFKA_B_PRODUCER_ID = 43,	/* int64 */
	KAFKA_B_EPOCH = 51,		/* int16 */
	KAFKA_B_SEQUENCE = 53,		/* int32 */
	KAFKA_B_COUNT = 57,		/* int32 */
	KAFKA_B_SIZE = 61,		/* bytes of the header */
	KAFKA_B_OVERHEAD = 12,		/* bytes before what LENGTH counts */
};

#define KAFKA_ATTR_CODEC	0x07
#define KAFKA_ATTR_LOG_APPEND	0x08
#define KAFKA_ATTR_TXN		0x10
#define KAFKA_ATTR_CONTROL	0x20

static inline uint16_t kafka_be16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t kafka_be32(const void *p)
{
	const uint8_t *b = p;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t kafka_be64(const void *p)
{
	return (uint64_t)kafka_be32(p) << 32 | kafka_be32((const uint8_t *)p + 4);
}

/* The identity fields of a batch, decoded from its 61 bytes. */
struct kafka_batch_id {
	int64_t	 base_offset, first_ts_ms, max_ts_ms, producer_id;
	uint32_t bytes;		/* the whole batch: LENGTH + 12 */
	uint32_t crc, count;
	int32_t	 base_sequence;
	int16_t	 epoch;
	uint16_t attributes;
	uint8_t	 magic;
};

static inline void kafka_batch_decode(struct kafka_batch_id *id, const uint8_t *p)
{
	id->base_offset = (int64_t)kafka_be64(p + KAFKA_B_BASE_OFFSET);
	id->bytes = kafka_be32(p + KAFKA_B_LENGTH) + KAFKA_B_OVERHEAD;
	id->magic = p[KAFKA_B_MAGIC];
	id->crc = kafka_be32(p + KAFKA_B_CRC);
	id->attributes = kafka_be16(p + KAFKA_B_ATTRIBUTES);
	id->first_ts_ms = (int64_t)kafka_be64(p + KAFKA_B_FIRST_TS);
	id->max_ts_ms = (int64_t)kafka_be64(p + KAFKA_B_MAX_TS);
	id->producer_id = (int64_t)kafka_be64(p + KAFKA_B_PRODUCER_ID);
	id->epoch = (int16_t)kafka_be16(p + KAFKA_B_EPOCH);
	id->base_sequence = (int32_t)kafka_be32(p + KAFKA_B_SEQUENCE);
	id->count = kafka_be32(p + KAFKA_B_COUNT);
}

#endif
