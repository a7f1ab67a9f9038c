// SPDX-License-Identifier: BSD-2-Clause
/*
 * The parser of responses: what it finds in Produce responses of every version, the
 * errors of other APIs, and topics' ids in Metadata; that no split of the bytes changes it.
 */
#include "wire_heard.h"

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

/* ---- Metadata ------------------------------------------------------------ */

static void expect_metadata(struct heard *h, const struct made_metadata *md, uint32_t size)
{
	for (unsigned t = 0; t < md->topics; t++) {
		char topic[KAFKA_TOPIC_MAX + 8];
		uint8_t id[16];

		made_metadata_id(md, t, id);
		if (made_metadata_name(md, t, topic) && (t || !md->no_id))
			hear_topic(h, md->corr, topic, id);
	}
	hear_response(h, md->corr, size, true, 0, md->throttle_ms);
}

static void check_metadata(const struct made_metadata *md)
{
	struct heard want = { .api = KAFKA_METADATA, .version = md->version };
	struct bytes b = { 0 };
	size_t at;

	for (int i = 0; i < 2; i++) {
		at = b.len;
		made_metadata(&b, md);
		expect_metadata(&want, md, (uint32_t)(b.len - at - 4));
	}
	check_splits(&b, &want, true);
	check_cut_short(&b, &want, true);
	free(b.p);
	heard_reset(&want);
}

static void names_of_ids(void **state)
{
	char longest[KAFKA_TOPIC_MAX + 1];

	(void)state;
	memset(longest, 'n', KAFKA_TOPIC_MAX);
	longest[KAFKA_TOPIC_MAX] = 0;
	for (int16_t v = KAFKA_METADATA_MIN; v <= KAFKA_METADATA_MAX; v++) {
		struct made_metadata md = {
			.version = v, .corr = 7, .topic = "orders", .topics = 1, .partitions = 1,
			.brokers = 1, .replicas = 1, .throttle_ms = 50,
		};

		check_metadata(&md);
		md.topics = md.partitions = md.brokers = md.replicas = 3, md.tags = 2;
		check_metadata(&md);
		md.rack = "a rack", md.no_name = md.no_id = true;	/* asked by an unknown id */
		check_metadata(&md);
		md.topics = 2, md.too_long = true;	/* nonsense that was asked for is echoed */
		check_metadata(&md);
		md = (struct made_metadata){ .version = v, .corr = 8, .topic = longest, .topics = 1 };
		check_metadata(&md);
		md.topics = 0;
		check_metadata(&md);
	}
}

/* Of versions without ids, and of those that nobody knows yet, no byte is looked at. */
static void metadata_of_other_versions(void **state)
{
	(void)state;
	for (int16_t v = 0; v <= KAFKA_METADATA_MAX + 2; v++) {
		struct heard want = { .api = KAFKA_METADATA, .version = v };
		struct bytes b = { 0 };
		size_t at;

		if (v >= KAFKA_METADATA_MIN && v <= KAFKA_METADATA_MAX)
			continue;
		at = frame_begin(&b);
		put_be(&b, 7, 4);
		for (int i = 0; i < 60; i++)
			put_be(&b, 0xff, 1);
		frame_end(&b, at);
		hear_response(&want, 7, (uint32_t)b.len - 4, true, 0, 0);
		check_splits(&b, &want, true);
		free(b.p);
		heard_reset(&want);
	}
}

/* Any byte of it changed: the parser ends within its frame or turns itself off. */
static void damaged_metadata(void **state)
{
	struct made_metadata md = {
		.version = 13, .corr = 7, .topic = "orders", .topics = 2, .partitions = 2, .brokers = 2,
		.replicas = 2,
	};
	struct bytes b = { 0 };
	unsigned off = 0;

	(void)state;
	made_metadata(&b, &md);
	for (size_t i = 8; i < b.len; i++) {
		struct heard got = { .api = KAFKA_METADATA, .version = 13 };
		uint8_t was = b.p[i];
		struct stream s;

		b.p[i] = (uint8_t)(was + 1 + rnd(255));
		stream_begin(&s, true);
		feed(&s, &got, b.p, b.len);
		assert_true(off_of(&s) || got.responses == 1);
		off += off_of(&s) != WIRE_ON;
		b.p[i] = was;
		heard_reset(&got);
	}
	assert_true(off > 0);
	free(b.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_of_response),
		cmocka_unit_test(unmatched_response),
		cmocka_unit_test(errors_of_other_apis),
		cmocka_unit_test(names_of_ids),
		cmocka_unit_test(metadata_of_other_versions),
		cmocka_unit_test(damaged_metadata),
	};

	seed_from_env();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
