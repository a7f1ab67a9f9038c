/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_fleet.c - what is long over costs nothing: the connections that a client, or a
 * broker, once had are not gone through for each request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "join_feed.h"

#define ENOUGH	(2 * CLOCKS_PER_SEC)	/* it takes a twentieth of that, and took three times as much by scans */

/* Nobody looks at the rows. */
static struct feed *begun(void)
{
	struct feed *f = feed_new();

	join_free(f->j);
	f->j = join_new(&(struct join_conf){ .arg = f });
	join_add_trail(f->j, &f->client);
	producer(f, 0, 1000000);
	return f;
}

/* An instance that never produces asks again and again; others of its process came and went. */
static void test_client(void **unused)
{
	struct feed *f = begun();
	clock_t begin;

	(void)unused;
	for (uint32_t i = 2; i < 5000; i++) {
		connection(f, 960, i);
		connection_end(f, 961, i);
	}
	begin = clock();
	for (uint32_t i = 1; i < 200000; i++) {
		struct event ev = at(&f->client, AT_EV_REQUEST, 1000 + i);

		ev.request.begin_ns = ev.ns;
		ev.request.conn = 1;
		ev.request.corr = i;
		ev.request.api = KAFKA_METADATA;
		give_text(f, ev, "tester");
		ev = at(&f->client, AT_EV_RESPONSE, 1000 + i);
		ev.response.conn = 1;
		ev.response.corr = i;
		give(f, ev);
	}
	assert_true(clock() - begin < ENOUGH);
	feed_free(f);
}

/* Very many connections came and went; and then requests lie there while one of two threads is busy. */
static void test_broker(void **unused)
{
	struct feed *f = begun();
	clock_t begin;

	(void)unused;
	probe(f);
	for (uint32_t i = 10; i < 200000; i++) {
		struct event ev = at(&f->probe, AT_EV_ARRIVAL, 900);

		ev.arrival.pid = 9;
		ev.arrival.conn = i;
		ev.arrival.corr = 1;
		give(f, ev);
		arrival_ended(f, 901, i);
	}
	begin = clock();
	for (uint32_t i = 1; i < 5000; i++) {
		struct bat idle = { 1, i, 1, 3 * i, 1, 0, 0, 1000 + 20 * i, 0 }, long_one = idle, queued = idle;
		uint64_t ms = 1000 + 20 * i;

		long_one.conn = 2;
		long_one.crc++;
		queued.conn = 3;
		queued.crc += 2;
		arrived(f, ms, ms, &idle);
		appended(f, ms, ms + 1, 51, &idle, 3 * i);
		answered(f, ms + 2, &idle);
		arrived(f, ms + 3, ms + 3, &long_one);
		arrived(f, ms + 4, ms + 4, &queued);
		appended(f, ms + 4, ms + 14, 50, &long_one, 3 * i + 1);
		answered(f, ms + 15, &long_one);
		appended(f, ms + 16, ms + 17, 50, &queued, 3 * i + 2);
		answered(f, ms + 18, &queued);
	}
	assert_true(clock() - begin < ENOUGH);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client), cmocka_unit_test(test_broker),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
