/* SPDX-License-Identifier: BSD-2-Clause */
/* test_slots.c - the tables of the BPF programs: a place is its owner's alone, and what finds none is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/types.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* What slots.bpf.h takes from maps.bpf.h, which is for the kernel alone. */
#define ACKTRAIL_MAPS_BPF_H
#define barrier_var(var)	__asm__ volatile("" : "+r"(var))
#include "../../bpf/record.h"

static __u64 counts[COUNT_NR];

static void count(__u32 what)
{
	__sync_fetch_and_add(&counts[what], 1);
}

#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "../../bpf/slots.bpf.h"

__u64 slot_zero;
__u32 slot_way[SLOT_WAYS] = { 0, 1, 2, 3, 4, 5, 6, 7 };

struct state { __u64 since_ns, owner; };
struct set { __u64 key[SLOT_WAYS]; struct state state[SLOT_WAYS]; };

static struct state *claim(struct set *set, __u64 key, __u64 now)
{
	__u32 at = slot_claim(set->key, &set->state[0].since_ns, sizeof(set->state[0]), key, now, COUNT_REQUEST_FULL);

	if (at >= SLOT_WAYS)
		return NULL;
	set->state[at].since_ns = now;
	set->state[at].owner = key;
	return &set->state[at];
}

static int setup(void **state)
{
	(void)state;
	memset(counts, 0, sizeof(counts));
	return 0;
}

static void full_set_keeps_what_it_has(void **state)
{
	struct set set = {};

	(void)state;
	for (__u64 key = 1; key <= SLOT_WAYS; key++)
		assert_non_null(claim(&set, key, 100));
	assert_int_equal(counts[COUNT_REQUEST_FULL], 0);
	assert_null(claim(&set, 99, 100 + SLOT_LEFT_NS));
	assert_int_equal(counts[COUNT_REQUEST_FULL], 1);
	assert_true(slot_find(set.key, 99) >= SLOT_WAYS);
	for (__u64 key = 1; key <= SLOT_WAYS; key++)
		assert_int_equal(set.state[slot_find(set.key, key)].owner, key);
}

static void freed_place_is_used_again(void **state)
{
	struct set set = {};
	__u32 at;

	(void)state;
	for (__u64 key = 1; key <= SLOT_WAYS; key++)
		assert_non_null(claim(&set, key, 100));
	at = slot_find(set.key, 5);
	slot_free(&set.key[at]);
	assert_true(slot_find(set.key, 5) >= SLOT_WAYS);
	assert_ptr_equal(claim(&set, 99, 200), &set.state[at]);
	assert_int_equal(counts[COUNT_REQUEST_FULL], 0);
}

/* Only that one; and it is counted, as somebody may still have wished for it. */
static void place_left_behind_is_taken(void **state)
{
	struct set set = {};

	(void)state;
	for (__u64 key = 1; key <= SLOT_WAYS; key++)
		assert_non_null(claim(&set, key, key == 3 ? 100 : 101 + SLOT_LEFT_NS));
	assert_ptr_equal(claim(&set, 99, 101 + SLOT_LEFT_NS), &set.state[2]);
	assert_int_equal(counts[COUNT_REQUEST_FULL], 1);
	assert_true(slot_find(set.key, 3) >= SLOT_WAYS);
	/* An event of another CPU that began earlier and comes later is no reason to take one. */
	assert_null(claim(&set, 98, 50));
	assert_int_equal(counts[COUNT_REQUEST_FULL], 2);
}

#define THREADS	4
#define TURNS	10000000
#define OWN	3		/* places that a thread holds at a time: more than there are for all */

static struct set shared;
static __u64 nowhere, strangers;
static pthread_barrier_t start;

static void *contend(void *arg)
{
	__u64 mine = (__u64)(uintptr_t)arg << 32, held[OWN] = { 0 };

	pthread_barrier_wait(&start);
	for (__u64 turn = 1; turn <= TURNS; turn++) {
		__u64 *key = &held[turn % OWN];
		__u32 at;

		if (*key) {
			at = slot_find(shared.key, *key);
			if (at >= SLOT_WAYS || shared.state[at].owner != *key)
				__sync_fetch_and_add(&strangers, 1);
			else
				slot_free(&shared.key[at]);
		}
		*key = mine | turn;
		if (!claim(&shared, *key, 100)) {
			__sync_fetch_and_add(&nowhere, 1);
			*key = 0;
		}
	}
	return NULL;
}

static void place_is_its_owners_alone(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	pthread_barrier_init(&start, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, contend, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	assert_int_equal(strangers, 0);
	assert_int_equal(counts[COUNT_REQUEST_FULL], nowhere);
	assert_true(nowhere > 0);
}

/* Requests lie a power of two apart in memory, and must not meet in few sets. */
static void neighbours_are_spread(void **state)
{
	static __u32 in_set[4096];
	__u32 most = 0;

	(void)state;
	for (__u64 stride = 64; stride <= 4096; stride *= 2) {
		memset(in_set, 0, sizeof(in_set));
		most = 0;
		for (__u64 i = 0; i < 8192; i++) {
			__u32 set = slot_set(0xffff888100000000ull + i * stride, 4096);

			assert_true(set < 4096);
			if (++in_set[set] > most)
				most = in_set[set];
		}
		assert_true(most <= SLOT_WAYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(full_set_keeps_what_it_has, setup),
		cmocka_unit_test_setup(freed_place_is_used_again, setup),
		cmocka_unit_test_setup(place_left_behind_is_taken, setup),
		cmocka_unit_test_setup(place_is_its_owners_alone, setup),
		cmocka_unit_test_setup(neighbours_are_spread, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
