/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl.c - acktrail ctl TRAIL on|off|save: turns a loaded shim on or off while its app
 * runs, by one word in the trail's header, and sets aside what there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "aside.h"
#include "cmd.h"
#include "reader_find.h"
#include "say.h"
#include "trail_open.h"
#include "window.h"

#define WAIT_MS	3000	/* librdkafka's threads call poll() once a second at least */

enum verb { ON, OFF, SAVE, NR_VERBS };
static const char *const verbs[] = { "on", "off", "save" };

struct args { char *path; enum verb verb; };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num == 0) {
			args->path = arg;
			return 0;
		}
		if (state->arg_num > 1)
			argp_error(state, "one TRAIL, and on, off or save");
		for (args->verb = ON; args->verb < NR_VERBS && strcmp(arg, verbs[args->verb]); args->verb++)
			;
		if (args->verb == NR_VERBS)
			argp_error(state, "on, off or save, not \"%s\"", arg);
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_error(state, "which TRAIL, and on, off or save?");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	NULL, parse, "TRAIL on|off|save",
	"Turn a loaded shim on or off while its app runs (ACKTRAIL=standby begins turned off); save "
	"sets aside what the flight recorder holds, and the app goes on.\v"
	"TRAIL may be a directory that holds the trails of several processes: all that run are meant. "
	"What is saved lies beside it (TRAIL.saved), and every command reads it.",
	NULL, NULL, NULL
};

/* ---- one trail ------------------------------------------------------------- */

struct target {
	const char *path;
	int	 fd;
	struct stat st;
	struct at_header *header;	/* mapped, one page */
};

/*
 * The file itself: behind DIR/trail, which may be a link to the live window.  No second
 * link is followed: what is written to must be that window.
 */
