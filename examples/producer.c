// SPDX-License-Identifier: BSD-2-Clause
/*
 * producer: a small, ordinary librdkafka producer. It knows nothing of acktrail.
 *
 *     producer --bootstrap 127.0.0.1:19092 --topic orders --rate 50 --seconds 20 -X message.timeout.ms=5000
 *     producer --mock 3 --topic orders --rate 100 --seconds 10 --mock-gray 3,6,2000
 *
 *     producer --bootstrap 127.0.0.1:19092 --topic orders --rate 50 --seconds 20 --no-poll 5,9
 *
 * Each message begins with its number (1, 2, …) in decimal. --report writes what the library said of each of them:
 *     SEQ PARTITION OFFSET ERROR STATUS
 * in the order of the delivery reports; OFFSET is -1 beside an error (what the library leaves there means nothing).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define MIN_SIZE 20 /* the digits of the largest number */

static struct {
    const char *bootstrap, *topic, *report;
    double rate, seconds, flush_seconds;
    uint64_t count;
    size_t size;
    int partitions, writers, mock_brokers, mock_rtt_ms;
    bool noise;
    struct {
        double from, to;
    } no_poll;
    struct {
        double from, to;
        int rtt_ms;
    } gray;
    rd_kafka_conf_t *conf;
} opt = {.topic = "orders", .rate = 10, .size = 100, .flush_seconds = -1};

static struct {
    _Atomic uint64_t produced;
    uint64_t acked, failed;
    rd_kafka_resp_err_t first_error;
    FILE *report;
} result;

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped++;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- what became of each message ---- */

static void account(uint64_t seq, int32_t partition, int64_t offset, rd_kafka_resp_err_t err, const char *status)
{
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        result.acked++;
    else if (result.failed++ == 0)
        result.first_error = err;
    if (result.report)
        fprintf(result.report, "%" PRIu64 " %" PRId32 " %" PRId64 " %s %s\n", seq, partition, err ? -1 : offset,
                rd_kafka_err2name(err), status);
}

static const char *status_name(rd_kafka_msg_status_t status)
{
    switch (status) {
    case RD_KAFKA_MSG_STATUS_NOT_PERSISTED: return "not_persisted";
    case RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED: return "possibly_persisted";
    case RD_KAFKA_MSG_STATUS_PERSISTED: return "persisted";
    }
    return "unknown";
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    (void)rk;
    (void)opaque;
    account((uint64_t)(uintptr_t)msg->_private, msg->partition, msg->offset, msg->err,
            status_name(rd_kafka_message_status(msg)));
}

/* ---- the library's own mock cluster ---- */

static void set_mock_rtt(rd_kafka_t *rk, int rtt_ms)
{
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(rk);

    for (int32_t id = 1; cluster && id <= opt.mock_brokers; id++)
        rd_kafka_mock_broker_set_rtt(cluster, id, rtt_ms);
}

static void start_mock(rd_kafka_t *rk)
{
    if (opt.mock_brokers == 0)
        return;
    if (opt.partitions > 0)
        rd_kafka_mock_topic_create(rd_kafka_handle_mock_cluster(rk), opt.topic, opt.partitions, 1);
    set_mock_rtt(rk, opt.mock_rtt_ms);
}

/* Makes the mock cluster slow when its window begins and quick again when it ends. */
static void turn_mock_gray(rd_kafka_t *rk, int64_t begin)
{
    static bool gray;
    double at = (double)(now_ns() - begin) / NS_PER_S;
    bool should = at >= opt.gray.from && at < opt.gray.to;

    if (opt.mock_brokers == 0 || should == gray)
        return;
    gray = should;
    set_mock_rtt(rk, gray ? opt.gray.rtt_ms : opt.mock_rtt_ms);
}

/* ---- produce ---- */

/* An app that is busy elsewhere serves no delivery reports. */
static bool may_poll(int64_t begin)
{
    double at = (double)(now_ns() - begin) / NS_PER_S;

    return at < opt.no_poll.from || at >= opt.no_poll.to;
}

