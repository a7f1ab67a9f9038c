/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * own_process.h - a command of acktrail run in a process of its own, with a scratch
 * directory to work in that goes with the test.
 */
#ifndef ACKTRAIL_OWN_PROCESS_H
#define ACKTRAIL_OWN_PROCESS_H

#include <sys/types.h>
#include <sys/wait.h>

#include "capture.h"
#include "make_trail.h"

static struct scratch scratch;

static int setup(void **state)
{
	(void)state;
	scratch = scratch_make();
	return chdir(scratch.dir);
}

static int teardown(void **state)
{
	(void)state;
	capture_end_all();
	scratch_remove(&scratch);
	return 0;
}

/* As that user; 0: as who we are. */
static pid_t start_command(int (*command)(int argc, char **argv), int argc, char **argv, uid_t uid)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		int status;

		if (uid && setuid(uid))
			_exit(99);
		status = command(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	return pid;
}

static int ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
