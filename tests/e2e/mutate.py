#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A trail, and what may happen to it: mutate.py HOW [ARG] FROM TO

Events are taken out by giving them a type that no reader knows, so that the trail stays
whole.  Its own reader of the format: struct at_header and struct at_chunk of trail.h.

    drop SEED PERCENT       any event, but those that name things; the account says how many
    drop-type TYPE SEED PERCENT
    late FRACTION           the witness came when that part of the time was over
    early FRACTION          ... and left then
    cut FRACTION            the file ends there
    shuffle SEED            the events of a chunk in another order
    again                   another witness of the same: a trail of its own
"""
import pathlib
import random
import struct
import sys

NAMES = {1, 2, 4, 32, 33, 34, 35, 36, 50}  # TOPIC NOTE INSTANCE TARGET LOG_DIR FILE THREAD DEVICE COVERAGE
COVERAGE, END, NOBODY_S = 50, 3, 63


def layout(raw):
    assert raw[:8] == b"ACKTRAIL"
    _, chunk_size, nr_bulk, nr_last = struct.unpack_from("<IIII", raw, 32)
    (chunk_off,) = struct.unpack_from("<Q", raw, 32 + 16 + 4 * 8)
    return chunk_off, chunk_size, nr_bulk + nr_last


def events(raw):
    """Offset, type and time of each whole event."""
    off, size, count = layout(raw)
    for chunk in range(off, min(off + size * count, len(raw)), size):
        magic, _, seq, _, committed = struct.unpack_from("<IIQII", raw, chunk)
        if magic != 0x4B4E4843 or not seq:
            continue
        at = chunk + 4 + 4 + 8 + 4 * 4 + 8 + 2 * 64
        end = at + committed
        while at + 16 <= end:
            kind, length, _, ns = struct.unpack_from("<HHIQ", raw, at)
            if length < 16:
                break
            yield at, kind, ns
            at += (length + 7) & ~7


def hide(raw, at, lost=True):
    """lost: a witness counts what it could not keep."""
    if lost:
        (account,) = struct.unpack_from("<Q", raw, 48 + 8)
        cell = account + 8 * (64 + struct.unpack_from("<H", raw, at)[0])
        struct.pack_into("<Q", raw, cell, struct.unpack_from("<Q", raw, cell)[0] + 1)
    struct.pack_into("<H", raw, at, NOBODY_S)


def shuffle(raw, rng):
    off, size, _ = layout(raw)
    chunks = {}
    for at, kind, _ in events(raw):
        chunks.setdefault((at - off) // size, []).append((at, kind))
    for places in chunks.values():
        begin = places[0][0]
        pieces = [bytes(raw[at:at + ((struct.unpack_from("<H", raw, at + 2)[0] + 7) & ~7)]) for at, _ in places]
        rng.shuffle(pieces)
        whole = b"".join(pieces)
        raw[begin:begin + len(whole)] = whole


def mutate(raw, how, args):
    timed = [ns for _, kind, ns in events(raw) if kind not in NAMES and ns]
    first, last = min(timed), max(timed)
    rng = random.Random(int(args[1] if how == "drop-type" else args[0]) if how in ("drop", "drop-type", "shuffle") else 0)
    if how in ("late", "early", "cut"):
        border = first + int((last - first) * float(args[0]))
    if how == "cut":
        off, size, count = layout(raw)
        used = sum(1 for c in range(off, len(raw) - size, size) if struct.unpack_from("<Q", raw, c + 8)[0])
        return raw[: off + int(used * size * float(args[0]))]
    for at, kind, ns in list(events(raw)):
        if how == "drop" and kind not in NAMES | {END} and rng.random() * 100 < float(args[1]):
            hide(raw, at)
        elif how == "drop-type" and kind == int(args[0]) and rng.random() * 100 < float(args[2]):
            hide(raw, at)
        elif how == "late" and kind == COVERAGE:
            struct.pack_into("<Q", raw, at + 8, max(ns, border))
        elif how == "late" and kind not in NAMES and ns < border:
            hide(raw, at, lost=False)
        elif how == "early" and kind not in NAMES | {END} and ns > border:
            hide(raw, at, lost=False)
    if how == "shuffle":
        shuffle(raw, rng)
    if how == "again":
        raw[16:32] = bytes(b ^ 0x5A for b in raw[16:32])
    return raw


def main():
    how, *args, source, target = sys.argv[1:]
    for trail in pathlib.Path(source).rglob("trail"):
        copy = pathlib.Path(target) / trail.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(mutate(bytearray(trail.read_bytes()), how, args))


main()
