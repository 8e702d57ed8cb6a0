#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The judge of the group-cut oracle: it takes every instant, and nothing that is not one."""
import pathlib
import random
import struct
import sys
import unittest
import zlib

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]
import chain_judge  # noqa: E402
from chain_judge import ACK, BLOCK, ISSUE, Breach, History, Image, judge  # noqa: E402

DISKS, CHAINS, SLOTS, FIRST = 4, 8, 4, 2
BLOCKS = FIRST + SLOTS * CHAINS + 2


class World:
    """What chain_writer would do, without a daemon: time is a number, every write takes effect between issue and ack."""

    def __init__(self, seed, records=400):
        self.random = random.Random(seed)
        self.before = [self.random.randbytes(BLOCKS * BLOCK) for _ in range(DISKS)]
        self.history = History(CHAINS)
        self.events = []  # (time of effect, record, block content)
        clocks, previous = [0] * CHAINS, [0] * CHAINS
        for chain in (self.random.randrange(CHAINS) for _ in range(records)):
            issue = clocks[chain] + self.random.randrange(1, 50)
            effect = issue + self.random.randrange(1, 50)
            clocks[chain] = effect + self.random.randrange(1, 50)
            record, data = self.make(1, chain, len(self.history.chains[chain]) + 1, previous[chain])
            previous[chain] = record[0]
            self.history.add(ISSUE, *record, issue)
            self.history.add(ACK, *record, clocks[chain])
            self.events.append((effect, chain, self.history.chains[chain][-1], data))
        self.events.sort(key=lambda event: event[0])

    def make(self, line, chain, sequence, previous):
        disk = (chain + sequence) % DISKS
        block = FIRST + self.random.randrange(SLOTS) * CHAINS + chain
        body = struct.pack("<IIIIQQ", line, chain, disk, previous, sequence, block)
        body += self.random.randbytes(BLOCK - 12 - len(body))
        crc = zlib.crc32(body)
        return (crc, line, chain, disk, previous, sequence, block), chain_judge.MAGIC + struct.pack("<I", crc) + body

    def images(self, *times):
        """What the disks hold at a time, or each at its own."""
        times = times * DISKS if len(times) == 1 else times
        contents = [bytearray(content) for content in self.before]
        for effect, _, record, data in self.events:
            if effect <= times[record.disk]:
                contents[record.disk][record.block * BLOCK:(record.block + 1) * BLOCK] = data
        return [Image(bytes(content), before) for content, before in zip(contents, self.before)]

    def without(self, images, place):
        """The same with one block as it was before everything."""
        disk, block = place
        content = bytearray(images[disk].content)
        content[block * BLOCK:(block + 1) * BLOCK] = self.before[disk][block * BLOCK:(block + 1) * BLOCK]
        return [*images[:disk], Image(bytes(content), self.before[disk]), *images[disk + 1:]]

    def damaged(self, images, disk, offset):
        content = bytearray(images[disk].content)
        content[offset] ^= 1
        return [*images[:disk], Image(bytes(content), self.before[disk]), *images[disk + 1:]]


