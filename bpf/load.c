// SPDX-License-Identifier: BSD-2-Clause
/*
 * load.c - opens, loads and attaches the BPF programs.  What this kernel does not
 * have is left out piece by piece, by name, and said.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "inner.h"
#include "record.h"
#include "probe.skel.h"

struct load {
	struct probe_bpf *skel;
	struct ring_buffer *ring;
	const uint64_t *counts;		/* COUNT_NR of them, the kernel's own memory */
	uint64_t watched;		/* hash of what load_watch() last told */
	struct btf *btf, *modules[8];
	unsigned nr_modules;
	int home_ns, home_dir;		/* where to return from the mount namespace of tracefs(), else -1 */
	bool out[64];			/* by index in pieces[] */
	char refused[64];		/* program that the verifier turned down */
};

/* Every program: what it gives evidence of, where it is attached. */
static const struct piece {
	const char *prog, *at;
	enum at_coverage cover;
	bool vital;			/* without it the kind of evidence is gone */
} pieces[] = {
	{ "request_enter_read", "syscalls/sys_enter_read", AT_COVER_REQUEST, true },
	{ "request_exit_read", "syscalls/sys_exit_read", AT_COVER_REQUEST, true },
	{ "request_enter_recvfrom", "syscalls/sys_enter_recvfrom", AT_COVER_REQUEST, false },
	{ "request_exit_recvfrom", "syscalls/sys_exit_recvfrom", AT_COVER_REQUEST, false },
	{ "request_enter_sendfile", "syscalls/sys_enter_sendfile64", AT_COVER_REQUEST, false },
	{ "request_exit_sendfile", "syscalls/sys_exit_sendfile64", AT_COVER_REQUEST, false },
	{ "request_enter_close", "syscalls/sys_enter_close", AT_COVER_REQUEST, true },
	{ "request_tcp_probe", "btf:tcp_probe", AT_COVER_ARRIVAL, true },
	{ "append_enter_write", "syscalls/sys_enter_write", AT_COVER_APPEND, true },
	{ "append_exit_write", "syscalls/sys_exit_write", AT_COVER_APPEND, true },
	{ "append_enter_writev", "syscalls/sys_enter_writev", AT_COVER_APPEND, true },
	{ "append_exit_writev", "syscalls/sys_exit_writev", AT_COVER_APPEND, true },
	{ "append_enter_pwrite64", "syscalls/sys_enter_pwrite64", AT_COVER_APPEND, false },
	{ "append_exit_pwrite64", "syscalls/sys_exit_pwrite64", AT_COVER_APPEND, false },
	{ "append_enter_pwritev", "syscalls/sys_enter_pwritev", AT_COVER_APPEND, false },
	{ "append_exit_pwritev", "syscalls/sys_exit_pwritev", AT_COVER_APPEND, false },
	{ "sync_enter_fsync", "syscalls/sys_enter_fsync", AT_COVER_SYNC, true },
	{ "sync_exit_fsync", "syscalls/sys_exit_fsync", AT_COVER_SYNC, true },
	{ "sync_enter_fdatasync", "syscalls/sys_enter_fdatasync", AT_COVER_SYNC, true },
	{ "sync_exit_fdatasync", "syscalls/sys_exit_fdatasync", AT_COVER_SYNC, true },
	{ "sync_enter_sync_file_range", "syscalls/sys_enter_sync_file_range", AT_COVER_SYNC, false },
	{ "sync_exit_sync_file_range", "syscalls/sys_exit_sync_file_range", AT_COVER_SYNC, false },
	{ "sync_enter_msync", "syscalls/sys_enter_msync", AT_COVER_SYNC, false },
	{ "sync_enter_msync_plain", "syscalls/sys_enter_msync", AT_COVER_SYNC, false },
	{ "sync_exit_msync", "syscalls/sys_exit_msync", AT_COVER_SYNC, false },
	{ "sync_ext4_file", "btf:ext4_sync_file_enter", AT_COVER_SYNC, false },
	{ "block_bio_queue", "btf:block_bio_queue", AT_COVER_BLOCK, false },
	{ "block_split", "btf:block_split", AT_COVER_BLOCK, false },
	{ "block_getrq", "btf:block_getrq", AT_COVER_BLOCK, false },
	{ "block_rq_insert", "btf:block_rq_insert", AT_COVER_BLOCK, false },
	{ "block_rq_issue", "btf:block_rq_issue", AT_COVER_BLOCK, true },
	{ "block_rq_requeue", "btf:block_rq_requeue", AT_COVER_BLOCK, false },
	{ "block_rq_merge", "btf:block_rq_merge", AT_COVER_BLOCK, false },
	{ "block_rq_complete", "btf:block_rq_complete", AT_COVER_BLOCK, true },
	{ "journal_start_commit", "btf:jbd2_start_commit", AT_COVER_JOURNAL, true },
	{ "journal_end_commit", "btf:jbd2_end_commit", AT_COVER_JOURNAL, true },
	{ "journal_handle_wish", "btf:ext4_journal_start_inode", AT_COVER_JOURNAL, false },
	{ "journal_handle_end", "btf:jbd2_handle_stats", AT_COVER_JOURNAL, false },
	{ "wake_switch", "btf:sched_switch", AT_COVER_WAKE, true },
	{ "wake_waking", "btf:sched_waking", AT_COVER_WAKE, true },
	{ "journal_sync_enter", "btf:ext4_sync_file_enter", AT_COVER_JOURNAL, false },
};
#define NR_PIECES	(sizeof(pieces) / sizeof(pieces[0]))
_Static_assert(NR_PIECES <= sizeof(((struct load *)0)->out), "load.out holds every piece");

