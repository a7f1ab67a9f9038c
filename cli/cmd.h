/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd.h - the commands.  Each is a main() of its own: argv[0] is the command's
 * name, the result is the exit status (enum status in say.h).
 */
#ifndef ACKTRAIL_CMD_H
#define ACKTRAIL_CMD_H

#include <argp.h>

int cmd_record(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_timeline(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_summary(int argc, char **argv);
int cmd_disk(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* The value of --format; an argp usage error when it is neither. */
enum format { FORMAT_TEXT, FORMAT_NDJSON };
enum format format_arg(const struct argp_state *state, const char *arg);

/*
 * argp_parse() for a command: `acktrail NAME` in usage and messages, wrong usage
 * is exit status 2.
 */
error_t cmd_parse(const struct argp *argp, int argc, char **argv, unsigned flags,
		  int *arg_index, void *input);

#endif
