/* SPDX-License-Identifier: BSD-2-Clause */
/* test_verdict.c - phases to causes, and the sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>
#include "hist.h"
#include "join.h"
#include "span.h"
#include "verdict.h"

#define MS	1000000LL
#define SLOW	(100 * MS)

static struct tl_phase phases[8];
static char text[TL_MAX_TEXT];

/* A batch with the given phases, up to the first without length. */
static struct tl_batch made(enum tl_outcome outcome, const struct tl_phase *p)
{
	struct tl_batch b = { .outcome = outcome, .count = 1, .client = true, .phases = phases,
			      .created_first_ns = 1000 * MS, .base_offset = -1 };
	int64_t at = b.created_first_ns;

	for (; p->ns; p++) {
		phases[b.nr_phases] = *p;
		phases[b.nr_phases].begin_ns = at;
		if (!p->known)
			phases[b.nr_phases].known = TL_KNOWN_EXACT;
		at += p->ns;
		b.nr_phases++;
	}
	b.end_ns = b.resolved_ns = at;
	verdict_of(&b, SLOW);
	advice_text(&b, text, sizeof(text));
	b.verdict.text = text;
	return b;
}

#define MADE(outcome, ...) made(outcome, (struct tl_phase[]){ __VA_ARGS__, { .ns = 0 } })
#define P(NAME, ms) { .name = TL_PHASE_##NAME, .ns = (ms) * MS }

