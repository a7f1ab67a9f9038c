/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * request.bpf.h - what the programs share that follow Kafka's requests on the
 * broker's plain-text sockets: the connections and the ports.  arrive.bpf.c knows
 * when TCP took in a byte, request_read.bpf.c the reads, request_parse.bpf.c what
 * is in them, response.bpf.c the answers.
 */
#ifndef ACKTRAIL_REQUEST_BPF_H
#define ACKTRAIL_REQUEST_BPF_H

#include "maps.bpf.h"

#define MAX_FRAME	(1u << 30)
#define CARRY		288	/* longest field that is read in one piece, and more */

enum step {
	STEP_SIZE, STEP_HEAD, STEP_CLIENT, STEP_TXN, STEP_ACKS,
	STEP_TOPIC, STEP_NAME, STEP_PART, STEP_TAGS, STEP_REST,
};

struct conn {
	__u64 sk, last_read_ns, begin_ns, out_begin_ns;
	__u64 first_ns;		/* TCP had the first byte of the request; 0 unknown */
	__u32 id, step;
	__u32 off;		/* in the read that is being parsed */
	__u32 skip, left;	/* bytes to step over; bytes of the frame to come, those included */
	__u32 carried;
	__u32 end_seq;		/* TCP sequence behind the read that is being parsed */
	__u32 fresh;		/* 1: a size was read, nothing confirms yet that it was one */

	__u32 size, corr, flags, client_len, name_len;
	__u32 topics_left, parts_left, topic_nr;
	__s32 timeout_ms;
	__s16 api, version, acks;
	__u16 batches;

	__u32 out_left, out_corr, out_size, out_off;	/* out_off: responses given up */
	__u16 peer_port, local_port;
	__u32 pad;
	__u8 peer[16];
	char client[REC_CLIENT];
	__u8 carry[2 * CARRY];	/* twice, so that the verifier need not know the sum */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);		/* tgid << 32 | fd */
	__type(value, struct conn);
} conns SEC(".maps");

/* A conn of zeroes to begin with, and the window that a step looks through. */
struct scratch { struct conn none; __u8 window[2 * CARRY + 64]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* Listening ports of the targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* When TCP had the byte before `end`, and all before it, on that socket; 0 unknown. */
extern __u64 arrive_when(__u64 sk, __u64 end);
extern int arrive_forget(__u64 sk);

static __always_inline __u32 be32(const __u8 *b)
{
	return (__u32)b[0] << 24 | (__u32)b[1] << 16 | (__u32)b[2] << 8 | b[3];
}

static __always_inline __u16 be16(const __u8 *b)
{
	return (__u16)(b[0] << 8 | b[1]);
}

static __always_inline struct sock *sock_of(struct file *file)
{
	struct inode *inode = AT_READ(file, f_inode);
	struct socket *socket;

	if (!inode || (AT_READ(inode, i_mode) & S_IFMT_) != S_IFSOCK_)
		return NULL;
	socket = AT_READ(file, private_data);
	return AT_READ(socket, sk);
}

static __always_inline __u64 conn_key(__u32 fd)
{
	return (bpf_get_current_pid_tgid() & ~0xffffffffull) | fd;
}

#endif