static const struct { const char *name, *reads; enum level from; } covers[AT_NR_COVER] = {
	[AT_COVER_REQUEST] = { "request",
		"size, API key, version, correlation id and client id of each request; of a Produce also acks, timeout, "
		"topic, partition and the 61-byte header of its first 16 batches; size and correlation id of each response; "
		"the peer's address and port", LEVEL_FULL },
	[AT_COVER_ARRIVAL] = { "arrival", "sequence numbers of TCP segments to the broker's ports", LEVEL_FULL },
	[AT_COVER_APPEND] = { "append", "the 61-byte header of the first 16 batches of each write to a segment", LEVEL_APPEND },
	[AT_COVER_SYNC] = { "sync", "names, inode and device numbers of files under the log directories", LEVEL_DISK },
	[AT_COVER_BLOCK] = { "block", "device, sector, size, flags and inode number of each request of the log directories' disks", LEVEL_DISK },
	[AT_COVER_JOURNAL] = { "journal", "device and transaction number of each jbd2 commit; how long the broker's threads hold a handle, and for which inode", LEVEL_DISK },
	[AT_COVER_WAKE] = { "wake", "which thread of the broker ended the last futex sleep of one that appends, and how long that was", LEVEL_FULL },
	[AT_COVER_HEALTH] = { "health", "/sys/dev/block/*/stat, every 3 s", LEVEL_DISK },
};

static bool verbose;
static char *refused;		/* where print() notes a program that did not load */

static int print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[256];
	va_list copy;

	va_copy(copy, args);
	vsnprintf(line, sizeof(line), fmt, copy);
	va_end(copy);
	if (strstr(line, "failed to load") && refused)
		sscanf(line, "libbpf: prog '%63[^']'", refused);
	if (!verbose || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, fmt, args);
}

/* ---- what the kernel has --------------------------------------------------- */

/*
 * A mount namespace holds every mount of the host: as long as it is there, what is
 * unmounted outside stays busy.  So it is left as soon as all is attached.
 */
static void go_home(struct load *l)
{
	if (l->home_ns >= 0 && !setns(l->home_ns, CLONE_NEWNS) && fchdir(l->home_dir))
		fprintf(stderr, "acktrail probe: the working directory is gone: %s\n", strerror(errno));
	if (l->home_ns >= 0)
		close(l->home_ns);
	if (l->home_dir >= 0)
		close(l->home_dir);
	l->home_ns = l->home_dir = -1;
}

/*
 * tracefs, where the ids of tracepoints stand.  When it is not mounted we mount it
 * in a mount namespace of our own: nothing is left behind, however we end.
 */
static const char *tracefs(struct load *l)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128];

	for (int again = 0; again < 2; again++) {
		for (unsigned i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/events/syscalls", places[i]);
			if (!access(path, F_OK))
				return places[i];
		}
		if (again)
			break;
		l->home_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
		l->home_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (l->home_ns < 0 || l->home_dir < 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
		    mount("tracefs", places[0], "tracefs", 0, NULL))
			break;
	}
	return NULL;
}

