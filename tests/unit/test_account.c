// SPDX-License-Identifier: BSD-2-Clause
/*
 * acktrail summary: the account of messages, its sum, what the rows say of it, and a trail
 * whose sum was tampered with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "account.h"
#include "capture.h"
#include "make_trail.h"

int cmd_summary(int argc, char **argv);
int cmd_why(int argc, char **argv);

static struct scratch scratch;

static int setup(void **state)
{
	(void)state;
	scratch = scratch_make();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	capture_end_all();
	scratch_remove(&scratch);
	return 0;
}

#define T0 1000000000000ull

static void add_acks(struct made *m, uint64_t ns, uint32_t count, int32_t err)
{
	struct ev_acks *e = made_event(m, AT_LAST, AT_EV_ACKS, ns, sizeof(*e), "");

	e->created_first_ns = e->created_last_ns = ns - 5000000;
	e->last_ns = ns;
	e->first_offset = err ? -1001 : 100;
	e->last_offset = err ? -1001 : 99 + (int64_t)count;
	e->inst = 1;
	e->topic = 1;
	e->err = err;
	e->count = count;
	e->broker = 1;
	e->persisted = err ? 0u : 2u;
	made_commit(m, AT_LAST);
}

static void add_refusal(struct made *m, uint64_t ns, uint32_t count, int32_t err)
{
	struct ev_produce *e = made_event(m, AT_LAST, AT_EV_PRODUCE, ns, sizeof(*e), "");

	e->begin_ns = ns;
	e->inst = 1;
	e->topic = 1;
	e->err = err;
	e->count = count;
	made_commit(m, AT_LAST);
}

/* 4 messages acked, 6 expired, 5 refused for two reasons; counted on two stripes. */
static struct made made_account(void)
{
	struct made m = made_open(&scratch, "t", AT_KIND_SHIM);
	struct at_cell *cell = m.w.account->cell[0];
	struct ev_instance *in;
	struct ev_topic *topic = made_event(&m, AT_LAST, AT_EV_TOPIC, T0, sizeof(*topic), "orders");

	topic->topic = 1;
	made_commit(&m, AT_LAST);
	in = made_event(&m, AT_LAST, AT_EV_INSTANCE, T0, sizeof(*in), "app");
	in->inst = 1;
	in->message_timeout_ms = 5000;
	made_commit(&m, AT_LAST);
	add_refusal(&m, T0 + 1000000, 4, -184);
	add_refusal(&m, T0 + 2000000, 1, 10);
	add_acks(&m, T0 + 10000000, 4, 0);
	add_acks(&m, T0 + 6000000000ull, 6, -192);
	cell[0].n[AT_ACCEPTED] = 9;
	cell[3].n[AT_ACCEPTED] = 1;
	cell[1].n[AT_ACKED] = 4;
	cell[1].n[AT_EXPIRED] = 5;
	cell[2].n[AT_EXPIRED] = 1;
	cell[0].n[AT_REFUSED] = 5;
	m.w.account->nr_instances = 1;
	return m;
}

struct said { int status; char *out, *err; };

static struct said summary(struct made *m, const char *format)
{
	char *argv[] = { (char *)"summary", m->dir, (char *)"--format", (char *)format, NULL };
	struct capture out, err;
	struct said said;

	made_close(m);
	out = capture_begin(STDOUT_FILENO);
	err = capture_begin(STDERR_FILENO);
	said.status = cmd_summary(4, argv);
	said.err = capture_end(&err);
	said.out = capture_end(&out);
	return said;
}

static void said_free(struct said *s)
{
	free(s->out);
	free(s->err);
}

#define HAS(text, what) do { if (!strstr(text, what)) fail_msg("no \"%s\" in:\n%s", what, text); } while (0)
#define HAS_NOT(text, what) do { if (strstr(text, what)) fail_msg("\"%s\" in:\n%s", what, text); } while (0)

static void closes(void **state)
{
	struct made m = made_account();
	struct said s = summary(&m, "text");

	(void)state;
	HAS(s.out, "10 messages accepted = 4 acked + 0 failed\n    + 6 expired + 0 purged + 0 dropped + 0 lost + 0 open;  5 more");
	HAS(s.out, "refused: 4 _QUEUE_FULL, 1 MESSAGE_TOO_LARGE\n");
	HAS_NOT(s.err, "internal error");
	assert_int_equal(s.status, 0);
	said_free(&s);
}

