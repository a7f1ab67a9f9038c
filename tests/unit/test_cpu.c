/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_cpu.c - what the kernel says of a client's threads that had no CPU, and of sockets
 * without room: it explains what it covers, and never more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define SENDER	1u	/* the thread that writes to the broker, and tells all else of the feed */
#define OTHER	2u

static const struct bat before = { 1, 4, 1, 0xab0, 5, 0, 0, 980, 0 };
static const struct bat late = { 1, 5, 1, 0xab1, 5, 0, 0, 1000, 0 };

static struct feed *begun(uint32_t flags)
{
	struct feed *f = feed_new();

	producer(f, flags, 1000000);
	written(f, 981, &before);
	replied(f, 986, &before, 0, 10);
	acks(f, 986, 1, 0, 0, 2, 10, 5, 980, 980);
	return f;
}

/* Of begin..end that thread waited so long; seen last at `seen`. */
static void waited(struct feed *f, uint32_t tid, uint64_t begin, uint64_t seen, uint64_t end, uint64_t ms, uint32_t times)
{
	struct event ev = at(&f->client, AT_EV_CPU_WAIT, end);

	ev.tid = tid;
	ev.cpu_wait.begin_ns = begin * MS;
	ev.cpu_wait.seen_ns = seen * MS;
	ev.cpu_wait.end_ns = end * MS;
	ev.cpu_wait.waited_ns = ms * MS;
	ev.cpu_wait.ran_ns = MS;
	ev.cpu_wait.times = times;
	give(f, ev);
}

static const struct tl_batch *ended(struct feed *f)
{
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == late.crc) {
			assert_null(unsound(f->out[i]));
			return f->out[i];
		}
	fail_msg("no row");
	return NULL;
}

/* Written at 1005, answered at 2005; from 1005 on the process told nothing, but whose fault is it? */
static enum tl_cause unanswered(uint32_t tid, uint64_t begin, uint64_t seen, uint64_t ms, uint32_t times)
{
	struct feed *f = begun(0);
	enum tl_cause cause;

	written(f, 1005, &late);
	waited(f, tid, begin, seen, 2004, ms, times);
	replied(f, 2005, &late, 0, 15);
	acks(f, 2005, 1, 0, 0, 2, 15, 5, 1000, 1000);
	cause = ended(f)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_answer(void **unused)
{
	(void)unused;
	assert_int_equal(unanswered(SENDER, 1000, 1005, 950, 2), TL_CAUSE_STARVED);
	/* Less than half of it; another thread; no account at all. */
	assert_int_not_equal(unanswered(SENDER, 1000, 1005, 400, 2), TL_CAUSE_STARVED);
	assert_int_not_equal(unanswered(OTHER, 1000, 1005, 950, 2), TL_CAUSE_STARVED);
	/* Enough, were it all here: but it may lie before the request. */
	assert_int_not_equal(unanswered(SENDER, 100, 400, 600, 9), TL_CAUSE_STARVED);
	/* The same, but it got a CPU once, so the wait was right before that. */
	assert_int_equal(unanswered(SENDER, 100, 400, 600, 1), TL_CAUSE_STARVED);
	/* Of what the kernel counted since 900, 105 ms may have been before the thread was last seen. */
	assert_int_equal(unanswered(SENDER, 900, 1005, 700, 9), TL_CAUSE_STARVED);
	assert_int_not_equal(unanswered(SENDER, 900, 1005, 590, 9), TL_CAUSE_STARVED);
	/* More than there was time for: a damaged word. */
	assert_int_not_equal(unanswered(SENDER, 1000, 1005, 5000, 1), TL_CAUSE_STARVED);
}

/*
 * Could have gone at 1005, went at 2005.  Both the kernel's account and a wait that ended late tell of one half; told
 * twice, a half stays one.
 */
static enum tl_cause half_each(uint64_t due)
{
	struct event ev = { 0 };
	struct feed *f = begun(0);
	enum tl_cause cause;

