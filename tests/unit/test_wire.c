// SPDX-License-Identifier: BSD-2-Clause
/*
 * The wire parsers: what they find in Produce requests and responses of every version,
 * that no split of the bytes changes it, and what they do with bytes that are no Kafka.
 *
 * ACKTRAIL_SEED=N repeats a run of the random splits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "make_kafka.h"
#include "wire.h"

#define V_MIN 3
#define V_MAX 13

/* ---- what was called back, as text --------------------------------------- */

struct heard {
	char	*text;
	size_t	 len;
	unsigned batches, requests, replies, responses;
	int16_t	 api, version;		/* of every request, for responses */
};

static void hear(struct heard *h, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	assert_true(n > 0 && n < (int)sizeof(line));
	h->text = realloc(h->text, h->len + (size_t)n + 1);
	memcpy(h->text + h->len, line, (size_t)n + 1);
	h->len += (size_t)n;
}

static void name_text(char out[KAFKA_TOPIC_MAX * 2 + 8], const struct wire_name *name)
{
	int n = snprintf(out, KAFKA_TOPIC_MAX * 2, "%s", name->is_id ? "id:" : "");

	for (int i = 0; i < name->len; i++)
		n += sprintf(out + n, name->is_id ? "%02x" : "%c", (uint8_t)name->text[i]);
}

static void hear_batch(struct heard *h, uint32_t corr, const char *topic, int32_t partition,
		       unsigned index, bool old, const struct kafka_batch_id *id)
{
	h->batches++;
	hear(h, "batch %u %s-%d #%u old=%d off=%lld bytes=%u crc=%08x count=%u ts=%lld..%lld pid=%lld/%d seq=%d attr=%u\n",
	     corr, topic, partition, index, old, (long long)id->base_offset, id->bytes, id->crc,
	     id->count, (long long)id->first_ts_ms, (long long)id->max_ts_ms,
	     (long long)id->producer_id, id->epoch, id->base_sequence, id->attributes);
}

static void on_batch(void *ctx, const struct wire_request *rq, const struct wire_name *topic,
		     const struct wire_batch *b)
{
	char name[KAFKA_TOPIC_MAX * 2 + 8];

	name_text(name, topic);
	assert_true(b->begin_ns <= b->end_ns && rq->begin_ns <= b->begin_ns);
	hear_batch(ctx, rq->corr, name, b->partition, b->index, b->old_format, &b->id);
}

static void hear_request(struct heard *h, int16_t api, int16_t version, uint32_t corr, int16_t acks,
			 int32_t timeout_ms, unsigned batches, const char *client, int client_len)
{
	h->requests++;
	hear(h, "request api=%d v%d corr=%u acks=%d timeout=%d batches=%u client=%.*s\n", api, version,
	     corr, acks, timeout_ms, batches, client_len, client);
}

static void on_request(void *ctx, const struct wire_request *rq)
{
	assert_true(rq->begin_ns <= rq->end_ns);
	hear_request(ctx, rq->api, rq->version, rq->corr, rq->acks, rq->timeout_ms, rq->batches,
		     rq->client, rq->client_len);
}

static const struct wire_request_ops request_ops = { .batch = on_batch, .request = on_request };

/* Odd millions were never sent. */
static bool on_match(void *ctx, uint32_t corr, int16_t *api, int16_t *version)
{
	struct heard *h = ctx;

	*api = h->api;
	*version = h->version;
	return corr < 1000000;
}

static void hear_reply(struct heard *h, uint32_t corr, const char *topic, int32_t partition,
		       unsigned index, int16_t error, int64_t offset)
{
	h->replies++;
	hear(h, "reply %u %s-%d #%u error=%d offset=%lld\n", corr, topic, partition, index, error,
	     (long long)offset);
}

static void on_reply(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
		     const struct wire_reply *r)
{
	char name[KAFKA_TOPIC_MAX * 2 + 8];

	name_text(name, topic);
	hear_reply(ctx, rs->corr, name, r->partition, r->index, r->error, r->base_offset);
}

static void hear_response(struct heard *h, uint32_t corr, uint32_t size, bool matched, int16_t error,
			  int32_t throttle_ms)
{
	h->responses++;
	hear(h, "response %u size=%u matched=%d error=%d throttle=%d\n", corr, size, matched, error,
	     throttle_ms);
}

static void on_response(void *ctx, const struct wire_response *rs)
{
	hear_response(ctx, rs->corr, rs->size, rs->matched, rs->error, rs->throttle_ms);
}

