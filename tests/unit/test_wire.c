// SPDX-License-Identifier: BSD-2-Clause
/*
 * The parser of requests: what it finds in Produce requests of every version, that no
 * split of the bytes changes it; and what both parsers do with bytes that are no Kafka.
 *
 * ACKTRAIL_SEED=N repeats a run of the random splits.
 */
#include "wire_heard.h"

/* ---- requests ------------------------------------------------------------ */

static void expect_request(struct heard *h, const struct made_request *rq)
{
	unsigned n = 0;

	for (unsigned t = 0; t < rq->topics; t++) {
		char topic[KAFKA_TOPIC_MAX + 8];

		made_topic(rq, t, topic);
		if (rq->version >= 13)
			snprintf(topic, sizeof(topic), "id:6964%02x00000000000000000000000000", '0' + t);
		for (unsigned p = 0; p < rq->partitions; p++)
			for (unsigned i = 0; i < rq->batches; i++, n++) {
				struct kafka_batch_id id = made_batch_id(rq, n);

				hear_batch(h, rq->corr, topic, (int32_t)p * 7, n, false, &id);
			}
	}
	hear_request(h, 0, rq->version, rq->corr, rq->acks, rq->timeout_ms, n,
		     rq->client ? rq->client : "", rq->client ? 128 : 0);
}

static void check_request(const struct made_request *rq)
{
	struct heard want = { 0 };
	struct bytes b = { 0 };

	made_other(&b, KAFKA_API_VERSIONS, 3, 0, "app", 30);
	hear_request(&want, KAFKA_API_VERSIONS, 3, 0, 0, 0, 0, "app", 128);
	made_request(&b, rq);
	expect_request(&want, rq);
	check_splits(&b, &want, false);
	check_cut_short(&b, &want, false);
	free(b.p);
	heard_reset(&want);
}

static void every_version_of_request(void **state)
{
	(void)state;
	for (int16_t v = V_MIN; v <= V_MAX; v++) {
		struct made_request rq = {
			.version = v, .acks = -1, .timeout_ms = 30000, .corr = 10u + (unsigned)v,
			.client = "rdkafka", .topic = "orders", .topics = 1, .partitions = 1,
			.batches = 1, .body = 45,
		};

		check_request(&rq);
		rq.topics = 3, rq.partitions = 2, rq.batches = 2, rq.body = 0;
		check_request(&rq);
		rq.tags = 3;
		check_request(&rq);
		rq.transaction = "transaction-1", rq.client = NULL, rq.acks = 1;
		check_request(&rq);
		rq.client = "", rq.topics = 1, rq.partitions = 0;
		check_request(&rq);
		rq.topics = 0;
		check_request(&rq);
	}
}

/* Longer than what is kept: cut, and the rest of the header is still found. */
static void long_client_ids(void **state)
{
	(void)state;
	static const size_t lengths[] = { 127, 128, 129, 255, 256, 257, 1000 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		char client[1001];

		memset(client, 'c', lengths[i]);
		client[lengths[i]] = 0;
		for (int16_t v = V_MIN; v <= V_MAX; v += 5) {
			struct made_request rq = {
				.version = v, .acks = 1, .corr = 4, .client = client, .topic = "t",
				.topics = 1, .partitions = 1, .batches = 1, .body = 5,
			};

			check_request(&rq);
		}
	}
}

static void longest_topic(void **state)
{
	char topic[KAFKA_TOPIC_MAX + 2];

	(void)state;
	memset(topic, 't', sizeof(topic));
	topic[KAFKA_TOPIC_MAX] = 0;
	for (int16_t v = V_MIN; v < KAFKA_PRODUCE_TOPIC_ID; v++) {
		struct made_request rq = {
			.version = v, .acks = 1, .corr = 5, .client = "c", .topic = topic,
			.topics = 2, .partitions = 1, .batches = 1, .body = 9,
		};

		check_request(&rq);
	}
	/* One more byte is no topic. */
	for (int16_t v = V_MIN; v < KAFKA_PRODUCE_TOPIC_ID; v++) {
		struct made_request rq = {
			.version = v, .acks = 1, .client = "c", .topics = 1, .partitions = 1,
			.batches = 1, .topic = topic,
		};
		struct bytes b = { 0 };

		topic[KAFKA_TOPIC_MAX] = 't';
		topic[KAFKA_TOPIC_MAX + 1] = 0;
		made_request(&b, &rq);
		assert_int_equal(off_after(b.p, b.len), WIRE_BROKEN);
		free(b.p);
	}
}

