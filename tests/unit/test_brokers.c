/* SPDX-License-Identifier: BSD-2-Clause */
/* test_brokers.c - probes of two hosts, each with a disk of the same name and number: whose is the slow one? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include "join_feed.h"

static const struct bat here = { 1, 4, 1, 0xa, 1, 0, 0, 1000, 0 };
static const struct bat there = { 2, 5, 1, 0xb, 1, 0, 0, 1000, 0 };

static void slow(struct feed *f, const struct bat *b)
{
	appended(f, 1003, 1004, 50, b, 10);
	flushed(f, 1005, 1400);
	synced(f, 1004, 1405, 50, FILE_SEGMENT, AT_CALL_FSYNC);
	answered(f, 1406, b);
}

static void named(const char *one, const char *two, const char *want, const char *other)
{
	struct feed *f = feed_new(), *g = calloc(1, sizeof(*g));

	g->j = f->j;
	g->probe = f->probe;
	g->probe.index = 2;
	g->probe.header.uuid[0] = 0xb2;
	f->probe.index = 1;
	snprintf(f->probe.header.host, sizeof(f->probe.header.host), "%s", one);
	snprintf(g->probe.header.host, sizeof(g->probe.header.host), "%s", two);
	join_add_trail(f->j, &f->probe);
	join_add_trail(f->j, &g->probe);
	probe(f);
	probe(g);
	arrived(f, 1002, 1002, &here);
	arrived(g, 1002, 1002, &there);
	slow(f, &here);
	slow(g, &there);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(f->out[i]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
		assert_string_equal(f->out[i]->verdict.causes[0].culprit, f->out[i]->crc == 0xa ? want : other);
	}
	feed_free(f);
	free(g);
}

static void test_hosts(void **state)
{
	(void)state;
	named("b1", "b2", "loop0@b1: flush", "loop0@b2: flush");
	named("b1", "b1", "loop0: flush", "loop0: flush");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hosts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
