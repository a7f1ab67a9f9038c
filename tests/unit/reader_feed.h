/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_feed.h - what the tests of the reader share: a scratch directory, trails of
 * requests, what is said while one is opened.
 */
#ifndef ACKTRAIL_TEST_READER_FEED_H
#define ACKTRAIL_TEST_READER_FEED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "capture.h"
#include "cmd.h"
#include "make_trail.h"
#include "reader.h"
#include "say.h"


#define MIB	(1u << 20)

static struct scratch scratch;

static inline int setup(void **state)
{
	(void)state;
	scratch = scratch_make();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	capture_end_all();
	scratch_remove(&scratch);
	return 0;
}

static inline struct reader *open_one(const char *path)
{
	char *paths[] = { (char *)path };

	return reader_open(paths, 1);
}

/* What is said while a path is opened; *r may be NULL. */
static inline char *open_and_hear(const char *path, struct reader **r)
{
	struct capture c = capture_begin(STDERR_FILENO);

	*r = open_one(path);
	return capture_end(&c);
}

static inline void hears(const char *path, const char *text, bool readable)
{
	struct reader *r;
	char *said = open_and_hear(path, &r);

	if (!strstr(said, text))
		fail_msg("%s: expected \"%s\", was told \"%s\"", path, text, said);
	if (readable)
		assert_non_null(r);
	else
		assert_null(r);
	free(said);
	reader_close(r);
}

static inline void put_request(struct made *m, enum at_ring ring, uint64_t ns, uint32_t corr)
{
	struct ev_request *e = made_event(m, ring, AT_EV_REQUEST, ns, sizeof(*e), "client");

	e->corr = corr;
	e->size = corr ^ 0x5a5a5a5a;
	e->begin_ns = ns;
	made_commit(m, ring);
}

static inline void put_topic(struct made *m, uint32_t id, const char *name)
{
	struct ev_topic *e = made_event(m, AT_BULK, AT_EV_TOPIC, 0, sizeof(*e), name);

	e->topic = id;
	made_commit(m, AT_BULK);
}

/* A closed trail with requests 0 … n-1, a microsecond apart. */
static inline struct made made_requests(const char *name, uint32_t n)
{
	struct made m = made_open_bytes(&scratch, name, AT_KIND_SHIM, MIB);
	uint64_t now = at_now();

	put_topic(&m, 1, "orders");
	for (uint32_t i = 0; i < n; i++)
		put_request(&m, AT_BULK, now + i * 1000u, i);
	made_close(&m);
	return m;
}

static inline void touch(const uint8_t *p, size_t n)
{
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + p[i]);
}

static inline struct at_chunk *chunk_of(struct image *im, uint32_t i)
{
	struct at_header *h = (struct at_header *)im->bytes;

	return (struct at_chunk *)(im->bytes + h->chunk_off + (uint64_t)i * h->chunk_size);
}

/* Requests that can be read, from 0 on without a gap. */
static inline uint32_t requests_in(struct reader *r)
{
	struct event ev;
	uint32_t n = 0;

	while (reader_next(r, &ev))
		if (ev.type == AT_EV_REQUEST) {
			assert_int_equal(ev.request.corr, n++);
			assert_int_equal(ev.request.size, ev.request.corr ^ 0x5a5a5a5a);
		}
	return n;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
