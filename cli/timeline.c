/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeline.c - acktrail timeline: every batch's life, a row each.
 */
#include <stdio.h>
#include <unistd.h>
#include "batch_view.h"
#include "joined.h"
#include "requests_view.h"
#include "say.h"

enum { KEY_ATTEMPTS = 0x600, KEY_REQUESTS };

struct args {
	struct joined c;
	bool	 attempts, requests;
	bool	 colour;
	struct out out;
	uint64_t rows;
};

static const struct argp_option options[] = {
	{ "attempts", KEY_ATTEMPTS, NULL, 0,
	  "Each attempt to send a batch, and batches whose messages all moved into others", 0 },
	{ "requests", KEY_REQUESTS, NULL, 0,
	  "Before the batches, every Kafka request that the clients sent, whatever its API: size, round "
	  "trip, error, or how it ended without an answer", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->c;
		return 0;
	case KEY_ATTEMPTS:
		args->attempts = args->c.attempts = true;
		return 0;
	case KEY_REQUESTS:
		args->requests = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "TRAIL…",
	"Print the life of every batch: where its time was, from produce() to the app's callback.\v"
	"Times with ~ are inferred; in {} what a sync waited for; in [] why the batch waited there; behind = "
	"the causes, each with its share of the batch's life: two may hold the same time (a lock, and the sync "
	"of who held it), so the shares may add up to more than 100 %.",
	joined_children, NULL, NULL
};

static void row(void *arg, struct tl_batch *b)
{
	struct args *args = arg;

	args->rows++;
	if (args->c.format == FORMAT_NDJSON)
		batch_json(&args->out, b);
	else
		batch_text(stdout, b, args->colour, args->attempts);
}

int cmd_timeline(int argc, char **argv)
{
	struct args args = { 0 };
	int status;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	if (!joined_open(&args.c))
		return (int)say_unread();
	args.colour = say_colour(stdout);
	out_open(&args.out, STDOUT_FILENO);
	if (args.requests && requests_show(&args.c, &args.out, args.colour) && args.c.format == FORMAT_TEXT)
		putchar('\n');
	if (isatty(STDOUT_FILENO) && !args.c.filter.slowest)
		say_progress_off();	/* it would stand in the rows */
	joined_run(&args.c, row, NULL, &args);
	if (out_close(&args.out) || say_unwritten()) {
		joined_close(&args.c);
		return STATUS_CANNOT;
	}
	if (!args.rows && args.c.format == FORMAT_TEXT)
		say("no batch in there that the filters keep");
	status = joined_close(&args.c);
	return status;
}
