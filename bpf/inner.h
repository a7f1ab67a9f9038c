/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inner.h - what the files of the probe's user-space half share.  One thread runs
 * all of it.
 */
#ifndef ACKTRAIL_PROBE_INNER_H
#define ACKTRAIL_PROBE_INNER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <acktrail/trail.h>
#include "dev.h"
#include "writer.h"

#define MAX_TARGETS	16
#define MAX_DIRS	64
#define MAX_DEVICES	128
#define MAX_PORTS	16
#define MAX_TOPICS	64
#define WHY		256

enum level { LEVEL_DISK, LEVEL_APPEND, LEVEL_FULL };

struct options {
	const char *out;
	pid_t pids[MAX_TARGETS];
	const char *dirs[MAX_DIRS];
	const char *topics[MAX_TOPICS];
	unsigned nr_pids, nr_dirs, nr_topics, duration, ring_mb;
	enum level level;
	bool dry_run, verbose;
};

struct target {
	pid_t pid;
	int32_t broker;		/* -1 unknown */
	uint16_t ports[MAX_PORTS];
	unsigned nr_ports;	/* the first one is the clients' */
	uint16_t client_port;	/* as configured, 0 unknown */
	unsigned looked;	/* how often for it */
	uint64_t found_ns;	/* 0: there from the beginning */
	bool gone, tls;
	char how[128];
};

struct log_dir {
	uint64_t dev, ino;	/* dev as the kernel writes it */
	uint64_t disk;		/* its block device, 0 unknown */
	pid_t pid;
	uint64_t found_ns;	/* as in target */
	char path[1024];	/* as the broker names it */
	char seen[1100];	/* as we reach it: through /proc/PID/root */
};

struct device {
	uint64_t dev, parent;	/* parent: the whole disk of a partition, else 0 */
	uint64_t below, below_ino;	/* of a stacked one: where its blocks lie, when in one place */
	uint32_t stacked;	/* devices beneath, or 1 file */
	uint32_t rotational, write_cache;
	bool requests;		/* false: it passes bios on (dm, md), and no request is ever made of them */
	char name[64];
};

struct names;
struct load;

struct probe {
	struct options opt;
	struct target targets[MAX_TARGETS];
	struct log_dir dirs[MAX_DIRS];
	struct device devices[MAX_DEVICES];
	unsigned nr_targets, nr_dirs, nr_devices;
	struct at_writer writer;
	struct at_pen pen;
	struct names *names;
	struct load *load;
	uint64_t events, attached_ns;
	uint64_t read_until;		/* what comes then is for the next load_poll() */
	uint32_t nr_read;
	struct { int on; char text[WHY]; } cover[AT_NR_COVER];
	uint32_t open_requests;		/* at the end */
	struct { uint64_t syncs, requests, slowest_ns; bool shown; } live;	/* since the line before */
	uint32_t last_restated;		/* AT_LAST's seq when what stands was last restated */
};

/* target.c: the brokers and their log directories.  0, or -1 with a sentence in why. */
int targets_find(struct probe *p, char *why, size_t size);
/* False when none is left and none may come; *changed: others are there now. */
bool targets_alive(struct probe *p, bool *changed);

/* disk.c: block devices under the log directories, and their counters. */
void devices_find(struct probe *p);
void devices_sample(struct probe *p, uint64_t now);

/* live.c */
void live_show(struct probe *p, uint64_t ns, uint64_t dropped);
void live_clear(const struct probe *p);

/* load.c: the BPF side. */
int load_open(struct probe *p, char *why, size_t size);
int load_attach(struct probe *p, char *why, size_t size);
int load_poll(struct probe *p, int timeout_ms);
void load_watch(struct probe *p);	/* (again) tell BPF the targets, directories, disks */
void load_forget(struct probe *p, pid_t pid);	/* its connections: who was killed closes none */
uint64_t load_counts(struct probe *p, uint64_t *counts);	/* COUNT_NR of them; returns all lost */
uint64_t load_missed(const struct probe *p, uint64_t *missed);	/* AT_NR_COVER of them; returns the sum */
void load_stop(struct probe *p);	/* nothing new comes; what is there is read */
void load_close(struct probe *p);
void load_describe(const struct probe *p, FILE *to);

/* log_names.c: what Kafka calls things in a log directory. */
/* "topic-0" → name and partition; passing: on its way out, or not the log yet. */
bool log_partition(const char *dir, char topic[256], int32_t *partition, bool *passing);
/* The topic's id, from the partition.metadata of dir/partition. */
bool log_topic_id(const char *dir, const char *partition, uint64_t *hi, uint64_t *lo);
enum at_role log_role(const char *name);
/* The offset in a segment's name: 20 digits and a dot; else -1. */
int64_t log_segment(const char *name);

/* names.c: files, topics and threads, stated again in each chunk that uses them. */
struct file_id { uint32_t file, topic; int32_t partition; int64_t segment; uint32_t role; };
struct names *names_new(struct probe *p);
void names_free(struct names *names);
struct rec_file;
void names_learn(struct probe *p, const struct rec_file *r);
struct file_id names_file(struct probe *p, uint32_t dev, uint64_t ino);
uint32_t names_topic(struct probe *p, const char *name);
uint32_t names_topic_by_id(struct probe *p, const uint8_t id[16]);
void names_thread(struct probe *p, enum at_ring ring, uint32_t pid, uint32_t tid, uint64_t ns);
void names_told(struct probe *p, enum at_ring ring, uint32_t pid, uint32_t tid, const char *comm, uint64_t ns);
const char *names_comm(struct probe *p, uint32_t tid);

/*
 * Reserve an event, its names stated before it in the same chunk.  file and topic
 * are 0 when it has none; pid 0: the thread is not named.
 */
void *event_begin(struct probe *p, enum at_ring ring, enum at_type type, uint64_t ns,
		  uint32_t pid, uint32_t tid, size_t size, uint32_t file, uint32_t topic,
		  const char *tail, size_t tail_len);
void event_commit(struct probe *p, enum at_ring ring);

/* events.c: records of the ring buffer → events of the trail. */
int events_record(void *probe, void *data, size_t size);
struct rec;
void event_request(struct probe *p, const struct rec *r);	/* event_requests.c: topic, batch, arrival, answer, end */
void events_standing(struct probe *p);	/* targets, directories, devices: at the start, and when they change */
void events_end(struct probe *p, uint64_t now, const uint64_t *counts, int status);
void events_note(struct probe *p, enum at_note what, uint32_t count, const char *text);

#endif
