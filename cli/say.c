/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * say.c - words for people.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "reader.h"
#include "say.h"

#define PROGRESS_AFTER_NS	500000000u
#define PROGRESS_EVERY_NS	100000000u

static bool shown;	/* a progress line stands on the terminal */
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

static void say_trail(const struct trail *t)
{
	if (t->lost)
		say("trail %s: %llu events were lost because there was no room for them; "
		    "what they would have shown is missing", t->path, (unsigned long long)t->lost);
	if (t->unknown_events)
		say("trail %s: %llu events of kinds that this version does not know were skipped; "
		    "upgrade to see them", t->path, (unsigned long long)t->unknown_events);
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
