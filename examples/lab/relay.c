// SPDX-License-Identifier: BSD-2-Clause
/*
 * relay - passes TCP connections on, as a proxy or a network between a client and a
 * broker would, and goes wrong when told to.
 *
 *	relay [-l PORT] [-c CONTROL] TO_HOST:PORT
 *
 * Prints port= and ready once it listens on 127.0.0.1.  What it does stands in the file
 * CONTROL, which is looked at ten times a second, and is told on standard output once
 * it is done:
 *
 *	pass		each byte at once
 *	delay MS	each byte that much later, both ways; the two ends' TCP sees nothing
 *	hold		a proxy that takes the client's bytes and passes none on
 *	stall		a proxy that does not even take them: the client's window closes
 *	drop		a network that loses all packets of the client's side: a socket filter
 *			lets none in, so nothing is acknowledged and no connection comes about
 *	forget		a middlebox that lost its table: connections that are there are lost like
 *			that for good, new ones pass
 *	refuse		no new connection; those that are there go on
 *	reset		connections are reset, new ones at once
 *	gone		both at once: connections are reset, and no new ones
 *	divert PORT	those that are there are reset, new ones led to another port of the same host
 *
 * One thread, one poll(); up to 128 connections.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NR_PAIRS	128
#define TICK_MS		100		/* between two looks at the control file */
#define CHUNK		65536
#define MAX_HELD	(64u << 20)	/* bytes held one way; then it reads no more */

enum mode { PASS, DELAY, HOLD, STALL, DROP, FORGET, REFUSE, RESET, GONE, DIVERT, NR_MODES };
static const char *const modes[NR_MODES] = {
	"pass", "delay", "hold", "stall", "drop", "forget", "refuse", "reset", "gone", "divert"
};

struct chunk {
	struct chunk *next;
	int64_t	 due_ms;
	size_t	 len, done;
	char	 bytes[];
};

/* One way of a connection: read from one end, written to the other when due. */
struct way { struct chunk *head, **tail; size_t held; bool ended, told; };
struct pair { int client, server; bool connecting, lost; struct way there, back; };

static struct pair pairs[NR_PAIRS];
static int listener = -1, port;
static struct sockaddr_storage target;
static socklen_t target_len;
static enum mode mode;
static int number;		/* of DELAY, or of DIVERT */
static const char *control;
static volatile sig_atomic_t over;

static void on_signal(int sig) { over = sig; }

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static _Noreturn void die(int status, const char *what)
{
	fprintf(stderr, "relay: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(status);
}

/* ---- sockets -------------------------------------------------------------- */

/* tcp_v4_rcv() drops what the filter refuses before TCP has seen it: a lost packet. */
static void lose_packets(int fd, bool lose)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { 1, &none };
	int unused = 0;

	if (lose ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))
		 : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)) && errno != ENOENT)
		die(4, "socket filter");
}

static void listen_on(int at)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)at),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int on = 1, small = 4096;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* Inherited by what it accepts: a proxy that stalls is soon full. */
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, sizeof(sa)) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&sa, &len))
		die(4, "cannot listen");
	port = ntohs(sa.sin_port);
	if (mode == DROP)
		lose_packets(listener, true);
}

static void close_listener(void)
{
	if (listener >= 0)
		close(listener);
	listener = -1;
}

static void way_clear(struct way *w)
{
	while (w->head) {
		struct chunk *c = w->head;

		w->head = c->next;
		free(c);
	}
	*w = (struct way){ .tail = &w->head };
}