static void closes_in_ndjson(void **state)
{
	struct made m = made_account();
	struct said s = summary(&m, "ndjson");

	(void)state;
	HAS(s.out, "\"accepted\":10,\"acked\":4,");
	HAS(s.out, "\"balanced\":true,\"refused_by\":{\"_QUEUE_FULL\":4,\"MESSAGE_TOO_LARGE\":1}");
	HAS(s.out, "\"rows\":{\"acked\":4,\"expired\":6},\"rows_agree\":true");
	HAS(s.out, "\"messages_by\":{\"acked\":4,\"expired\":6}");
	assert_int_equal(s.status, 0);
	said_free(&s);
}

/* What is left of a process that is gone was lost with it. */
static void rest_is_lost(void **state)
{
	struct made m = made_account();
	struct said s;

	(void)state;
	m.w.account->cell[0][0].n[AT_ACCEPTED] += 7;
	s = summary(&m, "text");
	HAS(s.out, "17 messages accepted = ");
	HAS(s.out, " 7 lost + 0 open");
	HAS_NOT(s.err, "internal error");
	assert_int_equal(s.status, 0);
	said_free(&s);
}

static void doctored_sum(void **state)
{
	struct made m = made_account();
	struct said s;

	(void)state;
	m.w.account->cell[0][5].n[AT_PURGED] = 3;
	s = summary(&m, "text");
	HAS(s.out, "10 messages accepted != 4 acked");
	HAS(s.err, "internal error");
	HAS(s.err, "3 more messages ended than were accepted");
	assert_int_equal(s.status, 3);
	said_free(&s);
}

/* The sum closes, and yet one message is acked that no event tells of. */
static void rows_disagree(void **state)
{
	struct made m = made_account();
	struct said s;

	(void)state;
	m.w.account->cell[0][0].n[AT_ACCEPTED]++;
	m.w.account->cell[0][1].n[AT_ACKED]++;
	s = summary(&m, "ndjson");
	HAS(s.out, "\"balanced\":true");
	HAS(s.out, "\"rows_agree\":false");
	HAS(s.err, "internal error");
	HAS(s.err, "the account has 5 messages acked, the timeline 4");
	assert_int_equal(s.status, 3);
	said_free(&s);
}

/* The same where the ring was recycled: no defect, and the difference is said. */
static void recycled_is_no_defect(void **state)
{
	struct made m = made_account();
	struct said s;

	(void)state;
	m.w.account->cell[0][0].n[AT_ACCEPTED] += 90;
	m.w.account->cell[0][1].n[AT_ACKED] += 90;
	m.w.account->overwritten[AT_EV_ACKS] = 3;
	s = summary(&m, "text");
	HAS(s.out, "100 messages accepted = 94 acked");
	HAS(s.out, "10 of them are in the timeline");
	HAS_NOT(s.err, "internal error");
	assert_int_equal(s.status, 0);
	said_free(&s);
}

/* Of a trail that is already closed: its directory may have been damaged. */
static struct said why(struct made *m, const char *format, const char *extra, const char *value)
{
	char *argv[] = { (char *)"why", m->dir, (char *)"--format", (char *)format, (char *)"--fail-on",
			 (char *)"lost", (char *)extra, (char *)value, NULL };
	struct capture out = capture_begin(STDOUT_FILENO), err = capture_begin(STDERR_FILENO);
	struct said said;

	said.status = cmd_why(extra ? 8 : 6, argv);
	said.err = capture_end(&err);
	said.out = capture_end(&out);
	return said;
}