static int32_t btf_find(const struct load *l, const char *name, const struct btf **in)
{
	int32_t id = btf__find_by_name_kind(l->btf, name, BTF_KIND_TYPEDEF);

	*in = l->btf;
	for (unsigned i = 0; id < 0 && i < l->nr_modules; i++) {
		id = btf__find_by_name_kind(l->modules[i], name, BTF_KIND_TYPEDEF);
		*in = l->modules[i];
	}
	return id;
}

/* Arguments of a tracepoint, its context not counted; -1 when there is none. */
static int btf_args(const struct load *l, const char *tracepoint)
{
	const struct btf_type *t;
	const struct btf *btf;
	char name[128];
	int32_t id;

	snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	id = btf_find(l, name, &btf);
	if (id < 0)
		return -1;
	t = btf__type_by_id(btf, (uint32_t)id);
	t = t ? btf__type_by_id(btf, t->type) : NULL;
	t = t && btf_is_ptr(t) ? btf__type_by_id(btf, t->type) : NULL;
	return t && btf_is_func_proto(t) ? (int)btf_vlen(t) - 1 : -1;
}

static bool there(const struct load *l, const char *trace, const char *at)
{
	char path[256];

	if (!strncmp(at, "btf:", 4))
		return btf_args(l, at + 4) >= 0;
	snprintf(path, sizeof(path), "%s/events/%s", trace, at);
	return !access(path, F_OK);
}

/* ---- loading --------------------------------------------------------------- */

static void leave_out(struct probe *p, unsigned i, const char *why)
{
	const struct piece *piece = &pieces[i];
	size_t len = strlen(p->cover[piece->cover].text);

	p->load->out[i] = true;
	snprintf(p->cover[piece->cover].text + len, WHY - len, "%swithout %s: %s", len ? "; " : "",
		 strncmp(piece->at, "btf:", 4) ? piece->at : piece->at + 4, why);
	if (piece->vital)
		p->cover[piece->cover].on = 0;
}

static unsigned piece_by_name(const char *name)
{
	unsigned i = 0;

	while (i < NR_PIECES && strcmp(pieces[i].prog, name))
		i++;
	return i;
}

static void choose(struct probe *p, const char *trace)
{
	struct load *l = p->load;
	bool find_vma = libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_find_vma, NULL) == 1;

	for (unsigned c = 0; c < AT_NR_COVER; c++) {
		p->cover[c].on = p->opt.level >= covers[c].from;
		if (!p->cover[c].on)
			snprintf(p->cover[c].text, WHY, "not at this --level");
	}
	for (unsigned i = 0; i < NR_PIECES; i++) {
		if (!strcmp(pieces[i].prog, find_vma ? "sync_enter_msync_plain" : "sync_enter_msync"))
			l->out[i] = true;
		else if (p->opt.level < covers[pieces[i].cover].from)
			l->out[i] = true;
		else if (!there(l, trace, pieces[i].at))
			leave_out(p, i, "this kernel does not have it");
	}
	/* What lost a vital piece is left out whole. */
	for (unsigned i = 0; i < NR_PIECES; i++)
		if (!p->cover[pieces[i].cover].on)
			l->out[i] = true;
}

static int open_skeleton(struct probe *p)
{
	struct load *l = p->load;

	l->skel = probe_bpf__open();
	if (!l->skel)
		return -errno;
	l->skel->rodata->filter_topics = p->opt.nr_topics > 0;
	l->skel->rodata->with_requests = p->cover[AT_COVER_REQUEST].on > 0;
	l->skel->rodata->with_wakes = p->cover[AT_COVER_WAKE].on > 0;
	l->skel->rodata->rq_args_lead = btf_args(l, "block_rq_issue") == 2;
	l->skel->rodata->bio_args_lead = btf_args(l, "block_bio_queue") == 2;
	bpf_map__set_max_entries(l->skel->maps.ring, p->opt.ring_mb << 20);
	for (unsigned i = 0; i < NR_PIECES; i++) {
		struct bpf_program *prog = bpf_object__find_program_by_name(l->skel->obj, pieces[i].prog);

		if (prog)
			bpf_program__set_autoload(prog, !l->out[i]);
	}
	return 0;
}