	/* Others of it are busy: silence shows nothing. */
	for (uint64_t ms = 1010; ms < 2000; ms += 20)
		acks(f, ms, 1, 1, 0, 2, (int64_t)ms, 1, ms - 1, ms - 1);
	waited(f, SENDER, 1005, 1005, 1500, 410, 2);
	ev = at(&f->client, AT_EV_LATE, due + 420);
	ev.late.conn = 1;
	ev.late.due_ns = due * MS;
	give(f, ev);
	written(f, 2005, &late);
	replied(f, 2006, &late, 0, 15);
	acks(f, 2006, 1, 0, 0, 2, 15, 5, 1000, 1000);
	cause = ended(f)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_half_each(void **unused)
{
	(void)unused;
	assert_int_equal(half_each(1580), TL_CAUSE_STARVED);
	assert_int_not_equal(half_each(1080), TL_CAUSE_STARVED);
}

/* A busy machine: the thread had no CPU most of the time, but got one often, and each time no answer was there. */
static void test_short_waits(void **unused)
{
	struct feed *f = begun(0);

	(void)unused;
	written(f, 1005, &late);
	for (uint64_t ms = 1010; ms < 2000; ms += 20)
		waited(f, SENDER, ms, ms, ms + 19, 17, 2);
	replied(f, 2005, &late, 0, 15);
	acks(f, 2005, 1, 0, 0, 2, 15, 5, 1000, 1000);
	assert_int_not_equal(ended(f)->verdict.cause, TL_CAUSE_STARVED);
	feed_free(f);
}

/*
 * The answer lay there from 1100 on, and the thread that reads slept: for a lock, maybe, of one that had no CPU.
 * Without an answer that lay there it may as well have waited for the broker.
 */
static enum tl_cause locked_out(uint32_t unread_ms, uint64_t ms)
{
	struct feed *f = begun(0);
	struct event ev;
	enum tl_cause cause;

	written(f, 1005, &late);
	acks(f, 1500, 1, 1, 0, 2, 1, 1, 1499, 1499);
	ev = at(&f->client, AT_EV_TCP, 2004);
	ev.tcp.conn = 1;
	ev.tcp.unread_ms = unread_ms;
	give(f, ev);
	waited(f, OTHER, 1000, 1005, 2005, ms, 7);
	replied(f, 2006, &late, 0, 15);
	acks(f, 2006, 1, 0, 0, 2, 15, 5, 1000, 1000);
	cause = ended(f)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_locked_out(void **unused)
{
	(void)unused;
	assert_int_equal(locked_out(904, 990), TL_CAUSE_STARVED);
	assert_int_not_equal(locked_out(0, 990), TL_CAUSE_STARVED);
	assert_int_not_equal(locked_out(904, 600), TL_CAUSE_STARVED);
}

/* Could have gone at 1005, went at 1900. */
static enum tl_cause unsent(uint32_t tid, uint64_t wait_ms)
{
	struct feed *f = begun(0);
	enum tl_cause cause;

	/* Others of it are busy: silence shows nothing. */
	for (uint64_t ms = 1010; ms < 1900; ms += 20)
		acks(f, ms, 1, 1, 0, 2, (int64_t)ms, 1, ms - 1, ms - 1);
	waited(f, tid, 986, 986, 1900, wait_ms, 3);
	written(f, 1900, &late);
	replied(f, 1901, &late, 0, 15);
	acks(f, 1901, 1, 0, 0, 2, 15, 5, 1000, 1000);
	cause = ended(f)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_unsent(void **unused)
{
	(void)unused;
	assert_int_equal(unsent(SENDER, 890), TL_CAUSE_STARVED);
	assert_int_equal(unsent(SENDER, 500), TL_CAUSE_STARVED);
	/* Another thread's wait has to be all of it: the sender waits for its lock. */
	assert_int_equal(unsent(OTHER, 890), TL_CAUSE_STARVED);
	assert_int_equal(unsent(OTHER, 700), TL_CAUSE_UNKNOWN);
}

/* Acknowledged at 1006, and the app was told at 1800: by a thread that had no CPU, or that did something else. */
static enum tl_cause told(uint32_t tid)
{
	struct feed *f = begun(AT_INST_DR_MSG_CB);
	enum tl_cause cause;

