#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of either daemon at random moments, in a loop, under a writer that reconnects: no acknowledged write is
ever lost (flushed or not), and after the last kill both sites come to hold the same bytes."""
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

MIB = 1 << 20
KILLS = int(os.environ.get("VERSO_KILLS", "8"))

# Runs under the system's Python, which has libnbd. Writes stamped 4 KiB blocks; "w BLOCK STAMP" before a write,
# "a BLOCK STAMP" when it was acknowledged; reconnects for ever.
WRITER = """
import nbd, random, sys, time
uris, blocks, generator = sys.argv[2:], 1024, random.Random(int(sys.argv[1]))
handles, stamp = [None] * len(uris), 0
def connect(number):
    while True:
        try:
            handle = nbd.NBD()
            handle.connect_uri(uris[number])
            return handle
        except nbd.Error:
            time.sleep(0.01)
while True:
    number, block = generator.randrange(len(uris)), generator.randrange(blocks)
    stamp += 1
    data = stamp.to_bytes(8, "little") * 512
    print("w", number, block, stamp, flush=True)
    while True:
        try:
            if handles[number] is None:
                handles[number] = connect(number)
            handles[number].pwrite(data, block * 4096)
            if stamp % 16 == 0:
                handles[number].flush()
            break
        except nbd.Error:
            handles[number] = None
    print("a", number, block, stamp, flush=True)
"""
READER = """
import nbd, sys
for number, uri in enumerate(sys.argv[1:]):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    for block in range(1024):
        data = bytes(handle.pread(4096, block * 4096))
        stamps = {data[i:i + 8] for i in range(0, 4096, 8)}
        print(number, block, int.from_bytes(stamps.pop(), "little") if len(stamps) == 1 else "torn")
"""


class KillTest(LabCase):
    def setUp(self):
        if subprocess.run(["/usr/bin/python3", "-c", "import nbd"], capture_output=True).returncode != 0:
            self.skipTest("python3-libnbd is missing")
        super().setUp()

    def kill_loop(self, victims, seed):
        generator = random.Random(seed)
        group, sources, targets = self.lab.group(2, 4 * MIB)
        self.paris.verso("group", "start", group, "-q")
        log = self.lab.folder / "writes"
        with open(log, "wb") as output:
            writer = subprocess.Popen(["/usr/bin/python3", "-c", WRITER, str(seed),
                                       *map(self.paris.uri, sources)], stdout=output)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        for number in range(KILLS):
            size = log.stat().st_size + generator.randrange(200, 40_000)
            wait_until(lambda size=size: log.stat().st_size > size, "writes go on", timeout=60)
            victim = victims[number % len(victims)]
            victim.kill()
            victim.start()
        size = log.stat().st_size + 2000
        wait_until(lambda: log.stat().st_size > size, "writes go on after the last kill", timeout=60)
        writer.kill()
        writer.wait()
        self.check_acknowledged(log, sources)
        self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def check_acknowledged(self, log, sources):
        issued, acknowledged = {}, {}
        for line in log.read_text().splitlines():
            words = line.split()
            if len(words) != 4:
                continue  # the line under way when the writer was killed
            key, stamp = (int(words[1]), int(words[2])), int(words[3])
            (issued if words[0] == "w" else acknowledged)[key] = stamp
        self.assertGreater(len(acknowledged), 100)
        found = subprocess.run(["/usr/bin/python3", "-c", READER, *map(self.paris.uri, sources)],
                               capture_output=True, text=True, check=True).stdout
        for line in found.splitlines():
            number, block, stamp = line.split()
            key = (int(number), int(block))
            allowed = {str(issued.get(key, 0)), str(acknowledged.get(key, 0))}
            self.assertIn(stamp, allowed, f"disk {number} block {block}: an acknowledged write is lost")

    def test_source(self):
        self.kill_loop([self.paris], 1)

    def test_target(self):
        self.kill_loop([self.lyon], 2)

    def test_both(self):
        self.kill_loop([self.paris, self.lyon], 3)


if __name__ == "__main__":
    main()
