/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trails of two hosts, made up, whose true offset is known: where the broker's times come
 * to lie on the client's clock, and how surely.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "clocks.h"
#include "join.h"
#include "make_trail.h"

#define US	1000LL
#define MS	(1000 * US)
#define SEC	(1000 * MS)
#define NR	600
#define OURS	(5000 * SEC)		/* the client's clock when it begins */
#define APART	(7777777 * SEC)		/* the broker's is so far ahead, */
#define PPM	120			/* and gains that */
#define WALL	(3 * 3600 * SEC)	/* and its wall clock is wrong by that */

struct host_pair {
	struct scratch s;
	char	 client[4096], probe[4096];
	int64_t	 read[NR];		/* when each request was read, on the client's clock */
};

struct seen {
	const struct host_pair *h;
	const struct trail *client;
	uint32_t nr, alone, across, inferred;
	int64_t	 worst;			/* bound */
};

static uint64_t theirs(int64_t ours)
{
	return (uint64_t)(ours + APART + (ours - OURS) * PPM / 1000000);
}

/* What the header says of the machine and its clocks. */
static void tell_host(const char *dir, const char *boot, uint64_t mono, uint64_t real)
{
	struct image im = image_read(dir);
	struct at_header *h = (struct at_header *)im.bytes;
	struct at_clock_page *c = (struct at_clock_page *)(im.bytes + h->clock_off);

	snprintf(h->boot_id, sizeof(h->boot_id), "%s", boot);
	snprintf(h->host, sizeof(h->host), "host-%s", boot);
	c->nr = 1;
	c->pair[0] = (struct at_clock_pair){ mono, real, 0 };
	image_write(dir, im.bytes, im.len);
	image_free(&im);
}

static void client_side(struct made *m, uint32_t i, int64_t sent, int64_t answered)
{
	struct ev_batch *b = made_event(m, AT_BULK, AT_EV_BATCH, (uint64_t)sent, sizeof(*b), "");
	struct ev_request *q;
	struct ev_reply *y;
	struct ev_response *r;

	b->begin_ns = (uint64_t)sent;
	b->conn = b->topic = 1;
	b->corr = b->crc = i + 1;
	b->count = 3;
	b->first_ts_ms = b->max_ts_ms = 1000 + i;
	b->producer_id = b->base_sequence = -1;
	made_commit(m, AT_BULK);
	q = made_event(m, AT_BULK, AT_EV_REQUEST, (uint64_t)sent, sizeof(*q), "tester");
	q->begin_ns = (uint64_t)sent;
	q->conn = q->batches = 1;
	q->corr = i + 1;
	q->size = 400;
	q->acks = -1;
	made_commit(m, AT_BULK);
	r = made_event(m, AT_BULK, AT_EV_RESPONSE, (uint64_t)answered, sizeof(*r), "");
	r->sent_ns = (uint64_t)sent;
	r->conn = 1;
	r->corr = i + 1;
	made_commit(m, AT_BULK);
	y = made_event(m, AT_BULK, AT_EV_REPLY, (uint64_t)answered, sizeof(*y), "");
	y->conn = y->topic = 1;
	y->corr = i + 1;
	y->base_offset = 3 * i;
	made_commit(m, AT_BULK);
}

static void broker_side(struct made *m, uint32_t i, int64_t read, int64_t written)
{
	struct ev_arrival *a = made_event(m, AT_BULK, AT_EV_ARRIVAL, theirs(read), sizeof(*a), "tester");
	struct ev_arrival_batch *b;
	struct ev_answer *w;

	a->conn = 9;
	a->corr = i + 1;
	a->size = 400;
	a->acks = -1;
	a->batches = 1;
	made_commit(m, AT_BULK);
	b = made_event(m, AT_BULK, AT_EV_ARRIVAL_BATCH, theirs(read), sizeof(*b), "");
	b->conn = 9;
	b->topic = 1;
	b->corr = b->crc = i + 1;
	b->count = 3;
	b->first_ts_ms = 1000 + i;
	b->producer_id = b->base_sequence = -1;
	made_commit(m, AT_BULK);
	w = made_event(m, AT_BULK, AT_EV_ANSWER, theirs(written) + 5 * US, sizeof(*w), "");
	w->begin_ns = theirs(written);
	w->conn = 9;
	w->corr = i + 1;
	made_commit(m, AT_BULK);
}

