// SPDX-License-Identifier: BSD-2-Clause
/* rooms CASE: rooms of the shim by themselves, in states that only a race brings an app to. */
#include "../../shim/instance.c"

#include <pthread.h>
#include <stdlib.h>

#include "../../shim/conn_int.h"

#define MUST(what) do {								\
	if (!(what)) {								\
		fprintf(stderr, "rooms: line %d: %s\n", __LINE__, #what);	\
		exit(1);							\
	}									\
} while (0)

/* ---- connections ----------------------------------------------------------- */

enum { NR = 200, ROUNDS = 400000, THREADS = 4 };

/* More connections than ever are kept in other programs, and a thread remembers one that is closed. */
static int sealed(void)
{
	struct conn *c[NR];
	struct thread *t;

	MUST(live_open());
	for (int i = 0; i < NR; i++) {
		MUST(c[i] = conn_new(1000 + i, at_now()));
		MUST(t = thread_enter());
		conn_identify(t, c[i], 1, 1);
		conn_lib_request(t, c[i], 0, at_now());
		thread_leave(t);
		MUST(c[i]->tail == 1);
	}
	for (int i = 0; i < NR; i++)
		conn_closed(c[i], AT_END_CLOSED, 0);
	MUST(t = thread_enter());
	conn_lib_response(t, 0);
	thread_leave(t);
	MUST(!c[NR - 1]->head);
	/* The same memory is another connection's: not an answer to that one. */
	for (int i = 0; i < NR; i++) {
		struct conn *again = conn_new(2000 + i, at_now());
		int k = 0;

		while (k < NR && c[k] != again)
			k++;
		MUST(k < NR);
		MUST(t = thread_enter());
		conn_identify(t, again, 1, 1);
		again->tail = 1;
		conn_lib_response(t, 0);
		thread_leave(t);
		MUST(!again->head);
	}
	return 0;
}

static void *come_and_go(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct conn *a = conn_new(me, 0), *b = conn_new(me, 0);

		MUST(a && b && a != b);
		MUST(a->fd == me && b->fd == me && !a->closed && !b->closed);
		conn_closed(a, AT_END_CLOSED, 0);
		MUST(b->fd == me && !b->closed);
		conn_closed(b, AT_END_CLOSED, 0);
	}
	return NULL;
}

/* No connection is two threads'. */
static int spare_ones(void)
{
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		MUST(!pthread_create(&thread[i], NULL, come_and_go, (void *)(intptr_t)(i + 1)));
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

/* ---- instances, and what turns recording on --------------------------------- */

/* The first slot is being taken: whose it is does not stand there yet. */
static int half_taken(void)
{
	static struct instance in;

	alive[0].rk = (const rd_kafka_t *)&alive;
	MUST(instance_reserve(&in) && in.slot == 2);
	MUST(instance_only() == &in);
	return 0;
}

static bool set_to_nothing;

static rd_kafka_conf_res_t own_callback(const rd_kafka_conf_t *conf, const char *name, char *out, size_t *len)
{
	(void)conf;
	if (strcmp(name, "dr_msg_cb"))
		return RD_KAFKA_CONF_UNKNOWN;
	snprintf(out, *len, "%p", (void *)calls_dr_msg_cb);
	return RD_KAFKA_CONF_OK;
}

static void set_callback(rd_kafka_conf_t *conf, void (*f)(rd_kafka_t *, const rd_kafka_message_t *, void *))
{
	(void)conf;
	set_to_nothing = !f;
}

/* A conf that has our callback already, and nobody knows from whom: it must not call itself. */
static int our_own_callback(void)
{
	struct lib lib = { .rd_kafka_conf_get = own_callback, .rd_kafka_conf_set_dr_msg_cb = set_callback };
	struct instance in = { .lib = &lib };

	wrap_callbacks(&in, NULL);
	MUST(!in.dr_msg_cb && !in.dr_cb && set_to_nothing);
	return 0;
}

/* A thread saw that recording is to be turned on, and then exit() was called. */
static int turn_at_exit(void)
{
	MUST(live_open());
	live->control = NULL;
	session_turn();
	MUST(!live->turning);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(void); } all[] = {
		{ "sealed", sealed }, { "spare-ones", spare_ones }, { "half-taken", half_taken },
		{ "own-callback", our_own_callback }, { "turn-at-exit", turn_at_exit },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(argv[1], all[i].name))
			return all[i].run();
	return 2;
}
