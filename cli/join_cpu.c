/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_cpu.c - when a client's threads were ready to run and had no CPU, by the kernel's
 * account of them: of the thread that the batch waited for, and no more of a time than
 * cannot lie beside it.
 */
#include <stdlib.h>
#include "join_int.h"

#define NR_WAITS	1024u	/* remembered of a thread */
#define NR_THREADS	256u	/* that ever waited for long; the first give way */
#define SLACK		(JOIN_MS / 5)	/* what it ran since it was asked */

#define READ_AT_ONCE	(20 * JOIN_MS)	/* a thread that has a CPU again reads what is there */

/* Of begin..end it waited so long, wherever; before that wait it was seen in a call. */
struct cpu_wait { int64_t begin, end, waited, seen; };
struct cpu_thread { struct key2 key; UT_hash_handle hh; uint32_t nr; struct cpu_wait ring[NR_WAITS]; };

static struct cpu_thread *thread_find(struct join *j, const struct jtrail *t, uint32_t tid)
{
	struct key2 key = { t->index, tid };
	struct cpu_thread *th;

	HASH_FIND(hh, j->cpu_threads, &key, sizeof(key), th);
	return th;
}

static struct cpu_thread *thread_get(struct join *j, const struct jtrail *t, uint32_t tid)
{
	struct cpu_thread *th = thread_find(j, t, tid), *first = j->cpu_threads;

	if (th)
		return th;
	if (HASH_COUNT(j->cpu_threads) >= NR_THREADS) {
		HASH_DEL(j->cpu_threads, first);
		free(first);
	}
	th = join_alloc(sizeof(*th));
	th->key = (struct key2){ t->index, tid };
	HASH_ADD(hh, j->cpu_threads, key, sizeof(th->key), th);
	return th;
}

void cpu_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_cpu_wait *e = &ev->cpu_wait;
	int64_t seen = event_axis(ev, e->seen_ns);
	struct cpu_wait w = { event_axis(ev, e->begin_ns), event_axis(ev, e->end_ns), (int64_t)e->waited_ns, seen };
	int64_t since = w.end - w.waited - (int64_t)e->ran_ns - SLACK;
	struct cpu_thread *th;

	if (w.waited <= 0 || w.waited > w.end - w.begin)
		return;
	if (e->times == 1) {
		/* It got a CPU once: what it waited was all at once, and right before. */
		if (since > w.begin)
			w.begin = since;
	} else if (w.end - seen >= CPU_TOLD && seen > w.begin) {
		/* As little of it as can lie where nothing was seen of the thread. */
		w.waited -= seen - w.begin;
		w.begin = seen;
	}
	if (w.waited <= 0)
		return;
	th = thread_get(j, t, ev->tid);
	th->ring[th->nr++ % NR_WAITS] = w;
}

/* Its wait should have ended at `due`; what the kernel says of the same time may be less. */
void cpu_late(struct join *j, struct jtrail *t, uint32_t tid, int64_t due, int64_t ns)
{
	struct cpu_thread *th = thread_get(j, t, tid);
	struct cpu_wait *last = th->nr ? &th->ring[(th->nr - 1) % NR_WAITS] : NULL, w = { due, ns, ns - due, due };

	if (w.waited <= 0)
		return;
	if (!last || last->end <= due)
		th->ring[th->nr++ % NR_WAITS] = w;
	else if (last->waited < w.waited)
		*last = w;
}

/* How long it waited within from..to, at the least. */
static int64_t waited(const struct cpu_thread *th, int64_t from, int64_t to)
{
	uint32_t n = th->nr < NR_WAITS ? th->nr : NR_WAITS;
	int64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct cpu_wait *w = &th->ring[i];
		int64_t begin = w->begin > from ? w->begin : from, end = w->end < to ? w->end : to;
		int64_t least = w->waited - ((w->end - w->begin) - (end - begin));

		if (end > begin && least > 0)
			sum += least;
	}
	return sum;
}

bool cpu_starved(struct join *j, const struct jtrail *t, uint32_t tid, int64_t from, int64_t to)
{
	const struct cpu_thread *th = tid && to > from ? thread_find(j, t, tid) : NULL;

	return th && 2 * waited(th, from, to) >= to - from;
}

/*
 * The thread whose turn it was may have slept, for a lock that another one held which had no CPU: where
 * it is known that it had something to do, any thread's wait will do.
 */
bool cpu_any_starved(struct join *j, const struct jtrail *t, int64_t from, int64_t to)
{
	struct cpu_thread *th, *tmp;

	HASH_ITER(hh, j->cpu_threads, th, tmp)
		if (th->key.trail == t->index && to > from && 5 * waited(th, from, to) >= 4 * (to - from))
			return true;
	return false;
}

void phase_starved(struct tl_phase *p)
{
	p->cause = TL_CAUSE_STARVED;
	p->culprit = NULL;
	p->unsaid = false;
}

/*
 * It read an answer at `to`: had it no CPU for most of the time, without a look at its socket in between?  Of many
 * short waits, as on a busy machine, only the last can have delayed it.
 */
static bool read_late(struct join *j, const struct jtrail *t, uint32_t tid, int64_t from, int64_t to)
{
	const struct cpu_thread *th = tid && to > from ? thread_find(j, t, tid) : NULL;
	uint32_t n = !th ? 0 : th->nr < NR_WAITS ? th->nr : NR_WAITS;

	for (uint32_t i = 0; i < n; i++) {
		const struct cpu_wait *w = &th->ring[i];
		int64_t since = w->seen > from ? w->seen : from;

		if (w->end >= to - READ_AT_ONCE && w->end <= to + JOIN_MS && since < to &&
		    2 * waited(th, since, to) >= to - from)
			return true;
	}
	return false;
}

void cpu_answer(struct join *j, const struct jtrail *t, uint32_t tid, struct tl_phase *p)
{
	if (read_late(j, t, tid, p->begin_ns, p->begin_ns + p->ns))
		phase_starved(p);
}

void cpu_phase(struct join *j, const struct jtrail *t, uint32_t tid, struct tl_phase *p)
{
	if (p && cpu_starved(j, t, tid, p->begin_ns, p->begin_ns + p->ns))
		phase_starved(p);
}

void cpu_free(struct join *j)
{
	struct cpu_thread *th, *tmp;

	HASH_ITER(hh, j->cpu_threads, th, tmp) {
		HASH_DEL(j->cpu_threads, th);
		free(th);
	}
}
