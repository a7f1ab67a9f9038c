// SPDX-License-Identifier: BSD-2-Clause
/* app_harm.c - what apps do to their descriptors and signals, and sockets that are not Kafka's. */
#include "app.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "make_kafka.h"

/* ---- descriptors --------------------------------------------------------- */

static int open_descriptors(void)
{
	int nr = 0;

	for (int fd = 0; fd < 1024; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

/* After its start it closes all that it did not open itself, as daemons do. */
static int close_fds(char **args)
{
	struct client c, d;
	char text[64] = "";
	int fd;

	client_open(&c, "");
	client_produce(&c, 4);
	client_wait(&c);
	client_close(&c);
	printf("descriptors: %d\n", open_descriptors());
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	fd = open(args[0], O_RDWR | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && write(fd, "mine ", 5) == 5);
	client_open(&d, "");
	client_produce(&d, 6);
	client_wait(&d);
	client_close(&d);
	MUST(write(fd, "still mine\n", 11) == 11 && pread(fd, text, sizeof(text) - 1, 0) > 0);
	printf("file: %s", text);
	return 0;
}

/* A number that was a broker's socket becomes a file by dup2(). */
static int reuse_fd(char **args)
{
	struct client c;
	char text[64] = "";
	int fd, sock = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct bytes b = { 0 };

	client_open(&c, "");
	sscanf(rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(c.rk)), "127.0.0.1:%hu", &to.sin_port);
	to.sin_port = htons(to.sin_port);
	MUST(!connect(sock, (struct sockaddr *)&to, sizeof(to)));
	made_other(&b, KAFKA_API_VERSIONS, 0, 1, "me", 0);
	MUST(write(sock, b.p, b.len) == (ssize_t)b.len && read(sock, text, 4) == 4);
	fd = open(args[0], O_RDWR | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && dup2(fd, sock) == sock);
	MUST(write(sock, "written to a file now\n", 22) == 22);
	client_produce(&c, 3);
	client_wait(&c);
	memset(text, 0, sizeof(text));
	MUST(pread(fd, text, sizeof(text) - 1, 0) > 0);
	printf("file: %s", text);
	client_close(&c);
	free(b.p);
	return 0;
}

/* Standard error is closed, and then its number is that of the app's own file, or of none. */
static int stderr_closed(char **args)
{
	struct client c;

	close(STDERR_FILENO);
	if (args[0])
		MUST(open(args[0], O_RDWR | O_CREAT | O_TRUNC, 0600) == STDERR_FILENO);
	client_open(&c, "");
	client_produce(&c, 5);
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* ---- signals ------------------------------------------------------------- */

static int null_fd;
static volatile sig_atomic_t alarms, bad_writes;

static void on_alarm(int sig)
{
	int saved = errno;

	(void)sig;
	alarms++;
	if (write(null_fd, "tick", 4) != 4)
		bad_writes++;
	errno = saved;
}

static int signals(char **args)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	struct client c;
	sigset_t alarm_only;

	(void)args;
	null_fd = open("/dev/null", O_WRONLY);
	/* The library's threads inherit the mask: a mock cluster's ends at the first EINTR. */
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
	client_open(&c, "queue.buffering.max.messages=1000000");
	pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 300000; i++) {
		client_produce(&c, 1);
		if (i % 100 == 0)
			rd_kafka_poll(c.rk, 0);
	}
	while (alarms < 100)
		rd_kafka_poll(c.rk, 1);
	client_wait(&c);
	setitimer(ITIMER_REAL, &never, NULL);
	printf("bad writes: %d\n", (int)bad_writes);
	client_close(&c);
	return 0;
}

/* ---- the mock's side ----------------------------------------------------- */

/* Ports that the mock listens at go into the file named. */
static int mock_ports(char **args)
{
	struct client c;
	FILE *f = fopen(args[0], "w");

	client_open(&c, "test.mock.num.brokers=3");
	client_produce(&c, 50);
	client_wait(&c);
	MUST(f);
	fprintf(f, "%s\n", rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(c.rk)));
	fclose(f);
	client_close(&c);
	return 0;
}

/* ---- sockets without librdkafka ------------------------------------------- */

static int connected(int port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)));
	return fd;
}