static const struct wire_response_ops response_ops = {
	.match = on_match, .reply = on_reply, .response = on_response,
};

static void heard_reset(struct heard *h)
{
	free(h->text);
	*h = (struct heard){ .api = h->api, .version = h->version };
}

/* ---- feeding ------------------------------------------------------------- */

/* Either direction, so that every property is stated once. */
struct stream {
	bool	 responses;
	struct wire_requests rq;
	struct wire_responses rs;
};

static void stream_begin(struct stream *s, bool responses)
{
	s->responses = responses;
	wire_requests_init(&s->rq);
	wire_responses_init(&s->rs);
}

static void feed_at(struct stream *s, struct heard *h, const uint8_t *p, size_t len, uint64_t now)
{
	/* A copy of its own size: a read beyond it is seen by valgrind and ASan. */
	uint8_t *copy = malloc(len ? len : 1);

	if (len)
		memcpy(copy, p, len);
	if (s->responses)
		wire_feed_responses(&s->rs, copy, len, now, &response_ops, h);
	else
		wire_feed_requests(&s->rq, copy, len, now, &request_ops, h);
	free(copy);
}

static void feed(struct stream *s, struct heard *h, const uint8_t *p, size_t len)
{
	feed_at(s, h, p, len, 1);
}

static enum wire_off off_of(const struct stream *s)
{
	return (enum wire_off)(s->responses ? s->rs.p.off : s->rq.p.off);
}

static enum wire_off off_after(const void *p, size_t len)
{
	struct heard h = { 0 };
	struct stream s;

	stream_begin(&s, false);
	feed(&s, &h, p, len);
	assert_int_equal(h.batches + h.requests, 0);
	return off_of(&s);
}

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static void same(const struct heard *want, const struct heard *got, const char *how, size_t at)
{
	if ((want->text ? want->text : "") == got->text || (want->text && got->text &&
							     !strcmp(want->text, got->text)))
		return;
	if (!want->len && !got->len)
		return;
	fail_msg("%s at %zu:\n--- want\n%s--- got\n%s", how, at, want->text ? want->text : "",
		 got->text ? got->text : "");
}

/* Every single cut; byte by byte; random pieces: always the same callbacks. */
static void check_splits(const struct bytes *b, const struct heard *want, bool responses)
{
	struct heard got = { .api = want->api, .version = want->version };
	struct stream s;

	for (size_t cut = 0; cut <= b->len; cut++) {
		stream_begin(&s, responses);
		feed(&s, &got, b->p, cut);
		feed(&s, &got, b->p + cut, b->len - cut);
		same(want, &got, "cut", cut);
		assert_int_equal(off_of(&s), WIRE_ON);
		heard_reset(&got);
	}
	stream_begin(&s, responses);
	for (size_t i = 0; i < b->len; i++)
		feed(&s, &got, b->p + i, 1);
	same(want, &got, "byte by byte", 0);
	heard_reset(&got);
	for (int round = 0; round < 50; round++) {
		stream_begin(&s, responses);
		for (size_t at = 0; at < b->len; ) {
			size_t n = rnd(rnd(2) ? 9 : 400);

			n = n < b->len - at ? n : b->len - at;
			feed(&s, &got, b->p + at, n);
			at += n;
		}
		same(want, &got, "random split, round", (size_t)round);
		heard_reset(&got);
	}
}

/* Cut short anywhere: what was called back is a beginning of what would have been. */
static void check_cut_short(const struct bytes *b, const struct heard *want, bool responses)
{
	struct heard got = { .api = want->api, .version = want->version };
	struct stream s;

	for (size_t len = 0; len < b->len; len++) {
		stream_begin(&s, responses);
		feed(&s, &got, b->p, len);
		assert_true(got.len < want->len);
		if (got.len && strncmp(want->text, got.text, got.len))
			fail_msg("cut short at %zu:\n%s", len, got.text);
		assert_int_equal(off_of(&s), WIRE_ON);
		heard_reset(&got);
	}
}

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

/* ---- responses ----------------------------------------------------------- */

