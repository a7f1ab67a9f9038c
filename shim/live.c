// SPDX-License-Identifier: BSD-2-Clause
/*
 * live.c - whether this process is being witnessed.
 *
 * What must not survive a fork stands on one page that the kernel wipes in the
 * child (MADV_WIPEONFORK, Linux 4.14, commit d2cd9ede6e19), so a child, however it
 * was made, starts as a process that nobody watches, and opens a trail of its own
 * when it shows Kafka.  A vfork child shares its parent's memory and is the parent.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

#define DEFAULT_MAX_MB 64
#define OPEN_WAIT_MS 2000u		/* opening takes some 20 ms */
#define MAX_MAX_MB 4096

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum stage { UNOPENED, OPENING, OPEN, FAILED };

struct live *live;
static struct at_writer the_writer;	/* of the process that opened it */
static uint32_t lives;			/* numbers given; copied by fork, so still rising */
static char out_dir[3072];		/* ACKTRAIL_OUT, or the parent's trail after a fork */
static uint64_t max_bytes;
static bool verbose, forked, standby;

static struct stat ears;		/* standard error when we were loaded; all 0: it was closed */

/* No fstat(): its symbol is younger than GLIBC_2.17. */
static bool look_at_stderr(struct stat *st)
{
	return !syscall(SYS_fstat, STDERR_FILENO, st);
}

/* Descriptor 2 may be the app's own file by now, or a pipe that is full or that nobody reads. */
static bool may_say(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct timespec at_once = { 0, 0 };
	struct stat now;

	return ears.st_mode && look_at_stderr(&now) && now.st_dev == ears.st_dev &&
	       now.st_ino == ears.st_ino && syscall(SYS_ppoll, &p, 1, &at_once, NULL, 0) == 1 &&
	       p.revents == POLLOUT;
}

/* The only words that the shim ever prints, one line at most unless asked. */
static void say(const char *what, const char *detail)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "acktrail: %s%s%s\n", what, detail ? ": " : "",
			 detail ? detail : "");

	if (n > (int)sizeof(line) - 1)
		n = sizeof(line) - 1;
	if (!may_say() || syscall(SYS_write, STDERR_FILENO, line, n) < 0)
		return;
}