static void produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, uint64_t seq, char *payload)
{
    int32_t partition = opt.partitions > 0 ? (int32_t)((seq - 1) % (uint64_t)opt.partitions) : RD_KAFKA_PARTITION_UA;
    int digits = snprintf(payload, opt.size, "%" PRIu64, seq);

    payload[digits] = ' ';
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, payload, opt.size, NULL, 0,
                            (void *)(uintptr_t)seq) != 0) {
        rd_kafka_resp_err_t err = rd_kafka_last_error();

        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL || stopped) {
            account(seq, partition, -1, err, "rejected");
            return;
        }
        rd_kafka_poll(rk, 100); /* room comes with delivery reports */
    }
}

/* Serves delivery reports until `due`; the last part of a millisecond is slept. */
static void poll_until(rd_kafka_t *rk, int64_t begin, int64_t due)
{
    int64_t left;

    while (!stopped && may_poll(begin) && (left = due - now_ns()) >= NS_PER_MS)
        rd_kafka_poll(rk, left > 100 * NS_PER_MS ? 100 : (int)(left / NS_PER_MS));
    if (may_poll(begin))
        rd_kafka_poll(rk, 0);
    struct timespec at = {.tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S};
    if (!stopped)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void produce_all(rd_kafka_t *rk, rd_kafka_topic_t *topic, char *payload, int64_t begin)
{
    for (uint64_t seq = 1; !stopped && (opt.count == 0 || seq <= opt.count); seq++) {
        if (opt.rate > 0)
            poll_until(rk, begin, begin + (int64_t)((double)(seq - 1) * NS_PER_S / opt.rate));
        if (stopped || (opt.seconds > 0 && now_ns() - begin >= (int64_t)(opt.seconds * NS_PER_S)))
            break;
        turn_mock_gray(rk, begin);
        produce(rk, topic, seq, payload);
        result.produced++;
        if (may_poll(begin))
            rd_kafka_poll(rk, 0);
    }
}

/* ---- --writers: threads whose produce calls wait while the queue is full ---- */

static struct {
    rd_kafka_topic_t *topic;
    int64_t begin;
    _Atomic uint64_t seq;
    _Atomic int running;
} writers;

static void *write_all(void *payload)
{
    while (!stopped && (opt.seconds == 0 || now_ns() - writers.begin < (int64_t)(opt.seconds * NS_PER_S))) {
        uint64_t seq = ++writers.seq;
        char *copy = (char *)payload + opt.size + 1; /* each its own: they write their numbers */
        int32_t partition = opt.partitions > 0 ? (int32_t)((seq - 1) % (uint64_t)opt.partitions) : RD_KAFKA_PARTITION_UA;

        if (opt.count && seq > opt.count)
            break;
        memcpy(copy, payload, opt.size);
        copy[snprintf(copy, opt.size, "%" PRIu64, seq)] = ' ';
        if (rd_kafka_produce(writers.topic, partition, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK, copy, opt.size,
                             NULL, 0, (void *)(uintptr_t)seq) == 0)
            result.produced++;
    }
    writers.running--;
    return NULL;
}

static void run_writers(rd_kafka_t *rk, rd_kafka_topic_t *topic, const char *payload, int64_t begin)
{
    pthread_t threads[64];
    char *room[64];

    writers.topic = topic;
    writers.begin = begin;
    writers.running = opt.writers;
    for (int i = 0; i < opt.writers; i++) {
        if (!(room[i] = malloc(2 * (opt.size + 1)))) {
            fprintf(stderr, "producer: out of memory\n");
            exit(2);
        }
        memcpy(room[i], payload, opt.size + 1);
        pthread_create(&threads[i], NULL, write_all, room[i]);
    }
    while (writers.running > 0)
        rd_kafka_poll(rk, 20);
    for (int i = 0; i < opt.writers; i++) {
        pthread_join(threads[i], NULL);
        free(room[i]);
    }
}

/* What compresses badly, and the same each time. */
static void fill(char *payload)
{
    uint32_t x = 2463534242u;

    memset(payload, '.', opt.size);
    for (size_t i = 0; opt.noise && i < opt.size; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        payload[i] = (char)(' ' + x % 64);
    }
}

/* Every message ends by its own timeout at the latest; --flush, or a second signal, ends them sooner. */
static void finish(rd_kafka_t *rk, int64_t begin)
{
    int64_t flush_begin = now_ns();

    while (rd_kafka_outq_len(rk) > 0 && stopped < 2 &&
           (opt.flush_seconds < 0 || now_ns() - flush_begin < (int64_t)(opt.flush_seconds * NS_PER_S))) {
        turn_mock_gray(rk, begin);
        rd_kafka_flush(rk, 100);
    }
    if (rd_kafka_outq_len(rk) > 0) {
        rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(rk, 5000);
    }
}

/* ---- options ---- */

enum { KEY_MOCK = 256, KEY_MOCK_RTT, KEY_MOCK_GRAY, KEY_FLUSH, KEY_NO_POLL, KEY_WRITERS, KEY_NOISE };

static const struct argp_option options[] = {
    {"bootstrap", 'b', "HOST:PORT,…", 0, "Brokers to begin with", 0},
    {"topic", 't', "NAME", 0, "Topic (orders)", 0},
    {"rate", 'r', "MSG/S", 0, "Messages per second; 0: as fast as possible (10)", 0},
    {"count", 'c', "N", 0, "Stop after N messages", 0},
    {"seconds", 's', "S", 0, "Stop after S seconds", 0},
    {"size", 'z', "BYTES", 0, "Size of a message, at least 20 (100)", 0},
    {"partitions", 'p', "N", 0, "Partitions 0 … N-1 in turn, instead of the default partitioner", 0},
    {NULL, 'X', "KEY=VALUE", 0, "Any property of librdkafka", 0},
    {"flush", KEY_FLUSH, "S", 0, "At the end wait at most S seconds, then purge what is open", 0},
    {"report", 'o', "FILE", 0, "Write SEQ PARTITION OFFSET ERROR STATUS of each message", 0},
    {"no-poll", KEY_NO_POLL, "FROM,TO", 0, "Serve no delivery reports between these two seconds", 0},
    {"writers", KEY_WRITERS, "N", 0, "Produce from N threads, each call waiting while the queue is full", 0},
    {"noise", KEY_NOISE, NULL, 0, "Messages that compress badly", 0},
    {"mock", KEY_MOCK, "N", 0, "Use the library's own mock cluster of N brokers", 1},
    {"mock-rtt", KEY_MOCK_RTT, "MS", 0, "Round trip of the mock brokers (0)", 1},
    {"mock-gray", KEY_MOCK_GRAY, "FROM,TO,MS", 0, "Round trip of MS between second FROM and second TO", 1},
    {0}};

static double number(struct argp_state *state, const char *name, const char *text, double least)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least) || value > 1e15)
        argp_error(state, "%s must be a number of at least %g, not \"%s\"", name, least, text);
    return value;
}