static int open_target(struct target *g)
{
	char name[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	if (snprintf(name, sizeof(name), trail_is_dir(g->path) ? "%s/" AT_FILE_NAME : "%s", g->path) >=
	    (int)sizeof(name))
		return -ENAMETOOLONG;
	n = readlink(name, target, sizeof(target) - 1);
	if (n > 0) {
		target[n] = 0;
		memcpy(name, target, (size_t)n + 1);
	}
	g->fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (g->fd < 0)
		return -errno;
	if (fstat(g->fd, &g->st))
		return -errno;
	return S_ISREG(g->st.st_mode) && g->st.st_size >= (off_t)AT_PAGE ? 0 : -EINVAL;
}

static int cannot_open(const struct target *g, int err)
{
	struct stat st;

	switch (err) {
	case -ENOENT:
		say("%s: there is no such trail", g->path);
		return STATUS_USAGE;
	case -EACCES: case -EPERM: case -EROFS:
		if (stat(g->path, &st))
			st.st_uid = 0;
		say("%s: no permission; run this as the user who runs the app (uid %u), or as root", g->path,
		    (unsigned)st.st_uid);
		return STATUS_CANNOT;
	case -EINVAL: case -ELOOP: case -EISDIR:
		say("%s is no trail", g->path);
		return STATUS_USAGE;
	default:
		say("%s: %s", g->path, strerror(-err));
		return STATUS_CANNOT;
	}
}

/* STATUS_DONE: its process is there and can be told. */
static int check_target(const struct target *g)
{
	struct at_header h = *g->header;

	h.comm[sizeof(h.comm) - 1] = h.host[sizeof(h.host) - 1] = h.writer[sizeof(h.writer) - 1] = 0;
	h.boot_id[sizeof(h.boot_id) - 1] = 0;
	if (memcmp(h.magic, AT_MAGIC, sizeof(h.magic)) || h.byte_order != AT_BYTE_ORDER) {
		say("%s is no trail", g->path);
		return STATUS_USAGE;
	}
	if (h.kind != AT_KIND_SHIM) {
		say("%s is a probe's trail: a probe records until it is ended", g->path);
		return STATUS_USAGE;
	}
	if (h.min_reader > AT_VERSION) {
		say("%s was written by a newer acktrail (%s): use that one", g->path, h.writer);
		return STATUS_CANNOT;
	}
	if (h.header_size < offsetof(struct at_header, obeys) + sizeof(h.obeys) || h.control == AT_CONTROL_NONE) {
		say("%s: its app has loaded an older libacktrail.so (%s), which cannot be told; start the app again "
		    "with this one", g->path, h.writer);
		return STATUS_CANNOT;
	}
	switch (h.state == AT_OPEN ? window_process(&h) : PROCESS_GONE) {
	case PROCESS_GONE:
		say("%s: its process (%s, pid %u) has ended%s", g->path, h.comm, h.pid,
		    h.state == AT_SAVED ? ", or runs on with another trail: this is a copy" : "");
		return STATUS_CANNOT;
	case PROCESS_UNKNOWN:
		say("%s: its process (%s, pid %u) runs on host or in container \"%s\"; run this there", g->path,
		    h.comm, h.pid, h.host);
		return STATUS_CANNOT;
	default:
		return STATUS_DONE;
	}
}

/*
 * A shim that stands by has no memory for its events yet.  It gets it here: for the app a
 * full tmpfs would be SIGBUS, for us it is an error.
 */
static int give_memory(const struct target *g)
{
	uint64_t have = (uint64_t)g->st.st_blocks * 512, want = (uint64_t)g->st.st_size, free_bytes = UINT64_MAX;
	struct statvfs fs;

	if (have >= want)
		return STATUS_DONE;
	if (!fstatvfs(g->fd, &fs) && fs.f_blocks)
		free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* The app's own shared memory lies there, too. */
	if ((want - have) / 2 * 4 <= free_bytes && !fallocate(g->fd, 0, 0, g->st.st_size))
		return STATUS_DONE;
	say("%s: the flight recorder needs %llu MB on its tmpfs (/dev/shm), half of what is free there at most; make "
	    "room, or start the app with a smaller ACKTRAIL_MAX_MB", g->path, (unsigned long long)(want - have) >> 20);
	return STATUS_CANNOT;
}

static int tell(const struct target *g, enum at_control want)
{
	struct at_header *h = g->header;
	int status;

	if (__atomic_load_n(&h->obeys, __ATOMIC_ACQUIRE) == want &&
	    __atomic_load_n(&h->control, __ATOMIC_ACQUIRE) == want) {
		printf("%s: recording is %s already\n", g->path, want == AT_CONTROL_ON ? "on" : "off");
		return STATUS_DONE;
	}
	status = want == AT_CONTROL_ON ? give_memory(g) : STATUS_DONE;
	if (status)
		return status;
	__atomic_store_n(&h->control, (uint32_t)want, __ATOMIC_RELEASE);
	for (int ms = 0; ms < WAIT_MS; ms += 5) {
		if (__atomic_load_n(&h->obeys, __ATOMIC_ACQUIRE) == want) {
			printf("%s: recording is %s\n", g->path, want != AT_CONTROL_ON ? "off" :
			       "on; what was under way before is known in part");
			return STATUS_DONE;
		}
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
	if (window_process(h) == PROCESS_GONE) {
		say("%s: its process has just ended", g->path);
		return STATUS_CANNOT;
	}
	printf("%s: recording will be %s with the app's next call; it made none in %d s\n", g->path,
	       want == AT_CONTROL_ON ? "on" : "off", WAIT_MS / 1000);
	return STATUS_DONE;
}

static int turn(const char *path, enum verb verb)
{
	struct target g = { .path = path, .fd = -1 };
	int err = open_target(&g), status;

	if (err) {
		status = cannot_open(&g, err);
		goto out;
	}
	g.header = mmap(NULL, AT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, g.fd, 0);
	if (g.header == MAP_FAILED) {
		status = cannot_open(&g, -errno);
		goto out;
	}
	status = check_target(&g);
	if (!status)
		status = tell(&g, verb == ON ? AT_CONTROL_ON : AT_CONTROL_OFF);
	munmap(g.header, AT_PAGE);
out:
	if (g.fd >= 0)
		close(g.fd);
	return status;
}

/* ---- all that are meant ------------------------------------------------------ */

/* Of several only those that run; a name of one trail is taken at its word. */
static bool is_meant(const struct paths *p, size_t i)
{
	struct at_header h;

	return p->nr == 1 || (window_header(p->path[i], &h) && h.kind == AT_KIND_SHIM && h.state == AT_OPEN &&
			      window_process(&h) != PROCESS_GONE);
}

int cmd_ctl(int argc, char **argv)
{
	struct args args = { 0 };
	struct paths found = { 0 };
	int status = STATUS_DONE, one;
	size_t nr = 0;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	paths_find(&found, args.path);
	if (!found.nr) {
		paths_free(&found);
		return (int)say_unread();
	}
	if (found.fd[0] >= 0) {
		say("%s is a packed trail: no process writes it", args.path);
		paths_free(&found);
		return STATUS_USAGE;
	}
	if (args.verb == SAVE) {
		status = aside_save(args.path, &found);
	} else {
		for (size_t i = 0; i < found.nr; i++) {
			if (!is_meant(&found, i))
				continue;
			nr++;
			one = turn(found.path[i], args.verb);
			if (one && !status)
				status = one;
		}
		if (!nr) {
			say("%s: none of its %zu trails is a running app's", args.path, found.nr);
			status = STATUS_CANNOT;
		}
	}
	paths_free(&found);
	return fflush(stdout) && !status ? STATUS_CANNOT : status;
}
