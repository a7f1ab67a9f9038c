// SPDX-License-Identifier: BSD-2-Clause
/*
 * exec.c - another program takes this process over: what is open then is lost with it, and
 * the trail would otherwise look as if it were still written.
 *
 * Only what is called by these names is seen: posix_spawn() and system() replace a child.
 * Between vfork() and exec the memory is the parent's, so nothing is allocated here, and
 * live_executes() tells the child from the parent.
 */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "shim.h"

#define EXEC_FUNCTIONS(F) F(execve) F(execv) F(execvp) F(execvpe) F(fexecve)

static struct {
#define POINTER(name) __typeof__(&name) name;
	EXEC_FUNCTIONS(POINTER)
#undef POINTER
} real;

__attribute__((constructor)) static void exec_init(void)
{
#define RESOLVE(name) if (!real.name) *(void **)&real.name = find_next(#name);
	EXEC_FUNCTIONS(RESOLVE)
#undef RESOLVE
}

#define REAL(name) (likely(real.name != NULL) ? real.name : (exec_init(), real.name))

/* The call returns only when it failed. */
#define MARKED(call) do {						\
	bool ours = live_executes();					\
	int r = call;							\
									\
	if (ours)							\
		live_stays();						\
	return r;							\
} while (0)

int exec_execve(const char *path, char *const argv[], char *const env[])
{
	MARKED(REAL(execve)(path, argv, env));
}

int exec_execv(const char *path, char *const argv[])
{
	MARKED(REAL(execv)(path, argv));
}

int exec_execvp(const char *file, char *const argv[])
{
	MARKED(REAL(execvp)(file, argv));
}

int exec_execvpe(const char *file, char *const argv[], char *const env[])
{
	MARKED(REAL(execvpe)(file, argv, env));
}

int exec_fexecve(int fd, char *const argv[], char *const env[])
{
	MARKED(REAL(fexecve)(fd, argv, env));
}

/* The arguments up to NULL as an array on the caller's stack, as libc itself makes it. */
#define GATHER(argv, first, ap, count) do {				\
	size_t nr_ = 0;			/* behind the first */		\
									\
	va_copy(count, ap);						\
	while ((first) && va_arg(count, char *))			\
		nr_++;							\
	va_end(count);							\
	argv = alloca((nr_ + 2) * sizeof(*argv));			\
	argv[0] = (char *)(uintptr_t)(first);				\
	for (size_t i_ = 1; (first) && i_ <= nr_ + 1; i_++)		\
		argv[i_] = va_arg(ap, char *);				\
} while (0)

int exec_execl(const char *path, const char *arg, va_list ap)
{
	va_list count;
	char **argv;

	GATHER(argv, arg, ap, count);
	return exec_execv(path, argv);
}

int exec_execlp(const char *file, const char *arg, va_list ap)
{
	va_list count;
	char **argv;

	GATHER(argv, arg, ap, count);
	return exec_execvp(file, argv);
}

int exec_execle(const char *path, const char *arg, va_list ap)
{
	va_list count;
	char **argv;

	GATHER(argv, arg, ap, count);
	return exec_execve(path, argv, va_arg(ap, char *const *));
}
