/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phases.h - a resolved batch's time, cut into phases that follow each other without
 * gap or overlap from its creation (or the produce call that waited) to end_ns.
 * Times a machine may need between two steps (a thread's wake-up) are not phases of
 * their own: below PHASE_SLACK they go to the phase before.
 */
#ifndef ACKTRAIL_PHASES_H
#define ACKTRAIL_PHASES_H

#define PHASE_SLACK	1000000LL
#define WAKE_SLACK	2000000LL	/* the library's own timers count in ms */
#define SHUT_SLACK	20000000LL	/* less may be the network's, too */
#define READ_SLACK	20000000LL	/* by then what has come is read */
#define MUTE_SLACK	5000000LL	/* from an answer to the next read */

#endif
