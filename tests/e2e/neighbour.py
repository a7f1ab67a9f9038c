#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A process that shares a disk with somebody: appends to a file of its own and fsyncs it.

usage: neighbour.py FILE TIMES [PAUSE_MS [BYTES]]      prints how long each fsync took, in ms
"""
import os
import sys
import time


def main():
    path, times = sys.argv[1], int(sys.argv[2])
    pause = float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.3
    data = bytes(int(sys.argv[4]) if len(sys.argv) > 4 else 100)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(times):
        os.write(fd, data)
        begin = time.monotonic()
        os.fsync(fd)
        print(f"{(time.monotonic() - begin) * 1000:.1f}", flush=True)
        time.sleep(pause)


main()
