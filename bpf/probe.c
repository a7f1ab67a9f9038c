// SPDX-License-Identifier: BSD-2-Clause
/*
 * probe.c - `acktrail probe`: find the broker, attach, write a trail until told
 * to stop.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"
#include "pieces.h"
#include "probe.h"
#include "record.h"

#define STATUS_USAGE	2
#define STATUS_CANNOT	4
#define DEFAULT_MAX_MB	256u
#define DEFAULT_RING_MB	16u
#define SECOND		1000000000u

/* ---- options --------------------------------------------------------------- */

enum { OPT_LOG_DIR = 256, OPT_DURATION, OPT_LEVEL, OPT_TOPIC, OPT_DRY_RUN, OPT_RING };

static const struct argp_option option_list[] = {
	{ "output", 'o', "TRAIL", 0, "directory of the trail", 0 },
	{ "pid", 'p', "PID", 0, "the broker's process; found by itself otherwise (repeatable)", 0 },
	{ "log-dir", OPT_LOG_DIR, "DIR", 0, "a log directory of the broker; found by itself otherwise (repeatable)", 0 },
	{ "duration", OPT_DURATION, "SECONDS", 0, "stop by itself", 0 },
	{ "level", OPT_LEVEL, "disk|append|full", 0, "how much is witnessed (default full)", 0 },
	{ "topic", OPT_TOPIC, "T", 0, "appends and syncs of this topic alone (repeatable)", 0 },
	{ "dry-run", OPT_DRY_RUN, NULL, 0, "list programs, attach points, capabilities and what is read; attach nothing", 0 },
	{ "ring-buffer", OPT_RING, "MIB", 0, "size of the BPF ring buffer, a power of two (default 16)", 0 },
	{ "verbose", 'v', NULL, 0, "also what libbpf says", 0 },
	{ 0 }
};

static unsigned number(struct argp_state *state, const char *option, const char *arg, unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(arg, &end, 10);
	if (!*arg || *end || errno || !v || v > max || *arg == '-')
		argp_error(state, "%s wants a number from 1 to %lu, not \"%s\"", option, max, arg);
	return (unsigned)v;
}

#define APPEND(state, array, nr, value, option)						\
	do {										\
		if ((nr) == sizeof(array) / sizeof((array)[0]))				\
			argp_error(state, "%s was given too often", option);		\
		(array)[(nr)++] = (value);						\
	} while (0)

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'o':
		o->out = arg;
		break;
	case 'p':
		APPEND(state, o->pids, o->nr_pids, (pid_t)number(state, "-p", arg, 1ul << 22), "-p");
		break;
	case OPT_LOG_DIR:
		APPEND(state, o->dirs, o->nr_dirs, arg, "--log-dir");
		break;
	case OPT_TOPIC:
		if (strlen(arg) >= REC_NAME)
			argp_error(state, "a topic's name has at most 249 characters");
		APPEND(state, o->topics, o->nr_topics, arg, "--topic");
		break;
	case OPT_DURATION:
		o->duration = number(state, "--duration", arg, 10000000);
		break;
	case OPT_RING:
		o->ring_mb = number(state, "--ring-buffer", arg, 1024);
		if (o->ring_mb & (o->ring_mb - 1))
			argp_error(state, "--ring-buffer wants a power of two");
		break;
	case OPT_LEVEL:
		if (!strcmp(arg, "disk"))
			o->level = LEVEL_DISK;
		else if (!strcmp(arg, "append"))
			o->level = LEVEL_APPEND;
		else if (!strcmp(arg, "full"))
			o->level = LEVEL_FULL;
		else
			argp_error(state, "--level is disk, append or full, not \"%s\"", arg);
		break;
	case OPT_DRY_RUN:
		o->dry_run = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void options_read(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_list, .parser = parse,
		.doc = "On the broker's host: witness requests, appends, syncs and what they wait for.",
	};
	static char name[] = "acktrail probe";
	char *own[argc + 1];

	memcpy(own, argv, sizeof(*own) * (size_t)(argc + 1));
	own[0] = name;
	o->level = LEVEL_FULL;
	o->ring_mb = DEFAULT_RING_MB;
	argp_err_exit_status = STATUS_USAGE;
	if (argp_parse(&argp, argc, own, 0, NULL, o))
		exit(STATUS_USAGE);
}

/* ---- running --------------------------------------------------------------- */

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static uint64_t max_bytes(void)
{
	const char *mb = getenv("ACKTRAIL_MAX_MB");
	unsigned long v = mb ? strtoul(mb, NULL, 10) : 0;

	return (v ? v : DEFAULT_MAX_MB) << 20;
}