static void set_property(struct argp_state *state, const char *pair)
{
    char why[256], *name = strdup(pair), *value = strchr(name, '=');

    if (!value)
        argp_error(state, "-X takes KEY=VALUE, not \"%s\"", pair);
    *value++ = '\0';
    if (rd_kafka_conf_set(opt.conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        argp_error(state, "%s", why);
    free(name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    char none;

    switch (key) {
    case 'b': opt.bootstrap = arg; break;
    case 't': opt.topic = arg; break;
    case 'o': opt.report = arg; break;
    case 'X': set_property(state, arg); break;
    case 'r': opt.rate = number(state, "--rate", arg, 0); break;
    case 'c': opt.count = (uint64_t)number(state, "--count", arg, 1); break;
    case 's': opt.seconds = number(state, "--seconds", arg, 0.001); break;
    case 'z': opt.size = (size_t)number(state, "--size", arg, MIN_SIZE); break;
    case 'p': opt.partitions = (int)number(state, "--partitions", arg, 1); break;
    case KEY_FLUSH: opt.flush_seconds = number(state, "--flush", arg, 0); break;
    case KEY_WRITERS: opt.writers = (int)number(state, "--writers", arg, 1); break;
    case KEY_NOISE: opt.noise = true; break;
    case KEY_NO_POLL:
        if (sscanf(arg, "%lf,%lf%c", &opt.no_poll.from, &opt.no_poll.to, &none) != 2)
            argp_error(state, "--no-poll takes FROM,TO (two times in seconds), not \"%s\"", arg);
        break;
    case KEY_MOCK: opt.mock_brokers = (int)number(state, "--mock", arg, 1); break;
    case KEY_MOCK_RTT: opt.mock_rtt_ms = (int)number(state, "--mock-rtt", arg, 0); break;
    case KEY_MOCK_GRAY:
        if (sscanf(arg, "%lf,%lf,%d%c", &opt.gray.from, &opt.gray.to, &opt.gray.rtt_ms, &none) != 3)
            argp_error(state, "--mock-gray takes FROM,TO,MS (two times in seconds and a round trip), not \"%s\"", arg);
        break;
    case ARGP_KEY_ARG: argp_error(state, "unexpected word \"%s\"", arg); break;
    case ARGP_KEY_END:
        if (!opt.bootstrap == !opt.mock_brokers)
            argp_error(state, "give either --bootstrap or --mock");
        if (opt.writers > 64)
            argp_error(state, "--writers is at most 64");
        if (opt.count == 0 && opt.seconds == 0)
            argp_error(state, "give --count or --seconds");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void take_options(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = parse, .doc = "A small librdkafka producer."};
    char value[32];

    argp_err_exit_status = 2;
    opt.conf = rd_kafka_conf_new();
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    rd_kafka_conf_set_dr_msg_cb(opt.conf, on_delivery);
    if (opt.bootstrap)
        rd_kafka_conf_set(opt.conf, "bootstrap.servers", opt.bootstrap, NULL, 0);
    if (opt.mock_brokers > 0) {
        snprintf(value, sizeof value, "%d", opt.mock_brokers);
        rd_kafka_conf_set(opt.conf, "test.mock.num.brokers", value, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    char why[512], *payload;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;

    take_options(argc, argv);
    if (opt.report && !(result.report = fopen(opt.report, "w"))) {
        fprintf(stderr, "producer: cannot write %s: %s\n", opt.report, strerror(errno));
        return 2;
    }
    if (result.report)
        setvbuf(result.report, NULL, _IOLBF, 0); /* whoever watches it sees each message at once */
    if (!(payload = malloc(opt.size + 1)) || !(rk = rd_kafka_new(RD_KAFKA_PRODUCER, opt.conf, why, sizeof why))) {
        fprintf(stderr, "producer: cannot start: %s\n", payload ? why : "out of memory");
        return 2;
    }
    fill(payload);
    start_mock(rk);
    if (!(topic = rd_kafka_topic_new(rk, opt.topic, NULL))) {
        fprintf(stderr, "producer: cannot use topic %s: %s\n", opt.topic, rd_kafka_err2str(rd_kafka_last_error()));
        return 2;
    }
    struct sigaction on_stop = {.sa_handler = on_signal};
    sigaction(SIGINT, &on_stop, NULL);
    sigaction(SIGTERM, &on_stop, NULL);

    int64_t begin = now_ns();
    if (opt.writers > 0)
        run_writers(rk, topic, payload, begin);
    else
        produce_all(rk, topic, payload, begin);
    finish(rk, begin);

    printf("produced=%" PRIu64 " acked=%" PRIu64 " failed=%" PRIu64, result.produced, result.acked, result.failed);
    if (result.failed > 0)
        printf(" first_error=%s", rd_kafka_err2name(result.first_error));
    printf("\n");
    if (result.report && fclose(result.report) != 0)
        fprintf(stderr, "producer: the report %s is not whole: %s\n", opt.report, strerror(errno));
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    free(payload);
    return 0;
}
