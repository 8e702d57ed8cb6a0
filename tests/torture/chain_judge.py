# SPDX-License-Identifier: Apache-2.0
"""Judges whether an image of a group is one instant of what chain_writer wrote.

A History is what was issued and acknowledged, chain by chain. `judge()` takes the images of all disks and demands

  whole     each block of a chain is one record, by its CRC, at its own place; every other block is as it was
  closed    a chain shows all of its records up to its newest one and nothing of those after it, over all disks
  in time   no record is missing that was acknowledged before another one, which is there, was issued; of any chain
  kept      what was promised (acknowledged before a moment) is there

and returns how far each chain goes. A breach raises Breach, with every finding.
"""
import bisect
import collections
import struct
import zlib

BLOCK = 4096
ENTRY = struct.Struct("<IIIIIIQQQ")  # kind, crc, line, chain, disk, previous, sequence, block, time
HEAD = struct.Struct("<8sIIIIIQQ")   # magic, crc, line, chain, disk, previous, sequence, block
MAGIC = b"VCHAIN01"
ISSUE, ACK, ERROR = 1, 2, 3
NEVER = 1 << 63
FINDINGS_MAX = 20


class Breach(Exception):
    """An image that no single instant can explain."""

    def __init__(self, findings):
        self.findings = findings
        more = f"\n  and {len(findings) - FINDINGS_MAX} more" if len(findings) > FINDINGS_MAX else ""
        super().__init__("not one instant:\n  " + "\n  ".join(findings[:FINDINGS_MAX]) + more)


class Record:
    __slots__ = ("line", "chain", "sequence", "disk", "block", "crc", "previous", "issue", "ack")

    def __init__(self, line, chain, sequence, disk, block, crc, previous, issue, ack=NEVER):
        self.line, self.chain, self.sequence = line, chain, sequence
        self.disk, self.block, self.crc, self.previous = disk, block, crc, previous
        self.issue, self.ack = issue, ack

    def __str__(self):
        return f"chain {self.chain} record {self.sequence} of line {self.line} (disk {self.disk} block {self.block})"


class History:
    """All records of each chain, oldest first: record n of a chain is at n - 1."""

    def __init__(self, chain_count):
        self.chains = [[] for _ in range(chain_count)]
        self.line = 1
        self.errors = []  # (record text, errno) that a server answered
        self.last_ns = 0

    def load(self, log):
        """Adds entries of a log, from its position on; a last one that is cut off is left for later."""
        while True:
            data = log.read(ENTRY.size * 4096)
            whole = len(data) // ENTRY.size * ENTRY.size
            if whole < len(data):
                log.seek(whole - len(data), 1)
            for entry in ENTRY.iter_unpack(data[:whole]):
                self.add(*entry)
            if not whole:
                return

    def add(self, kind, crc, line, chain, disk, previous, sequence, block, time_ns):
        records = self.chains[chain]
        self.last_ns = max(self.last_ns, time_ns)
        if kind == ERROR:
            self.errors.append((f"chain {chain} record {sequence}", crc))
            return
        if sequence == len(records) + 1 and kind == ISSUE:
            if records and records[-1].crc != previous:
                raise ValueError(f"chain {chain} record {sequence} does not follow its predecessor")
            records.append(Record(line, chain, sequence, disk, block, crc, previous, time_ns))
            return
        record = records[sequence - 1]
        # A writer that was started again repeats its last record: byte for byte.
        if sequence != len(records) or (record.crc, record.line, record.disk, record.block) != (crc, line, disk, block):
            raise ValueError(f"the log does not fit: {record}")
        if kind == ACK:
            record.ack = min(record.ack, time_ns)

    def rewind(self, counts):
        """The image goes on from here: what lies behind these counts has never been, what is there is for good."""
        for records, count in zip(self.chains, counts):
            del records[count:]
            if records:
                records[-1].ack = min(records[-1].ack, self.last_ns)
        self.line += 1

    def acked(self, before_ns=NEVER - 1):
        """For each chain how many of its records were acknowledged before this moment."""
        return [bisect.bisect_right(records, before_ns, key=lambda record: record.ack) for records in self.chains]

    def starts(self):
        """What a writer is told to go on with. A record without acknowledgement is written again."""
        words = []
        for records, count in zip(self.chains, self.acked()):
            words.append(f"{count + 1}:{records[count - 1].crc if count else 0}")
        return ",".join(words)