static void say_start(const struct probe *p)
{
	for (unsigned i = 0; i < p->nr_targets; i++) {
		const struct target *t = &p->targets[i];

		fprintf(stderr, "acktrail probe: broker%s", t->broker >= 0 ? " " : "");
		if (t->broker >= 0)
			fprintf(stderr, "%d", t->broker);
		fprintf(stderr, ", process %d", (int)t->pid);
		if (t->nr_ports)
			fprintf(stderr, ", port %u", t->ports[0]);
		fprintf(stderr, " (%s)\n", t->how);
	}
	for (unsigned i = 0; i < p->nr_dirs; i++)
		fprintf(stderr, "acktrail probe: log directory %s\n", p->dirs[i].path);
	fprintf(stderr, "acktrail probe: witnessing");
	for (unsigned c = 0; c < AT_NR_COVER; c++)
		if (p->cover[c].on)
			fprintf(stderr, " %s", covers[c].name);
	fprintf(stderr, "; trail %s\n", p->writer.dir);
	for (unsigned c = 0; c < AT_NR_COVER; c++)
		if (p->cover[c].text[0] && strcmp(p->cover[c].text, "attached") &&
		    strncmp(p->cover[c].text, "not ", 4))
			fprintf(stderr, "acktrail probe: %s %s\n", covers[c].name, p->cover[c].text);
}

/* The kernel's numbers of processes are those of the first PID namespace (PROC_PID_INIT_INO); elsewhere none would match. */
static bool in_pid_namespace(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino != 4026531836UL;
}

static uint64_t lost_so_far(struct probe *p)
{
	uint64_t counts[COUNT_NR], missed[AT_NR_COVER];

	return load_counts(p, counts) + load_missed(p, missed);
}

static void run(struct probe *p)
{
	uint64_t now = at_now(), end = p->opt.duration ? now + (uint64_t)p->opt.duration * SECOND : UINT64_MAX;
	uint64_t next_sample = now, looked = now;

	while (!stop && now < end) {
		if (load_poll(p, 100) < 0)
			break;
		now = at_now();
		at_writer_tick(&p->writer, now);
		if (now >= next_sample) {
			devices_sample(p, now);
			next_sample += 3ull * SECOND;
		}
		if (now >= looked + SECOND) {
			bool changed;

			p->writer.account->probe_lost = lost_so_far(p);
			live_clear(p);
			if (!targets_alive(p, &changed)) {
				fprintf(stderr, "acktrail probe: the process that was named is gone\n");
				break;
			}
			if (changed) {
				devices_find(p);
				load_watch(p);
				events_standing(p);
			}
			live_show(p, now - looked, p->writer.account->probe_lost);
			looked = now;
		}
	}
}

/* What the kernel did not run is told as what it may have cost at most. */
static uint64_t tell_missed(struct probe *p)
{
	uint64_t missed[AT_NR_COVER], sum = load_missed(p, missed);
	char text[128];

	for (unsigned c = 0; c < AT_NR_COVER; c++) {
		if (!missed[c])
			continue;
		snprintf(text, sizeof(text), "%s: programs that the kernel did not run, of any process: their CPU was in BPF already", covers[c].name);
		events_note(p, AT_NOTE_LEFT_OUT, missed[c] < UINT32_MAX ? (uint32_t)missed[c] : UINT32_MAX, text);
	}
	if (sum)
		fprintf(stderr, "acktrail probe: %llu times the kernel did not run a program whose time had come: that CPU was in BPF already\n",
			(unsigned long long)sum);
	return sum;
}

static int cannot(struct probe *p, const char *why)
{
	fprintf(stderr, "acktrail probe: %s\n", why);
	load_close(p);
	names_free(p->names);
	free(p);
	return STATUS_CANNOT;
}

int cmd_probe(int argc, char **argv)
{
	struct probe *p = calloc(1, sizeof(*p));
	struct at_writer_conf conf = { .kind = AT_KIND_PROBE, .flags = AT_F_PARTIAL };
	uint64_t counts[COUNT_NR], lost, missed, ended;
	char why[512] = "";

	if (!p)
		return STATUS_CANNOT;
	options_read(&p->opt, argc, argv);
	if (p->opt.dry_run) {
		load_describe(p, stdout);
		free(p);
		return 0;
	}
	if (geteuid() != 0)
		return cannot(p, "attaching to the kernel and reading the broker's /proc needs root: run it with sudo");
	if (in_pid_namespace())
		return cannot(p, "this is a PID namespace of its own (a container): run it in the host's, as docker run --pid=host or hostPID do");
	if (targets_find(p, why, sizeof(why)))
		return cannot(p, why);
	devices_find(p);
	p->names = names_new(p);
	if (!p->names)
		return cannot(p, "out of memory");
	if (load_open(p, why, sizeof(why)))
		return cannot(p, why);

	conf.dir = p->opt.out;
	conf.max_bytes = max_bytes();
	if (at_writer_open(&p->writer, &conf, why, sizeof(why)))
		return cannot(p, why);
	catch_signals();
	if (load_attach(p, why, sizeof(why))) {
		at_writer_close(&p->writer, AT_EXITED);
		return cannot(p, why);
	}
	p->attached_ns = at_now();
	events_standing(p);
	say_start(p);

	run(p);
	live_clear(p);

	ended = at_now();
	load_stop(p);
	lost = load_counts(p, counts);
	missed = tell_missed(p);
	p->writer.account->probe_lost = lost + missed;
	events_end(p, ended, counts, 0);
	at_writer_release(&p->writer, &p->pen);
	at_writer_close(&p->writer, AT_EXITED);
	fprintf(stderr, "acktrail probe: %llu events in %s, %llu lost\n",
		(unsigned long long)p->events, p->writer.dir, (unsigned long long)lost);
	load_close(p);
	names_free(p->names);
	free(p);
	return 0;
}
