/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire_heard.h - for the tests of the wire parsers: what a parser calls back as text, and
 * that no split of the bytes changes it.
 *
 * ACKTRAIL_SEED=N repeats a run of the random splits.
 */
#ifndef ACKTRAIL_WIRE_HEARD_H
#define ACKTRAIL_WIRE_HEARD_H

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
	unsigned batches, requests, replies, responses, topics;
	int16_t	 api, version;		/* of every request, for responses */
};

static inline void hear(struct heard *h, const char *format, ...)
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

static inline void name_text(char out[KAFKA_TOPIC_MAX * 2 + 8], const struct wire_name *name)
{
	int n = snprintf(out, KAFKA_TOPIC_MAX * 2, "%s", name->is_id ? "id:" : "");

	for (int i = 0; i < name->len; i++)
		n += sprintf(out + n, name->is_id ? "%02x" : "%c", (uint8_t)name->text[i]);
}

static inline void hear_batch(struct heard *h, uint32_t corr, const char *topic, int32_t partition,
		       unsigned index, bool old, const struct kafka_batch_id *id)
{
	h->batches++;
	hear(h, "batch %u %s-%d #%u old=%d off=%lld bytes=%u crc=%08x count=%u ts=%lld..%lld pid=%lld/%d seq=%d attr=%u\n",
	     corr, topic, partition, index, old, (long long)id->base_offset, id->bytes, id->crc,
	     id->count, (long long)id->first_ts_ms, (long long)id->max_ts_ms,
	     (long long)id->producer_id, id->epoch, id->base_sequence, id->attributes);
}

static inline void on_batch(void *ctx, const struct wire_request *rq, const struct wire_name *topic,
		     const struct wire_batch *b)
{
	char name[KAFKA_TOPIC_MAX * 2 + 8];

	name_text(name, topic);
	assert_true(b->begin_ns <= b->end_ns && rq->begin_ns <= b->begin_ns);
	hear_batch(ctx, rq->corr, name, b->partition, b->index, b->old_format, &b->id);
}

static inline void hear_request(struct heard *h, int16_t api, int16_t version, uint32_t corr, int16_t acks,
			 int32_t timeout_ms, unsigned batches, const char *client, int client_len)
{
	h->requests++;
	hear(h, "request api=%d v%d corr=%u acks=%d timeout=%d batches=%u client=%.*s\n", api, version,
	     corr, acks, timeout_ms, batches, client_len, client);
}

static inline void on_request(void *ctx, const struct wire_request *rq)
{
	assert_true(rq->begin_ns <= rq->end_ns);
	hear_request(ctx, rq->api, rq->version, rq->corr, rq->acks, rq->timeout_ms, rq->batches,
		     rq->client, rq->client_len);
}

static const struct wire_request_ops request_ops __attribute__((unused)) = { .batch = on_batch, .request = on_request };

/* Odd millions were never sent. */
static inline bool on_match(void *ctx, uint32_t corr, int16_t *api, int16_t *version)
{
	struct heard *h = ctx;

	*api = h->api;
	*version = h->version;
	return corr < 1000000;
}

static inline void hear_reply(struct heard *h, uint32_t corr, const char *topic, int32_t partition,
		       unsigned index, int16_t error, int64_t offset)
{
	h->replies++;
	hear(h, "reply %u %s-%d #%u error=%d offset=%lld\n", corr, topic, partition, index, error,
	     (long long)offset);
}

static inline void on_reply(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
		     const struct wire_reply *r)
{
	char name[KAFKA_TOPIC_MAX * 2 + 8];

	name_text(name, topic);
	hear_reply(ctx, rs->corr, name, r->partition, r->index, r->error, r->base_offset);
}

static inline void hear_response(struct heard *h, uint32_t corr, uint32_t size, bool matched, int16_t error,
			  int32_t throttle_ms)
{
	h->responses++;
	hear(h, "response %u size=%u matched=%d error=%d throttle=%d\n", corr, size, matched, error,
	     throttle_ms);
}

static inline void on_response(void *ctx, const struct wire_response *rs)
{
	hear_response(ctx, rs->corr, rs->size, rs->matched, rs->error, rs->throttle_ms);
}

/* Metadata: that topic has that id. */
static inline void hear_topic(struct heard *h, uint32_t corr, const char *name, const uint8_t *id)
{
	h->topics++;
	hear(h, "topic %u %s is ", corr, name);
	for (int i = 0; i < 16; i++)
		hear(h, "%02x%s", id[i], i == 15 ? "\n" : "");
}

static inline void on_topic(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
			    const uint8_t *id)
{
	assert_true(rs->matched && !topic->is_id && topic->len);
	hear_topic(ctx, rs->corr, topic->text, id);
}

static const struct wire_response_ops response_ops = {
	.match = on_match, .reply = on_reply, .response = on_response, .topic = on_topic,
};

static inline void heard_reset(struct heard *h)
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

static inline void stream_begin(struct stream *s, bool responses)
{
	s->responses = responses;
	wire_requests_init(&s->rq);
	wire_responses_init(&s->rs);
}

static inline void feed_at(struct stream *s, struct heard *h, const uint8_t *p, size_t len, uint64_t now)
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

static inline void feed(struct stream *s, struct heard *h, const uint8_t *p, size_t len)
{
	feed_at(s, h, p, len, 1);
}

static inline enum wire_off off_of(const struct stream *s)
{
	return (enum wire_off)(s->responses ? s->rs.p.off : s->rq.p.off);
}

static inline enum wire_off off_after(const void *p, size_t len)
{
	struct heard h = { 0 };
	struct stream s;

	stream_begin(&s, false);
	feed(&s, &h, p, len);
	assert_int_equal(h.batches + h.requests, 0);
	return off_of(&s);
}

static uint64_t seed;

static inline uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static inline void same(const struct heard *want, const struct heard *got, const char *how, size_t at)
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
static inline void check_splits(const struct bytes *b, const struct heard *want, bool responses)
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
static inline void check_cut_short(const struct bytes *b, const struct heard *want, bool responses)
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

static inline void seed_from_env(void)
{
	const char *given = getenv("ACKTRAIL_SEED");

	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	printf("ACKTRAIL_SEED=%llu\n", (unsigned long long)seed);
}

#endif