static void expect_response(struct heard *h, const struct made_response *rs, uint32_t size)
{
	struct made_request names = { .topic = rs->topic };
	unsigned n = 0;

	for (unsigned t = 0; t < rs->topics; t++) {
		char topic[KAFKA_TOPIC_MAX + 8];

		made_topic(&names, t, topic);
		if (rs->version >= 13)
			snprintf(topic, sizeof(topic), "id:6964%02x00000000000000000000000000", '0' + t);
		for (unsigned p = 0; p < rs->partitions; p++, n++)
			hear_reply(h, rs->corr, topic, (int32_t)p * 7, n, rs->error, made_offset(rs, n));
	}
	hear_response(h, rs->corr, size, true, n ? rs->error : 0, rs->throttle_ms);
}

static void check_response(const struct made_response *rs)
{
	struct heard want = { .api = KAFKA_PRODUCE, .version = rs->version };
	struct bytes b = { 0 };
	size_t at;

	for (int i = 0; i < 2; i++) {
		at = b.len;
		made_response(&b, rs);
		expect_response(&want, rs, (uint32_t)(b.len - at - 4));
	}
	check_splits(&b, &want, true);
	check_cut_short(&b, &want, true);
	free(b.p);
	heard_reset(&want);
}

static void every_version_of_response(void **state)
{
	(void)state;
	for (int16_t v = V_MIN; v <= V_MAX; v++) {
		struct made_response rs = {
			.version = v, .corr = 40u + (unsigned)v, .topic = "orders", .topics = 1,
			.partitions = 1, .throttle_ms = 250,
		};

		check_response(&rs);
		rs.topics = 3, rs.partitions = 2, rs.error = 87;
		check_response(&rs);
		rs.errors = 3, rs.tags = 2;
		check_response(&rs);
		rs.topics = 0, rs.error = 0;
		check_response(&rs);
	}
}

/* An answer to what was not seen is passed over; the one behind it is read. */
static void unmatched_response(void **state)
{
	struct made_response rs = { .version = 9, .corr = 1000001, .topic = "t", .topics = 1, .partitions = 1 };
	struct heard got = { .api = KAFKA_PRODUCE, .version = 9 };
	struct bytes b = { 0 };
	struct stream s;

	(void)state;
	made_response(&b, &rs);
	rs.corr = 5;
	made_response(&b, &rs);
	stream_begin(&s, true);
	feed(&s, &got, b.p, b.len);
	assert_int_equal(got.replies, 1);
	assert_int_equal(got.responses, 2);
	assert_non_null(strstr(got.text, " matched=0"));
	assert_non_null(strstr(got.text, "reply 5 t-0"));
	free(b.p);
	heard_reset(&got);
}

/* Where other answers carry their error, with the plain and the flexible header. */
static void errors_of_other_apis(void **state)
{
	static const struct { int16_t api, version; bool flexible, throttle; int16_t error; int32_t throttled; } others[] = {
		{ KAFKA_API_VERSIONS, 0, false, false, 35, 0 },
		{ KAFKA_API_VERSIONS, 3, false, false, 35, 0 },	/* KIP-511: the plain header for ever */
		{ KAFKA_SASL_HANDSHAKE, 1, false, false, 33, 0 },
		{ KAFKA_SASL_AUTHENTICATE, 2, true, false, 58, 0 },
		{ KAFKA_INIT_PRODUCER_ID, 1, false, true, 51, 120 },
		{ KAFKA_INIT_PRODUCER_ID, 4, true, true, 51, 120 },
		{ KAFKA_HEARTBEAT, 0, false, false, 0, 0 },	/* its error is not looked for */
		{ KAFKA_HEARTBEAT, 4, true, true, 27, 9 },
		{ KAFKA_END_TXN, 3, true, true, 47, 1 },
		{ KAFKA_FETCH, 12, true, false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct heard want = { .api = others[i].api, .version = others[i].version };
		struct bytes b = { 0 };
		size_t at = frame_begin(&b);

		put_be(&b, 6, 4);
		put_tags(&b, others[i].flexible, 2);
		if (others[i].throttle)
			put_be(&b, (uint32_t)others[i].throttled, 4);
		put_be(&b, (uint16_t)others[i].error, 2);
		for (int k = 0; k < 20; k++)
			put_be(&b, 0, 1);
		frame_end(&b, at);
		hear_response(&want, 6, (uint32_t)b.len - 4, true, others[i].error, others[i].throttled);
		check_splits(&b, &want, true);
		free(b.p);
		heard_reset(&want);
	}
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
		cmocka_unit_test(every_version_of_response),
		cmocka_unit_test(unmatched_response),
		cmocka_unit_test(errors_of_other_apis),
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
	const char *given = getenv("ACKTRAIL_SEED");

	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	printf("ACKTRAIL_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
