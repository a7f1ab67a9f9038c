/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.bpf.h - what all programs share: the ring buffer, whom and where to watch,
 * the files known so far.
 */
#ifndef ACKTRAIL_MAPS_BPF_H
#define ACKTRAIL_MAPS_BPF_H

#include "compat.bpf.h"
#include "record.h"

#define S_IFMT_		0170000
#define S_IFDIR_	0040000
#define S_IFREG_	0100000
#define S_IFSOCK_	0140000

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);	/* user space may change it */
} ring SEC(".maps");

/*
 * Mapped into user space: to read it by bpf() would keep the programs of system
 * calls from running on that CPU meanwhile (bpf_disable_instrumentation), also
 * when the reader is preempted in it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNT_NR);
	__uint(map_flags, 1u << 10);	/* BPF_F_MMAPABLE */
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

/*
 * The brokers, 0 where there is none.  A variable and not a map: every process of
 * the host passes here with every write.
 */
extern __u32 targets[REC_TARGETS];

struct inode_key { __u64 ino; __u32 dev, pad; };

/* The log directories. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct inode_key);
	__type(value, __u32);
} log_dirs SEC(".maps");

/* Topics asked for, padded with NUL; looked at only when filter_topics is set. */
struct topic_key { char name[REC_NAME]; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct topic_key);
	__type(value, __u32);
} topics SEC(".maps");

#define FILE_WATCHED	1u	/* under a log directory, or one itself */
#define FILE_SEGMENT	2u	/* its name ends in .log */

/*
 * Files met so far, with the hashes of their names: a rename, or an inode number
 * used again, shows as another hash, and the file is told to user space anew.
 */
struct known_file { __u64 name_hash, parent_hash; __u32 flags, pad; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct inode_key);
	__type(value, struct known_file);
} files SEC(".maps");

extern const volatile __u32 filter_topics, with_requests, with_wakes, with_naps, with_faults, ring_bytes;

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* A record, its header filled in; NULL and counted when the ring buffer is full. */
static __always_inline void *rec_begin(__u32 kind, __u64 size, __u64 ns)
{
	struct rec *r = bpf_ringbuf_reserve(&ring, size, 0);
	__u64 id = bpf_get_current_pid_tgid();

	if (!r) {
		count(COUNT_LOST + kind);
		return NULL;
	}
	r->kind = kind;
	r->pid = id >> 32;
	r->tid = (__u32)id;
	r->pad = 0;
	r->ns = ns;
	return r;
}

/*
 * The reader comes by itself ten times a second; to wake it for each record would cost
 * the traced thread microseconds (an interrupt of its own), so only when it falls behind,
 * which one record in 16 looks at, by chance.
 */
static __always_inline __u64 rec_flags(__u64 ns)
{
	if (ns & 15)
		return 1;	/* BPF_RB_NO_WAKEUP */
	return bpf_ringbuf_query(&ring, 0 /* BPF_RB_AVAIL_DATA */) > ring_bytes / 8 ? 2 /* BPF_RB_FORCE_WAKEUP */ : 1;
}

static __always_inline void rec_submit(void *r)
{
	bpf_ringbuf_submit(r, rec_flags(((struct rec *)r)->ns));
}

/* A record that was made up elsewhere. */
static __always_inline void rec_output(struct rec *r, __u64 size, __u32 kind, __u64 ns)
{
	__u64 id = bpf_get_current_pid_tgid();

	r->kind = kind;
	r->pid = id >> 32;
	r->tid = (__u32)id;
	r->pad = 0;
	r->ns = ns;
	if (bpf_ringbuf_output(&ring, r, size, rec_flags(ns)))
		count(COUNT_LOST + kind);
}

/*
 * In a list that is filled from the front without gaps, which 0 never is?  volatile:
 * out of a chain of "or"s the verifier would follow each combination.
 */
static __always_inline bool listed(const volatile __u32 *list, __u32 nr, __u32 what)
{
	for (__u32 i = 0; i < nr; i++) {
		__u32 one = list[i];

		if (!one)
			return false;
		if (one == what)
			return true;
	}
	return false;
}

static __always_inline bool is_target_tgid(__u32 tgid)
{
	return listed(targets, REC_TARGETS, tgid);
}

static __always_inline bool is_target(void)
{
	return is_target_tgid(bpf_get_current_pid_tgid() >> 32);
}

static __always_inline struct file *file_of_fd(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *fdt = AT_READ(AT_READ(task, files), fdt);
	struct file **slots, *file = NULL;

	if (fd >= AT_READ(fdt, max_fds))
		return NULL;
	slots = AT_READ(fdt, fd) + fd;
	if (with_cast)		/* as a struct that is one pointer: only to a struct can be cast */
		return (void *)AT_CAST((struct hlist_head *)slots)->first;
	bpf_probe_read_kernel(&file, sizeof(file), slots);
	return file;
}

static __always_inline void inode_key(struct inode_key *key, struct inode *inode)
{
	key->ino = AT_READ(inode, i_ino);
	key->dev = AT_READ(AT_READ(inode, i_sb), s_dev);
	key->pad = 0;
}

#define DENTRY_READ(dst, dentry, field) ((dst) = AT_READ(dentry, field))

