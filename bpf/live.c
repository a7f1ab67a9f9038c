// SPDX-License-Identifier: BSD-2-Clause
/* live.c - one line on a terminal while the probe runs, and nothing where there is none. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inner.h"

static bool on_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
}

void live_clear(const struct probe *p)
{
	if (p->live.shown)
		fputs("\r\033[K", stderr);
}

static void duration(char *to, size_t size, uint64_t ns)
{
	if (ns < 1000000)
		snprintf(to, size, "%" PRIu64 " µs", ns / 1000);
	else if (ns < 10000000000u)
		snprintf(to, size, "%.*f ms", ns < 100000000, (double)ns / 1e6);
	else
		snprintf(to, size, "%.1f s", (double)ns / 1e9);
}

/* What came since the line before: of `ns`. */
void live_show(struct probe *p, uint64_t ns, uint64_t dropped)
{
	double seconds = (double)ns / 1e9;
	char slowest[32] = "";

	if (ns && on_terminal()) {
		duration(slowest, sizeof(slowest), p->live.slowest_ns);
		fprintf(stderr, "\r\033[K%.0f syncs/s%s%s, %.0f requests/s, %" PRIu64 " dropped; Ctrl-C ends it",
			(double)p->live.syncs / seconds, p->live.syncs ? ", slowest " : "", p->live.syncs ? slowest : "",
			(double)p->live.requests / seconds, dropped);
		fflush(stderr);
		p->live.shown = true;
	}
	p->live.syncs = p->live.requests = p->live.slowest_ns = 0;
}