static int http(char **args)
{
	static const char get[] = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
	int fd = connected(atoi(args[0]));
	char answer[16] = "";

	MUST(write(fd, get, sizeof(get) - 1) == sizeof(get) - 1);
	MUST(recv(fd, answer, 15, MSG_WAITALL) == 15);
	printf("%s\n", answer);
	close(fd);
	return 0;
}

struct server { int listener; const struct bytes *answer; size_t expected; };

/* Takes what it is sent, then answers in two pieces, or not at all. */
static void *serve(void *arg)
{
	struct server *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	size_t got = 0;
	char buf[4096];

	while (got < s->expected) {
		ssize_t n = read(fd, buf, sizeof(buf));

		MUST(n > 0);
		got += (size_t)n;
	}
	if (s->answer) {
		MUST(write(fd, s->answer->p, 6) == 6);
		MUST(write(fd, s->answer->p + 6, s->answer->len - 6) == (ssize_t)s->answer->len - 6);
	}
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
	return NULL;
}

static int begin_server(struct server *s, pthread_t *thread)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	MUST(!bind(s->listener, (struct sockaddr *)&at, sizeof(at)) && !listen(s->listener, 1));
	MUST(!getsockname(s->listener, (struct sockaddr *)&at, &len));
	MUST(!pthread_create(thread, NULL, serve, s));
	return connected(ntohs(at.sin_port));
}

/* A Kafka client of one's own: every sending call of libc carries a piece. */
static int raw(char **args)
{
	struct made_request rq = {
		.version = 9, .acks = -1, .timeout_ms = 30000, .corr = 2, .client = "raw",
		.topic = "orders", .topics = 2, .partitions = 1, .batches = 1, .body = 40,
	};
	struct made_response rs = { .version = 9, .corr = 2, .topic = "orders", .topics = 2, .partitions = 1 };
	struct bytes out = { 0 }, in = { 0 }, got = { 0 };
	struct server s = { 0 };
	pthread_t thread;
	int fd;

	(void)args;
	made_other(&out, KAFKA_METADATA, 1, 1, "raw", 4);
	made_request(&out, &rq);
	made_response(&in, &rs);
	s.answer = &in;
	s.expected = out.len;
	fd = begin_server(&s, &thread);
	MUST(write(fd, out.p, 3) == 3);
	MUST(send(fd, out.p + 3, 20, 0) == 20);
	MUST(sendto(fd, out.p + 23, 30, 0, NULL, 0) == 30);
	struct iovec iov[2] = { { out.p + 53, 1 }, { out.p + 54, 40 } };
	MUST(writev(fd, iov, 2) == 41);
	struct iovec rest[2] = { { out.p + 94, 16 }, { out.p + 110, out.len - 110 } };
	struct msghdr m = { .msg_iov = rest, .msg_iovlen = 2 };
	MUST(sendmsg(fd, &m, 0) == (ssize_t)(out.len - 94));
	char buf[64];
	while (got.len < in.len) {
		struct iovec into = { buf, got.len % 7 + 1 };
		struct msghdr mr = { .msg_iov = &into, .msg_iovlen = 1 };
		ssize_t n = got.len % 3 == 0 ? read(fd, buf, 5) : got.len % 3 == 1 ?
			    recv(fd, buf, 9, 0) : recvmsg(fd, &mr, 0);

		MUST(recv(fd, buf + 60, 1, MSG_PEEK | MSG_DONTWAIT) <= 1);	/* seen twice, counted once */
		MUST(n > 0);
		put(&got, buf, (size_t)n);
	}
	printf("answer: %s\n", got.len == in.len && !memcmp(got.p, in.p, in.len) ? "as it was sent" : "WRONG");
	close(fd);
	pthread_join(thread, NULL);
	return 0;
}