/* Messages that died in the queue: no batch, so no row, and yet lost. */
static void lost_without_a_batch(void **state)
{
	struct made m = made_account();
	struct said s;

	(void)state;
	m.w.account->cell[0][0].n[AT_ACCEPTED] += 7;
	s = summary(&m, "text");
	HAS(s.out, "7 messages were lost with the process ");
	HAS(s.out, "(in no batch seen)           0        7         7\n");
	said_free(&s);
	s = why(&m, "text", NULL, NULL);
	HAS(s.out, "7 messages were lost with the process ");
	HAS(s.out, "no batch was seen to carry them\n");
	assert_int_equal(s.status, 1);
	said_free(&s);
	s = why(&m, "ndjson", NULL, NULL);
	HAS(s.out, "\"outcome\":\"lost\",\"messages\":7,\"killed\":false,\"events_complete\":true}]");
	assert_int_equal(s.status, 1);
	said_free(&s);
	s = why(&m, "text", "--outcome", "lost");
	HAS(s.out, "7 messages were lost");
	assert_int_equal(s.status, 1);
	said_free(&s);
	/* The account knows no topic, and is not asked for those that were acked. */
	s = why(&m, "text", "--topic", "orders");
	HAS_NOT(s.out, "were lost with");
	assert_int_equal(s.status, 0);
	said_free(&s);
	s = why(&m, "text", "--outcome", "acked");
	HAS_NOT(s.out, "were lost with");
	assert_int_equal(s.status, 0);
	said_free(&s);
}

/* Every message is in a row: nothing is said, nothing fails. */
static void none_without_a_batch(void **state)
{
	struct made m = made_account();
	struct said s;

	(void)state;
	made_close(&m);
	s = why(&m, "ndjson", NULL, NULL);
	HAS_NOT(s.out, "without_batch");
	assert_int_equal(s.status, 0);
	said_free(&s);
}

/* Garbage where the counters were, or a file cut short: no number of it is a fact. */
static void damage_is_no_fact(void **state)
{
	struct made m = made_account();
	struct capture out, err;
	struct image im;
	struct said s;

	(void)state;
	made_close(&m);
	im = image_read(m.dir);
	for (int round = 0; round < 2; round++) {
		char *argv[] = { (char *)"summary", m.dir, NULL };
		struct at_header *h = (struct at_header *)im.bytes;

		if (round)
			memset(im.bytes + h->account_off + 4096, 0xa5, 4096);
		image_write(m.dir, im.bytes, round ? im.len : im.len * 6 / 10);
		out = capture_begin(STDOUT_FILENO);
		err = capture_begin(STDERR_FILENO);
		s.status = cmd_summary(2, argv);
		s.err = capture_end(&err);
		s.out = capture_end(&out);
		HAS(s.out, "damaged: its account of messages cannot be trusted and is left out\n");
		HAS_NOT(s.out, "accepted");
		HAS_NOT(s.err, "internal error");
		HAS_NOT(s.err, "events were lost");
		assert_int_equal(s.status, 3);
		said_free(&s);
	}
	image_free(&im);
}

static void in_the_log_twice(void **state)
{
	struct tl_attempt at[3] = {
		{ .n = 1, .append_end_ns = 5, .base_offset = 100 },
		{ .n = 2, .append_end_ns = 9, .answered = true, .base_offset = 105 },
		{ .n = 3, .base_offset = -1 },
	};
	struct tl_batch b = { .count = 5, .messages = 5, .nr_attempts = 3, .attempts = at };

	(void)state;
	assert_int_equal(account_written_again(&b), 5);
	at[1].base_offset = 100;	/* idempotent: the broker answers with the first place */
	assert_int_equal(account_written_again(&b), 0);
	at[1].base_offset = 105;
	at[1].append_end_ns = 0;	/* no probe: the good answer tells */
	assert_int_equal(account_written_again(&b), 5);
	at[1].error_code = 7;
	assert_int_equal(account_written_again(&b), 0);
	at[1].error_code = 0;
	at[2] = (struct tl_attempt){ .append_end_ns = 12, .base_offset = 110 };
	assert_int_equal(account_written_again(&b), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(closes, setup, teardown),
		cmocka_unit_test_setup_teardown(closes_in_ndjson, setup, teardown),
		cmocka_unit_test_setup_teardown(rest_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(doctored_sum, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_disagree, setup, teardown),
		cmocka_unit_test_setup_teardown(recycled_is_no_defect, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_without_a_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(none_without_a_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_is_no_fact, setup, teardown),
		cmocka_unit_test(in_the_log_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
