/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * say.c - words for people.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reader.h"
#include "say.h"
#include "span.h"

#define PROGRESS_AFTER_NS	500000000u
#define PROGRESS_EVERY_NS	100000000u

static atomic_bool shown;	/* a progress line stands on the terminal; a reader's thread may show it */
static bool off;

static void clear_progress(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}

void say(const char *format, ...)
{
	va_list args;

	clear_progress();
	fputs("acktrail: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static bool forbidden;

void say_forbidden(const char *path)
{
	say("%s: no permission to read it; run this as the user who recorded it, or as root", path);
	forbidden = true;
}

enum status say_unread(void)
{
	enum status status = forbidden ? STATUS_CANNOT : STATUS_USAGE;

	forbidden = false;
	return status;
}

bool say_unwritten(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return false;
	say("the output could not be written: %s", strerror(errno));
	return true;
}

bool say_colour(FILE *stream)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(stream)) && (!no || !*no) && !(term && term[0] == 'd' && term[1] == 'u');
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void say_progress(const char *what, uint64_t done, uint64_t total)
{
	static uint64_t started, next;
	static int tty = -1;
	uint64_t now;

	if (tty < 0)
		tty = isatty(STDERR_FILENO);
	if (!tty || off || !total)
		return;
	now = now_ns();
	if (!started) {
		started = now;
		next = now + PROGRESS_AFTER_NS;
	}
	if (now < next)
		return;
	next = now + PROGRESS_EVERY_NS;
	fprintf(stderr, "\r%s … %llu%%\033[K", what, (unsigned long long)(done * 100 / total));
	shown = true;
}

void say_progress_done(void)
{
	clear_progress();
}

void say_progress_off(void)
{
	clear_progress();
	off = true;
}

/*
 * A message that expires was produced message.timeout.ms ago, and the trouble began before:
 * the flight recorder should reach back twice as far.
 */
static void say_held(const struct trail *t)
{
	uint64_t want = 2 * t->timeout_ns, held = t->held_ns[AT_BULK], mb;
	char a[40], b[40];

	if (t->header.kind != AT_KIND_SHIM)
		return;
	if (t->wrapped[AT_LAST])
		say("trail %s: so much was late or failed that the flight recorder holds only the last %s of that; "
		    "give the app a larger ACKTRAIL_MAX_MB", t->path, span_text(a, sizeof(a), (int64_t)t->held_ns[AT_LAST]));
	if (!t->wrapped[AT_BULK] || !want || held >= want)
		return;
	mb = (t->header.file_size >> 20) * (want / 1000 / (held / 1000 + 1) + 1);
	say("trail %s: the flight recorder held %s of healthy batches, less than twice message.timeout.ms (%s); "
	    "ACKTRAIL_MAX_MB=%llu would have held enough", t->path, span_text(a, sizeof(a), (int64_t)held),
	    span_text(b, sizeof(b), (int64_t)t->timeout_ns), (unsigned long long)mb);
}

static void say_trail(const struct trail *t)
{
	char end[40];

	if (t->lost)
		say("trail %s: %llu events were lost because there was no room for them%s; what they would have shown "
		    "is missing", t->path, (unsigned long long)t->lost,
		    t->account.probe_lost ? ", or because the kernel did not run a program of the probe" : "");
	if (t->unknown_events)
		say("trail %s: %llu events of kinds that this version does not know were skipped; "
		    "upgrade to see them", t->path, (unsigned long long)t->unknown_events);
	if (trail_killed(t))
		say("trail %s: the probe was killed; its evidence ends at %s", t->path,
		    clock_text(end, sizeof(end), t->newest_ns ? (int64_t)t->newest_ns + t->to_axis_ns : 0));
	say_held(t);
	if (t->header.flags & AT_F_STANDBY && !t->header.on_ns && t->live)
		say("trail %s: its app stands by and records nothing until `acktrail ctl %s on`", t->path, t->path);
	else if (t->header.flags & AT_F_STANDBY && !t->header.on_ns)
		say("trail %s: its app stood by to its end, so nothing was recorded", t->path);
	if (t->recycled_chunks && t->live)
		say("trail %s: its process runs on and has overwritten %llu chunks while they were read",
		    t->path, (unsigned long long)t->recycled_chunks);
}

enum status say_incomplete(const struct reader *r)
{
	for (int i = 0; i < reader_nr_trails(r); i++)
		say_trail(reader_trail(r, i));
	if (!reader_incomplete(r))
		return STATUS_DONE;
	say("the evidence is incomplete (exit status %d)", STATUS_INCOMPLETE);
	return STATUS_INCOMPLETE;
}