/* As Java waits: in epoll, which tells the shim nothing, until its own timeout; and then it closes. */
static int given_up(char **args)
{
	struct made_request rq = {
		.version = 9, .acks = -1, .timeout_ms = 500, .corr = 2, .client = "raw",
		.topic = "orders", .topics = 1, .partitions = 1, .batches = 1, .body = 40,
	};
	struct epoll_event ev = { .events = EPOLLIN };
	struct bytes out = { 0 };
	struct server s = { 0 };
	int fd, ep = epoll_create1(0);
	pthread_t thread;

	(void)args;
	made_request(&out, &rq);
	s.expected = out.len;
	fd = begin_server(&s, &thread);
	MUST(ep >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	MUST(write(fd, out.p, out.len) == (ssize_t)out.len);
	MUST(!epoll_wait(ep, &ev, 1, 500));
	close(fd);
	close(ep);
	pthread_join(thread, NULL);
	return 0;
}

/* Topics by id, whose names Metadata tells only after the first batches. */
static int ids(char **args)
{
	struct made_request rq = {
		.version = 13, .acks = -1, .timeout_ms = 30000, .corr = 1, .client = "ids",
		.topic = "orders", .topics = 2, .partitions = 1, .batches = 1, .body = 40,
	};
	struct made_response rs = { .version = 13, .corr = 1, .topic = "orders", .topics = 2, .partitions = 1 };
	struct made_metadata md = {
		.version = 13, .corr = 2, .topic = "orders", .topics = 2, .partitions = 3, .brokers = 2,
		.replicas = 2,
	};
	struct bytes out = { 0 }, in = { 0 }, got = { 0 };
	struct server s = { .answer = &in };
	pthread_t thread;
	int fd;

	(void)args;
	made_request(&out, &rq);
	made_response(&in, &rs);
	made_other(&out, KAFKA_METADATA, 13, 2, "ids", 40);
	made_metadata(&in, &md);
	rq.corr = rs.corr = 3;
	made_request(&out, &rq);
	made_response(&in, &rs);
	s.expected = out.len;
	fd = begin_server(&s, &thread);
	MUST(write(fd, out.p, out.len) == (ssize_t)out.len);
	while (got.len < in.len) {
		char buf[50];
		ssize_t n = read(fd, buf, sizeof(buf));

		MUST(n > 0);
		put(&got, buf, (size_t)n);
	}
	printf("answer: %s\n", !memcmp(got.p, in.p, in.len) ? "as it was sent" : "WRONG");
	close(fd);
	pthread_join(thread, NULL);
	return 0;
}

/* Garbage on one connection: that one is given up, the next is read. */
static int garbage(char **args)
{
	struct bytes out = { 0 }, in = { 0 };
	struct server s = { 0 };
	pthread_t thread;
	char buf[64];
	int fd;

	(void)args;
	made_other(&out, KAFKA_METADATA, 1, 1, "raw", 4);
	for (int i = 0; i < 500; i++)
		put_be(&out, 0xee, 1);
	for (int i = 0; i < 20; i++)
		put_be(&in, (unsigned)i, 1);
	s.answer = &in;
	s.expected = out.len;
	fd = begin_server(&s, &thread);
	MUST(write(fd, out.p, out.len) == (ssize_t)out.len);
	MUST(recv(fd, buf, in.len, MSG_WAITALL) == (ssize_t)in.len);
	printf("answer: %s\n", memcmp(buf, in.p, in.len) ? "WRONG" : "as it was sent");
	close(fd);
	pthread_join(thread, NULL);
	return raw(args);
}

/* TLS that is not ours to read. */
static int tls(char **args)
{
	static const uint8_t hello[] = { 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5 };
	struct bytes in = { 0 };
	struct server s = { .answer = &in, .expected = sizeof(hello) };
	pthread_t thread;
	char buf[64];
	int fd;

	(void)args;
	for (int i = 0; i < 20; i++)
		put_be(&in, (unsigned)i, 1);
	fd = begin_server(&s, &thread);
	MUST(write(fd, hello, sizeof(hello)) == sizeof(hello));
	MUST(recv(fd, buf, in.len, MSG_WAITALL) == (ssize_t)in.len);
	printf("answer: %s\n", memcmp(buf, in.p, in.len) ? "WRONG" : "as it was sent");
	close(fd);
	pthread_join(thread, NULL);
	return 0;
}

const struct scenario harm_scenarios[] = {
	{ "close-fds", close_fds }, { "reuse-fd", reuse_fd }, { "stderr-closed", stderr_closed }, { "signals", signals },
	{ "mock-ports", mock_ports }, { "http", http }, { "raw", raw }, { "given-up", given_up }, { "ids", ids },
	{ "garbage", garbage },
	{ "tls", tls }, { 0 },
};
