/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "parallel.h"

#define MAX_THREADS	64

struct work {
	void (*do_one)(void *arg, size_t i);
	void *arg;
	size_t nr;
	atomic_size_t next;
};

static void *work_on(void *arg)
{
	struct work *w = arg;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->nr)
		w->do_one(w->arg, i);
	return NULL;
}

void parallel_each(size_t nr, void (*do_one)(void *arg, size_t i), void *arg)
{
	struct work w = { .do_one = do_one, .arg = arg, .nr = nr };
	pthread_t thread[MAX_THREADS];
	sigset_t all, before;
	size_t want = 0, n = 0;
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		want = (size_t)CPU_COUNT(&cpus);
	/* Signals are for the thread that has handlers in mind. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* One less than there are CPUs, or things: this one works, too. */
	while (n + 1 < want && n + 1 < nr && n < MAX_THREADS && !pthread_create(&thread[n], NULL, work_on, &w))
		n++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	work_on(&w);
	while (n)
		pthread_join(thread[--n], NULL);
}
