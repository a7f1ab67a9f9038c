/* SPDX-License-Identifier: BSD-2-Clause */
/* test_filter.c - the filters, their times, and the words for wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <limits.h>
#include <sys/wait.h>
#include <time.h>

#include "capture.h"
#include "cmd.h"
#include "filter.h"
#include "say.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const struct argp_child children[] = { { &filter_argp, 0, "Filters:", 0 }, { 0 } };
static const struct argp argp = { NULL, parse, NULL, NULL, children, NULL, NULL };

static struct filter parsed(const char *option, const char *value)
{
	char *argv[] = { "test", (char *)option, (char *)value, NULL };
	struct filter f = { 0 };

	cmd_parse(&argp, value ? 3 : option ? 2 : 1, argv, 0, NULL, &f);
	return f;
}

/* Wrong usage ends the process: in a child, with what it says. */
static void refused(const char *option, const char *value, const char *text)
{
	struct capture c = capture_begin(STDERR_FILENO);
	int status;
	pid_t pid = fork();
	char *said;

	if (!pid) {
		parsed(option, value);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	said = capture_end(&c);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STATUS_USAGE);
	if (!strstr(said, text))
		fail_msg("%s %s: expected \"%s\", was told \"%s\"", option, value, text, said);
	free(said);
}

static struct filter_row row(void)
{
	static const int32_t brokers[] = { 1, 3 };
	struct filter_row r = { .topic = "orders", .client = "shop", .has_partition = true, .partition = 4,
		.brokers = brokers, .nr_brokers = 2, .outcome = TL_OUTCOME_EXPIRED,
		.begin_ns = 1000, .end_ns = 2000 };

	return r;
}

static void test_none(void **state)
{
	struct filter f = parsed(NULL, NULL);
	struct filter_row r = row();

	(void)state;
	assert_true(filter_row(&f, &r));
	filter_resolve(&f, 5000);
	assert_true(filter_row(&f, &r));
	assert_int_equal(f.slowest, 0);
}

static void each(const char *option, const char *yes, const char *no)
{
	struct filter_row r = row();
	struct filter f = parsed(option, yes);

	assert_true(filter_row(&f, &r));
	f = parsed(option, no);
	assert_false(filter_row(&f, &r));
}

static void test_rows(void **state)
{
	struct filter_row r = row(), bare = { .outcome = -1, .end_ns = 1 };
	struct filter f;

	(void)state;
	each("--topic", "orders", "order");
	each("--client", "shop", "shops");
	each("--partition", "4", "0");
	each("--broker", "3", "2");
	each("--outcome", "acked,expired", "acked,failed,purged,dropped,lost,open,broker-only");
	/* What a row has not got does not match. */
	f = parsed("--topic", "orders");
	assert_false(filter_row(&f, &bare));
	f = parsed("--partition", "0");
	assert_false(filter_row(&f, &bare));
	f = parsed("--broker", "0");
	assert_false(filter_row(&f, &bare));
	f = parsed("--client", "x");
	assert_false(filter_row(&f, &bare));
	f = parsed("--outcome", "acked");
	assert_false(filter_row(&f, &bare));

	r.topic = "__consumer_offsets";
	f = parsed(NULL, NULL);
	assert_false(filter_row(&f, &r));
	f = parsed("--internal", NULL);
	assert_true(filter_row(&f, &r));
	f = parsed("--topic", "__consumer_offsets");	/* named: meant */
	assert_true(filter_row(&f, &r));
	r = row();
	r.control = true;
	f = parsed("--topic", "orders");
	assert_false(filter_row(&f, &r));
	f = parsed("--internal", NULL);
	assert_true(filter_row(&f, &r));
	f = parsed("--slowest", "17");
	assert_int_equal(f.slowest, 17);
}

static void test_window(void **state)
{
	struct filter f = parsed(NULL, NULL);
	struct filter_row r = row();

	(void)state;
	f.since = (struct filter_time){ .given = true, .ns = 2000 };
	filter_resolve(&f, 0);
	assert_true(filter_row(&f, &r));	/* its life ends there: it overlaps */
	f.since.ns = 2001;
	filter_resolve(&f, 0);
	assert_false(filter_row(&f, &r));
	f.since.given = false;
	f.until = (struct filter_time){ .given = true, .ns = 1000 };
	filter_resolve(&f, 0);
	assert_true(filter_row(&f, &r));
	f.until.ns = 999;
	filter_resolve(&f, 0);
	assert_false(filter_row(&f, &r));
	/* Back from the end. */
	f.until.given = false;
	f.since = (struct filter_time){ .given = true, .from_end = true, .ns = 500 };
	filter_resolve(&f, 2500);
	assert_true(f.since_ns == 2000);
	assert_true(filter_row(&f, &r));
	filter_resolve(&f, 2600);
	assert_false(filter_row(&f, &r));
	f.since.ns = INT64_MAX;
	filter_resolve(&f, INT64_MIN + 5);
	assert_true(f.since_ns == INT64_MIN);
}

