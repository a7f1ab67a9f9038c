/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_begin.c - where a frame begins in a stream that is read from its middle on: at its
 * beginning, and nowhere else in it, whatever the records hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "make_kafka.h"
#include "wire.h"

/* A request of that version whose records are made of `what`; where its records begin is at the end. */
static struct bytes request(int16_t version, uint32_t seed)
{
	struct made_request rq = {
		.version = version, .acks = -1, .timeout_ms = 30000, .corr = 7, .client = "rdkafka",
		.topic = "orders", .topics = 1, .partitions = 1, .batches = 1, .body = 4000,
	};
	struct bytes b = { 0 };

	made_request(&b, &rq);
	/* Behind the batch's header: what an app sends. */
	for (size_t i = b.len - 3900; i < b.len - 16; i++) {
		static const char text[] = "{\"id\":4711,\"name\":\"Miller\"}\n";

		switch (seed % 4) {
		case 0: b.p[i] = 0; break;
		case 1: b.p[i] = (uint8_t)text[i % (sizeof(text) - 1)]; break;
		case 2: b.p[i] = i % 4 == 3 ? (uint8_t)(i / 4) : 0; break;	/* small integers */
		default: seed = seed * 1664525u + 1013904223u; b.p[i] = (uint8_t)(seed >> 24); seed |= 3;
		}
	}
	return b;
}

static void test_requests(void **state)
{
	(void)state;
	for (int16_t version = 3; version <= 13; version++)
		for (uint32_t seed = 0; seed < 40; seed++) {
			struct bytes b = request(version, seed);

			assert_true(wire_request_begins(b.p, b.len));
			assert_true(wire_request_begins(b.p, 14 + strlen("rdkafka")));
			assert_false(wire_request_begins(b.p, 13 + strlen("rdkafka")));
			for (size_t i = 1; i < b.len; i++)
				if (wire_request_begins(b.p + i, b.len - i))
					fail_msg("version %d seed %u: one begins at %zu of %zu", version, seed, i, b.len);
			free(b.p);
		}
}

static void test_others(void **state)
{
	static const uint8_t http[] = "POST /orders HTTP/1.1\r\nHost: example.org\r\n\r\n";
	static const uint8_t hello[] = { 22, 3, 1, 0, 4, 1, 2, 3, 4 }, data[] = { 23, 3, 3, 0, 2, 9, 9, 23, 3, 3, 0, 1, 7 };
	static const uint8_t nameless[] = { 0, 0, 0, 20, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0 };

	(void)state;
	assert_false(wire_request_begins(http, sizeof(http)));
	assert_false(wire_request_begins(hello, sizeof(hello)));
	assert_false(wire_request_begins(nameless, sizeof(nameless)));
	assert_false(wire_tls_begins(http, sizeof(http)));
	assert_false(wire_tls_begins(http, 0));
	assert_true(wire_tls_begins(hello, sizeof(hello)));
	assert_true(wire_tls_begins(data, sizeof(data)));
	for (size_t n = 1; n < sizeof(data); n++)	/* a record cut short, but for the first alone */
		assert_int_equal(wire_tls_begins(data, n), n == 7);
	assert_false(wire_tls_begins(data + 1, sizeof(data) - 1));
}

static void test_responses(void **state)
{
	static const uint8_t good[] = { 0, 0, 0, 30, 0, 0, 0, 9 }, sealed[] = { 23, 3, 3, 0, 30, 0, 0, 9 };

	(void)state;
	assert_true(wire_response_begins(good, sizeof(good)));
	assert_false(wire_response_begins(good, 7));
	assert_false(wire_response_begins(sealed, sizeof(sealed)));
	assert_false(wire_response_begins("\0\0\0\3xxxx", 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_others), cmocka_unit_test(test_responses),
	};

	return cmocka_run_group_tests_name("begin", tests, NULL, NULL);
}
