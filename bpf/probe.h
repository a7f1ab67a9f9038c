/* SPDX-License-Identifier: BSD-2-Clause */
/* probe.h - `acktrail probe`: a main() of its own, the result is the exit status. */
#ifndef ACKTRAIL_PROBE_H
#define ACKTRAIL_PROBE_H

int cmd_probe(int argc, char **argv);

#endif
