/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd.c - what the commands' option parsing has in common.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "say.h"

enum format format_arg(const struct argp_state *state, const char *arg)
{
	if (!strcmp(arg, "text"))
		return FORMAT_TEXT;
	if (!strcmp(arg, "ndjson") || !strcmp(arg, "json"))
		return FORMAT_NDJSON;
	argp_error(state, "--format is text or ndjson, not \"%s\"", arg);
	return FORMAT_TEXT;
}

error_t cmd_parse(const struct argp *argp, int argc, char **argv, unsigned flags,
		  int *arg_index, void *input)
{
	static char name[64];
	error_t err;

	/* argp calls the program by argv[0]: "acktrail dump". */
	snprintf(name, sizeof(name), "acktrail %s", argv[0]);
	argv[0] = name;
	argp_err_exit_status = STATUS_USAGE;
	say_unread();			/* what an earlier command met */
	err = argp_parse(argp, argc, argv, flags, arg_index, input);
	if (err)
		exit(STATUS_USAGE);
	return 0;
}
