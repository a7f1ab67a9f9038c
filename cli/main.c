/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - acktrail: finds the command and hands over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "say.h"

#ifndef HAVE_PROBE
/* Built without libbpf: the command is known, and says so. */
int cmd_probe(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	say("this acktrail was built without the probe (it needs clang, libbpf and bpftool at build time); "
	    "install them and build it again, or take an acktrail that has it");
	return STATUS_CANNOT;
}
#endif

/* Asked by doctor.c. */
extern const bool probe_built_in;
#ifdef PROBE_BUILT_IN
const bool probe_built_in = true;
#else
const bool probe_built_in = false;
#endif

/* In the order in which one meets them. */
static const struct {
	const char *name, *usage, *what;
	int (*run)(int argc, char **argv);
} commands[] = {
#ifdef HAVE_RECORD
	{ "record", "[-o TRAIL] -- CMD…", "run CMD and witness what its Kafka client does", cmd_record },
#endif
	{ "probe", "[-o TRAIL] [-p PID]…", "on the broker's host: witness requests, appends, syncs and the disk", cmd_probe },
#ifdef HAVE_TIMELINE
	{ "timeline", "TRAIL… [FILTERS]", "what became of each batch, and where its time was", cmd_timeline },
#endif
#ifdef HAVE_WHY
	{ "why", "TRAIL… [FILTERS]", "one verdict a batch, and the summary verdict on top", cmd_why },
#endif
#ifdef HAVE_SUMMARY
	{ "summary", "TRAIL…", "where the time went; the account of messages", cmd_summary },
#endif
#ifdef HAVE_DISK
	{ "disk", "TRAIL…", "syncs and what each waited for; the devices' health", cmd_disk },
#endif
#ifdef HAVE_TOP
	{ "top", "[TRAIL…]", "live", cmd_top },
#endif
#ifdef HAVE_EXPORT
	{ "export", "TRAIL… --format F -o FILE", "for other tools: html perfetto otlp ndjson", cmd_export },
#endif
#ifdef HAVE_PACK
	{ "pack", "TRAIL… -o FILE", "one file to carry away", cmd_pack },
#endif
#ifdef HAVE_CTL
	{ "ctl", "TRAIL on|off|save", "turn a loaded shim on or off", cmd_ctl },
#endif
#ifdef HAVE_DUMP
	{ "dump", "TRAIL…", "the raw events, nothing joined", cmd_dump },
#endif
#ifdef HAVE_DOCTOR
	{ "doctor", "[-p PID | -- CMD…]", "what can be witnessed here, what cannot, and why", cmd_doctor },
#endif
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* printf() pads bytes; "…" has three and takes one column. */
static int padded(const char *text, int columns)
{
	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) == 0x80;
	return columns;
}

static void help(FILE *f)
{
	fputs("Usage: acktrail COMMAND …\n"
	      "This batch was late, or expired: where was the time, and is the data in the log?\n\n", f);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(f, "  %-9s %-*s %s\n", commands[i].name, padded(commands[i].usage, 31), commands[i].usage,
			commands[i].what);
	fputs("\n`acktrail COMMAND --help` tells more. A TRAIL is what one process left behind, a\n"
	      "directory of trails, or what `acktrail pack` made of them.\n"
	      "Exit status: 0 done; 1 --fail-on met; 2 wrong usage, or no trail; 3 done, but the evidence\n"
	      "was incomplete; 4 cannot run here, or may not read the trail.\n", f);
}

/* Levenshtein distance, for names of a few letters. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], m = strlen(b);

	if (m >= 32)
		return m;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t old = row[j], best = corner + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			corner = old;
		}
	}
	return row[m];
}

static int unknown(const char *name)
{
	const char *best = NULL;
	size_t least = 4;	/* further away is another word */

	for (size_t i = 0; i < NR_COMMANDS; i++) {
		size_t d = strncmp(commands[i].name, name, strlen(name)) ?
			   distance(name, commands[i].name) : 0;

		if (d < least && d < strlen(commands[i].name)) {
			least = d;
			best = commands[i].name;
		}
	}
	if (best)
		say("there is no command \"%s\"; did you mean \"%s\"?", name, best);
	else
		say("there is no command \"%s\"; `acktrail --help` lists them", name);
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "-?") ||
	    !strcmp(argv[1], "help")) {
		if (argc == 2 || argv[1][0] == '-') {
			help(stdout);
			return fflush(stdout) ? STATUS_CANNOT : STATUS_DONE;
		}
		/* acktrail help dump */
		argv[1] = argv[2];
		argv[2] = "--help";
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("acktrail " ACKTRAIL_VERSION);
		return fflush(stdout) ? STATUS_CANNOT : STATUS_DONE;
	}
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return unknown(argv[1]);
}
