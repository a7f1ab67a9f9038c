/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk_health.h - what the probe says of the disks beside the syncs: service time and
 * alarms from their counters, latencies of what was issued to them.
 */
#ifndef ACKTRAIL_DISK_HEALTH_H
#define ACKTRAIL_DISK_HEALTH_H

#include "joined.h"
#include "out.h"

/* A pass over the trails of its own.  How many disks it told. */
unsigned disk_health_show(struct joined *c, struct out *o);

#endif