int load_open(struct probe *p, char *why, size_t size)
{
	static const char *const modules[] = { "ext4", "jbd2", "xfs" };
	struct load *l = calloc(1, sizeof(*l));
	const char *trace;
	int err = -ENOMEM;

	p->load = l;
	if (!l)
		goto fail;
	l->home_ns = l->home_dir = -1;
	verbose = p->opt.verbose;
	refused = l->refused;
	libbpf_set_print(print);
	if (geteuid() != 0) {
		snprintf(why, size, "attaching to the kernel needs root: run it with sudo");
		return -1;
	}
	l->btf = btf__load_vmlinux_btf();
	if (!l->btf) {
		snprintf(why, size, "this kernel has no type information (/sys/kernel/btf/vmlinux); one built with CONFIG_DEBUG_INFO_BTF=y is needed");
		return -1;
	}
	for (unsigned i = 0; i < 3; i++) {
		struct btf *btf = btf__load_module_btf(modules[i], l->btf);

		if (btf)
			l->modules[l->nr_modules++] = btf;
	}
	if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) != 1) {
		snprintf(why, size, "this kernel gives no BPF ring buffer (Linux 5.8 or later has it), or BPF is not permitted here; run as root outside of a restricted container");
		return -1;
	}
	trace = tracefs(l);
	if (!trace) {
		snprintf(why, size, "tracefs cannot be mounted; mount it with \"mount -t tracefs tracefs /sys/kernel/tracing\"");
		return -1;
	}
	choose(p, trace);
	/* A program that the verifier of this kernel refuses is left out, and the rest tried again. */
	for (unsigned tries = 0; tries <= NR_PIECES; tries++) {
		unsigned i;

		err = open_skeleton(p);
		if (err)
			break;
		l->refused[0] = 0;
		err = probe_bpf__load(l->skel);
		if (!err)
			return 0;
		probe_bpf__destroy(l->skel);
		l->skel = NULL;
		i = piece_by_name(l->refused);
		if (i == NR_PIECES || l->out[i])
			break;
		leave_out(p, i, "this kernel refused the program (see -v)");
		for (unsigned j = 0; j < NR_PIECES; j++)
			if (!p->cover[pieces[j].cover].on)
				l->out[j] = true;
	}
fail:
	snprintf(why, size, "the BPF programs could not be loaded: %s (-v shows why)", strerror(-err));
	return -1;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * 0x9e3779b97f4a7c15u;
}

/* What is watched changes seldom, and to tell it has its price, see "counts" in maps.bpf.h. */
static bool watch_changed(struct probe *p)
{
	uint64_t h = 1;

	for (unsigned i = 0; i < p->nr_targets; i++) {
		h = mix(mix(h, (uint64_t)p->targets[i].pid), p->targets[i].gone);
		for (unsigned j = 0; j < p->targets[i].nr_ports; j++)
			h = mix(h, p->targets[i].ports[j]);
	}
	for (unsigned i = 0; i < p->nr_dirs; i++)
		h = mix(mix(h, p->dirs[i].ino), p->dirs[i].dev);
	for (unsigned i = 0; i < p->nr_devices; i++)
		h = mix(h, p->devices[i].dev);
	if (h == p->load->watched)
		return false;
	p->load->watched = h;
	return true;
}

void load_watch(struct probe *p)
{
	struct probe_bpf *skel = p->load->skel;
	uint32_t one = 1, pids[REC_TARGETS] = {};
	unsigned nr = 0;

	if (!watch_changed(p))
		return;
	for (unsigned i = 0; i < p->nr_dirs; i++) {
		struct { uint64_t ino; uint32_t dev, pad; } key = { p->dirs[i].ino, dev_to_kernel(p->dirs[i].dev), 0 };

		bpf_map__update_elem(skel->maps.log_dirs, &key, sizeof(key), &one, sizeof(one), 0);
	}
	for (unsigned i = 0; i < p->nr_devices; i++) {
		uint32_t dev = dev_to_kernel(p->devices[i].dev);

		if (!p->devices[i].parent)
			bpf_map__update_elem(skel->maps.disks, &dev, sizeof(dev), &one, sizeof(one), 0);
	}
	for (unsigned i = 0; i < p->opt.nr_topics; i++) {
		char key[REC_NAME] = {};

		strncpy(key, p->opt.topics[i], sizeof(key) - 1);
		bpf_map__update_elem(skel->maps.topics, key, sizeof(key), &one, sizeof(one), 0);
	}
	for (unsigned i = 0; i < p->nr_targets; i++) {
		if (p->targets[i].gone)
			continue;
		if (nr < REC_TARGETS)
			pids[nr++] = (uint32_t)p->targets[i].pid;
		for (unsigned j = 0; j < p->targets[i].nr_ports; j++) {
			uint32_t port = p->targets[i].ports[j];

			bpf_map__update_elem(skel->maps.ports, &port, sizeof(port), &one, sizeof(one), 0);
		}
	}
	/* The targets last: what they do is of interest from the moment that all else is known. */
	memcpy(skel->bss->targets, pids, sizeof(pids));
}

