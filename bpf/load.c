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
#include "pieces.h"
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
	bool out[MAX_PIECES];		/* by index in pieces[] */
	char refused[64];		/* program that the verifier turned down */
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

	while (i < nr_pieces && strcmp(pieces[i].prog, name))
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
	for (unsigned i = 0; i < nr_pieces; i++) {
		if (!strcmp(pieces[i].prog, find_vma ? "sync_enter_msync_plain" : "sync_enter_msync") ||
		    !strcmp(pieces[i].prog, btf_args(l, "balance_dirty_pages") == 12 ? "nap_dirty" : "nap_dirty_old"))
			l->out[i] = true;
		else if (p->opt.level < covers[pieces[i].cover].from)
			l->out[i] = true;
		else if (there(l, trace, pieces[i].at))
			continue;
		else if (pieces[i].or && there(l, trace, pieces[i].or))
			l->out[i] = true;
		else
			leave_out(p, i, "this kernel does not have it");
	}
	/* What lost a vital piece is left out whole. */
	for (unsigned i = 0; i < nr_pieces; i++)
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
	l->skel->rodata->with_naps = p->cover[AT_COVER_NAP].on > 0;
	l->skel->rodata->with_faults = libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_task_pt_regs, NULL) == 1;
	l->skel->rodata->rq_args_lead = btf_args(l, "block_rq_issue") == 2;
	l->skel->rodata->bio_args_lead = btf_args(l, "block_bio_queue") == 2;
	l->skel->rodata->with_cast = btf__find_by_name_kind(l->btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	l->skel->rodata->with_cast_ext4 = l->skel->rodata->with_cast && btf__find_by_name_kind(l->btf, "ext4_inode_info", BTF_KIND_STRUCT) > 0 &&
		btf__find_by_name_kind(l->btf, "transaction_s", BTF_KIND_STRUCT) > 0;
	l->skel->rodata->ring_bytes = p->opt.ring_mb << 20;
	bpf_map__set_max_entries(l->skel->maps.ring, p->opt.ring_mb << 20);
	for (unsigned i = 0; i < nr_pieces; i++) {
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
	for (unsigned tries = 0; tries <= nr_pieces; tries++) {
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
		if (i == nr_pieces || l->out[i])
			break;
		leave_out(p, i, "this kernel refused the program (see -v)");
		for (unsigned j = 0; j < nr_pieces; j++)
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
	uint32_t one = 1, pids[REC_TARGETS] = {}, disks[REC_DISKS] = {};
	unsigned nr = 0, nr_disks = 0;

	if (!watch_changed(p))
		return;
	for (unsigned i = 0; i < p->nr_dirs; i++) {
		struct { uint64_t ino; uint32_t dev, pad; } key = { p->dirs[i].ino, dev_to_kernel(p->dirs[i].dev), 0 };

		bpf_map__update_elem(skel->maps.log_dirs, &key, sizeof(key), &one, sizeof(one), 0);
	}
	for (unsigned i = 0; i < p->nr_devices; i++)
		if (!p->devices[i].parent && p->devices[i].requests && nr_disks < REC_DISKS)
			disks[nr_disks++] = dev_to_kernel(p->devices[i].dev);
	memcpy(skel->bss->disks, disks, sizeof(disks));
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

void load_forget(struct probe *p, pid_t pid)
{
	int fd = bpf_map__fd(p->load->skel->maps.conns);
	uint64_t key, next, *at = NULL;

	while (!bpf_map_get_next_key(fd, at, &next)) {
		if (at && key >> 32 == (uint32_t)pid)
			bpf_map_delete_elem(fd, &key);
		key = next;
		at = &key;
	}
	if (at && key >> 32 == (uint32_t)pid)
		bpf_map_delete_elem(fd, &key);
}

/* Events may come as fast as they are read: libbpf goes on until there are none, unless told otherwise. */
#define READ_NS		200000000u

int load_poll(struct probe *p, int timeout_ms)
{
	int n;

	p->read_until = at_now() + (uint64_t)timeout_ms * 1000000 + READ_NS;
	n = ring_buffer__poll(p->load->ring, timeout_ms);
	if (n < 0 && n != -EINTR)
		return n;
	n = ring_buffer__consume(p->load->ring);	/* nobody wakes us for a few, see rec_submit() */
	return n == -EINTR ? 0 : n;
}

uint64_t load_counts(struct probe *p, uint64_t *counts)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < COUNT_NR; i++) {
		counts[i] = __atomic_load_n(&p->load->counts[i], __ATOMIC_RELAXED);
		/* And what was not witnessed for want of room, or is known without its identity. */
		if (i < COUNT_LOST + REC_NR_KINDS || i == COUNT_TABLE_FULL || i == COUNT_HEADER_UNREAD)
			lost += counts[i];
	}
	return lost;
}

/*
 * How often the kernel did not run our programs though their time had come, see
 * compat.bpf.h: by kind of evidence, of whatever process; returns the sum.
 */
uint64_t load_missed(const struct probe *p, uint64_t *missed)
{
	const struct load *l = p->load;
	uint64_t sum = 0;

	memset(missed, 0, AT_NR_COVER * sizeof(*missed));
	for (unsigned i = 0; i < nr_pieces; i++) {
		const struct bpf_program *prog = bpf_object__find_program_by_name(l->skel->obj, pieces[i].prog);
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);

		if (l->out[i] || !prog || bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			continue;
		missed[pieces[i].cover] += info.recursion_misses;
		sum += info.recursion_misses;
	}
	return sum;
}

/* Requests issued that never came back: in flight, or their end was not seen. */
static uint32_t requests_open(struct probe_bpf *skel)
{
	const struct bpf_map *map = skel->maps.requests;
	size_t set = bpf_map__value_size(map), size = set * bpf_map__max_entries(map);
	char *at = mmap(NULL, size, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);
	uint32_t n = 0;

	if (at == MAP_FAILED)
		return 0;
	for (size_t i = 0; i < size; i += set)
		for (unsigned way = 0; way < REC_WAYS; way++)
			n += ((const uint64_t *)(at + i))[way] != 0;
	munmap(at, size);
	return n;
}

/*
 * Detaching takes the kernel a grace period for each program, more than a second
 * in all.  So first nothing is looked for any more: all programs end at one time.
 */
void load_stop(struct probe *p)
{
	struct probe_bpf *skel = p->load->skel;

	memset(skel->bss->disks, 0, sizeof(skel->bss->disks));
	memset(skel->bss->targets, 0, sizeof(skel->bss->targets));
	p->open_requests = requests_open(skel);
	p->read_until = UINT64_MAX;
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
