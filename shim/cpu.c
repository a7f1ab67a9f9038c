// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpu.c - how long a thread was ready to run and had no CPU, by the kernel's own account.
 *
 * Asked when a thread comes back after a while, and now and then where it is always busy:
 * on a path that nobody could call quick, and at most so often.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"
#include "writer_int.h"

#define OFTEN_NS 2000000u	/* between two questions */
#define WAITED_NS 1000000u
#define QUICK_NS 1000000u	/* a question takes some us */
#define TRIES 4
#define LONG_NS 100000000u	/* goes to the ring that lasts, as what is late because of it does */

static uint8_t untold;		/* this kernel does not tell, or there is no /proc */

struct account { uint64_t ran, waited, times; };

static bool ask(struct account *a)
{
	static const char path[] = "/proc/thread-self/schedstat";
	uint64_t *field[] = { &a->ran, &a->waited, &a->times };	/* the first counts by ticks */
	char text[80], *p = text;
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), n;

	if (fd < 0) {
		if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != EINTR)
			untold = 1;
		return false;
	}
	n = syscall(SYS_read, (int)fd, text, sizeof(text) - 1);
	syscall(SYS_close, (int)fd);
	text[n > 0 ? n : 0] = 0;
	for (int i = 0; i < 3; i++) {
		if (*p < '0' || *p > '9')
			return false;
		*field[i] = at_number(p);
		while (*p && *p++ != ' ')
			;
	}
	return true;
}

/* `ns`: of what this thread is about to tell; its wait is told before that. */
void cpu_ask(struct thread *t, uint64_t ns)
{
	uint64_t began = t->cpu_ns, seen = t->seen_ns, now = at_now(), end;
	struct account a, was = { t->cpu_ran, t->cpu_waited, t->cpu_times };
	struct ev_cpu_wait *ev;
	struct timespec ran;
	enum at_ring ring;
	int saved = errno, tries = 0;

	t->seen_ns = ns;
	if (untold || now < began + OFTEN_NS)
		return;
	for (;;) {
		t->cpu_ns = now;
		/* How long it ran; and what the kernel says of that beside is then no tick behind. */
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
		if (!ask(&a)) {
			t->cpu_times = 0;
			goto out;
		}
		end = at_now();
		/* It lost its CPU over the question: before the answer was made, or after? */
		if (end < now + QUICK_NS || ++tries == TRIES)
			break;
		now = end;
	}
	a.ran = (uint64_t)ran.tv_sec * 1000000000u + (uint64_t)ran.tv_nsec;
	t->cpu_ran = a.ran;
	t->cpu_waited = a.waited;
	t->cpu_times = a.times;
	if (!was.times || a.waited < was.waited + WAITED_NS)
		goto out;
	ring = a.waited - was.waited >= LONG_NS ? AT_LAST : AT_BULK;
	ev = emit(t, ring, AT_EV_CPU_WAIT, ns - 1, sizeof(*ev), NULL, NULL, 0);
	if (!ev)
		goto out;
	ev->begin_ns = began;
	ev->seen_ns = seen;
	ev->end_ns = end;
	ev->waited_ns = a.waited - was.waited;
	ev->ran_ns = a.ran - was.ran;
	ev->times = (uint32_t)(a.times - was.times);
	emit_done(t, ring);
out:
	errno = saved;
}

void cpu_seen(uint64_t now_ns)
{
	struct thread *t = thread_enter();

	if (!t)
		return;
	cpu_look(t, now_ns);
	thread_leave(t);
}