/* Many requests on one connection, each with what was asked of it. */
static void a_whole_connection(void **state)
{
	struct heard want = { 0 };
	struct bytes b = { 0 };

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		struct made_request rq = {
			.version = (int16_t)(V_MIN + i % 11), .acks = (int16_t)((int)(i % 3) - 1),
			.timeout_ms = (int)i, .corr = i, .client = i % 4 ? "app" : NULL,
			.transaction = i % 5 ? NULL : "tx", .topic = "orders", .topics = i % 3,
			.partitions = i % 2 + 1, .batches = 1, .body = i * 3, .tags = i % 2,
		};

		if (i % 7) {
			made_request(&b, &rq);
			expect_request(&want, &rq);
		} else {
			made_other(&b, i ? KAFKA_FETCH : KAFKA_METADATA, 1, i, "app", i * 5);
			hear_request(&want, i ? KAFKA_FETCH : KAFKA_METADATA, 1, i, 0, 0, 0, "app", 128);
		}
	}
	check_splits(&b, &want, false);
	free(b.p);
	heard_reset(&want);
}

/* Versions that we do not read are passed over, and counted. */
static void versions_that_are_not_read(void **state)
{
	(void)state;
	for (int16_t v = 0; v <= 15; v++) {
		struct heard got = { 0 };
		struct bytes b = { 0 };
		struct stream s;

		if (v >= V_MIN && v <= V_MAX)
			continue;
		made_other(&b, KAFKA_PRODUCE, v, 1, "c", 77);
		made_other(&b, KAFKA_METADATA, 1, 2, "c", 7);
		stream_begin(&s, false);
		feed(&s, &got, b.p, b.len);
		assert_int_equal(got.requests, 2);
		assert_int_equal(got.batches, 0);
		assert_int_equal(s.rq.unknown_versions, 1);
		assert_int_equal(off_of(&s), WIRE_ON);
		free(b.p);
		heard_reset(&got);
	}
}

/* Message formats 0 and 1 have no CRC-32C identity: bytes alone are told. */
static void old_message_formats(void **state)
{
	struct made_request rq = {
		.version = 3, .acks = 1, .corr = 3, .client = "c", .topic = "t", .topics = 1,
		.partitions = 1, .batches = 2, .body = 40, .magic = 1,
	};
	struct heard got = { 0 };
	struct bytes b = { 0 };
	struct stream s;

	(void)state;
	made_request(&b, &rq);
	stream_begin(&s, false);
	feed(&s, &got, b.p, b.len);
	assert_int_equal(got.batches, 1);
	assert_non_null(strstr(got.text, "old=1"));
	assert_non_null(strstr(got.text, "bytes=202"));
	assert_int_equal(got.requests, 1);
	free(b.p);
	heard_reset(&got);
}

/* Begin and end are those of the calls that carried the first and the last byte. */
struct times { uint64_t begin, end, batch_begin, batch_end; };

static void times_batch(void *ctx, const struct wire_request *rq, const struct wire_name *topic,
			const struct wire_batch *b)
{
	struct times *t = ctx;

	(void)rq, (void)topic;
	t->batch_begin = b->begin_ns;
	t->batch_end = b->end_ns;
}

static void times_request(void *ctx, const struct wire_request *rq)
{
	struct times *t = ctx;

	t->begin = rq->begin_ns;
	t->end = rq->end_ns;
}

static void times_of_calls(void **state)
{
	static const struct wire_request_ops ops = { .batch = times_batch, .request = times_request };
	struct made_request rq = {
		.version = 9, .acks = 1, .corr = 3, .client = "c", .topic = "t", .topics = 1,
		.partitions = 1, .batches = 1, .body = 40,
	};
	struct bytes b = { 0 };
	size_t end_of_batch, begin_of_batch;

	(void)state;
	made_request(&b, &rq);
	end_of_batch = b.len - 3;		/* three empty lists of tags follow */
	begin_of_batch = end_of_batch - KAFKA_B_SIZE - rq.body;
	for (size_t cut = 1; cut < b.len; cut++) {
		struct wire_requests w;
		struct times t = { 0 };

		wire_requests_init(&w);
		wire_feed_requests(&w, b.p, cut, 100, &ops, &t);
		wire_feed_requests(&w, b.p + cut, b.len - cut, 200, &ops, &t);
		assert_int_equal(t.begin, 100);
		assert_int_equal(t.end, 200);
		assert_int_equal(t.batch_begin, cut > begin_of_batch ? 100 : 200);
		assert_int_equal(t.batch_end, cut >= end_of_batch ? 100 : 200);
	}
	free(b.p);
}

