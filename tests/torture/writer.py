#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The raw writer of the tortures: several NBD connections to each disk of a group, a queue on each, writes, zeroes, trims, flushes, FUA
and reads, all kept in a ledger. One JSON command a line on standard input, one reply a line; rawload.py is the other end.

When a connection dies, all of them are given up: what was not acknowledged stays open in the ledger until `settle` reads it.
"""
import json
import mmap
import os
import pathlib
import random
import select
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import nbd  # noqa: E402
from lab import Failure  # noqa: E402
from ledger import BLOCK, Ledger, content, stamp_of  # noqa: E402

READ_BYTES = 1 << 20


class Line:
    """One connection and what is under way on it."""

    def __init__(self, disk, handle):
        self.disk, self.handle = disk, handle
        self.under_way = 0
        self.is_dead = False


class Writer:
    def __init__(self, options):
        self.random = random.Random(options["seed"])
        self.blocks, self.depth = options["blocks"], options["depth"]
        self.connections = options["connections"]
        self.disks = options["disks"]
        self.bears_errors = options["bears_errors"]  # an error is a death like any other
        self.ledger = Ledger(self.disks, self.blocks)
        self.busy = set()
        self.lines = []
        self.is_running = self.was_lost = False
        self.flush_chance = self.fua_chance = 0
        self.violation = self.why_lost = None
        self.suspicions = []
        self.counts = {"writes": 0, "reads": 0, "flushes": 0}
        self.progress = mmap.mmap(os.open(options["progress"], os.O_RDWR), 8)
        self.acked = 0

    # -- connections

    def connect(self, uri, timeout):
        end = time.monotonic() + timeout
        while True:
            handle = nbd.NBD()
            try:
                handle.connect_uri(uri)
                return handle
            except nbd.Error as reason:
                if time.monotonic() > end:
                    raise Failure(f"no connection to {uri} within {timeout} s: {reason}") from reason
                time.sleep(0.005)

    def give_up(self):
        """Reads the replies that are still in the sockets, then lets all connections go."""
        end = time.monotonic() + 1
        while time.monotonic() < end and any(not line.is_dead for line in self.lines):
            self.turn(10)
        self.lines = []
        self.busy = set()
        self.is_running, self.was_lost = False, True

    # -- requests

    def choose(self):
        """Blocks next to each other on one disk, none of them busy; or nothing."""
        count = self.random.choice((1, 1, 1, 1, 1, 2, 4, 16))
        first = self.random.randrange(self.blocks - count + 1)
        return first, count

    def submit(self, line):
        if self.random.random() < self.flush_chance:
            return self.submit_flush(line)
        first, count = self.choose()
        keys = range(line.disk * self.blocks + first, line.disk * self.blocks + first + count)
        if any(key in self.busy for key in keys):
            return
        self.busy.update(keys)
        if self.random.random() < 0.1:
            self.submit_read(line, first, keys)
        else:
            self.submit_write(line, first, keys)

    def submit_write(self, line, first, keys):
        kind = self.random.random()
        flags = nbd.CMD_FLAG_FUA if self.random.random() < self.fua_chance else 0
        stamp = self.ledger.next_stamp() if kind < 0.9 else 0
        entries = self.ledger.issue(keys, stamp, bool(flags))

        def done(error):
            line.under_way -= 1
            if error.value:
                self.failed(line, "write", error.value)
            else:
                self.ledger.ack(entries)
                self.busy.difference_update(keys)
                self.counts["writes"] += 1
                self.acked += 1
                self.progress[:] = self.acked.to_bytes(8, "little")
            return 1
        line.under_way += 1
        offset, length = first * BLOCK, len(keys) * BLOCK
        if stamp:
            data = bytearray(b"".join(content(stamp, key) for key in keys))
            line.handle.aio_pwrite(nbd.Buffer.from_bytearray(data), offset, completion=done, flags=flags)
        elif kind < 0.95:
            line.handle.aio_zero(length, offset, completion=done, flags=flags)
        else:
            line.handle.aio_trim(length, offset, completion=done, flags=flags)

    def submit_read(self, line, first, keys):
        buffer = nbd.Buffer(len(keys) * BLOCK)

        def done(error):
            line.under_way -= 1
            if error.value:
                self.failed(line, "read", error.value)
                return 1
            data = bytes(buffer.to_bytearray())
            for number, key in enumerate(keys):
                self.expect(key, data[number * BLOCK:(number + 1) * BLOCK])
            self.busy.difference_update(keys)
            self.counts["reads"] += 1
            return 1
        line.under_way += 1
        line.handle.aio_pread(buffer, first * BLOCK, completion=done)

    def submit_flush(self, line):
        issued = self.ledger.tick()

        def done(error):
            line.under_way -= 1
            if error.value:
                self.failed(line, "flush", error.value)
            else:
                self.ledger.flush_done(line.disk, issued)
                self.counts["flushes"] += 1
            return 1
        line.under_way += 1
        line.handle.aio_flush(completion=done)

    def expect(self, key, data):
        try:
            shown = stamp_of(data, key)
            if shown != self.ledger.shows_now(key):
                self.violate(f"a read of key {key} shows {shown}, its last write is {self.ledger.shows_now(key)}")
        except Failure as reason:
            self.violate(str(reason))

    def failed(self, line, what, number):
        """An error of a request. On a living connection it is the daemon's own."""
        if line.handle.aio_is_dead() or line.handle.aio_is_closed():
            self.bury(line, f"{what}: error {number}")
        else:
            self.suspicions.append((line, what, number))

    def bury(self, line, why):
        if not line.is_dead:
            line.is_dead, self.why_lost = True, f"disk {line.disk}: {why}"

    def violate(self, text):
        self.violation = self.violation or text

    # -- the loop

    def turn(self, timeout_ms, extra=None):
        """One look at all sockets; true when there is something on `extra`."""
        poller, by_fd = select.poll(), {}
        for line in self.lines:
            if not line.is_dead:
                events = line.handle.aio_get_direction()
                mask = (select.POLLIN if events & nbd.AIO_DIRECTION_READ else 0) | \
                    (select.POLLOUT if events & nbd.AIO_DIRECTION_WRITE else 0)
                fd = line.handle.aio_get_fd()
                by_fd[fd] = line
                poller.register(fd, mask)
        if extra is not None:
            poller.register(extra, select.POLLIN)
        has_extra = False
        for fd, events in poller.poll(timeout_ms):
            if fd == extra:
                has_extra = True
            else:
                self.notify(by_fd[fd], events)
        self.judge_suspicions()
        return has_extra

    def notify(self, line, events):
        try:
            direction = line.handle.aio_get_direction()
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and direction & nbd.AIO_DIRECTION_READ:
                line.handle.aio_notify_read()
            elif events & select.POLLOUT and direction & nbd.AIO_DIRECTION_WRITE:
                line.handle.aio_notify_write()
            elif events & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                self.bury(line, f"poll: {events}")
        except nbd.Error as reason:
            self.bury(line, str(reason))
        if line.handle.aio_is_dead() or line.handle.aio_is_closed():
            self.bury(line, "closed")

    def judge_suspicions(self):
        """Errors that came while the connection lives on are replies of the daemon."""
        for line, what, number in self.suspicions:
            if self.bears_errors:
                self.bury(line, f"{what}: error {number}")
            elif not line.is_dead:
                self.violate(f"the daemon answered a {what} on disk {line.disk} with error {number}")
        self.suspicions.clear()

    def fill(self):
        for line in self.lines:
            tries = self.depth
            while line.under_way < self.depth and tries:
                tries -= 1
                try:
                    self.submit(line)
                except nbd.Error as reason:
                    self.bury(line, f"submit: {reason}")
                    break

    def drain(self):
        """No new requests; true when all were answered."""
        end = time.monotonic() + 30
        while any(line.under_way and not line.is_dead for line in self.lines):
            self.turn(100)
            if time.monotonic() > end:
                raise Failure("requests were not answered within 30 s")
        return not any(line.is_dead for line in self.lines)

    # -- commands

    def do_run(self, command):
        """Connects and writes from now on."""
        self.lines = []
        self.busy = set()
        self.flush_chance = self.random.choice((0, 0.001, 0.01, 0.05))
        self.fua_chance = self.random.choice((0, 0.001, 0.05))
        for disk, uri in enumerate(command["uris"]):
            for _ in range(self.connections):
                self.lines.append(Line(disk, self.connect(uri, command.get("timeout", 30))))
        self.is_running, self.was_lost = True, False

    def do_stop(self, command):
        """Stops writing when all is answered. Reply: was the connection lost?"""
        if self.lines and not self.drain():
            self.give_up()
        if command.get("flush") and self.lines:
            for disk in range(self.disks):
                line = next(line for line in self.lines if line.disk == disk)
                issued = self.ledger.tick()
                line.handle.flush()
                self.ledger.flush_done(disk, issued)
        for line in self.lines:
            line.handle.shutdown()
        self.lines = []
        self.is_running = False
        return {"lost": self.why_lost if self.was_lost else None}

    def read_all(self, command):
        shown = []
        for disk, uri in enumerate(command["uris"]):
            handle = self.connect(uri, command.get("timeout", 30))
            for offset in range(0, self.blocks * BLOCK, READ_BYTES):
                length = min(READ_BYTES, self.blocks * BLOCK - offset)
                data = bytes(handle.pread(length, offset))
                for start in range(0, length, BLOCK):
                    key = disk * self.blocks + (offset + start) // BLOCK
                    shown.append(stamp_of(data[start:start + BLOCK], key))
            handle.shutdown()
        return shown

    def do_settle(self, command):
        """Reads everything: I3, or I4 and I5 after a power loss."""
        if self.lines:
            self.give_up()
        self.ledger.settle_all(self.read_all(command), command.get("power", False))
        return {"checks": self.disks * self.blocks}

    def do_cut(self, command):
        """Reads everything at the site that was failed over to: one moment of all disks. It is what there is from now on."""
        shown = self.read_all(command)
        moments = self.ledger.check_cut(shown)
        self.ledger.restart_from(shown)
        return {"checks": len(shown), "moments": moments, "clock": self.ledger.clock}

    def do_point(self, command):
        """The target is known to hold all that was acknowledged; while nothing is under way."""
        self.ledger.point()

    def do_counts(self, command):
        return {"counts": self.counts}

    def serve(self):
        pending = b""
        os.set_blocking(0, False)
        while True:
            if self.is_running:
                self.fill()
            has_command = self.turn(100 if self.is_running else 1000, 0)
            if self.is_running and any(line.is_dead for line in self.lines):
                self.give_up()
            if not has_command:
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for text in lines:
                self.answer(json.loads(text))

    def answer(self, command):
        try:
            reply = getattr(self, f"do_{command['do']}")(command) or {}
        except (Failure, nbd.Error) as reason:
            reply = {"failure": str(reason)}
        if self.violation:
            reply["failure"] = self.violation
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Writer(json.loads(sys.argv[1])).serve()