static __always_inline bool is_log_dir(struct dentry *dir)
{
	struct inode_key key;
	struct inode *inode = NULL;

	DENTRY_READ(inode, dir, d_inode);
	if (!inode)
		return false;
	inode_key(&key, inode);
	return bpf_map_lookup_elem(&log_dirs, &key) != NULL;
}

static __always_inline void read_name(char *to, struct dentry *dentry)
{
	const unsigned char *name = NULL;

	DENTRY_READ(name, dentry, d_name.name);
	if (bpf_probe_read_kernel_str(to, REC_NAME, name) < 0)
		to[0] = 0;
}

/*
 * Is "topic-0" of a topic that was asked for?  The key is a copy cut at its last
 * dash.  The dash's place is kept in the map too: as a variable it would be a
 * different one for the verifier in every turn of the loops.
 */
struct topic_cut { struct topic_key key; __u32 dash; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct topic_cut);
} topic_scratch SEC(".maps");

static __noinline bool topic_wanted(struct dentry *dir)
{
	__u32 zero = 0;
	struct topic_cut *t = bpf_map_lookup_elem(&topic_scratch, &zero);

	if (!t)
		return false;
	__builtin_memset(t, 0, sizeof(*t));
	read_name(t->key.name, dir);
	for (__u32 i = 0; i < REC_NAME; i++)
		if (t->key.name[i] == '-')
			t->dash = i;
	for (__u32 i = 0; i < REC_NAME; i++)
		if (i >= t->dash)
			t->key.name[i] = 0;
	return bpf_map_lookup_elem(&topics, &t->key) != NULL;
}

/* The first meeting with a file: is it ours, and if so tell user space its name. */
static __noinline __u32 file_meet(struct dentry *dentry, struct inode_key *key,
				  struct known_file *known, bool is_dir)
{
	struct dentry *parent = NULL, *above = NULL, *log_dir;
	struct rec_file *r;
	__u32 depth = 0, len = 0;
	char end[4] = {};
	const unsigned char *name = NULL;

	known->flags = 0;
	known->pad = 0;
	DENTRY_READ(parent, dentry, d_parent);
	DENTRY_READ(above, parent, d_parent);
	/* The parent of a file system's topmost directory is itself: so in this order. */
	if (is_dir && is_log_dir(dentry)) {
		log_dir = dentry;
	} else if (is_log_dir(parent)) {
		log_dir = parent;
	} else if (!is_dir && is_log_dir(above)) {
		log_dir = above;
		depth = 1;
	} else {
		goto out;
	}
	if (filter_topics && ((!depth && !is_dir) || !topic_wanted(is_dir ? dentry : parent)))
		goto out;

	known->flags = FILE_WATCHED;
	DENTRY_READ(len, dentry, d_name.len);
	DENTRY_READ(name, dentry, d_name.name);
	if (depth && len > 4 && !bpf_probe_read_kernel(end, 4, name + len - 4) &&
	    end[0] == '.' && end[1] == 'l' && end[2] == 'o' && end[3] == 'g')
		known->flags |= FILE_SEGMENT;

	r = rec_begin(REC_FILE, sizeof(*r), bpf_ktime_get_ns());
	if (!r)
		return known->flags;	/* not remembered: told at the next meeting */
	r->ino = key->ino;
	r->dev = key->dev;
	r->dir = BPF_CORE_READ(log_dir, d_inode, i_ino);
	r->depth = depth;
	r->is_dir = is_dir;
	r->pad = 0;
	if (log_dir == dentry)
		r->name[0] = 0;
	else
		read_name(r->name, dentry);
	read_name(r->parent, parent);
	rec_submit(r);
out:
	/* Only now: whoever finds the file known comes later in the ring buffer. */
	bpf_map_update_elem(&files, key, known, BPF_ANY);
	return known->flags;
}

/* FILE_* of a regular file or a directory, its key filled in; 0 when it is not ours. */
static __always_inline __u32 file_flags(struct file *file, struct inode_key *key)
{
	struct known_file now = {}, *known;
	struct dentry *dentry = NULL, *parent = NULL;
	struct inode *inode;
	__u32 kind;

	inode = AT_READ(file, f_inode);
	kind = inode ? AT_READ(inode, i_mode) & S_IFMT_ : 0;
	if (kind != S_IFREG_ && kind != S_IFDIR_)
		return 0;
	dentry = AT_READ(file, f_path.dentry);
	DENTRY_READ(parent, dentry, d_parent);
	inode_key(key, inode);
	DENTRY_READ(now.name_hash, dentry, d_name.hash_len);
	DENTRY_READ(now.parent_hash, parent, d_name.hash_len);
	known = bpf_map_lookup_elem(&files, key);
	if (known && known->name_hash == now.name_hash && known->parent_hash == now.parent_hash)
		return known->flags;
	return file_meet(dentry, key, &now, kind == S_IFDIR_);
}

/* The fixed part of a per-syscall tracepoint, the same since 2.6.32. */
struct sys_enter { __u64 common; __u64 nr; __u64 args[6]; };
struct sys_exit { __u64 common; __u64 nr; __s64 ret; };

#endif