/* ---- what is no Kafka ---------------------------------------------------- */

static void tls_is_tls(void **state)
{
	/* The first bytes of a ClientHello as OpenSSL sends it, TLS 1.0 to 1.2 in the record. */
	uint8_t hello[] = { 0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x11 };

	(void)state;
	for (uint8_t minor = 0; minor <= 4; minor++) {
		hello[2] = minor;
		assert_int_equal(off_after(hello, sizeof(hello)), WIRE_TLS);
		assert_int_equal(off_after(hello, 4), WIRE_TLS);
	}
}

static void others_are_not_kafka(void **state)
{
	static const char *const others[] = {
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /x HTTP/1.1\r\n", "HEAD / HTTP/1.0\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "*1\r\n$4\r\nPING\r\n",
		"EHLO localhost\r\n", "\n\n\n\n\n\n\n\n\n\n\n\n\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(off_after(others[i], strlen(others[i])), WIRE_NOT_KAFKA);
	/* PostgreSQL's first message is length-framed, too: 8 bytes, code 80877103. */
	assert_int_equal(off_after("\0\0\0\x08\x04\xd2\x16\x2f", 8), WIRE_NOT_KAFKA);
	assert_int_equal(off_after("\0\0\0\x54\0\x03\0\0user\0postgres\0", 21), WIRE_NOT_KAFKA);
}

/* Kafka, but not how a connection begins: joined in the middle, it is left alone. */
static void not_how_it_begins(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	made_other(&b, KAFKA_HEARTBEAT, 3, 1, "c", 20);
	assert_int_equal(off_after(b.p, b.len), WIRE_NOT_KAFKA);
	free(b.p);
}

/* A good request, then `b`: the parser is off and says no more than the request. */
static void breaks(const struct bytes *bad)
{
	struct heard got = { 0 };
	struct bytes b = { 0 };
	struct stream s;

	made_other(&b, KAFKA_API_VERSIONS, 3, 1, "c", 9);
	put(&b, bad->p, bad->len);
	made_other(&b, KAFKA_API_VERSIONS, 3, 2, "c", 9);
	stream_begin(&s, false);
	feed(&s, &got, b.p, b.len);
	assert_int_equal(off_of(&s), WIRE_BROKEN);
	assert_int_equal(got.requests, 1);
	feed(&s, &got, b.p, b.len);		/* off for good */
	assert_int_equal(got.requests, 1);
	free(b.p);
	heard_reset(&got);
}

static void impossible_frames(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 9, 0x40000001, 0x7fffffff, 0x80000000, 0xffffffff };
	struct bytes b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		b.len = 0;
		put_be(&b, sizes[i], 4);
		breaks(&b);
	}
	b.len = 0;
	made_other(&b, 1000, 0, 3, "c", 5);
	breaks(&b);
	b.len = 0;
	made_other(&b, -3, 0, 3, "c", 5);
	breaks(&b);
	b.len = 0;
	made_other(&b, KAFKA_METADATA, -1, 3, "c", 5);
	breaks(&b);
	b.len = 0;
	put_be(&b, 10, 4);			/* a client id that is longer than its frame */
	put_be(&b, 3, 2), put_be(&b, 1, 2), put_be(&b, 1, 4), put_be(&b, 500, 2);
	breaks(&b);
	free(b.p);
}

/* Where each count or length of a Produce request stands, made too large for the frame. */
static void counts_too_large(void **state)
{
	static const uint32_t large[] = { 0x00ffffff, 0x3fffffff, 0x7fffffff };

	(void)state;
	for (int16_t v = V_MIN; v <= V_MAX; v++) {
		bool flex = v >= 9;

		for (int where = 0; where < 4; where++) {
			for (size_t i = 0; i < sizeof(large) / sizeof(*large); i++) {
				struct bytes b = { 0 };
				size_t at = frame_begin(&b);

				made_head(&b, 0, v, 3, "c");
				put_tags(&b, flex, 0);
				if (where == 0)
					put_size(&b, flex, flex ? large[i] : 0x7fff, 2);
				else
					put_text(&b, flex, NULL);
				put_be(&b, 0xffff, 2), put_be(&b, 1000, 4);
				put_size(&b, flex, where == 1 ? large[i] : 1, 4);
				if (v >= 13)
					put(&b, (char[16]){ 0 }, 16);
				else
					put_text(&b, flex, "topic");
				put_size(&b, flex, where == 2 ? large[i] : 1, 4);
				put_be(&b, 0, 4);
				put_size(&b, flex, where == 3 ? large[i] : 0, 4);
				for (int k = 0; k < 70; k++)
					put_be(&b, 0, 1);
				frame_end(&b, at);
				breaks(&b);
				free(b.p);
			}
		}
	}
}