/* answered: does the broker's answer come, or is one side alone bounded? */
static void make_hosts(struct host_pair *h, bool answers, bool same_boot)
{
	struct made c, p;
	uint64_t seed = 42;

	h->s = scratch_make();
	c = made_open(&h->s, "client", AT_KIND_SHIM);
	p = made_open(&h->s, "probe", AT_KIND_PROBE);
	*(struct ev_topic *)made_event(&c, AT_BULK, AT_EV_TOPIC, 1, sizeof(struct ev_topic), "orders") =
		(struct ev_topic){ .topic = 1 };
	made_commit(&c, AT_BULK);
	*(struct ev_topic *)made_event(&p, AT_BULK, AT_EV_TOPIC, 1, sizeof(struct ev_topic), "orders") =
		(struct ev_topic){ .topic = 1 };
	made_commit(&p, AT_BULK);
	for (uint32_t i = 0; i < NR; i++) {
		int64_t sent = OURS + i * 33 * MS, read, written, answered;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		read = sent + 80 * US + (int64_t)(seed >> 33) % 400 * US;
		written = read + 2 * MS;
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		answered = written + 120 * US + (int64_t)(seed >> 33) % 400 * US;
		h->read[i] = read;
		client_side(&c, i, sent, answered);
		broker_side(&p, i, read, answers ? written : OURS + 3600 * SEC);
	}
	made_close(&c);
	made_close(&p);
	snprintf(h->client, sizeof(h->client), "%s", c.dir);
	snprintf(h->probe, sizeof(h->probe), "%s", p.dir);
	tell_host(h->client, "here", (uint64_t)OURS, 1700000000ull * SEC);
	tell_host(h->probe, same_boot ? "here" : "there", theirs(OURS), (uint64_t)(1700000000ll * SEC + WALL));
}

static void see(void *arg, struct tl_batch *b)
{
	struct seen *s = arg;
	const struct tl_attempt *a = &b->attempts[0];
	int64_t at = b->created_first_ns, truth;

	if (!b->client) {
		s->alone++;
		return;
	}
	assert_int_equal(b->nr_attempts, 1);
	s->nr++;
	for (uint32_t i = 0; i < b->nr_phases; i++) {
		assert_true(b->phases[i].ns > 0);
		assert_int_equal(b->phases[i].begin_ns, at);
		at += b->phases[i].ns;
	}
	s->across += a->broker_known == TL_KNOWN_ACROSS;
	s->inferred += a->broker_known == TL_KNOWN_INFERRED;
	if (a->broker_known != TL_KNOWN_ACROSS)
		return;
	assert_true(a->read_ns);
	truth = s->h->read[a->corr_id - 1] + s->client->to_axis_ns;
	assert_true(llabs(a->read_ns - truth) <= a->bound_ns + 1);
	assert_true(a->read_ns >= a->write_end_ns);
	assert_true(a->response_written_ns <= a->response_read_ns);
	/* What its own clock showed is told, too. */
	assert_true(llabs(a->clock_offset_ns) < 60 * SEC);
	if (a->bound_ns > s->worst)
		s->worst = a->bound_ns;
}

static struct seen run(struct host_pair *h, const struct clock_given *given, bool probe_first)
{
	char *paths[2] = { probe_first ? h->probe : h->client, probe_first ? h->client : h->probe };
	struct reader *r = reader_open(paths, 2);
	struct clocks *c = clocks_learn(r, given, given ? 1 : 0);
	struct seen s = { .h = h, .client = reader_trail(r, probe_first) };
	struct join_conf conf = { .batch = see, .arg = &s, .topic_name = trail_topic, .clocks = c };
	struct join *j = join_new(&conf);
	struct event ev;

	assert_non_null(r);
	join_add_trail(j, reader_trail(r, 0));
	join_add_trail(j, reader_trail(r, 1));
	while (reader_next(r, &ev))
		join_event(j, &ev);
	join_end(j);
	join_free(j);
	clocks_free(c);
	reader_close(r);
	return s;
}

static void test_two_hosts(void **state)
{
	struct host_pair h;

	(void)state;
	make_hosts(&h, true, false);
	for (int first = 0; first < 2; first++) {
		struct seen s = run(&h, NULL, first);

		assert_int_equal(s.nr, NR);
		assert_int_equal(s.alone, 0);
		assert_int_equal(s.across, NR);
		/* 80 + 120 us there and back at best. */
		assert_true(s.worst >= 100 * US / 2);
		assert_true(s.worst <= 2 * 150 * US);
	}
	scratch_remove(&h.s);
}

/* One way alone bounds nothing: the wall clocks place it, wrongly, and nothing is said to be measured. */
static void test_one_way(void **state)
{
	struct host_pair h;
	struct seen s;

	(void)state;
	make_hosts(&h, false, false);
	s = run(&h, NULL, false);
	assert_int_equal(s.nr, NR);
	assert_int_equal(s.across, 0);
	scratch_remove(&h.s);
}

static void test_given(void **state)
{
	struct host_pair h;
	struct clock_given given = { "host-there", WALL };
	struct seen s;

	(void)state;
	make_hosts(&h, true, false);
	s = run(&h, &given, false);
	assert_int_equal(s.nr, NR);
	assert_int_equal(s.inferred, NR);
	scratch_remove(&h.s);
}

static void test_one_boot_needs_nothing(void **state)
{
	struct host_pair h;
	struct reader *r;
	char *paths[2];

	(void)state;
	make_hosts(&h, true, true);
	paths[0] = h.client;
	paths[1] = h.probe;
	r = reader_open(paths, 2);
	assert_non_null(r);
	assert_null(clocks_learn(r, NULL, 0));
	reader_close(r);
	scratch_remove(&h.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_hosts),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_one_boot_needs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
