/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.h - what a program is, as far as preloading a library into it goes.
 */
#ifndef ACKTRAIL_PROGRAM_H
#define ACKTRAIL_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum program_kind {
	PROGRAM_DYNAMIC,	/* glibc: the shim loads */
	PROGRAM_STATIC,		/* no dynamic loader */
	PROGRAM_MUSL,		/* another C library */
	PROGRAM_SECURE,		/* setuid, setgid or file capabilities: LD_PRELOAD is ignored */
	PROGRAM_FOREIGN,	/* 32 bit, or another machine */
	PROGRAM_UNKNOWN,	/* not ELF and no script, or not readable */
};

struct program {
	char	 path[PATH_MAX];	/* that was found */
	char	 interpreter[PATH_MAX];	/* of a script, "" when it is none: kind is of this one */
	enum program_kind kind;
	bool	 go;
	bool	 java;
	bool	 python;
	bool	 needs_rdkafka;		/* linked to librdkafka.so */
	char	 asan[64];		/* soname of the sanitizer's run time it needs, or "" */
};

/* As execvp() finds it; 0, or ENOENT, EACCES. */
int program_find(const char *command, char path[PATH_MAX]);

/* Looks at the file, and through `#!` at its interpreter (one level, and env). */
void program_look(const char *path, struct program *p);

/*
 * Why the shim cannot be loaded into it, as a sentence without its subject, and
 * what to do; NULL when it can.
 */
const char *program_out_of_reach(const struct program *p);

/* Does the file hold this text?  Looks at its first `most` bytes. */
bool program_holds(const char *path, const char *text, size_t most);

/* libacktrail.so: beside this program, in ../lib, installed, or in the build tree. */
bool program_shim(char path[PATH_MAX]);

#endif