static void test_each_phase(void **state)
{
	static const struct { enum tl_phase_name name; enum tl_cause cause; } is[] = {
		{ TL_PHASE_BLOCKED, TL_CAUSE_QUEUE_FULL }, { TL_PHASE_LINGER, TL_CAUSE_LINGER },
		{ TL_PHASE_WINDOW, TL_CAUSE_WINDOW }, { TL_PHASE_BROKER_DOWN, TL_CAUSE_UNKNOWN },
		{ TL_PHASE_RESPONSE, TL_CAUSE_UNKNOWN }, { TL_PHASE_SOCKET, TL_CAUSE_UNKNOWN },
		{ TL_PHASE_NETWORK, TL_CAUSE_NETWORK }, { TL_PHASE_QUEUE, TL_CAUSE_BROKER_SIDE },
		{ TL_PHASE_APPEND, TL_CAUSE_APPEND_STALL }, { TL_PHASE_FSYNC, TL_CAUSE_LEADER_FSYNC },
		{ TL_PHASE_INDEX, TL_CAUSE_LEADER_FSYNC }, { TL_PHASE_REPLICATION, TL_CAUSE_FOLLOWER },
		{ TL_PHASE_BROKER_SIDE, TL_CAUSE_BROKER_SIDE }, { TL_PHASE_CALLBACK, TL_CAUSE_APP_NOT_POLLING },
		{ TL_PHASE_UNKNOWN, TL_CAUSE_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(is) / sizeof(*is); i++) {
		struct tl_batch b = MADE(TL_OUTCOME_EXPIRED, { .name = is[i].name, .ns = 5000 * MS });

		assert_int_equal(b.verdict.cause, is[i].cause);
		assert_true(b.verdict.share > 0.99);
		assert_true(strlen(text) > 20 && strlen(text) < TL_MAX_TEXT - 1);
	}
}

static void test_healthy(void **state)
{
	struct tl_batch b = MADE(TL_OUTCOME_ACKED, P(LINGER, 5), P(FSYNC, 60));

	(void)state;
	assert_int_equal(b.verdict.cause, TL_CAUSE_HEALTHY);
	b = MADE(TL_OUTCOME_ACKED, P(LINGER, 5), P(FSYNC, 95));
	assert_int_equal(b.verdict.cause, TL_CAUSE_LEADER_FSYNC);
	/* However fast, an expiry is not healthy. */
	b = MADE(TL_OUTCOME_EXPIRED,
		 { .name = TL_PHASE_BROKER_DOWN, .ns = 20 * MS, .cause = TL_CAUSE_UNREACHABLE });
	assert_int_equal(b.verdict.cause, TL_CAUSE_UNREACHABLE);
}

static void test_half_is_not_enough(void **state)
{
	struct tl_batch b = MADE(TL_OUTCOME_EXPIRED, P(FSYNC, 490), P(UNKNOWN, 510));

	(void)state;
	assert_int_equal(b.verdict.cause, TL_CAUSE_UNKNOWN);
	b = MADE(TL_OUTCOME_EXPIRED, P(FSYNC, 510), P(UNKNOWN, 490));
	assert_int_equal(b.verdict.cause, TL_CAUSE_LEADER_FSYNC);
}

static void test_two_at_once(void **state)
{
	struct tl_batch b = MADE(TL_OUTCOME_EXPIRED, P(FSYNC, 3000), P(NETWORK, 2000), P(LINGER, 5));

	(void)state;
	assert_int_equal(b.verdict.nr, 2);
	assert_int_equal(b.verdict.causes[0].cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(b.verdict.causes[1].cause, TL_CAUSE_NETWORK);
}

static void test_inherited(void **state)
{
	struct tl_batch b = MADE(TL_OUTCOME_EXPIRED, P(LINGER, 5),
		{ .name = TL_PHASE_BEHIND, .ns = 4000 * MS, .cause = TL_CAUSE_LEADER_FSYNC,
		  .culprit = "loop0: flush", .known = TL_KNOWN_INFERRED },
		{ .name = TL_PHASE_FSYNC, .ns = 400 * MS, .culprit = "loop0: flush, shared by 3" });

	(void)state;
	assert_int_equal(b.verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_true(b.verdict.share > 0.99);
	assert_string_equal(b.verdict.causes[0].culprit, "loop0: flush");
	assert_int_equal(b.verdict.causes[0].known, TL_KNOWN_INFERRED);
	assert_non_null(strstr(text, "log.flush.interval.messages"));
	assert_non_null(strstr(text, "requests ahead"));
}

static void test_cascade(void **state)
{
	struct tl_batch b = MADE(TL_OUTCOME_EXPIRED,
		{ .name = TL_PHASE_WINDOW, .ns = 4900 * MS, .cause = TL_CAUSE_LEADER_FSYNC, .culprit = "sda" },
		P(BROKER_SIDE, 100));

	(void)state;
	assert_int_equal(b.verdict.causes[0].cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(b.verdict.causes[1].cause, TL_CAUSE_WINDOW);
	/* Filled by two, the first of them leads; what has nothing to do with it stays where it is. */
	b = MADE(TL_OUTCOME_EXPIRED,
		 { .name = TL_PHASE_WINDOW, .ns = 300 * MS, .cause = TL_CAUSE_LEADER_FSYNC },
		 { .name = TL_PHASE_WINDOW, .ns = 200 * MS, .cause = TL_CAUSE_NETWORK }, P(LINGER, 250));
	assert_int_equal(b.verdict.causes[0].cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(b.verdict.causes[1].cause, TL_CAUSE_WINDOW);
	assert_int_equal(b.verdict.causes[2].cause, TL_CAUSE_LINGER);
	b = MADE(TL_OUTCOME_EXPIRED,
		 { .name = TL_PHASE_WINDOW, .ns = 600 * MS, .cause = TL_CAUSE_LEADER_FSYNC }, P(FSYNC, 50), P(LINGER, 60));
	assert_int_equal(b.verdict.causes[0].cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(b.verdict.causes[1].cause, TL_CAUSE_WINDOW);
	assert_int_equal(b.verdict.causes[2].cause, TL_CAUSE_LINGER);
	/* Mostly its own: what filled it for a moment does not lead. */
	b = MADE(TL_OUTCOME_EXPIRED, P(WINDOW, 400),
		 { .name = TL_PHASE_WINDOW, .ns = 50 * MS, .cause = TL_CAUSE_NETWORK }, P(NETWORK, 200));
	assert_int_equal(b.verdict.causes[0].cause, TL_CAUSE_WINDOW);
	assert_int_equal(b.verdict.causes[1].cause, TL_CAUSE_NETWORK);
}

static void test_cold_start(void **state)
{
	struct tl_phase down = { .name = TL_PHASE_BROKER_DOWN, .ns = 900 * MS, .cause = TL_CAUSE_COLD_START };
	struct tl_batch b = MADE(TL_OUTCOME_ACKED, down);

	(void)state;
	assert_int_equal(b.verdict.cause, TL_CAUSE_COLD_START);
	/* Never up, and nothing that says why. */
	b = MADE(TL_OUTCOME_EXPIRED, down);
	assert_int_equal(b.verdict.cause, TL_CAUSE_UNKNOWN);
	down.cause = TL_CAUSE_UNREACHABLE;
	b = MADE(TL_OUTCOME_EXPIRED, down);
	assert_int_equal(b.verdict.cause, TL_CAUSE_UNREACHABLE);
}

static void test_app_ended(void **state)
{
	struct tl_batch b = MADE(TL_OUTCOME_LOST, P(LINGER, 5), P(BROKER_SIDE, 300));

	(void)state;
	assert_int_equal(b.verdict.causes[0].cause, TL_CAUSE_APP_ENDED);
	assert_int_equal(b.verdict.causes[1].cause, TL_CAUSE_BROKER_SIDE);
}

static void test_spans(void **state)
{
	static const struct { int64_t ns; const char *text; } is[] = {
		{ 0, "0 ns" }, { 812, "812 ns" }, { 1000, "1.00 µs" }, { 45300, "45.3 µs" },
		{ 3200000, "3.20 ms" }, { 999400000, "999 ms" }, { 1240000000, "1.24 s" },
		{ 60000000000, "60.0 s" }, { 125000000000, "2m05s" }, { -3200000, "-3.20 ms" },
	};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(is) / sizeof(*is); i++)
		assert_string_equal(span_text(buf, sizeof(buf), is[i].ns), is[i].text);
}

static void test_quantiles(void **state)
{
	static struct hist h;

	(void)state;
	assert_int_equal(hist_quantile(&h, 0.5), 0);
	for (int64_t v = 1; v <= 100000; v++)
		hist_add(&h, v * 1000);
	assert_true(hist_quantile(&h, 0.5) > 49000000 && hist_quantile(&h, 0.5) < 51000000);
	assert_true(hist_quantile(&h, 0.99) > 97500000 && hist_quantile(&h, 0.99) < 100500000);
	assert_int_equal(h.max, 100000000);
	hist_add(&h, INT64_MAX);
	assert_int_equal(hist_quantile(&h, 1.0) > 100000000, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_phase),
		cmocka_unit_test(test_healthy),
		cmocka_unit_test(test_half_is_not_enough),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_cascade),
		cmocka_unit_test(test_cold_start),
		cmocka_unit_test(test_app_ended),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_quantiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