class JudgeTest(unittest.TestCase):
    def breach(self, world, images, text, kept=None):
        with self.assertRaises(Breach) as caught:
            judge(world.history, images, kept)
        self.assertTrue(any(text in finding for finding in caught.exception.findings), caught.exception)

    def test_every_instant_is_lawful(self):
        for seed in range(3):
            world = World(seed)
            for time in [0] + [event[0] + shift for event in world.events[::7] for shift in (-1, 0)]:
                counts = judge(world.history, world.images(time))
                self.assertEqual(sum(counts), sum(effect <= time for effect, *_ in world.events))

    def test_disks_of_two_instants(self):
        """What a cut shows that is not one: some disks are older than the others."""
        world = World(5)
        end = min(records[-1].issue for records in world.history.chains)
        for time in range(end // 4, end, end // 40):
            self.breach(world, world.images(time, time, time - 300, time - 300), "is missing though")

    def test_a_single_missing_block(self):
        world = World(6)
        time = world.events[300][0]
        images = world.images(time)
        found = chain_judge.read_blocks(world.history, images, [])
        newest = {}
        for record in found.values():
            newest[record.chain] = max(newest.get(record.chain, 0), record.sequence)
        inner = [place for place, record in found.items() if record.sequence != newest[record.chain]]
        self.assertGreater(len(inner), 50)
        for place in inner:
            self.breach(world, world.without(images, place), "is missing though")

    def test_a_block_that_is_too_old(self):
        """The place of a record shows the one that was there before it."""
        world = World(7)
        time = world.events[350][0]
        old, new = world.images(time - 400), world.images(time)
        for disk in range(DISKS):
            for block in range(BLOCKS):
                if old[disk].block(block) != new[disk].block(block):
                    content = bytearray(new[disk].content)
                    content[block * BLOCK:(block + 1) * BLOCK] = old[disk].block(block)
                    images = [*new[:disk], Image(bytes(content), world.before[disk]), *new[disk + 1:]]
                    try:
                        judge(world.history, images)
                    except Breach:
                        continue
                    # Lawful only if it was the newest of its chain: this is the instant before it.
                    chain = self.chain_of(new[disk], block)
                    self.assertEqual(judge(world.history, images)[chain], judge(world.history, new)[chain] - 1)

    def chain_of(self, image, block):
        return chain_judge.HEAD.unpack_from(image.block(block))[3]

    def test_across_chains(self):
        """Each chain alone is lawful, but one lacks what was acknowledged before another's newest was issued."""
        world = World(8)
        time = world.events[200][0]
        old, new = world.images(time - 1000), world.images(time)
        mixed = []
        for disk in range(DISKS):
            content = bytearray(new[disk].content)
            for slot in range(SLOTS):
                block = FIRST + slot * CHAINS + 3  # chain 3 stays behind
                content[block * BLOCK:(block + 1) * BLOCK] = old[disk].block(block)
            mixed.append(Image(bytes(content), world.before[disk]))
        self.breach(world, mixed, "before chain")

    def test_torn_and_foreign_blocks(self):
        world = World(9)
        images = world.images(world.events[-1][0])
        place = next(iter(chain_judge.read_blocks(world.history, images, [])))
        self.breach(world, world.damaged(images, place[0], place[1] * BLOCK + 3000), "torn")
        self.breach(world, world.damaged(images, place[0], place[1] * BLOCK + 2), "neither as it was nor a record")
        self.breach(world, world.damaged(images, 2, 10), "neither as it was nor a record")
        swapped = [images[1], images[0], *images[2:]]
        self.breach(world, [Image(one.content, before) for one, before in zip(swapped, world.before)], "a record of disk")

    def test_what_was_given_up_must_not_show(self):
        """After a failover the history goes on from the point; a block of the old history is a breach."""
        world = World(10)
        late = world.images(world.events[-1][0])
        world.history.rewind(judge(world.history, world.images(world.events[200][0])))
        self.breach(world, late, "was never written")
        for chain, records in enumerate(world.history.chains):
            for number in range(100):
                record, _ = world.make(2, chain, len(records) + 1, records[-1].crc)
                world.history.add(ISSUE, *record, 10 ** 6 + number)
        self.breach(world, late, "a history that was given up")

    def test_promises(self):
        world = World(11)
        time = world.events[200][0]
        counts = judge(world.history, world.images(time), world.history.acked(time))
        self.breach(world, world.images(time), "was promised", [count + 1 for count in counts])

    def test_a_cut_off_log(self):
        """An entry under way when it is read is taken the next time."""
        import io
        world = World(12, 40)
        entries = b"".join(chain_judge.ENTRY.pack(kind, r.crc, r.line, r.chain, r.disk, r.previous, r.sequence, r.block, time)
                           for records in world.history.chains for r in records
                           for kind, time in ((ISSUE, r.issue), (ACK, r.ack)))
        log = io.BytesIO(entries[:1000])
        history = History(CHAINS)
        history.load(log)
        log.seek(0, 2)
        position = log.tell()
        log.write(entries[1000:])
        log.seek(position // chain_judge.ENTRY.size * chain_judge.ENTRY.size)
        history.load(log)
        self.assertEqual(history.acked(), world.history.acked())
        self.assertEqual(history.starts(), world.history.starts())

    def test_a_repeated_record(self):
        """A writer that was started again repeats the record it has no answer for; another content is refused."""
        world = World(13, 40)
        records = world.history.chains[0]
        record, _ = world.make(1, 0, len(records) + 1, records[-1].crc)
        world.history.add(ISSUE, *record, 10 ** 6)
        world.history.add(ISSUE, *record, 10 ** 6 + 5)
        self.assertEqual(world.history.chains[0][-1].issue, 10 ** 6)
        other, _ = world.make(1, 0, len(records), records[-2].crc)
        with self.assertRaises(ValueError):
            world.history.add(ISSUE, *other, 10 ** 6 + 9)


if __name__ == "__main__":
    unittest.main()
