/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * vmlinux_min.h - the kernel types that the BPF programs use, and of each the
 * fields that they read: for building where the kernel has no BTF to make a
 * vmlinux.h from.  Offsets here mean nothing; they are relocated at load (CO-RE).
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

#define true	1
#define false	0

/* Numbers of the system call interface, which do not change. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9, BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };

#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)

struct hlist_head { struct hlist_node *first; };
struct super_block { __u32 s_dev; unsigned long s_flags; void *s_fs_info; };
struct inode { unsigned short i_mode; unsigned int i_flags; struct super_block *i_sb; unsigned long i_ino; };
struct qstr {
	union {
		struct { __u32 hash, len; };
		__u64 hash_len;
	};
	const unsigned char *name;
};
struct dentry { struct dentry *d_parent; struct qstr d_name; struct inode *d_inode; };
struct path { struct dentry *dentry; };
struct file { unsigned int f_flags; void *private_data; struct inode *f_inode; struct path f_path; long long f_pos; };
struct fdtable { unsigned int max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };
struct task_struct { unsigned int flags, in_iowait : 1; int pid, tgid; char comm[16]; struct files_struct *files; void *journal_info; };
struct vm_area_struct { struct file *vm_file; };

struct in6_addr { __u8 at[16]; };
struct sock_common {
	__be32 skc_daddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
};
struct sock { struct sock_common __sk_common; };
struct socket { struct sock *sk; };
struct tcp_sock { __u32 rcv_nxt, copied_seq; };
struct sk_buff { char cb[48]; };
struct tcp_skb_cb { __u32 seq, end_seq; };

struct address_space { struct inode *host; };
struct page { unsigned long compound_head; struct address_space *mapping; };
struct bio_vec { struct page *bv_page; };
struct gendisk { int major, first_minor; };
struct block_device { __u32 bd_dev; struct gendisk *bd_disk; };
struct bio { struct bio *bi_next; struct block_device *bi_bdev; struct bio_vec *bi_io_vec; };
struct request_queue;
struct request {
	struct request_queue *q;
	unsigned int cmd_flags, rq_flags, __data_len;
	__u64 __sector;
	struct bio *bio;
};

#pragma clang attribute pop

/* The numbers are the running kernel's at load. */
enum req_flag_bits { __REQ_SYNC = 1, __REQ_META, __REQ_FUA, __REQ_PREFLUSH };

#endif
