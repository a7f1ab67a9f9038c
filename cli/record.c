/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.c - acktrail record: runs a command with the shim preloaded.  To the
 * command and to whoever started us nothing changes: same terminal, same signals,
 * same exit status.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "program.h"
#include "reader.h"
#include "say.h"
#include "trail_open.h"
#include "window.h"

#define NOT_EXECUTABLE	126	/* as the shell says it */
#define NOT_FOUND	127

struct args {
	const char *out;
	bool	 no_follow;
	char	**command;
};

static const struct argp_option options[] = {
	{ "output", 'o', "TRAIL", 0, "directory for the trails (default: acktrail.… in the working directory)", 0 },
	{ "no-follow", 'n', NULL, 0, "witness CMD alone, not the processes that it starts", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case 'o':
		if (!*arg)
			argp_error(state, "-o needs the name of a directory");
		args->out = arg;
		return 0;
	case 'n':
		args->no_follow = true;
		return 0;
	case ARGP_KEY_ARGS:
		args->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which CMD? (acktrail record [-o TRAIL] -- CMD…)");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "-- CMD…",
	"Run CMD with the shim preloaded, and witness what its Kafka client does.\v"
	"The exit status is CMD's: 128 plus the signal when one ended it, 127 when CMD was not found, "
	"126 when it cannot be executed. Whatever keeps the shim out, CMD runs.",
	NULL, NULL, NULL
};

/* ---- where the trails go ------------------------------------------------- */

/* Does the directory hold a trail, itself or one level down? */
static bool holds_trail(const char *dir)
{
	struct dirent *d;
	bool found = trail_is_dir(dir);
	DIR *dp = found ? NULL : opendir(dir);

	while (dp && !found && (d = readdir(dp))) {
		char path[PATH_MAX];

		if (d->d_name[0] != '.' &&
		    snprintf(path, sizeof(path), "%s/%s", dir, d->d_name) < (int)sizeof(path))
			found = trail_is_dir(path);
	}
	if (dp)
		closedir(dp);
	return found;
}

static bool out_is_ours;	/* the directory of -o was not there before */

/*
 * Make the directory that was asked for: the shim puts the trail of each process
 * into it.  What holds trails already is left alone and a number is added.  The
 * name has to be absolute, since the command may change its directory.
 */
static bool make_out(const char *want, char out[PATH_MAX])
{
	char cwd[PATH_MAX] = "";
	int len;

	if (want[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return false;
	len = snprintf(out, PATH_MAX, "%s%s%s", cwd, want[0] == '/' ? "" : "/", want);
	while (len > 1 && len < PATH_MAX && out[len - 1] == '/')
		out[--len] = 0;
	if (len > PATH_MAX - 16) {
		say("%s: the path is too long, nothing will be witnessed", want);
		return false;
	}
	for (int n = 1; n < 10000; n++) {
		int err = mkdir(out, 0700) ? errno : 0;
		struct stat st;

		if (!err)
			return out_is_ours = true;
		if (err != EEXIST) {
			say("%s cannot be made: %s; nothing will be witnessed, the command runs on", out,
			    strerror(err));
			return false;
		}
		if (!stat(out, &st) && S_ISDIR(st.st_mode) && !holds_trail(out)) {
			if (!access(out, W_OK | X_OK))
				return true;
			say("%s is not writable for you; nothing will be witnessed, the command runs on", out);
			return false;
		}
		snprintf(out + len, (size_t)(PATH_MAX - len), ".%d", n);
	}
	return false;
}

/* ---- the environment ----------------------------------------------------- */

static void preload(const char *shim, const struct program *p)
{
	const char *had = getenv("LD_PRELOAD");
	char *value;

	if (had && strstr(had, shim))
		return;
	/* A sanitizer's run time insists on being first, and ends the program otherwise. */
	if (asprintf(&value, "%s%s%s%s%s", p->asan, p->asan[0] ? ":" : "", shim, had && *had ? ":" : "",
		     had ? had : "") < 0)
		return;
	setenv("LD_PRELOAD", value, 1);
	free(value);
}

/* What the shim would take in silence: it prints nothing into the app's output. */
static bool mode_wanted(void)
{
	const char *mode = getenv("ACKTRAIL"), *size = getenv("ACKTRAIL_MAX_MB");

	if (size && *size && (strspn(size, "0123456789") != strlen(size) || !strtoul(size, NULL, 10)))
		say("ACKTRAIL_MAX_MB=%s is no number of megabytes: the default is taken", size);
	if (!mode || !*mode || !strcmp(mode, "on") || !strcmp(mode, "standby"))
		return true;
	say("ACKTRAIL=%s%s. Running the command without witnessing it.", mode,
	    strcmp(mode, "off") ? " is none of on, standby and off, and taken as off" : "");
	return false;
}

/* Everything that the command will find; false: it runs as if we were not there. */
static bool set_up(const struct args *args, const struct program *p, char out[PATH_MAX])
{
	const char *why = program_out_of_reach(p);
	char shim[PATH_MAX];

	out[0] = 0;
	if (!mode_wanted())
		return false;
	if (why) {
		say("%s %s. Running it all the same.", p->interpreter[0] ? p->interpreter : p->path, why);
		/* What it starts may be in reach, unless the loader itself would complain. */
		if (p->kind == PROGRAM_MUSL || p->kind == PROGRAM_FOREIGN)
			return false;
	}
	if (!program_shim(shim)) {
		say("libacktrail.so was not found beside this program nor in " ACKTRAIL_LIBDIR
		    "; install it. Running the command without witnessing it.");
		return false;
	}
	if (strpbrk(shim, " :")) {	/* the loader would take it for two names */
		say("%s: the loader cannot preload a path with a blank or a colon; move acktrail. Running the "
		    "command without witnessing it.", shim);
		return false;
	}
	if (args->out) {
		if (!make_out(args->out, out))
			return false;
		setenv("ACKTRAIL_OUT", out, 1);
	}
	if (args->no_follow)
		setenv("ACKTRAIL_FOLLOW", "0", 1);
	preload(shim, p);
	return true;
}

/* ---- the run ------------------------------------------------------------- */

static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

static pid_t start(char **command, const sigset_t *mask, const struct sigaction *chld)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	sigaction(SIGCHLD, chld, NULL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	say("%s: %s", command[0], strerror(errno));
	_exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/*
 * Wait for the command.  It is in our process group, so what the terminal sends
 * (SI_KERNEL) has reached it already; what was sent to us alone is passed on.
 * Stopping and continuing is done to the whole group by the shell.
 */
static int wait_for(pid_t pid, const sigset_t *signals)
{
	int status;

	for (;;) {
		siginfo_t info;
		int sig;

		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		sig = sigwaitinfo(signals, &info);
		if (sig > 0 && sig != SIGCHLD && info.si_code != SI_KERNEL)
			kill(pid, sig);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(char **command, pid_t *pid)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, chld;
	sigset_t signals, mask;
	int status;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&signals, forwarded[i]);
	sigaction(SIGCHLD, &dfl, &chld);	/* ignored, it would take the exit status away */
	sigprocmask(SIG_BLOCK, &signals, &mask);
	*pid = start(command, &mask, &chld);
	if (*pid < 0) {
		say("no process can be started: %s", strerror(errno));
		status = STATUS_CANNOT;
	} else {
		status = wait_for(*pid, &signals);
	}
	/* From here on a signal ends us, as it would have ended the command. */
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return status;
}

/* ---- what it left behind ------------------------------------------------- */

struct found {
	int	 nr, live;
	char	 first[PATH_MAX];
};

/* A trail that began during this run? */
static void look_at(const char *dir, uint64_t since_ns, struct found *f)
{
	enum presence process;
	struct at_header h;

	if (!window_header(dir, &h) || h.created_mono_ns < since_ns ||
	    strcmp(h.boot_id, window_boot_id()))
		return;
	process = window_process(&h);
	if (process == PROCESS_GONE)
		window_collect(dir);
	if (process == PROCESS_THERE && h.state == AT_OPEN)
		f->live++;
	if (!f->nr++)
		snprintf(f->first, sizeof(f->first), "%s", dir);
}

static void look_in(const char *dir, const char *prefix, uint64_t since_ns, struct found *f)
{
	struct dirent *d;
	DIR *dp = opendir(dir);

	while (dp && (d = readdir(dp))) {
		char path[PATH_MAX];

		if (d->d_name[0] != '.' && !strncmp(d->d_name, prefix, strlen(prefix)) &&
		    snprintf(path, sizeof(path), "%s/%s", dir, d->d_name) < (int)sizeof(path) &&
		    trail_is_dir(path))
			look_at(path, since_ns, f);
	}
	if (dp)
		closedir(dp);
}

/*
 * Where did the shim put it?  The places of its own choosing are the working
 * directory and TMPDIR; a process that went elsewhere is not found, and its trail
 * is collected by whoever reads it.
 */
static void report(const char *out, const char *cwd, uint64_t since_ns)
{
	const char *given = out[0] ? out : getenv("ACKTRAIL_OUT"), *tmp = getenv("TMPDIR");
	const char *mode = getenv("ACKTRAIL");
	struct found f = { 0 };

	if (given && *given) {
		look_in(given, "", since_ns, &f);
		if (trail_is_dir(given))
			look_at(given, since_ns, &f);
	} else {
		look_in(cwd, "acktrail.", since_ns, &f);
		if (!f.nr)
			look_in(tmp && *tmp ? tmp : "/tmp", "acktrail.", since_ns, &f);
	}
	if (!f.nr) {
		if (out[0] && out_is_ours)
			rmdir(out);	/* only when nothing is in it */
		say(mode && !strcmp(mode, "standby") ?
		    "nobody turned recording on (ACKTRAIL=standby, `acktrail ctl`), or no Kafka client was seen: there "
		    "is no trail" : "no Kafka client was seen, so there is no trail");
		return;
	}
	if (f.nr == 1)
		say("the trail is %s%s", out[0] ? out : f.first, f.live ? " (still being written)" : "");
	else if (given && *given)
		say("%d trails are in %s%s", f.nr, given, f.live ? " (some still being written)" : "");
	else
		say("%d trails are beside %s%s", f.nr, f.first, f.live ? " (some still being written)" : "");
}

int cmd_record(int argc, char **argv)
{
	char path[PATH_MAX], out[PATH_MAX], cwd[PATH_MAX] = ".";
	struct args args = { 0 };
	struct program program;
	struct timespec now;
	bool witnessed;
	pid_t pid;
	int err, status;

	/* In order: what follows CMD is CMD's. */
	cmd_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);
	err = program_find(args.command[0], path);
	if (err) {
		say("%s: %s", args.command[0], err == ENOENT ? "command not found" : "cannot be executed: no permission, or not a file");
		return err == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
	}
	program_look(path, &program);
	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, ".");
	witnessed = set_up(&args, &program, out);
	clock_gettime(CLOCK_MONOTONIC, &now);
	status = run(args.command, &pid);
	if (witnessed)
		report(out, cwd, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	return status;
}