static uint64_t megabytes(const char *text)
{
	uint64_t n = 0;

	for (; text && *text >= '0' && *text <= '9' && n < MAX_MAX_MB; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return n ? (n < MAX_MAX_MB ? n : MAX_MAX_MB) : DEFAULT_MAX_MB;
}

/*
 * ACKTRAIL_FOLLOW=0: children start without the shim.  The variable is shortened
 * where it stands: setenv() could allocate, and an app may hold pointers into it.
 */
static void leave_children_alone(void)
{
	static const char name[] = "libacktrail.so";
	char **env = environ, *list, *at;

	while (env && *env && strncmp(*env, "LD_PRELOAD=", 11))
		env++;
	if (!env || !*env)
		return;
	list = *env + 11;
	while ((at = strstr(list, name))) {
		char *begin = at, *end = at + strlen(name);

		while (begin > list && begin[-1] != ':' && begin[-1] != ' ')
			begin--;
		while (*end && *end != ':' && *end != ' ')
			end++;
		end += *end != 0;
		memmove(begin, end, strlen(end) + 1);
	}
}

/* on, standby, off; whoever wrote anything else (0, no, offf) did not ask for more. */
static bool wanted(const char *mode)
{
	return !mode || !*mode || !strcmp(mode, "on") || !strcmp(mode, "standby");
}

__attribute__((constructor)) static void live_init(void)
{
	const char *mode = secure_getenv("ACKTRAIL"), *out = secure_getenv("ACKTRAIL_OUT");
	const char *loud = secure_getenv("ACKTRAIL_VERBOSE"), *follow = secure_getenv("ACKTRAIL_FOLLOW");
	int saved = errno;
	void *page;

	if (follow && !strcmp(follow, "0"))
		leave_children_alone();
	if (live || !wanted(mode))
		return;
	if (!look_at_stderr(&ears))
		memset(&ears, 0, sizeof(ears));
	page = mmap(NULL, AT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page != MAP_FAILED && !madvise(page, AT_PAGE, MADV_WIPEONFORK)) {
		max_bytes = megabytes(secure_getenv("ACKTRAIL_MAX_MB")) << 20;
		verbose = loud && *loud && strcmp(loud, "0");
		standby = mode && !strcmp(mode, "standby");
		if (out && strlen(out) < sizeof(out_dir))
			strcpy(out_dir, out);
		else if (out)
			say("nothing is witnessed, ACKTRAIL_OUT is too long", NULL);
		if (!out || *out_dir)
			live = page;
	}
	errno = saved;
}

bool live_off(void)
{
	return !live || __atomic_load_n(&live->stage, __ATOMIC_RELAXED) == FAILED;
}

/* After a fork the parent's mapping is still there; it is not ours to write. */
static void drop_parents(void)
{
	if (!the_writer.base)
		return;
	if (!*out_dir || strcmp(out_dir, the_writer.dir))
		snprintf(out_dir, sizeof(out_dir), "%.3000s", the_writer.dir);
	forked = true;
	at_writer_abandon(&the_writer);
}

bool live_borrowed(void)
{
	struct at_writer *w = live_trail();

	return w && w->header->pid != (uint32_t)syscall(SYS_getpid);
}

bool live_executes(void)
{
	struct at_writer *w = live_trail();

	if (!w || live_borrowed())
		return false;
	__atomic_store_n(&w->header->state, AT_EXECED, __ATOMIC_RELEASE);
	return true;
}

void live_stays(void)
{
	struct at_writer *w = live_trail();

	if (w)
		__atomic_store_n(&w->header->state, AT_OPEN, __ATOMIC_RELEASE);
}

uint32_t live_turn(void)
{
	static uint32_t turns;		/* copied by fork, so still rising */

	return __atomic_add_fetch(&turns, 1, __ATOMIC_RELAXED);
}

struct at_writer *live_open(void)
{
	struct at_writer_conf conf = {
		.kind = AT_KIND_SHIM, .max_bytes = max_bytes, .flags = standby ? AT_F_STANDBY : 0,
	};
	uint32_t want = UNOPENED;
	char why[512];
	int saved = errno;

	if (!live)
		return NULL;
	if (!__atomic_compare_exchange_n(&live->stage, &want, OPENING, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return live_trail();	/* open, or another thread is at it */
	drop_parents();
	conf.dir = *out_dir ? out_dir : NULL;
	conf.inside = forked;
	if (at_writer_open(&the_writer, &conf, why, sizeof(why))) {
		__atomic_store_n(&live->stage, FAILED, __ATOMIC_RELEASE);
		say("nothing is witnessed", why);
	} else {
		live->number = ++lives;
		live->turn = live_turn();
		live->obeyed = the_writer.header->obeys;
		__atomic_store_n(&live->trail, &the_writer, __ATOMIC_RELEASE);
		if (!standby)
			__atomic_store_n(&live->writer, &the_writer, __ATOMIC_RELEASE);
		__atomic_store_n(&live->control, &the_writer.header->control, __ATOMIC_RELEASE);
		__atomic_store_n(&live->stage, OPEN, __ATOMIC_RELEASE);
		if (verbose)
			say(standby ? "standing by" : "witnessing", the_writer.dir);
	}
	errno = saved;
	return live_trail();
}

struct at_writer *live_open_wait(void)
{
	struct at_writer *w = live_open();
	struct timespec ms = { 0, 1000000 };
	int saved = errno;

	for (unsigned i = 0; !w && live && i < OPEN_WAIT_MS &&
	     __atomic_load_n(&live->stage, __ATOMIC_ACQUIRE) == OPENING; i++) {
		nanosleep(&ms, NULL);
		w = live_trail();
	}
	errno = saved;
	return w ? w : live_trail();
}

void live_skip(void)
{
	struct at_writer *w = live_writer();

	if (w)
		__atomic_fetch_add(&w->account->skipped, 1, __ATOMIC_RELAXED);
}

/* exit(): other threads may still run, so the mapping stays (writer's window.c). */
static void live_exit(void)
{
	struct at_writer *w = live_trail();
	struct thread *t;
	int saved = errno;

	if (!w)
		return;
	t = thread_enter();
	if (t) {
		struct ev_end *ev = emit(t, AT_LAST, AT_EV_END, at_now(), sizeof(*ev), NULL, NULL, 0);

		if (ev) {
			ev->how = AT_EXITED;
			emit_done(t, AT_LAST);
		}
		thread_leave(t);
	}
	__atomic_store_n(&live->control, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&live->writer, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&live->trail, NULL, __ATOMIC_RELEASE);
	at_writer_close(w, AT_EXITED);
	errno = saved;
}

/*
 * The destructor of a preload runs before those of the app's libraries, which may still
 * flush and destroy; a handler that was registered before the program began runs behind
 * them all.  Registered later, by a plugin, it runs before: the last of the two it is.
 */
static bool other_was;

static void live_last(void *unused)
{
	(void)unused;
	if (other_was)
		live_exit();
	other_was = true;
}

__attribute__((destructor)) static void live_fini(void)
{
	live_last(NULL);
}

int __cxa_atexit(void (*handler)(void *), void *arg, void *dso);

/* Not atexit(): that would be undone with our destructors. */
__attribute__((constructor)) static void live_atexit(void)
{
	other_was = __cxa_atexit(live_last, NULL, NULL) != 0;
}
