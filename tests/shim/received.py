#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""received.py DIR: the CRC of each record batch that a broker received, a line each, from the
bytes that oracle_preload.c kept.  A batch is what has its own CRC-32C right."""
import os
import struct
import sys

TABLE = []
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    TABLE.append(c)


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = c >> 8 ^ TABLE[(c ^ byte) & 0xFF]
    return c ^ 0xFFFFFFFF


def batches(frame):
    at = 0
    while at + 61 <= len(frame):
        length, = struct.unpack_from(">i", frame, at + 8)
        end = at + 12 + length
        if frame[at + 16] == 2 and 49 <= length and end <= len(frame):
            crc, = struct.unpack_from(">I", frame, at + 17)
            if crc == crc32c(frame[at + 21:end]):
                yield crc
                at = end
                continue
        at += 1


for name in os.listdir(sys.argv[1]):
    with open(os.path.join(sys.argv[1], name), "rb") as f:
        data = f.read()
    at = 0
    while at + 12 <= len(data):
        size, api, version = struct.unpack_from(">ihh", data, at)
        if size < 8 or at + 4 + size > len(data):
            break
        if api == 0 and 3 <= version <= 20:
            for crc in batches(data[at + 4:at + 4 + size]):
                print(crc)
        at += 4 + size