static void is_time(const char *text, int64_t ns, bool from_end)
{
	struct filter_time t;

	if (!filter_time_parse(text, &t))
		fail_msg("%s is a time", text);
	if (t.ns != ns || t.from_end != from_end)
		fail_msg("%s: %lld, expected %lld", text, (long long)t.ns, (long long)ns);
}

static void test_times(void **state)
{
	static const char *const wrong[] = { "", "-", "5m", "now", "-5", "-m", "-5x", "-5m3", "2026-01-02",
		"2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "2026-01-32T03:04:05Z", "2026-01-02T24:04:05Z",
		"2026-01-02T03:04:05.Z", "2026-01-02T03:04:05Zz", "2026-01-02T03:04:05+1:00", "1026-01-02T03:04:05Z",
		"-99999999999999999999s", "-9999999999d" };
	struct filter_time t;

	(void)state;
	is_time("1970-01-01T00:00:00Z", 0, false);
	is_time("2026-01-02T03:04:05Z", 1767323045LL * 1000000000, false);
	is_time("2026-01-02t03:04:05.678901234z", 1767323045678901234, false);
	is_time("2026-01-02 03:04:05.5Z", 1767323045500000000, false);
	is_time("2026-01-02T04:34:05+01:30", 1767323045LL * 1000000000, false);
	is_time("2026-01-01T22:04:05-05:00", 1767323045LL * 1000000000, false);
	is_time("2024-02-29T12:00:00Z", 1709208000LL * 1000000000, false);
	is_time("-5m", 300LL * 1000000000, true);
	is_time("-1h30m", 5400LL * 1000000000, true);
	is_time("-250ms", 250000000, true);
	is_time("-1d2s3us4ns", 86402000003004, true);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (filter_time_parse(wrong[i], &t))
			fail_msg("\"%s\" is no time", wrong[i]);
}

/* As a row's own time is printed, it selects that row. */
static void test_time_of_day(void **state)
{
	const int64_t s = 1000000000, end = 1767323045 * s;	/* 2026-01-02T03:04:05Z */
	static const char *const wrong[] = { "3:04:05", "03:04", "24:00:00", "03:60:00", "03:04:05.", "03:04:05Z" };
	struct filter f = { 0 };
	struct filter_time t;

	(void)state;
	setenv("TZ", "XXX-05:30", 1);		/* the views print local time */
	tzset();
	assert_true(filter_time_parse("08:34:04.678", &f.since));
	assert_true(filter_time_parse("08:34:04.678", &f.until));
	filter_resolve(&f, end);
	assert_true(f.since_ns == end - s + 678000000);
	assert_true(f.until_ns == end - s + 678999999);
	assert_true(filter_time_parse("08:34:06", &f.since));	/* not yet: the day before */
	filter_resolve(&f, end);
	assert_true(f.since_ns == end + s - 86400 * s);
	/* Until some time behind the end: until the end, as one writes whose trail ended just before. */
	assert_true(filter_time_parse("08:30:00", &f.since));
	assert_true(filter_time_parse("08:40:00", &f.until));
	filter_resolve(&f, end);
	assert_true(f.since_ns == end - 245 * s);
	assert_true(f.until_ns == end + 355 * s + s - 1);
	/* But not most of a day. */
	assert_true(filter_time_parse("23:50:00", &f.until));
	f.since.given = f.since.of_day = false;
	filter_resolve(&f, end);
	assert_true(f.until_ns < end);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (filter_time_parse(wrong[i], &t))
			fail_msg("\"%s\" is no time", wrong[i]);
	unsetenv("TZ");
	tzset();
}

static void test_refused(void **state)
{
	(void)state;
	refused("--outcome", "acked,lots", "\"lots\" is none of acked");
	refused("--outcome", "", "is none of acked");
	refused("--partition", "-1", "--partition takes a number from 0");
	refused("--partition", "1x", "--partition takes a number");
	refused("--broker", "99999999999", "--broker takes a number");
	refused("--slowest", "0", "--slowest takes a number from 1");
	refused("--since", "yesterday", "--since takes a time like");
	refused("--nonsense", NULL, "unrecognized option");
}

static void test_outcome_list(void **state)
{
	const char *bad;
	uint32_t bits;
	int len;

	(void)state;
	assert_true(outcome_list("expired,lost", &bits, &bad, &len));
	assert_int_equal(bits, 1u << TL_OUTCOME_EXPIRED | 1u << TL_OUTCOME_LOST);
	assert_false(outcome_list("expired,,lost", &bits, &bad, &len));
	assert_int_equal(len, 0);
	assert_false(outcome_list("expire", &bits, &bad, &len));
	assert_int_equal(len, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none), cmocka_unit_test(test_rows), cmocka_unit_test(test_window),
		cmocka_unit_test(test_times), cmocka_unit_test(test_time_of_day), cmocka_unit_test(test_refused), cmocka_unit_test(test_outcome_list),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