static void pair_end(struct pair *p, bool reset)
{
	struct linger hard = { 1, 0 };

	if (reset)
		setsockopt(p->client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(p->client);
	close(p->server);
	p->client = p->server = -1;
	way_clear(&p->there);
	way_clear(&p->back);
}

static void accept_one(void)
{
	int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct sockaddr_storage to = target;
	struct pair *p = pairs;

	if (fd < 0)
		return;
	if (mode == DIVERT)
		((struct sockaddr_in *)&to)->sin_port = htons((uint16_t)number);	/* where IPv6 has it, too */
	while (p < pairs + NR_PAIRS && p->client >= 0)
		p++;
	if (p == pairs + NR_PAIRS) {
		close(fd);
		return;
	}
	p->client = fd;
	p->server = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	p->connecting = true;
	p->lost = false;
	way_clear(&p->there);
	way_clear(&p->back);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(p->server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (p->server < 0 || (connect(p->server, (struct sockaddr *)&to, target_len) && errno != EINPROGRESS))
		pair_end(p, true);
}

/* ---- bytes ---------------------------------------------------------------- */

/* False when the connection is broken. */
static bool take(struct way *w, int from, int64_t now)
{
	struct chunk *c = malloc(sizeof(*c) + CHUNK);
	ssize_t n;

	if (!c)
		die(4, "memory");
	n = read(from, c->bytes, CHUNK);
	if (n <= 0) {
		free(c);
		w->ended |= !n;
		return !n || errno == EAGAIN || errno == EINTR;
	}
	*c = (struct chunk){ .due_ms = now + (mode == DELAY ? number : 0), .len = (size_t)n };
	*w->tail = c;
	w->tail = &c->next;
	w->held += c->len;
	return true;
}

static bool give(struct way *w, int to, int64_t now)
{
	while (w->head && w->head->due_ms <= now) {
		struct chunk *c = w->head;
		ssize_t n = send(to, c->bytes + c->done, c->len - c->done, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->done += (size_t)n;
		w->held -= (size_t)n;
		if (c->done < c->len)
			return true;
		w->head = c->next;
		if (!w->head)
			w->tail = &w->head;
		free(c);
	}
	if (!w->head && w->ended && !w->told) {
		w->told = true;
		shutdown(to, SHUT_WR);
	}
	return true;
}

static bool frozen(void) { return mode == HOLD || mode == STALL || mode == DROP; }
static bool reads(void) { return mode != STALL && mode != DROP; }

static short wants(const struct way *in, const struct way *out, bool connecting, int64_t now)
{
	bool in_room = !in->ended && in->held < MAX_HELD && reads();
	bool out_due = !frozen() && out->head && out->head->due_ms <= now;

	return (short)((in_room ? POLLIN : 0) | (out_due || connecting ? POLLOUT : 0));
}

static void serve(struct pair *p, short client, short server, int64_t now)
{
	bool fine = true;

	if (p->connecting && server & (POLLOUT | POLLERR | POLLHUP)) {
		int err = 0;
		socklen_t len = sizeof(err);

		getsockopt(p->server, SOL_SOCKET, SO_ERROR, &err, &len);
		p->connecting = false;
		fine = !err;
	}
	if (fine && client & (POLLIN | POLLHUP | POLLERR) && reads())
		fine = take(&p->there, p->client, now);
	if (fine && !p->connecting && server & (POLLIN | POLLHUP | POLLERR) && reads())
		fine = take(&p->back, p->server, now);
	if (fine && !p->connecting && !frozen())
		fine = give(&p->there, p->server, now) && give(&p->back, p->client, now);
	if (!fine || (p->there.told && p->back.told))
		pair_end(p, !fine);
}

/* When the next byte that waits is due: ms from now, at most `most`. */
static int until_due(int64_t now, int most)
{
	for (struct pair *p = pairs; p < pairs + NR_PAIRS; p++)
		for (int i = 0; i < 2 && p->client >= 0 && !p->lost && !frozen(); i++) {
			const struct chunk *c = i ? p->there.head : p->back.head;

			if (c && c->due_ms > now && c->due_ms - now < most)
				most = (int)(c->due_ms - now);
		}
	return most;
}

/* ---- control -------------------------------------------------------------- */

static void become(enum mode to)
{
	enum mode from = mode;

	mode = to;
	if (to == REFUSE || to == GONE)
		close_listener();
	else if (listener < 0)
		listen_on(port);
	if ((from == DROP) != (to == DROP)) {
		lose_packets(listener, to == DROP);
		for (struct pair *p = pairs; p < pairs + NR_PAIRS; p++)
			if (p->client >= 0 && !p->lost)
				lose_packets(p->client, to == DROP);
	}
	for (struct pair *p = pairs; p < pairs + NR_PAIRS && to == FORGET; p++)
		if (p->client >= 0) {
			lose_packets(p->client, true);
			p->lost = true;
		}
	for (struct pair *p = pairs; p < pairs + NR_PAIRS && (to == RESET || to == GONE || to == DIVERT); p++)
		if (p->client >= 0)
			pair_end(p, true);
}

static void look_at_control(void)
{
	static char last[64] = "pass";
	char line[64] = "", word[16];
	int n = 0;
	FILE *f = control ? fopen(control, "re") : NULL;

	if (!f)
		return;
	if (!fgets(line, sizeof(line), f))
		*line = 0;
	fclose(f);
	line[strcspn(line, "\n")] = 0;
	if (!*line || !strcmp(line, last))
		return;
	snprintf(last, sizeof(last), "%s", line);
	if (sscanf(line, "%15s %d", word, &n) < 1)
		return;
	for (int m = 0; m < NR_MODES; m++)
		if (!strcmp(word, modes[m])) {
			number = n > 0 ? n : 0;
			become((enum mode)m);
			printf("%s\n", line);
			return;
		}
	fprintf(stderr, "relay: \"%s\" is nothing that it can do\n", line);
}

static void run(void)
{
	struct pollfd fds[1 + 2 * NR_PAIRS];

	while (!over) {
		int64_t now = now_ms();

		look_at_control();
		fds[0] = (struct pollfd){ listener, POLLIN, 0 };
		for (int i = 0; i < NR_PAIRS; i++) {
			struct pair *p = &pairs[i];
			bool there = p->client >= 0 && !p->lost;

			fds[1 + 2 * i] = (struct pollfd){ -1, 0, 0 };
			fds[2 + 2 * i] = (struct pollfd){ -1, 0, 0 };
			/* Without anything to ask for, a dead end would be told again and again. */
			if (there && wants(&p->there, &p->back, false, now))
				fds[1 + 2 * i] = (struct pollfd){ p->client, wants(&p->there, &p->back, false, now), 0 };
			if (there && wants(&p->back, &p->there, p->connecting, now))
				fds[2 + 2 * i] = (struct pollfd){ p->server, wants(&p->back, &p->there, p->connecting, now), 0 };
		}
		if (poll(fds, 1 + 2 * NR_PAIRS, until_due(now, TICK_MS)) < 0 && errno != EINTR)
			die(1, "poll");
		now = now_ms();
		for (int i = 0; i < NR_PAIRS; i++)
			if (pairs[i].client >= 0 && !pairs[i].lost)
				serve(&pairs[i], fds[1 + 2 * i].revents, fds[2 + 2 * i].revents, now);
		if (listener >= 0 && fds[0].revents)
			accept_one();
	}
}

static void find_target(char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char *colon = strrchr(text, ':');

	errno = 0;
	if (!colon)
		die(2, "where to? HOST:PORT");
	*colon = 0;
	if (getaddrinfo(text, colon + 1, &hints, &found))
		die(4, "no such host or port");
	memcpy(&target, found->ai_addr, found->ai_addrlen);
	target_len = found->ai_addrlen;
	freeaddrinfo(found);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	int c;

	while ((c = getopt(argc, argv, "l:c:")) != -1) {
		if (c == 'l')
			port = atoi(optarg);
		else if (c == 'c')
			control = optarg;
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fputs("usage: relay [-l PORT] [-c CONTROL] TO_HOST:PORT\n", stderr);
		return 2;
	}
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < NR_PAIRS; i++)
		pairs[i].client = pairs[i].server = -1;
	find_target(argv[optind]);
	listen_on(port);
	printf("port=%d\nready\n", port);
	run();
	return 0;
}