class Image:
    """One disk: bytes now, and bytes of the time before the first record."""

    def __init__(self, content, before):
        self.content, self.before = content, before
        self.block_count = len(content) // BLOCK

    def block(self, number):
        return self.content[number * BLOCK:(number + 1) * BLOCK]

    def is_untouched(self, number):
        return self.block(number) == self.before[number * BLOCK:(number + 1) * BLOCK]


def read_blocks(history, images, findings):
    """{(disk, block): record} of all blocks that hold one."""
    found = {}
    for disk, image in enumerate(images):
        for number in range(image.block_count):
            if image.is_untouched(number):
                continue
            record = read_block(history, disk, number, image.block(number))
            if isinstance(record, str):
                findings.append(f"disk {disk} block {number}: {record}")
            else:
                found[disk, number] = record
    return found


def read_block(history, disk, number, data):
    magic, crc, line, chain, on_disk, _, sequence, block = HEAD.unpack_from(data)
    if magic != MAGIC:
        return "neither as it was nor a record"
    if zlib.crc32(data[12:]) != crc:
        return f"torn: chain {chain} record {sequence}"
    if (on_disk, block) != (disk, number):
        return f"a record of disk {on_disk} block {block}"
    if chain >= len(history.chains) or not 1 <= sequence <= len(history.chains[chain]):
        return f"chain {chain} record {sequence} of line {line} was never written"
    record = history.chains[chain][sequence - 1]
    if (record.crc, record.line) != (crc, line):
        return f"chain {chain} record {sequence} of line {line} belongs to a history that was given up"
    return record


def check_closed(history, found, counts, findings):
    """Every place of a chain shows the newest record of it that is not newer than the chain's end."""
    for records, count in zip(history.chains, counts):
        expected = {(record.disk, record.block): record for record in records[:count]}
        for record in records[count:]:
            expected.setdefault((record.disk, record.block), None)
        for place, record in expected.items():
            seen = found.get(place)
            if seen is record:
                continue
            if seen is not None and record is not None and seen.chain != record.chain:
                findings.append(f"{record}: its place shows {seen}")
            elif record is not None:
                findings.append(f"{record} is missing though record {count} of its chain is there; "
                                f"instead: {seen or 'nothing'}")


def check_in_time(history, counts, findings):
    """min ack over what is absent >= max issue over what is present."""
    absent = [records[count] for records, count in zip(history.chains, counts) if count < len(records)]
    present = [records[count - 1] for records, count in zip(history.chains, counts) if count]
    if not absent or not present:
        return
    first, last = min(absent, key=lambda record: record.ack), max(present, key=lambda record: record.issue)
    if first.ack < last.issue:
        findings.append(f"{first} is missing, acknowledged {(last.issue - first.ack) / 1e6:.3f} ms before "
                        f"{last}, which is there, was issued")


def judge(history, images, kept=None):
    """Returns for each chain the number of its newest record in the image. `kept`: at least so many must be there."""
    findings = []
    found = read_blocks(history, images, findings)
    newest = collections.defaultdict(int)
    for record in found.values():
        newest[record.chain] = max(newest[record.chain], record.sequence)
    counts = [newest[chain] for chain in range(len(history.chains))]
    check_closed(history, found, counts, findings)
    check_in_time(history, counts, findings)
    for chain, (count, least) in enumerate(zip(counts, kept or [])):
        if count < least:
            findings.append(f"chain {chain} ends at record {count}, but {least} was promised")
    if findings:
        raise Breach(findings)
    return counts