	called_back(f, 987, 987, 1, 0, 0, 5);
	written(f, 1005, &late);
	replied(f, 1006, &late, 0, 15);
	acks(f, 1006, 1, 0, 0, 2, 15, 5, 1000, 1000);
	for (uint64_t ms = 1010; ms < 1800; ms += 20)
		acks(f, ms, 1, 1, 0, 2, (int64_t)ms, 1, ms - 1, ms - 1);
	waited(f, tid, 1000, 1000, 1799, 780, 5);
	called_back(f, 1800, 1800, 1, 0, 0, 5);
	cause = ended(f)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_callback(void **unused)
{
	(void)unused;
	assert_int_equal(told(SENDER), TL_CAUSE_STARVED);
	assert_int_equal(told(OTHER), TL_CAUSE_APP_NOT_POLLING);
}

static void full(struct feed *f, uint64_t begin, uint64_t ms, bool over)
{
	struct event ev = at(&f->client, AT_EV_FULL, ms);

	ev.full.conn = 1;
	ev.full.begin_ns = begin * MS;
	ev.full.over = over;
	give(f, ev);
}

/* Could have gone at 1005; the socket had no room from 1010 to 1500, as far as both ends of that were seen. */
static void no_room(bool begin, bool end, uint64_t lost)
{
	struct feed *f = begun(0);
	const struct tl_batch *b;

	f->client.account.lost[AT_EV_FULL] = lost;
	if (begin)
		full(f, 1010, 1012, false);
	if (end)
		full(f, 1010, 1500, true);
	written(f, 1500, &late);
	replied(f, 1501, &late, 0, 15);
	acks(f, 1501, 1, 0, 0, 2, 15, 5, 1000, 1000);
	b = ended(f);
	if (end || (begin && !lost))
		assert_int_equal(phase_ms(b, TL_PHASE_BACKPRESSURE), 490);
	else
		assert_int_equal(phase_ms(b, TL_PHASE_BACKPRESSURE), 0);
	feed_free(f);
}

static void test_no_room(void **unused)
{
	(void)unused;
	no_room(true, true, 0);
	no_room(false, true, 0);
	no_room(true, false, 0);
	no_room(false, true, 1);
	no_room(true, false, 1);	/* its end may be what was lost */
	no_room(false, false, 0);
}

/* There was room when the poll for it returned, but that came late: not for want of room. */
static void test_room_unseen(void **unused)
{
	struct feed *f = begun(0);
	const struct tl_batch *b;

	(void)unused;
	waited(f, SENDER, 1005, 1005, 1500, 480, 2);
	full(f, 1010, 1500, true);
	written(f, 1500, &late);
	replied(f, 1501, &late, 0, 15);
	acks(f, 1501, 1, 0, 0, 2, 15, 5, 1000, 1000);
	b = ended(f);
	assert_int_equal(phase_ms(b, TL_PHASE_BACKPRESSURE), 0);
	assert_int_equal(b->verdict.cause, TL_CAUSE_STARVED);
	feed_free(f);
}

/* It expires while there is no room: there is none until the connection goes. */
static void test_no_room_ever(void **unused)
{
	struct feed *f = begun(0);

	(void)unused;
	full(f, 1010, 1012, false);
	acks(f, 6000, 1, 0, -192, 0, -1, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(f->out[1]->outcome, TL_OUTCOME_EXPIRED);
	assert_int_equal(phase_ms(f->out[1], TL_PHASE_BACKPRESSURE), 4990);
	feed_free(f);
}

/*
 * The broker is at a request until 1204 and reads nothing; what was written at 1010 comes in whole at
 * 1269, for the window opened late.  Between two hosts only TCP's word tells that from a slow network.
 */
static int64_t on_the_network(bool two_hosts, uint32_t unsent, uint64_t answers_lost)
{
	static const struct bat first = { 2, 5, 1, 0xac0, 5, 0, 0, 1000, 0 };
	static const struct bat next = { 2, 6, 1, 0xac1, 5, 0, 0, 1005, 0 };
	struct feed *f = begun(0);
	struct event ev;
	int64_t ms = -1;

	f->probe.account.lost[AT_EV_ANSWER] = answers_lost;
	ev = at(&f->client, AT_EV_CONN, 980);
	ev.conn = (struct ev_conn){ .conn = 2, .inst = 1, .broker = 1, .connect_ns = ev.ns, .local_port = 40002,
				    .peer_port = 9092, .local_lo = 1, .peer_lo = two_hosts ? 2 : 1 };
	give(f, ev);
	probe(f);
	written(f, 1005, &first);
	arrived(f, 1006, 1006, &first);
	written(f, 1010, &next);
	ev = at(&f->client, AT_EV_TCP, 1100);
	ev.tcp.conn = 2;
	ev.tcp.unsent = unsent;
	give(f, ev);
	appended(f, 1007, 1203, 4, &first, 15);
	if (!answers_lost)
		answered(f, 1204, &first);
	replied(f, 1205, &first, 0, 15);
	arrived(f, 1269, 1269, &next);
	appended(f, 1270, 1271, 4, &next, 20);
	answered(f, 1272, &next);
	replied(f, 1273, &next, 0, 20);
	acks(f, 1273, 1, 0, 0, 2, 15, 10, 1000, 1005);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == next.crc)
			ms = phase_ms(f->out[i], TL_PHASE_NETWORK);
	feed_free(f);
	return ms;
}

static void test_shut(void **unused)
{
	(void)unused;
	assert_int_equal(on_the_network(true, 1000000, 0), 0);
	assert_int_equal(on_the_network(true, 0, 0), 259);
	assert_int_equal(on_the_network(true, 0, 1), 0);
	assert_int_equal(on_the_network(false, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer), cmocka_unit_test(test_half_each), cmocka_unit_test(test_short_waits),
		cmocka_unit_test(test_locked_out),
		cmocka_unit_test(test_unsent), cmocka_unit_test(test_callback),
		cmocka_unit_test(test_no_room), cmocka_unit_test(test_room_unseen),
		cmocka_unit_test(test_no_room_ever), cmocka_unit_test(test_shut),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
