/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address.h - the address of a connection's other end, for people.
 */
#ifndef ACKTRAIL_ADDRESS_H
#define ACKTRAIL_ADDRESS_H

#include <stdint.h>

#define ADDRESS_TEXT 64

/* "10.0.0.1:9092", "[2001:db8::1]:9092", or "" where the port is 0; hi and lo: IPv6, or IPv4 mapped. */
const char *address_text(char buf[ADDRESS_TEXT], uint64_t hi, uint64_t lo, uint32_t port);

#endif
