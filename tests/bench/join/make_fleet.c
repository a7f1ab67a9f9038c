/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_fleet: trails of many hosts, made up: what producers and probes would have
 * written of the same batches, ten events each, and with --csv the same as flat tables.
 *
 *     make_fleet --clients 40 --brokers 10 --events 100000000 DIR
 *
 * Each trail is a function of the batch's number, so that one is made after the other
 * and memory holds one.
 */
#include <argp.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "writer.h"

#define PER_BATCH	10u
#define GAP		20000u		/* ns between two batches of the fleet */
#define BOOT		UINT64_C(1000000000000)
#define EPOCH		UINT64_C(1700000000000000000)
#define PARTITIONS	240u

static struct {
	uint32_t clients, brokers;
	uint64_t batches;
	const char *dir;
	bool	 csv;
} args = { .clients = 40, .brokers = 10, .batches = 100000 };

static const struct argp_option options[] = {
	{ "clients", 'c', "N", 0, "hosts with a producer (40)", 0 },
	{ "brokers", 'b', "N", 0, "hosts with a probe (10)", 0 },
	{ "events", 'n', "N", 0, "in all trails together (1000000)", 0 },
	{ "csv", 'C', NULL, 0, "flat tables beside: a row a batch in client.csv and broker.csv, and each event in the table of its kind", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'c': args.clients = (uint32_t)strtoul(arg, NULL, 10); return 0;
	case 'b': args.brokers = (uint32_t)strtoul(arg, NULL, 10); return 0;
	case 'n': args.batches = strtoull(arg, NULL, 10) / PER_BATCH; return 0;
	case 'C': args.csv = true; return 0;
	case ARGP_KEY_ARG: args.dir = arg; return 0;
	case ARGP_KEY_END:
		if (!args.dir || !args.clients || !args.brokers)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* ---- one batch --------------------------------------------------------------- */

/* All that there is to know of batch i; times are ns since the fleet began. */
struct batch {
	uint32_t client, broker, partition, crc, corr, count;
	uint64_t created, sent, read, append, appended, synced, written, answered;
	int64_t	 ts_ms, offset;
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static struct batch batch_of(uint64_t i)
{
	uint64_t r = mix(i);
	struct batch b = {
		.client = (uint32_t)(i / args.brokers % args.clients),
		.broker = (uint32_t)(i % args.brokers),
		.crc = (uint32_t)r, .count = 1 + (uint32_t)(r >> 32) % 50,
		.corr = (uint32_t)(i / args.clients / args.brokers) + 1,
		.created = i * GAP,
	};

	b.partition = b.broker + args.brokers * ((uint32_t)(r >> 40) % (PARTITIONS / args.brokers));
	b.ts_ms = (int64_t)((EPOCH + b.created) / 1000000);
	b.sent = b.created + 5000000;
	b.read = b.sent + 150000 + (r >> 48) % 100000;
	b.append = b.read + 60000;
	b.appended = b.append + 40000;
	b.synced = b.appended + 150000;
	b.written = b.synced + 30000;
	b.answered = b.written + 150000 + (r >> 52) % 100000;
	b.offset = (int64_t)i * 50;
	return b;
}

/* ---- trails -------------------------------------------------------------------- */

static struct at_writer w;
static struct at_pen pen;

static void *event(enum at_type type, uint64_t ns, size_t fields, const char *tail)
{
	void *e = at_writer_begin(&w, &pen, AT_BULK, type, BOOT + ns, fields, tail, strlen(tail));

	if (!e) {
		fprintf(stderr, "make_fleet: the trail is full\n");
		exit(1);
	}
	return e;
}

static void done(void)
{
	at_writer_commit(&pen, AT_BULK);
}

static void begin(const char *kind, uint32_t nr, enum at_kind k, uint64_t batches)
{
	char dir[4096], why[512];
	struct at_writer_conf conf = { .kind = k, .dir = dir,
		.max_bytes = (16u << 20) + batches * (k == AT_KIND_SHIM ? 640 : 720) * 5 / 4 };
	struct ev_topic *t;

	memset(&w, 0, sizeof(w));
	memset(&pen, 0, sizeof(pen));
	pen.tid = 7;
	snprintf(dir, sizeof(dir), "%s/%s%u", args.dir, kind, nr);
	if (at_writer_open(&w, &conf, why, sizeof(why))) {
		fprintf(stderr, "make_fleet: %s\n", why);
		exit(1);
	}
	snprintf(w.header->boot_id, sizeof(w.header->boot_id), "boot-of-%s%u", kind, nr);
	snprintf(w.header->host, sizeof(w.header->host), "%s%u", kind, nr);
	w.clocks->pair[0] = (struct at_clock_pair){ BOOT, EPOCH, 0 };
	w.clocks->nr = 1;
	t = event(AT_EV_TOPIC, 0, sizeof(*t), "orders");
	t->topic = 1;
	done();
}

static void end(void)
{
	at_writer_release(&w, &pen);
	at_writer_close(&w, AT_EXITED);
	at_writer_abandon(&w);
}

static void client_batch(const struct batch *b)
{
	struct ev_batch *e = event(AT_EV_BATCH, b->sent, sizeof(*e), "");
	struct ev_request *q;
	struct ev_reply *y;
	struct ev_response *r;
	struct ev_acks *a;

	*e = (struct ev_batch){ .begin_ns = BOOT + b->sent, .first_ts_ms = b->ts_ms, .max_ts_ms = b->ts_ms,
		.producer_id = -1, .base_sequence = -1, .conn = b->broker + 1, .corr = b->corr, .topic = 1,
		.partition = (int32_t)b->partition, .crc = b->crc, .count = b->count, .bytes = 100 * b->count };
	done();
	q = event(AT_EV_REQUEST, b->sent, sizeof(*q), "fleet");
	*q = (struct ev_request){ .begin_ns = BOOT + b->sent, .conn = b->broker + 1, .corr = b->corr,
		.size = 100 * b->count + 60, .acks = -1, .batches = 1, .version = 10 };
	done();
	r = event(AT_EV_RESPONSE, b->answered, sizeof(*r), "");
	*r = (struct ev_response){ .sent_ns = BOOT + b->sent, .conn = b->broker + 1, .corr = b->corr, .size = 60 };
	done();
	y = event(AT_EV_REPLY, b->answered, sizeof(*y), "");
	*y = (struct ev_reply){ .base_offset = b->offset, .conn = b->broker + 1, .corr = b->corr, .topic = 1,
		.partition = (int32_t)b->partition };
	done();
	a = event(AT_EV_ACKS, b->answered + 20000, sizeof(*a), "");
	*a = (struct ev_acks){ .created_first_ns = BOOT + b->created, .created_last_ns = BOOT + b->created,
		.last_ns = BOOT + b->answered + 20000, .first_ts_ms = b->ts_ms, .last_ts_ms = b->ts_ms,
		.first_offset = b->offset, .last_offset = b->offset + b->count - 1, .inst = 1, .topic = 1,
		.partition = (int32_t)b->partition, .broker = (int32_t)b->broker, .persisted = 2, .count = b->count };
	done();
}

static void client_trail(uint32_t nr)
{
	struct ev_instance *in;

	begin("client", nr, AT_KIND_SHIM, args.batches / args.clients + 1);
	in = event(AT_EV_INSTANCE, 0, sizeof(*in), "fleet");
	*in = (struct ev_instance){ .inst = 1, .linger_us = 5000, .message_timeout_ms = 300000,
		.socket_timeout_ms = 60000, .max_in_flight = 1000000, .batch_messages = 10000, .acks = -1 };
	done();
	for (uint32_t k = 0; k < args.brokers; k++) {
		struct ev_conn *c = event(AT_EV_CONN, 1, sizeof(*c), "");

		*c = (struct ev_conn){ .connect_ns = BOOT + 1, .conn = k + 1, .inst = 1, .broker = (int32_t)k,
			.peer_port = 9092, .local_port = 30000 + nr * args.brokers + k };
		done();
	}
	for (uint64_t turn = 0; turn * args.clients * args.brokers < args.batches; turn++)
		for (uint32_t k = 0; k < args.brokers; k++) {
			uint64_t i = (turn * args.clients + nr) * args.brokers + k;
			struct batch b = batch_of(i);

			if (i < args.batches)
				client_batch(&b);
		}
	end();
}

static void broker_batch(const struct batch *b)
{
	uint32_t conn = b->client + 1;
	struct ev_arrival *a = event(AT_EV_ARRIVAL, b->read, sizeof(*a), "fleet");
	struct ev_arrival_batch *e;
	struct ev_append *p;
	struct ev_sync *s;
	struct ev_answer *answer;

	*a = (struct ev_arrival){ .begin_ns = BOOT + b->read, .pid = 99, .conn = conn, .corr = b->corr,
		.size = 100 * b->count + 60, .peer_port = 30000 + b->client * args.brokers + b->broker,
		.version = 10, .acks = -1, .batches = 1 };
	done();
	e = event(AT_EV_ARRIVAL_BATCH, b->read, sizeof(*e), "");
	*e = (struct ev_arrival_batch){ .first_ts_ms = b->ts_ms, .producer_id = -1, .conn = conn, .corr = b->corr,
		.topic = 1, .partition = (int32_t)b->partition, .crc = b->crc, .count = b->count,
		.bytes = 100 * b->count, .base_sequence = -1 };
	done();
	pen.tid = 100 + b->partition;
	p = event(AT_EV_APPEND, b->appended, sizeof(*p), "");
	*p = (struct ev_append){ .begin_ns = BOOT + b->append, .first_ts_ms = b->ts_ms, .max_ts_ms = b->ts_ms,
		.producer_id = -1, .base_offset = b->offset, .ret = 100 * b->count, .pid = 99,
		.file = b->partition + 1, .topic = 1, .partition = (int32_t)b->partition, .crc = b->crc,
		.count = b->count, .bytes = 100 * b->count, .base_sequence = -1 };
	done();
	s = event(AT_EV_SYNC, b->synced, sizeof(*s), "");
	*s = (struct ev_sync){ .begin_ns = BOOT + b->appended + 1000, .dev = 1, .ino = b->partition + 1, .pid = 99,
		.file = b->partition + 1 };
	done();
	pen.tid = 7;
	answer = event(AT_EV_ANSWER, b->written + 5000, sizeof(*answer), "");
	*answer = (struct ev_answer){ .begin_ns = BOOT + b->written, .pid = 99, .conn = conn, .corr = b->corr, .size = 60 };
	done();
}

static void broker_trail(uint32_t nr)
{
	struct ev_target *t;

	begin("broker", nr, AT_KIND_PROBE, args.batches / args.brokers + args.clients);
	t = event(AT_EV_TARGET, 0, sizeof(*t), "given");
	*t = (struct ev_target){ .pid = 99, .broker = (int32_t)nr, .port = 9092 };
	done();
	for (uint32_t k = 0; k < AT_COVER_WAKE; k++) {
		struct ev_coverage *c = event(AT_EV_COVERAGE, 0, sizeof(*c), "");

		*c = (struct ev_coverage){ .what = k, .on = 1 };
		done();
	}
	for (uint32_t k = nr; k < PARTITIONS; k += args.brokers) {
		char path[64];
		struct ev_file *f;

		snprintf(path, sizeof(path), "/log/orders-%u/00000000000000000000.log", k);
		f = event(AT_EV_FILE, 0, sizeof(*f), path);
		*f = (struct ev_file){ .dev = 1, .ino = k + 1, .file = k + 1, .role = AT_ROLE_SEGMENT, .topic = 1,
			.partition = (int32_t)k };
		done();
	}
	for (uint64_t i = nr; i < args.batches; i += args.brokers) {
		struct batch b = batch_of(i);

		broker_batch(&b);
	}
	end();
}

/* ---- the same as tables ------------------------------------------------------------ */

/* client and broker: a row a batch, all put together; the others are the events themselves, a row each. */
enum table { CLIENT, BROKER, BATCH, REQUEST, RESPONSE, REPLY, ACKS, ARRIVAL, ARRIVAL_BATCH, APPEND, SYNC, ANSWER, NR_TABLES };
#define IDENT "partition,crc,count,first_ts_ms"
static const struct { const char *name, *columns; } tables[NR_TABLES] = {
	[CLIENT] = { "client", "host,topic," IDENT ",bytes,corr,created_ns,sent_ns,answered_ns,base_offset" },
	[BROKER] = { "broker", "broker,topic," IDENT ",read_ns,append_begin_ns,append_end_ns,sync_begin_ns,sync_end_ns,written_ns" },
	[BATCH] = { "batch", "host,conn,corr,topic," IDENT ",max_ts_ms,bytes,begin_ns,sent_ns" },
	[REQUEST] = { "request", "host,conn,corr,size,acks,version,client_id,request_ns" },
	[RESPONSE] = { "response", "host,conn,corr,response_size,answered_ns" },
	[REPLY] = { "reply", "host,conn,corr,topic,partition,error_code,base_offset" },
	[ACKS] = { "acks", "host,inst,topic,partition,base_offset,last_offset,acked,created_first_ns,created_last_ns,acked_ns,broker,persisted" },
	[ARRIVAL] = { "arrival", "broker_host,bconn,bcorr,arrived_size,peer_port,read_begin_ns,read_ns" },
	[ARRIVAL_BATCH] = { "arrival_batch", "broker_host,bconn,bcorr,topic," IDENT ",arrived_bytes" },
	[APPEND] = { "append", "broker_host,tid,file,topic," IDENT ",log_offset,append_begin_ns,append_end_ns" },
	[SYNC] = { "sync", "broker_host,tid,file,dev,ino,sync_begin_ns,sync_end_ns" },
	[ANSWER] = { "answer", "broker_host,bconn,bcorr,answer_size,written_ns,write_end_ns" },
};

static void put_together(FILE *const *f, const struct batch *x)
{
	fprintf(f[CLIENT], "client%u,orders,%u,%u,%u,%" PRId64 ",%u,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRId64 "\n",
		x->client, x->partition, x->crc, x->count, x->ts_ms, 100 * x->count, x->corr, EPOCH + x->created,
		EPOCH + x->sent, EPOCH + x->answered, x->offset);
	fprintf(f[BROKER], "%u,orders,%u,%u,%u,%" PRId64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
		",%" PRIu64 "\n", x->broker, x->partition, x->crc, x->count, x->ts_ms, EPOCH + x->read,
		EPOCH + x->append, EPOCH + x->appended, EPOCH + x->appended + 1000, EPOCH + x->synced,
		EPOCH + x->written);
}

static void put_client(FILE *const *f, const struct batch *x)
{
	char sent[64];

	snprintf(sent, sizeof(sent), "client%u,%u,%u", x->client, x->broker + 1, x->corr);
	fprintf(f[BATCH], "%s,orders,%u,%u,%u,%" PRId64 ",%" PRId64 ",%u,%" PRIu64 ",%" PRIu64 "\n", sent, x->partition, x->crc,
		x->count, x->ts_ms, x->ts_ms, 100 * x->count, EPOCH + x->sent, EPOCH + x->sent);
	fprintf(f[REQUEST], "%s,%u,-1,10,fleet,%" PRIu64 "\n", sent, 100 * x->count + 60, EPOCH + x->sent);
	fprintf(f[RESPONSE], "%s,60,%" PRIu64 "\n", sent, EPOCH + x->answered);
	fprintf(f[REPLY], "%s,orders,%u,0,%" PRId64 "\n", sent, x->partition, x->offset);
	fprintf(f[ACKS], "client%u,1,orders,%u,%" PRId64 ",%" PRId64 ",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,2\n", x->client,
		x->partition, x->offset, x->offset + x->count - 1, x->count, EPOCH + x->created, EPOCH + x->created,
		EPOCH + x->answered + 20000, x->broker);
}

static void put_broker(FILE *const *f, const struct batch *x)
{
	char read[64];

	snprintf(read, sizeof(read), "broker%u,%u,%u", x->broker, x->client + 1, x->corr);
	fprintf(f[ARRIVAL], "%s,%u,%u,%" PRIu64 ",%" PRIu64 "\n", read, 100 * x->count + 60,
		30000 + x->client * args.brokers + x->broker, EPOCH + x->read, EPOCH + x->read);
	fprintf(f[ARRIVAL_BATCH], "%s,orders,%u,%u,%u,%" PRId64 ",%u\n", read, x->partition, x->crc, x->count, x->ts_ms,
		100 * x->count);
	fprintf(f[APPEND], "broker%u,%u,%u,orders,%u,%u,%u,%" PRId64 ",%" PRId64 ",%" PRIu64 ",%" PRIu64 "\n", x->broker,
		100 + x->partition, x->partition + 1, x->partition, x->crc, x->count, x->ts_ms, x->offset,
		EPOCH + x->append, EPOCH + x->appended);
	fprintf(f[SYNC], "broker%u,%u,%u,1,%u,%" PRIu64 ",%" PRIu64 "\n", x->broker, 100 + x->partition, x->partition + 1,
		x->partition + 1, EPOCH + x->appended + 1000, EPOCH + x->synced);
	fprintf(f[ANSWER], "%s,60,%" PRIu64 ",%" PRIu64 "\n", read, EPOCH + x->written, EPOCH + x->written + 5000);
}

static void write_tables(void)
{
	FILE *f[NR_TABLES];
	bool ok = true;

	for (int i = 0; i < NR_TABLES; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s.csv", args.dir, tables[i].name);
		f[i] = fopen(path, "w");
		if (!f[i]) {
			perror("make_fleet");
			exit(1);
		}
		fprintf(f[i], "%s\n", tables[i].columns);
	}
	for (uint64_t i = 0; i < args.batches; i++) {
		struct batch x = batch_of(i);

		put_together(f, &x);
		put_client(f, &x);
		put_broker(f, &x);
	}
	for (int i = 0; i < NR_TABLES; i++)
		ok &= !fclose(f[i]);
	if (!ok) {
		perror("make_fleet");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "DIR", "Trails of many hosts, made up.", NULL, NULL, NULL };

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	for (uint32_t i = 0; i < args.clients; i++)
		client_trail(i);
	for (uint32_t i = 0; i < args.brokers; i++)
		broker_trail(i);
	if (args.csv)
		write_tables();
	return 0;
}