int load_attach(struct probe *p, char *why, size_t size)
{
	struct load *l = p->load;
	void *at;
	int err;

	at = mmap(NULL, COUNT_NR * sizeof(*l->counts), PROT_READ, MAP_SHARED, bpf_map__fd(l->skel->maps.counts), 0);
	if (at == MAP_FAILED) {
		snprintf(why, size, "the counters of the BPF programs cannot be read: %s", strerror(errno));
		return -1;
	}
	l->counts = at;
	l->ring = ring_buffer__new(bpf_map__fd(l->skel->maps.ring), events_record, p, NULL);
	if (!l->ring) {
		snprintf(why, size, "the ring buffer cannot be read: %s", strerror(errno));
		return -1;
	}
	err = probe_bpf__attach(l->skel);
	go_home(l);
	if (err) {
		snprintf(why, size, "the BPF programs could not be attached: %s (-v shows why)", strerror(-err));
		return -1;
	}
	/* Only now does any program see what it looks for: no half of a pair is taken for a whole. */
	load_watch(p);
	for (unsigned c = 0; c < AT_NR_COVER; c++)
		if (p->cover[c].on && !p->cover[c].text[0])
			snprintf(p->cover[c].text, WHY, "attached");
	return 0;
}

int load_poll(struct probe *p, int timeout_ms)
{
	int n = ring_buffer__poll(p->load->ring, timeout_ms);

	return n == -EINTR ? 0 : n;
}

uint64_t load_counts(struct probe *p, uint64_t *counts)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < COUNT_NR; i++) {
		counts[i] = __atomic_load_n(&p->load->counts[i], __ATOMIC_RELAXED);
		if (i < COUNT_LOST + REC_NR_KINDS)
			lost += counts[i];
	}
	return lost;
}

/* Requests issued that never came back: in flight, or their end was not seen. */
static uint32_t requests_open(struct probe_bpf *skel)
{
	uint64_t key, *at = NULL;
	uint32_t n = 0;

	while (!bpf_map__get_next_key(skel->maps.requests, at, &key, sizeof(key))) {
		at = &key;
		n++;
	}
	return n;
}

/*
 * Detaching takes the kernel a grace period for each program, more than a second
 * in all.  So first nothing is looked for any more: all programs end at one time.
 */
void load_stop(struct probe *p)
{
	struct probe_bpf *skel = p->load->skel;

	for (unsigned i = 0; i < p->nr_devices; i++) {
		uint32_t dev = dev_to_kernel(p->devices[i].dev);

		bpf_map__delete_elem(skel->maps.disks, &dev, sizeof(dev), 0);
	}
	memset(skel->bss->targets, 0, sizeof(skel->bss->targets));
	p->open_requests = requests_open(skel);
	ring_buffer__consume(p->load->ring);
}

void load_close(struct probe *p)
{
	struct load *l = p->load;

	if (!l)
		return;
	ring_buffer__free(l->ring);
	if (l->counts)
		munmap((void *)l->counts, COUNT_NR * sizeof(*l->counts));
	probe_bpf__destroy(l->skel);
	for (unsigned i = 0; i < l->nr_modules; i++)
		btf__free(l->modules[i]);
	btf__free(l->btf);
	free(l);
	p->load = NULL;
}

void load_describe(const struct probe *p, FILE *to)
{
	fprintf(to, "needs: root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE to read other processes' /proc, CAP_SYS_ADMIN to mount tracefs), Linux 5.8 with BTF\n");
	for (unsigned c = 0; c < AT_NR_COVER; c++) {
		if (p->opt.level < covers[c].from)
			continue;
		fprintf(to, "\n%s\n  reads: %s\n", covers[c].name, covers[c].reads);
		for (unsigned i = 0; i < NR_PIECES; i++)
			if (pieces[i].cover == c)
				fprintf(to, "  program %-28s at %s %s\n", pieces[i].prog,
					strncmp(pieces[i].at, "btf:", 4) ? "tracepoint" : "tp_btf",
					strncmp(pieces[i].at, "btf:", 4) ? pieces[i].at : pieces[i].at + 4);
	}
	fprintf(to, "\nfrom user space: /proc (command lines, open files and sockets of the broker, thread names), the broker's "
		"configuration file (log directories, listeners, node id), partition.metadata (topic ids)\n");
}
