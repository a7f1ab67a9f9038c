/* SPDX-License-Identifier: BSD-2-Clause */
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

unsigned parallel_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 0 : (unsigned)CPU_COUNT(&set);
}

/* Signals are for the thread that has handlers in mind. */
bool parallel_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	bool ok;

	sigfillset(&all);
	sigdelset(&all, SIGPIPE);	/* which is for who writes: nobody reads on */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = !pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

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
	size_t want = parallel_cpus(), n = 0;

	/* One less than there are CPUs, or things: this one works, too. */
	while (n + 1 < want && n + 1 < nr && n < MAX_THREADS && parallel_thread(&thread[n], work_on, &w))
		n++;
	work_on(&w);
	while (n)
		pthread_join(thread[--n], NULL);
}
