# SPDX-License-Identifier: Apache-2.0
"""What every 4 KiB block may show: each write names itself in every 16 bytes of its content, and the ledger keeps for each block
its writes in order, when each was issued and when acknowledged, on one clock that counts events.

A block has at most one write under way, so its history is a line. What a reader may find:
  - after the death of a daemon (I3): the last acknowledged write of a block, or the one under way;
  - after a power cut (I4): the last write that was durable (FUA, or acknowledged before a flush that completed was issued), or any
    later one, each 512-byte sector for itself (I5);
  - at a recovery point (I1, I2): there is a moment T such that every block shows what was issued before T and nothing that was
    acknowledged before T is missing. A block that shows write w allows the moments from issue(w) to the acknowledgement of the
    write after w; all blocks of all disks must have a moment in common.
"""
import struct

from lab import Failure

BLOCK = 4096
SECTOR = 512
NEVER = 1 << 62


def content(stamp, key):
    """The bytes of one block. Stamp 0 is a block of zeros."""
    return struct.pack("<QQ", stamp, key) * (BLOCK // 16) if stamp else bytes(BLOCK)


def stamp_of(data, key):
    """What a block shows: a stamp, or a tuple of eight, one a sector. Raises Failure where no write of ours made that."""
    stamp, owner = struct.unpack_from("<QQ", data)
    if data == data[:16] * (BLOCK // 16) and owner == (key if stamp else 0):
        return stamp
    stamps = []
    for start in range(0, BLOCK, SECTOR):
        sector = data[start:start + SECTOR]
        stamp, owner = struct.unpack_from("<QQ", sector)
        if sector != sector[:16] * (SECTOR // 16) or owner != (key if stamp else 0):
            raise Failure(f"block {key}: sector at {start} holds no write of its own: {sector.hex()}")
        stamps.append(stamp)
    return tuple(stamps)


class Entry:
    """One write of a block, or what was found there at a check."""
    __slots__ = ("shown", "issued", "acked", "is_durable")

    def __init__(self, shown, issued, acked=NEVER, is_durable=False):
        self.shown, self.issued, self.acked, self.is_durable = shown, issued, acked, is_durable


class Ledger:
    """Blocks 0 … disks × blocks - 1; a key is disk × blocks + block. All are zeros at first."""

    def __init__(self, disks, blocks):
        self.disks, self.blocks = disks, blocks
        self.clock = 0
        self.stamp = 0
        self.pointed = 0  # the target shows no older moment
        self.flushed = [0] * disks  # writes acknowledged up to this moment are durable
        self.history = [[Entry(0, 0, 0, True)] for _ in range(disks * blocks)]

    def tick(self):
        self.clock += 1
        return self.clock

    def next_stamp(self):
        self.stamp += 1
        return self.stamp

    def issue(self, keys, stamp, is_fua=False):
        """A write (stamp 0: zeroes or trim) of these blocks leaves; returns its entries for ack()."""
        now = self.tick()
        entries = [Entry(stamp, now, NEVER, is_fua) for _ in keys]
        for key, entry in zip(keys, entries):
            self.history[key].append(entry)
        return entries

    def ack(self, entries):
        now = self.tick()
        for entry in entries:
            entry.acked = now

    def flush_done(self, disk, issued):
        """A flush that was issued at this moment has completed."""
        self.flushed[disk] = max(self.flushed[disk], issued)

    def shows_now(self, key):
        """What a read of a block without a write under way must find."""
        return self.history[key][-1].shown

    def floor(self, key, after_power_loss):
        """Index of the oldest entry that a block may show."""
        history = self.history[key]
        flushed = self.flushed[key // self.blocks]
        for index in range(len(history) - 1, 0, -1):
            entry = history[index]
            if entry.acked < NEVER and (not after_power_loss or entry.is_durable or entry.acked <= flushed):
                return index
        return 0

    def settle(self, key, shown, after_power_loss=False):
        """What a block shows after a death; from now on it must show that. Raises Failure."""
        history = self.history[key]
        floor = self.floor(key, after_power_loss)
        allowed = [entry.shown for entry in history[floor:]]
        parts = {part for one in allowed for part in (one if isinstance(one, tuple) else (one,))}
        if shown not in allowed and not (after_power_loss and isinstance(shown, tuple) and parts.issuperset(shown)):
            raise Failure(f"disk {key // self.blocks} block {key % self.blocks} shows {shown}, allowed is {allowed}; "
                          f"older: {[entry.shown for entry in history[:floor]]}")
        if not after_power_loss:
            if history[-1].acked == NEVER:
                if history[-1].shown == shown and history[-2].shown != shown:
                    history[-1].acked = self.clock
                else:
                    history.pop()
        else:  # the end of the old history lies one tick before: no moment has both
            history.append(Entry(shown, self.clock, self.clock - 1, True))

    def settle_all(self, shown, after_power_loss=False):
        self.tick()
        self.tick()
        for key, one in enumerate(shown):
            self.settle(key, one, after_power_loss)

    def moments(self, key, shown):
        """[(first, last)] of the moments at which a block showed that."""
        history = self.history[key]
        spans, until = [], NEVER
        for entry in reversed(history):
            if entry.shown == shown and spans and until + 1 >= spans[-1][0]:
                spans[-1] = (entry.issued, spans[-1][1])
            elif entry.shown == shown:
                spans.append((entry.issued, until))
            until = min(until, entry.acked)
        if not spans:
            raise Failure(f"disk {key // self.blocks} block {key % self.blocks} shows {shown}, which is in none of its states: "
                          f"{[entry.shown for entry in history]}")
        return spans

    def check_cut(self, shown):
        """All blocks of all disks show one moment. Returns the moments that fit. Raises Failure."""
        common, why = [(self.pointed, NEVER)], []
        for key, one in enumerate(shown):
            spans = self.moments(key, one)
            narrowed = [(max(a, c), min(b, d)) for a, b in common for c, d in spans if max(a, c) <= min(b, d)]
            if not narrowed:
                raise Failure(f"no one moment: disk {key // self.blocks} block {key % self.blocks} shows {one}, so {spans}; "
                              f"the blocks before it fit {common} (a point was seen at {self.pointed}); narrowed by {why[-4:]}")
            if narrowed != common:
                why.append((key, one, spans))
            common = narrowed
        return common

    def restart_from(self, shown):
        """Whatever was before: this is what there is (after a failover to a point)."""
        self.pointed = now = self.tick()
        self.history = [[Entry(one, now, now, True)] for one in shown]

    def point(self):
        """The target holds all that was acknowledged until now: no failover may show an older moment."""
        self.pointed = self.tick()
        for key, history in enumerate(self.history):
            del history[:self.floor(key, True)]
