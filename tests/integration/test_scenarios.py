#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Odd turns that an operator may take, over real daemons: each was a defect once, or a suspicion."""
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

MIB = 1 << 20


class ScenarioTest(LabCase):
    def write(self, site, disk, seed, size=2 * MIB, offset=0):
        """Random bytes at an offset of an export, flushed."""
        source = self.lab.folder / "bytes"
        source.write_bytes(random.Random(seed).randbytes(size))
        run("qemu-io", "-f", "raw", "-c", f"write -s {source} {offset} {size}", "-c", "flush", site.uri(disk))

    def started_pair(self, size=8 * MIB):
        source, target = self.paris.disk("one", size), self.lyon.disk("one", size)
        pair = self.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target)
        self.paris.attach(source)
        self.write(self.paris, source, 1)
        self.paris.verso("pair", "start", pair, "-q")
        self.wait_point(self.paris, pair)
        return pair, source, target

    def pairs(self, site):
        return site.api_call("DescribeDiskReplicaPairs", RegionId=site.region)["ReplicaPairs"]

    def test_delete_of_a_failed_over_pair_whose_primary_is_lost(self):
        """The promoted site ends the relation alone; the other one follows when it is there again."""
        pair, source, target = self.started_pair()
        before = self.paris.image_digest(source)
        self.paris.kill()
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.attach(target)
        self.write(self.lyon, target, 2, offset=4 * MIB)
        after = self.lyon.image_digest(target)
        self.lyon.verso("pair", "delete", pair, "-q", "--timeout", "60")
        self.lyon.kill()
        self.lyon.start()
        self.lyon.wait_export(target)
        self.assertEqual(self.lyon.image_digest(target), after)
        self.paris.start()
        wait_until(lambda: not self.pairs(self.paris), "the pair is gone at paris")
        self.paris.wait_export(source)
        self.assertEqual(self.paris.image_digest(source), before)


if __name__ == "__main__":
    main()
