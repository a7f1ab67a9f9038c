/* SPDX-License-Identifier: BSD-2-Clause */
/* test_out.c - NDJSON by the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "capture.h"
#include "out.h"

static struct capture cap;
static struct out o;

static void begin(void)
{
	cap = capture_begin(STDOUT_FILENO);
	out_open(&o, STDOUT_FILENO);
	out_begin(&o);
}

static void is(const char *text)
{
	char *got;

	out_end(&o);
	assert_int_equal(out_close(&o), 0);
	got = capture_end(&cap);
	assert_string_equal(got, text);
	free(got);
}

static void test_numbers(void **state)
{
	(void)state;
	begin();
	out_u64(&o, "a", UINT64_MAX);
	out_s64(&o, "b", INT64_MIN);
	out_s64(&o, "c", 0);
	out_s64(&o, "ns", 1795314948503546250);
	out_bool(&o, "t", true);
	out_milli(&o, "s", 970);
	out_milli(&o, "u", 1000);
	out_milli(&o, "v", -1005);
	out_milli(&o, "w", 1);
	out_hex(&o, "h", "\x00\xff\x1a", 3);
	is("{\"a\":18446744073709551615,\"b\":-9223372036854775808,\"c\":0,\"ns\":1795314948503546250,\"t\":true,"
	   "\"s\":0.97,\"u\":1,\"v\":-1.005,\"w\":0.001,\"h\":\"00ff1a\"}\n");
}

static void test_structure(void **state)
{
	(void)state;
	begin();
	out_array(&o, "list");
	out_object(&o, NULL);
	out_u64(&o, "n", 1);
	out_end(&o);
	out_object(&o, NULL);
	out_end(&o);
	out_u64(&o, NULL, 3);
	out_end(&o);
	out_object(&o, "empty");
	out_end(&o);
	out_text(&o, "absent", NULL);
	is("{\"list\":[{\"n\":1},{},3],\"empty\":{}}\n");
}

static void test_strings(void **state)
{
	(void)state;
	begin();
	out_text(&o, "a", "quote\" back\\ tab\t nl\n nul");
	out_str(&o, "b", "a\0b", 3);
	out_text(&o, "c", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa2");
	is("{\"a\":\"quote\\\" back\\\\ tab\\t nl\\n nul\",\"b\":\"a\\u0000b\","
	   "\"c\":\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa2\"}\n");
}

static void test_raw(void **state)
{
	(void)state;
	begin();
	out_object(&o, "x");
	out_str(&o, "bad", "a\xff\xc3", 3);
	out_u64(&o, "n", 1);
	out_end(&o);
	out_text(&o, "good", "ok");
	is("{\"x\":{\"bad\":\"a\\u00ff\\u00c3\",\"n\":1,\"raw\":true},\"good\":\"ok\"}\n");
	begin();
	out_array(&o, "l");
	out_str(&o, NULL, "\x80", 1);
	out_end(&o);
	is("{\"l\":[\"\\u0080\"],\"raw\":true}\n");
}

static void test_utf8(void **state)
{
	static const struct { const char *s; size_t n, len; } t[] = {
		{ "a", 1, 1 }, { "\xc2\x80", 2, 2 }, { "\xc1\xbf", 2, 0 }, { "\xc0\x80", 2, 0 },
		{ "\xe0\xa0\x80", 3, 3 }, { "\xe0\x9f\xbf", 3, 0 }, { "\xed\x9f\xbf", 3, 3 },
		{ "\xed\xa0\x80", 3, 0 }, { "\xef\xbf\xbf", 3, 3 }, { "\xf0\x90\x80\x80", 4, 4 },
		{ "\xf0\x8f\xbf\xbf", 4, 0 }, { "\xf4\x8f\xbf\xbf", 4, 4 }, { "\xf4\x90\x80\x80", 4, 0 },
		{ "\xf5\x80\x80\x80", 4, 0 }, { "\x80", 1, 0 }, { "\xe2\x82", 2, 0 }, { "\xe2\x28\xa1", 3, 0 },
		{ "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (utf8_len(t[i].s, t[i].n) != t[i].len)
			fail_msg("sequence %zu", i);
}

/* More than a buffer, and a full disk. */
static void test_flush(void **state)
{
	struct capture err;
	char *got, *said;

	(void)state;
	cap = capture_begin(STDOUT_FILENO);
	out_open(&o, STDOUT_FILENO);
	for (unsigned i = 0; i < 100000; i++) {
		out_begin(&o);
		out_u64(&o, "i", i);
		out_end(&o);
	}
	assert_int_equal(out_close(&o), 0);
	got = capture_end(&cap);
	assert_int_equal(strlen(got), 100000 * 7 + 488890);
	assert_non_null(strstr(got, "\n{\"i\":99999}\n"));
	free(got);

	int full = open("/dev/full", O_WRONLY);

	err = capture_begin(STDERR_FILENO);
	out_open(&o, full);
	out_begin(&o);
	out_end(&o);
	assert_int_not_equal(out_close(&o), 0);
	said = capture_end(&err);
	assert_non_null(strstr(said, "could not be written: No space left"));
	free(said);
	close(full);
}

static void test_text(void **state)
{
	char buf[TEXT_TIME], *got;

	(void)state;
	cap = capture_begin(STDOUT_FILENO);
	text_str(stdout, "a\x1b[31m\n\xff gr\xc3\xbc\xc3\x9f \xc2\x9b" "31m", 21);
	got = capture_end(&cap);
	assert_string_equal(got, "a\\x1b[31m\\x0a\\xff gr\xc3\xbc\xc3\x9f \\xc2\\x9b31m");
	free(got);
	assert_string_equal(text_time(buf, 1795314948503546250), "2026-11-22T02:35:48.503546250Z");
	assert_string_equal(text_time(buf, -1), "1969-12-31T23:59:59.999999999Z");
}

static int teardown(void **state)
{
	(void)state;
	capture_end_all();
	return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(test_numbers), T(test_structure), T(test_strings), T(test_raw), T(test_utf8), T(test_flush),
		T(test_text),
	};

	return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
