/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.h - one random history: what was planned for it, and what the app itself
 * learned of every message.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MAX_TOPICS	2
#define MAX_PRODUCERS	2
#define MAX_THREADS	3
#define MAX_SENT	20000

/* splitmix64: the same numbers from the same seed, everywhere. */
struct rng { uint64_t s; };
uint64_t rng_next(struct rng *r);
int rng_below(struct rng *r, int n);		/* 0..n-1 */
bool rng_percent(struct rng *r, int n);
#define RNG_PICK(r, list) ((list)[rng_below(r, (int)(sizeof(list) / sizeof(*(list))))])

/* How the app hears of deliveries. */
enum report { REPORT_MSG_CB, REPORT_OLD_CB, REPORT_EVENT, REPORT_NONE };
enum stamp { STAMP_LIBRARY, STAMP_FAR, STAMP_NEAR };	/* whose message timestamps */
enum ending { END_FLUSH, END_PURGE, END_DESTROY, END_DESTROY_DOWN, END_EXIT };

/* What was heard of a message, by one way of hearing. */
struct heard {
	int32_t	 times, err, partition, status;
	bool	 named;			/* the message says its topic */
	int64_t	 offset, ns;
};

struct msg {
	struct producer *p;
	uint32_t seq;
	int	 topic;
	int32_t	 wanted;		/* partition asked for */
	int64_t	 begin_ns, end_ns, stamp_ms;	/* stamp_ms 0: not known */
	int32_t	 refused;		/* rd_kafka_resp_err_t of the produce call */
	bool	 tried;
	uint32_t order;			/* of acknowledgement */
	struct heard ack, call;		/* by our interceptor; by the app's callback */
};

/* What befell the brokers. */
#define TROUBLES(T) \
	T(errors) T(delays) T(rtt) T(down) T(up) T(moves) T(metadata) T(producer_id) T(topic) T(purges)
enum trouble {
#define TROUBLE(name) TROUBLE_##name,
	TROUBLES(TROUBLE) NR_TROUBLES
#undef TROUBLE
};

/* A Produce request, as librdkafka says that it sent it. */
struct sent { int32_t broker, corr; uint64_t size; int64_t ns; };

struct producer {
	int	 nr;			/* from 1 */
	rd_kafka_t *rk;
	rd_kafka_topic_t *rkt[MAX_TOPICS];
	enum report report;
	enum stamp stamp;
	bool	 idempotent;
	bool	 intercept;		/* hear acknowledgements and requests ourselves */
	int	 acks, timeout_ms, threads, pace_us;
	struct msg *msgs;
	uint32_t nr_msgs;
	uint32_t taken;			/* by the producing threads */
	uint32_t acked;
	struct sent *sent;
	uint32_t nr_sent;
	pthread_mutex_t lock;		/* of the stamps: in the order of the queue */
	int64_t	 stamp_ms;
	pthread_t poller, maker[MAX_THREADS];
	bool	 quiet;			/* poller: leave */
	bool	 lazy;			/* the app does not poll for a while, now and then */
	char	 text[1024];		/* its settings */
};

struct history {
	uint64_t seed;
	struct rng rng;
	int	 brokers, topics, partitions[MAX_TOPICS], producers, run_ms;
	enum ending ending;
	int	 purges;
	bool	 intercept;		/* every producer has to */
	int	 did[NR_TROUBLES];	/* how often */
	struct producer p[MAX_PRODUCERS];
	rd_kafka_t *mock_rk;
	rd_kafka_mock_cluster_t *mock;
	struct received { int32_t broker; int64_t ns; } *received;	/* Produce requests, by the cluster's record */
	size_t	 nr_received;
	bool	 recorded;		/* that librdkafka keeps such a record */
};

extern const char *const topic_names[MAX_TOPICS];
int64_t now_ns(void);
_Noreturn void die(const char *what, const char *why);

/* producer.c */
void producer_open(struct history *h, struct producer *p, struct rng *r);
void producer_start(struct history *h, struct producer *p);
void producer_join(struct producer *p);		/* all is produced */
void producer_quiet(struct producer *p);	/* nobody polls any more */

/* trouble.c */
void trouble_run(struct history *h);		/* for run_ms */
void trouble_heal(struct history *h);

/* record.c: what the mock cluster says that it received; librdkafka 2.3 */
void record_start(struct history *h);
void record_read(struct history *h);

/* report.c */
void report_write(const struct history *h, const char *path);

#endif
