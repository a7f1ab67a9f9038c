/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_repeats.c - acktrail summary and why: records in the log that repeat others in another
 * batch, because a retry without idempotence regrouped what a lagging broker appended after all;
 * and what they say of a probe that saw nothing of it.
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

#define T0 1000000000000ull
#define MS 1000000ull

static void a_topic(struct made *m)
{
	struct ev_topic *e = made_event(m, AT_LAST, AT_EV_TOPIC, T0, sizeof(*e), "orders");

	e->topic = 1;
	made_commit(m, AT_LAST);
}

static void an_instance(struct made *m)
{
	struct ev_instance *e = made_event(m, AT_LAST, AT_EV_INSTANCE, T0, sizeof(*e), "app");

	e->inst = 1;
	e->message_timeout_ms = 60000;
	made_commit(m, AT_LAST);
}

static void a_connection(struct made *m, uint64_t ms, uint32_t conn)
{
	struct ev_conn *e = made_event(m, AT_LAST, AT_EV_CONN, T0 + ms * MS, sizeof(*e), "");

	e->conn = conn;
	e->inst = e->broker = 1;
	made_commit(m, AT_LAST);
}

static void its_end(struct made *m, uint64_t ms, uint32_t conn)
{
	struct ev_conn_end *e = made_event(m, AT_LAST, AT_EV_CONN_END, T0 + ms * MS, sizeof(*e), "");

	e->conn = conn;
	made_commit(m, AT_LAST);
}

/* `count` messages of one ms each, from 1000 on. */
static void written(struct made *m, uint64_t ms, uint32_t conn, uint32_t crc, uint32_t count)
{
	struct ev_batch *b = made_event(m, AT_LAST, AT_EV_BATCH, T0 + ms * MS, sizeof(*b), "");
	struct ev_request *q;

	b->begin_ns = T0 + ms * MS;
	b->conn = conn;
	b->topic = 1;
	b->corr = b->crc = crc;
	b->count = count;
	b->first_ts_ms = 1000;
	b->max_ts_ms = 1000 + count - 1;
	b->producer_id = b->base_sequence = -1;
	made_commit(m, AT_LAST);
	q = made_event(m, AT_LAST, AT_EV_REQUEST, T0 + ms * MS, sizeof(*q), "app");
	q->begin_ns = T0 + ms * MS;
	q->conn = conn;
	q->batches = 1;
	q->corr = crc;
	q->size = 400;
	q->acks = -1;
	made_commit(m, AT_LAST);
}

static void acked(struct made *m, uint64_t ms, uint32_t conn, uint32_t crc, uint32_t count, int64_t offset)
{
	struct ev_reply *y = made_event(m, AT_LAST, AT_EV_REPLY, T0 + ms * MS, sizeof(*y), "");
	struct ev_acks *e;

	y->conn = conn;
	y->topic = 1;
	y->corr = crc;
	y->base_offset = offset;
	made_commit(m, AT_LAST);
	e = made_event(m, AT_LAST, AT_EV_ACKS, T0 + ms * MS, sizeof(*e), "");
	e->created_first_ns = e->created_last_ns = T0 + MS;
	e->last_ns = T0 + ms * MS;
	e->first_ts_ms = 1000;
	e->last_ts_ms = 1000 + count - 1;
	e->first_offset = offset;
	e->last_offset = offset + count - 1;
	e->inst = e->topic = e->broker = 1;
	e->count = count;
	e->persisted = 2;
	made_commit(m, AT_LAST);
}

static void covers_appends(struct made *m)
{
	struct ev_coverage *e = made_event(m, AT_LAST, AT_EV_COVERAGE, T0, sizeof(*e), "");

	e->what = AT_COVER_APPEND;
	e->on = 1;
	made_commit(m, AT_LAST);
}

static void appended(struct made *m, uint64_t ms, uint32_t crc, uint32_t count, int64_t offset)
{
	struct ev_append *e = made_event(m, AT_LAST, AT_EV_APPEND, T0 + ms * MS, sizeof(*e), "");

	e->begin_ns = T0 + ms * MS - MS;
	e->ret = 100;
	e->topic = 1;
	e->crc = crc;
	e->count = count;
	e->first_ts_ms = 1000;
	e->max_ts_ms = 1000 + count - 1;
	e->base_offset = offset;
	e->producer_id = e->base_sequence = -1;
	made_commit(m, AT_LAST);
}

enum seen { BOTH, ONE, OTHERS };	/* by the probe: both batches, the second alone, others' alone */

