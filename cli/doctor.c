/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor.c - acktrail doctor: what can be witnessed here, what cannot, and why.
 * It looks and changes nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "doctor_broker.h"
#include "out.h"
#include "program.h"
#include "say.h"
#include "window.h"

#define TMPFS		0x01021994UL
#define SCAN_MOST	(256u << 20)	/* bytes of a program searched for librdkafka */
#define CAP_SYS_ADMIN	21
#define CAP_PERFMON	38
#define CAP_BPF		39

struct args {
	int	 pid;
	char	**command;
};

static const struct argp_option options[] = {
	{ "pid", 'p', "PID", 0, "look at this process", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	char *end;
	long n;

	switch (key) {
	case 'p':
		n = strtol(arg, &end, 10);
		if (*end || end == arg || n < 1 || n > INT_MAX)
			argp_error(state, "-p takes the number of a process, not \"%s\"", arg);
		args->pid = (int)n;
		return 0;
	case ARGP_KEY_ARGS:
		args->command = state->argv + state->next;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "[-p PID | -- CMD…]",
	"Say what can be witnessed on this host, and of a process or command, and why not.\v"
	"Exit status 4 when neither the shim nor the probe can work here, or the process or "
	"command that was named is out of reach: of the shim, or of the probe if it is a broker.",
	NULL, NULL, NULL
};

/* ---- one finding a line -------------------------------------------------- */

enum mark { GOOD, POOR, INFO };

static void finding(enum mark mark, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void finding(enum mark mark, const char *what, const char *format, ...)
{
	static const char *const marks[] = { "yes", "NO ", "   " };
	static const char *const colours[] = { "\033[32m", "\033[31m", "" };
	bool colour = say_colour(stdout) && *colours[mark];
	va_list args;

	printf("%s%s%s %-9s ", colour ? colours[mark] : "", marks[mark], colour ? "\033[0m" : "", what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* ---- the client's side --------------------------------------------------- */

static bool check_shim(void)
{
	char path[PATH_MAX];

	if (program_shim(path)) {
		finding(GOOD, "shim", "%s", path);
		return true;
	}
	finding(POOR, "shim", "libacktrail.so is neither beside this program nor in " ACKTRAIL_LIBDIR
		"; `cmake --install` puts it there");
	return false;
}

static bool check_shm(void)
{
	struct statvfs fs;
	struct statfs st;
	unsigned long long free_mb;

	if (statfs("/dev/shm", &st) || (unsigned long)st.f_type != TMPFS || statvfs("/dev/shm", &fs)) {
		finding(POOR, "/dev/shm", "is no tmpfs: give ACKTRAIL_OUT a directory that is on one");
		return false;
	}
	free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
	if (access("/dev/shm", W_OK) || free_mb < 4) {
		finding(POOR, "/dev/shm", "%s: live windows have no place; give ACKTRAIL_OUT a directory on "
			"another tmpfs", free_mb < 4 ? "is full" : "is not writable for you");
		return false;
	}
	finding(GOOD, "/dev/shm", "tmpfs, %llu MB free: a trail takes half of that at most", free_mb);
	return true;
}

/* ---- the broker's side --------------------------------------------------- */

static bool has_capability(int cap)
{
	char buf[4096], *p;

	if (!read_text("/proc/self/status", buf, sizeof(buf)) || !(p = strstr(buf, "\nCapEff:")))
		return geteuid() == 0;
	return strtoull(p + 8, NULL, 16) >> cap & 1;
}

static bool check_kernel(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	/* BPF_MAP_TYPE_RINGBUF came with 5.8, commit 457f44363a88. */
	if (major < 5 || (major == 5 && minor < 8)) {
		finding(POOR, "kernel", "%s: the probe needs the BPF ring buffer, Linux 5.8 or newer (5.12 for syncs, appends and disks)", u.release);
		return false;
	}
	finding(GOOD, "kernel", "%s %s", u.release, u.machine);
	return true;
}

static bool check_btf(void)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK)) {
		finding(GOOD, "BTF", "/sys/kernel/btf/vmlinux");
		return true;
	}
	finding(POOR, "BTF", "the kernel does not describe its types (CONFIG_DEBUG_INFO_BTF): the probe cannot load");
	return false;
}

static void check_tracefs(void)
{
	if (!access("/sys/kernel/tracing/events", R_OK) || !access("/sys/kernel/debug/tracing/events", R_OK))
		finding(GOOD, "tracefs", "mounted");
	else if (!access("/sys/kernel/tracing", F_OK))
		finding(INFO, "tracefs", "not mounted or not readable; the probe mounts it for itself when it runs as root");
	else
		finding(POOR, "tracefs", "this kernel has none: no syscall tracepoints, so no appends and no requests");
}

static bool check_rights(void)
{
	if (has_capability(CAP_SYS_ADMIN) || (has_capability(CAP_BPF) && has_capability(CAP_PERFMON))) {
		finding(GOOD, "rights", "%s", geteuid() ? "CAP_BPF and CAP_PERFMON" : "root");
		return true;
	}
	finding(POOR, "rights", "BPF programs need root, or CAP_BPF and CAP_PERFMON: run the probe with sudo");
	return false;
}

static void check_lockdown(void)
{
	char buf[128];

	if (read_text("/sys/kernel/security/lockdown", buf, sizeof(buf)) && strstr(buf, "[confidentiality]"))
		finding(POOR, "lockdown", "confidentiality: the kernel lets no BPF program read its memory; the probe cannot run");
}

/* Whether the probe was built in is known by main.c alone. */
extern const bool probe_built_in __attribute__((weak));

static bool check_libbpf(void)
{
	if (&probe_built_in && probe_built_in) {
		finding(GOOD, "libbpf", "built in");
		return true;
	}
	finding(POOR, "libbpf", "this acktrail was built without the probe (clang, libbpf and bpftool were missing then)");
	return false;
}

/* ---- a process or a command ---------------------------------------------- */

struct mapped {
	char	 rdkafka[PATH_MAX];	/* "" none */
	bool	 shim, jvm, musl, ssl;
};

static bool look_at_maps(int pid, struct mapped *m)
{
	char path[64], *line = NULL, *name;
	size_t size = 0;
	FILE *f;

	memset(m, 0, sizeof(*m));
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (getline(&line, &size, f) > 0) {
		name = strchr(line, '/');
		if (!name)
			continue;
		name[strcspn(name, "\n")] = 0;
		if (strstr(name, "/librdkafka") && !m->rdkafka[0])
			snprintf(m->rdkafka, sizeof(m->rdkafka), "%s", name);
		m->shim |= strstr(name, "/libacktrail.so") != NULL;
		m->jvm |= strstr(name, "/libjvm.so") != NULL;
		m->musl |= strstr(name, "/ld-musl") != NULL;
		m->ssl |= strstr(name, "/libssl.so") != NULL;
	}
	free(line);
	fclose(f);
	return true;
}

/* Where distributions and administrators put libraries; elsewhere it came with the app. */
static bool is_system_path(const char *path)
{
	return !strncmp(path, "/usr/", 5) || !strncmp(path, "/lib", 4) || !strncmp(path, "/opt/lib", 8);
}

/* The JVM's sockets are libc's (libnio); its TLS is written in Java. */
static const char java_says[] =
	"is Java: on plain connections the batches, attempts and answers of Kafka's own client are seen, its "
	"queue and its callbacks are not; nothing through TLS, where `acktrail probe` on the broker's host sees "
	"what arrives (a producer on librdkafka through JNI is seen in full)";

/* What the shim will see of a client in this program file; true: something. */
static bool say_library(const struct program *p)
{
	const char *file = p->interpreter[0] ? p->interpreter : p->path;

	if (p->needs_rdkafka)
		finding(GOOD, "client", "linked to librdkafka: everything the shim knows can be seen");
	else if (p->java)
		finding(INFO, "client", "%s %s", file, java_says);
	else if (p->python)
		finding(INFO, "client", "Python: a confluent-kafka wheel brings a librdkafka of its own, which the shim finds "
			"(plain connections; the wheel's TLS is hidden inside it)");
	else if (program_holds(file, "librdkafka", SCAN_MOST))
		finding(INFO, "client", "librdkafka inside the program itself%s: no interceptors, but its batches and "
			"answers are seen on plain connections", p->go ? " (Go with cgo)" : "");
	else if (p->go)
		finding(POOR, "client", "Go without librdkafka: a client that calls the kernel itself is not seen; witness the "
			"broker's side with `acktrail probe`");
	else
		finding(INFO, "client", "no librdkafka in it that can be seen from outside; one that it loads later is "
			"found then");
	return p->needs_rdkafka || !p->go;
}

static bool check_program(const struct program *p)
{
	const char *why = program_out_of_reach(p);
	const char *file = p->interpreter[0] ? p->interpreter : p->path;

	if (p->interpreter[0])
		finding(INFO, "command", "%s, a script for %s", p->path, p->interpreter);
	else
		finding(INFO, "command", "%s", p->path);
	if (why) {
		finding(POOR, "preload", "%s %s", file, why);
		return false;
	}
	if (p->kind == PROGRAM_UNKNOWN) {
		finding(POOR, "preload", "%s is neither an ELF program nor a script of one, or cannot be read", file);
		return false;
	}
	finding(GOOD, "preload", "%s is dynamic, for glibc", file);
	if (p->asan[0])
		finding(INFO, "sanitizer", "%s has to come first: `acktrail record` puts it there", p->asan);
	return say_library(p);
}

/* It is watched from outside: nothing is loaded into it. */
static bool say_broker(const char *who, const char *how, const char *pid, bool probe)
{
	if (!probe) {
		finding(POOR, "broker", "%s is a Kafka broker (%s), which the probe witnesses, and it cannot run here: see above",
			who, how);
		return false;
	}
	finding(GOOD, "broker", "%s is a Kafka broker (%s): `acktrail probe%s` sees its appends and syncs, what they wait for on "
		"which disk, and on plain listeners its requests and answers; through TLS no requests. With --dry-run it "
		"lists all that, and attaches nothing", who, how, pid);
	finding(INFO, "shim", "is for producers: a broker needs none");
	return true;
}

static bool check_command(char **command, bool probe)
{
	struct program p;
	char path[PATH_MAX];
	const char *how = broker_command(command);
	int err = program_find(command[0], path);

	if (err) {
		finding(POOR, "command", "%s: %s", command[0], err == ENOENT ? "not found" : "cannot be executed");
		return false;
	}
	if (how)
		return say_broker("this command", how, "", probe);
	program_look(path, &p);
	return check_program(&p);
}

static bool check_pid(int pid, bool probe)
{
	char path[64], exe[PATH_MAX], root[PATH_MAX], who[32], option[32];
	const char *how;
	struct program p;
	struct mapped m;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (access(path, F_OK)) {
		finding(POOR, "process", "there is no process %d", pid);
		return false;
	}
	how = broker_process(pid);
	if (how) {
		snprintf(who, sizeof(who), "process %d", pid);
		snprintf(option, sizeof(option), " -p %d", pid);
		return say_broker(who, how, option, probe);
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0 || !look_at_maps(pid, &m)) {
		finding(POOR, "process", "%d cannot be looked into: %s; run this as its user or as root", pid,
			strerror(errno));
		return false;
	}
	exe[n] = 0;
	program_look(path, &p);		/* through /proc: right in another mount namespace, too */
	snprintf(p.path, sizeof(p.path), "%s", exe);
	if (m.shim) {
		finding(GOOD, "shim", "is loaded in process %d already", pid);
		return true;
	}
	if (m.rdkafka[0])
		finding(GOOD, "client", "librdkafka %s: %s", is_system_path(m.rdkafka) ?
			"is loaded" : "came with the app and is loaded privately; the shim finds it", m.rdkafka);
	if (m.jvm)
		finding(INFO, "client", "process %d %s", pid, java_says);
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	n = readlink(path, root, sizeof(root) - 1);
	if (n > 1)
		finding(INFO, "root", "the process has a root directory of its own: libacktrail.so has to lie inside it");
	if (!m.jvm && !m.rdkafka[0] && !check_program(&p))
		return false;
	if (program_out_of_reach(&p))
		return false;
	finding(INFO, "process", "%d runs without the shim; it is loaded when the process starts: begin it again with "
		"`acktrail record`", pid);
	return true;
}

/* ---- windows that nobody collected --------------------------------------- */

static const char *age_text(char *buf, size_t size, time_t since)
{
	long s = (long)(time(NULL) - since);

	if (s < 0 || !since)
		snprintf(buf, size, "at a time that is not known");
	else if (s < 120)
		snprintf(buf, size, "%ld s ago", s);
	else if (s < 7200)
		snprintf(buf, size, "%ld min ago", s / 60);
	else if (s < 48 * 3600)
		snprintf(buf, size, "%ld h ago", s / 3600);
	else
		snprintf(buf, size, "%ld days ago", s / 86400);
	return buf;
}

#define WINDOWS_TOLD	5

struct left {
	char	 path[300];
	time_t	 since;
	uint32_t pid;			/* 0: no trail that can be read */
	bool	 gone;
};

/* The newest stay, the newest first. */
static void left_add(struct left *l, const struct left *one, unsigned nr)
{
	unsigned i = nr < WINDOWS_TOLD ? nr : WINDOWS_TOLD;

	for (; i && l[i - 1].since < one->since; i--)
		if (i < WINDOWS_TOLD)
			l[i] = l[i - 1];
	if (i < WINDOWS_TOLD)
		l[i] = *one;
}

static bool left_of(const char *name, struct left *l)
{
	struct at_header h;
	struct stat st;

	memset(l, 0, sizeof(*l));
	if (snprintf(l->path, sizeof(l->path), "/dev/shm/%s", name) >= (int)sizeof(l->path) ||
	    lstat(l->path, &st) || !S_ISREG(st.st_mode) || (st.st_uid != geteuid() && geteuid()))
		return false;
	l->since = st.st_mtime;
	if (!window_header_of(l->path, &h))
		return true;
	l->since = (time_t)(h.created_real_ns / 1000000000);
	l->pid = h.pid;
	l->gone = window_process(&h) == PROCESS_GONE;
	return window_process(&h) != PROCESS_THERE;
}

static void check_windows(void)
{
	struct left left[WINDOWS_TOLD], one;
	DIR *dp = opendir("/dev/shm");
	struct dirent *d;
	unsigned nr = 0;
	char age[40];

	while (dp && (d = readdir(dp)))
		if (!strncmp(d->d_name, "acktrail.", 9) && left_of(d->d_name, &one))
			left_add(left, &one, nr++);
	if (dp)
		closedir(dp);
	if (!nr)
		return;
	puts("Trails that nobody has collected (read them so, then remove them):");
	for (unsigned i = 0; i < nr && i < WINDOWS_TOLD; i++) {
		age_text(age, sizeof(age), left[i].since);
		if (left[i].pid)
			printf("    acktrail why %s    pid %u%s, begun %s\n", left[i].path, left[i].pid,
			       left[i].gone ? "" : " (cannot be seen from here)", age);
		else
			printf("    %s    no trail that can be read, made %s\n", left[i].path, age);
	}
	if (nr > WINDOWS_TOLD)
		printf("    and %u more in /dev/shm/acktrail.*\n", nr - WINDOWS_TOLD);
}

int cmd_doctor(int argc, char **argv)
{
	struct args args = { 0 };
	bool shim, probe, target = true;

	cmd_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);
	puts("The client's side (acktrail record):");
	shim = check_shim();
	shim &= check_shm();
	puts("The broker's side (acktrail probe):");
	probe = check_kernel();
	probe &= check_btf();
	check_tracefs();
	check_lockdown();
	probe &= check_rights();
	probe &= check_libbpf();
	if (args.pid || args.command)
		puts("What was asked for:");
	if (args.pid)
		target &= check_pid(args.pid, probe);
	if (args.command)
		target &= check_command(args.command, probe);
	check_windows();
	if (fflush(stdout)) {
		say("the output could not be written: %s", strerror(errno));
		return STATUS_CANNOT;
	}
	return (shim || probe) && target ? STATUS_DONE : STATUS_CANNOT;
}