/* A varint that never ends, and a list of tags longer than the frame. */
static void endless_varints(void **state)
{
	(void)state;
	for (int tags = 0; tags < 2; tags++) {
		struct bytes b = { 0 };
		size_t at = frame_begin(&b);

		made_head(&b, 0, 9, 3, "c");
		if (tags)
			put_uvarint(&b, 1000000);
		for (int i = 0; i < 30; i++)
			put_be(&b, 0xff, 1);
		frame_end(&b, at);
		breaks(&b);
		free(b.p);
	}
}

/* A batch whose own length says more than its partition has. */
static void batch_longer_than_its_records(void **state)
{
	struct made_request rq = {
		.version = 7, .acks = 1, .corr = 3, .client = "c", .topic = "t", .topics = 1,
		.partitions = 1, .batches = 1, .body = 40,
	};
	static const uint32_t lengths[] = { 0, 48, 90, 0x7fffffff, 0xfffffff4, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct heard got = { 0 };
		struct bytes b = { 0 };
		struct stream s;

		made_request(&b, &rq);
		for (int k = 0; k < 4; k++)	/* the length stands 8 bytes behind the batch's begin */
			b.p[b.len - KAFKA_B_SIZE - 40 + 8 + (size_t)k] = (uint8_t)(lengths[i] >> (24 - 8 * k));
		stream_begin(&s, false);
		feed(&s, &got, b.p, b.len);
		assert_int_equal(off_of(&s), WIRE_ON);
		assert_int_equal(got.batches, 1);
		assert_non_null(strstr(got.text, "old=1"));
		assert_non_null(strstr(got.text, "bytes=101"));
		assert_int_equal(got.requests, 1);
		free(b.p);
		heard_reset(&got);
	}
}

/* Any garbage: no crash, and it is off before it has called back out of bounds. */
static void garbage(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct heard got = { .api = KAFKA_PRODUCE, .version = (int16_t)rnd(14) };
		size_t len = rnd(300);
		struct bytes b = { 0 };
		struct stream s;

		for (size_t i = 0; i < len; i++)
			put_be(&b, rnd(4) ? rnd(256) : 0, 1);
		stream_begin(&s, round % 2);
		feed(&s, &got, b.p, b.len);
		free(b.p);
		heard_reset(&got);
	}
}

/* Good bytes with a few of them changed: never a crash, never more batches than were there. */
static void damaged(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct made_request rq = {
			.version = (int16_t)(V_MIN + rnd(11)), .acks = 1, .corr = 3, .client = "app",
			.topic = "orders", .topics = 2, .partitions = 2, .batches = 1, .body = 10,
			.tags = rnd(3),
		};
		struct made_response rs = {
			.version = rq.version, .corr = 3, .topic = "orders", .topics = 2, .partitions = 2,
			.errors = rnd(3), .tags = rnd(3),
		};
		struct heard got = { .api = KAFKA_PRODUCE, .version = rq.version };
		struct bytes b = { 0 };
		struct stream s;

		if (round % 2)
			made_response(&b, &rs);
		else
			made_request(&b, &rq);
		for (int i = 0; i < 3; i++)
			b.p[rnd((uint32_t)b.len)] = (uint8_t)rnd(256);
		stream_begin(&s, round % 2);
		feed(&s, &got, b.p, b.len);
		feed(&s, &got, b.p, b.len);
		assert_in_range(got.batches, 0, 20);
		free(b.p);
		heard_reset(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_of_request),
		cmocka_unit_test(long_client_ids),
		cmocka_unit_test(longest_topic),
		cmocka_unit_test(a_whole_connection),
		cmocka_unit_test(versions_that_are_not_read),
		cmocka_unit_test(old_message_formats),
		cmocka_unit_test(times_of_calls),
		cmocka_unit_test(tls_is_tls),
		cmocka_unit_test(others_are_not_kafka),
		cmocka_unit_test(not_how_it_begins),
		cmocka_unit_test(impossible_frames),
		cmocka_unit_test(counts_too_large),
		cmocka_unit_test(endless_varints),
		cmocka_unit_test(batch_longer_than_its_records),
		cmocka_unit_test(garbage),
		cmocka_unit_test(damaged),
	};

	seed_from_env();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