/* 4 of 6 messages are sent, given up, and sent again with the others; were the 4 written?  *noted: on standard error. */
static char *told(int (*cmd)(int, char **), enum seen seen, const char *option, const char *value, char **noted)
{
	struct scratch s = scratch_make();
	struct made c = made_open(&s, "client", AT_KIND_SHIM), p = made_open(&s, "probe", AT_KIND_PROBE);
	char *argv[] = { (char *)(cmd == cmd_why ? "why" : "summary"), c.dir, p.dir, (char *)option, (char *)value, NULL };
	struct capture out, err;
	char *said, *errors;
	int status;

	a_topic(&c);
	an_instance(&c);
	a_connection(&c, 2, 1);
	written(&c, 10, 1, 0xa, 4);
	its_end(&c, 100, 1);
	a_connection(&c, 110, 2);
	written(&c, 120, 2, 0xb, 6);
	acked(&c, 130, 2, 0xb, 6, 0);
	c.w.account->cell[0][0].n[AT_ACCEPTED] = 6;
	c.w.account->cell[0][0].n[AT_ACKED] = 6;
	c.w.account->nr_instances = 1;
	a_topic(&p);
	covers_appends(&p);
	appended(&p, 125, seen == OTHERS ? 0xc : 0xb, 6, seen == OTHERS ? 77 : 0);
	if (seen == BOTH)
		appended(&p, 900, 0xa, 4, 6);
	made_close(&c);
	made_close(&p);
	out = capture_begin(STDOUT_FILENO);
	err = capture_begin(STDERR_FILENO);
	status = cmd(5, argv);
	errors = capture_end(&err);
	said = capture_end(&out);
	if (noted)
		*noted = errors;
	else
		free(errors);
	scratch_remove(&s);
	assert_int_equal(status, 0);
	return said;
}

static void regrouped_and_written(void **state)
{
	char *said = told(cmd_summary, BOTH, "--format", "text", NULL);

	(void)state;
	if (!strstr(said, "at least 4 of the 10 records"))
		fail_msg("no repeats in:\n%s", said);
	free(said);
	said = told(cmd_summary, BOTH, "--format", "ndjson", NULL);
	if (!strstr(said, "\"written\":10,\"repeats_at_least\":4"))
		fail_msg("no repeats in:\n%s", said);
	free(said);
	said = told(cmd_why, BOTH, "--format", "text", NULL);
	if (!strstr(said, "At least 4 messages are in the log more than once"))
		fail_msg("no repeats in:\n%s", said);
	free(said);
	said = told(cmd_why, BOTH, "--format", "ndjson", NULL);
	if (!strstr(said, "\"repeats_at_least\":4"))
		fail_msg("no repeats in:\n%s", said);
	free(said);
}

static void regrouped_and_not(void **state)
{
	char *said = told(cmd_summary, ONE, "--format", "text", NULL);

	(void)state;
	if (strstr(said, "are repeats"))
		fail_msg("repeats in:\n%s", said);
	free(said);
	said = told(cmd_why, ONE, "--format", "text", NULL);
	if (strstr(said, "more than once"))
		fail_msg("repeats in:\n%s", said);
	free(said);
}

static void another_broker(void **state)
{
	char *noted, *said = told(cmd_why, OTHERS, "--format", "text", &noted);

	(void)state;
	if (!strstr(noted, "probe: its probe saw none of the batches that these clients sent") || strstr(noted, "client: its"))
		fail_msg("not said of the probe alone in:\n%s", noted);
	free(said);
	free(noted);
	said = told(cmd_why, ONE, "--format", "text", &noted);
	if (strstr(noted, "saw none"))
		fail_msg("it saw one:\n%s", noted);
	free(said);
	free(noted);
}

static void filtered(void **state)
{
	char *noted, *said = told(cmd_summary, ONE, "--topic", "nosuch", &noted);

	(void)state;
	if (!strstr(noted, "no batch in there that the filters keep"))
		fail_msg("not said in:\n%s", noted);
	free(said);
	free(noted);
	said = told(cmd_summary, ONE, "--topic", "orders", &noted);
	if (!strstr(noted, "of the producers as a whole") || strstr(noted, "no batch"))
		fail_msg("not said in:\n%s", noted);
	free(said);
	free(noted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regrouped_and_written),
		cmocka_unit_test(regrouped_and_not),
		cmocka_unit_test(another_broker),
		cmocka_unit_test(filtered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
