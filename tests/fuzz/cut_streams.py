#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""cut_streams.py FROM TO: streams that record.c wrote, as inputs of fuzz_wire.

The requests of a connection in pieces of whole frames; its responses sorted by API and
version, since fuzz_wire says one of each for a whole input.  Sealed connections and what
carries a password (SaslAuthenticate) are left out.
"""
import glob
import hashlib
import os
import struct
import sys

MOST = 3800                 # bytes of an input; run-fuzz has -max_len=4096
SASL_AUTHENTICATE = 36


def frames(path):
    data, at = open(path, "rb").read(), 0
    while at + 4 <= len(data):
        size = struct.unpack_from(">i", data, at)[0]
        if size < 4 or at + 4 + size > len(data):
            return
        yield data[at:at + 4 + size]
        at += 4 + size


def pieces(some):
    piece = b""
    for frame in some:
        if len(frame) > MOST:
            continue
        if len(piece) + len(frame) > MOST:
            yield piece
            piece = b""
        piece += frame
    if piece:
        yield piece


def save(to, kind, api, version, piece):
    head = struct.pack(">HBB", len(piece) * 2 // 3, api, version)
    name = f"{kind}-{api}-{version}-{hashlib.sha256(piece).hexdigest()[:10]}"
    with open(os.path.join(to, name), "wb") as out:
        out.write(head + piece)


def cut(out_path, to):
    sent, asked, answered = [], [], {}
    for frame in frames(out_path):
        api, version, corr = struct.unpack_from(">hhI", frame, 4)
        if not 0 <= api < 128 or not 0 <= version < 16:
            return
        if api != SASL_AUTHENTICATE:
            sent.append(frame)
        asked.append((corr, api, version))
    for frame in frames(out_path[:-3] + "in"):
        corr = struct.unpack_from(">I", frame, 4)[0]
        for i, request in enumerate(asked):
            if request[0] == corr:
                answered.setdefault(request[1:], []).append(frame)
                asked = asked[i + 1:]
                break
    for piece in pieces(sent):
        save(to, "requests", 0, 9, piece)
    for (api, version), some in answered.items():
        if api != SASL_AUTHENTICATE:
            for piece in pieces(some):
                save(to, "responses", api, version, piece)


def main():
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.out"))):
        cut(path, sys.argv[2])


main()
