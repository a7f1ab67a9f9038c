/* SPDX-License-Identifier: BSD-2-Clause */
/* test_in_log.c - that a batch is not in the log, and what looks like proof of it and is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TIMED_OUT (-192)

/*
 * Two batches were under way to a broker that the library gave up: it says that they were
 * never sent, and of both in one breath, and of what was queued behind them.
 */
static void test_broker_given_up(void **unused)
{
	struct bat a = { 1, 4, 1, 0xa, 2, 0, 0, 1000, 1001 }, b = { 1, 5, 1, 0xb, 3, 0, 0, 1010, 1012 };

	(void)unused;
	for (int queued = 0; queued < 3; queued++) {
		struct feed *f = feed_new();
		const struct tl_batch *row = NULL;
		/* Both; both and one more; one more that was made later. */
		uint32_t nr = queued == 2 ? 1 : 5 + (uint32_t)queued;

		producer(f, 0, 1000000);
		written(f, 1006, &a);
		written(f, 1016, &b);
		connection_end(f, 3000, 1);
		acks(f, 6500, 1, 0, TIMED_OUT, 0, -1, nr, queued == 2 ? 1500 : 1000, queued ? 1500 : 1012);
		feed_end(f);
		for (uint32_t i = 0; i < f->nr; i++)
			if (!f->out[i]->has_crc)
				row = f->out[i];
		assert_non_null(row);
		assert_int_equal(row->count, nr);
		assert_int_equal(row->in_log, queued == 2 ? TL_IN_LOG_NO : TL_IN_LOG_UNKNOWN);
		assert_int_equal(row->resend, queued == 2 ? TL_RESEND_SAFE : TL_RESEND_MAY_DUPLICATE);
		feed_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broker_given_up),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
