/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_pcap BATCHES FILE: one connection with so many Produce requests of one batch each,
 * and their answers, as a capture would hold them.  For a dissector to be timed with.
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include "make_kafka.h"

static FILE *out;

struct side { uint32_t addr, seq; uint16_t port; };

static void packet(struct side *from, const struct side *to, uint64_t us, const struct bytes *b)
{
	struct { uint32_t sec, usec, len, wire; } head;
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
			    .saddr = htonl(from->addr), .daddr = htonl(to->addr) };
	struct tcphdr tcp = { .source = htons(from->port), .dest = htons(to->port), .seq = htonl(from->seq),
			      .ack_seq = htonl(to->seq), .doff = 5, .ack = 1, .psh = 1, .window = htons(65535) };

	ip.tot_len = htons((uint16_t)(sizeof(ip) + sizeof(tcp) + b->len));
	head.sec = (uint32_t)(1700000000 + us / 1000000);
	head.usec = (uint32_t)(us % 1000000);
	head.len = head.wire = (uint32_t)(sizeof(ip) + sizeof(tcp) + b->len);
	fwrite(&head, sizeof(head), 1, out);
	fwrite(&ip, sizeof(ip), 1, out);
	fwrite(&tcp, sizeof(tcp), 1, out);
	fwrite(b->p, 1, b->len, out);
	from->seq += (uint32_t)b->len;
}

int main(int argc, char **argv)
{
	struct { uint32_t magic; uint16_t major, minor; uint32_t zone, figures, snap, link; } head = {
		0xa1b2c3d4, 2, 4, 0, 0, 65535, 101 /* raw IP */ };
	struct side client = { 0x0a000001, 1, 40000 }, broker = { 0x0a000002, 1, 9092 };
	unsigned nr = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

	if (!nr || !(out = fopen(argv[2], "w"))) {
		fprintf(stderr, "usage: make_pcap BATCHES FILE\n");
		return 2;
	}
	fwrite(&head, sizeof(head), 1, out);
	for (unsigned i = 0; i < nr; i++) {
		struct made_request rq = { .version = 9, .acks = -1, .corr = i + 1, .client = "fleet", .topics = 1, .partitions = 1,
					   .batches = 1, .body = 400, .topic = "orders" };
		struct made_response rs = { .version = 9, .corr = i + 1, .topics = 1, .partitions = 1, .topic = "orders" };
		struct bytes q = { 0 }, r = { 0 };

		made_request(&q, &rq);
		made_response(&r, &rs);
		packet(&client, &broker, 100ull * i, &q);
		packet(&broker, &client, 100ull * i + 50, &r);
		free(q.p);
		free(r.p);
	}
	return fclose(out) ? 1 : 0;
}
