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

    def test_a_disk_whose_stream_did_not_open_is_closed(self):
        """One disk of a group is missing at a start: writes to the others would be remembered by nobody."""
        group, sources, targets = self.lab.group(2, 8 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        raw = self.paris.data / "disks" / f"{sources[0]}.raw"
        aside = self.lab.folder / "aside"
        self.paris.stop()
        raw.rename(aside)
        self.paris.start()
        self.lab.wait_link()
        self.assertIn(sources[0], self.paris.status(group)["Trouble"])
        self.assertFalse(self.paris.is_exported(sources[1]))
        self.paris.verso("disk", "detach", sources[1])
        self.paris.verso("disk", "attach", sources[1], "--instance", "i-lab", "-q", check=False)
        self.assertFalse(self.paris.is_exported(sources[1]))
        self.paris.stop()
        aside.rename(raw)
        self.paris.start()
        self.paris.verso("disk", "attach", sources[1], "--instance", "i-lab", "-q", check=False)
        for number, disk in enumerate(sources):
            self.paris.wait_export(disk)
            self.write(self.paris, disk, number)
        self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def test_reprotect_waits_for_the_repair_of_the_other_end(self):
        """A stream that is gone at the old source: no reprotect that could never end; delete is the way out."""
        pair, source, target = self.started_pair()
        expected = self.paris.image_digest(source)
        self.paris.stop()
        (self.paris.data / "streams" / pair / "state").unlink()
        self.paris.start()
        self.lab.wait_link()
        self.paris.verso("disk", "detach", source)
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.attach(target)
        _, text = self.lyon.verso_fails("pair", "reprotect", pair, "-q")
        self.assertIn("state", text)
        self.assertEqual(self.lyon.status(pair)["Status"], "failovered")
        self.lyon.verso("pair", "delete", pair, "-q", "--timeout", "60")
        self.assertEqual(self.lyon.image_digest(target), expected)
        wait_until(lambda: not self.pairs(self.paris), "the pair is gone at paris")
        self.paris.stop()
        self.paris.start()
        self.paris.attach(source)
        self.assertEqual(self.paris.image_digest(source), expected)

    def test_import_of_the_sites_own_file(self):
        """Its database is no disk for hosts, whatever the path says."""
        alias = self.lab.folder / "alias"
        alias.symlink_to(self.paris.data)
        for path in (self.paris.data / "site.db", alias / "site.db"):
            _, text = self.paris.verso_fails("api", "ImportDisk", "DiskName=own-file", f"Path={path}")
            self.assertIn("own data folder", text)

    def test_failover_over_a_damaged_journal_ends(self):
        """It fails, with the file's name as the reason, and is not tried for ever; the source goes on."""
        self.lyon.stop()
        self.lyon.replication = {"retain-time": "10m"}
        self.lab.configure()
        self.lyon.start()
        self.lab.wait_link()
        pair, source, _ = self.started_pair(16 * MIB)
        for seed in range(3):
            self.write(self.paris, source, seed, size=MIB, offset=seed * MIB)
            self.wait_point(self.paris, pair)
        self.lyon.stop()
        segment = max((self.lyon.data / "streams" / pair / "journal").glob("*"), key=lambda file: file.stat().st_size)
        content = bytearray(segment.read_bytes())
        content[len(content) // 3] ^= 1
        segment.write_bytes(content)
        self.lyon.start()
        self.lyon.verso("pair", "failover", pair, "--no-wait", "-q")
        wait_until(lambda: self.lyon.status(pair)["Status"] == "failover_failed", "the failover fails", timeout=60)
        self.assertIn("damaged at offset", self.lyon.status(pair)["Trouble"])
        self.assertTrue(self.paris.is_exported(source))

    def test_progress_of_a_first_copy_moves(self):
        """A first copy is acknowledged as one; what is told meanwhile is what has been shipped."""
        size = 512 * MIB
        image = self.lab.folder / "image"
        with open(image, "wb") as out:
            for seed in range(size // MIB):
                out.write(random.Random(seed).randbytes(MIB))
        source = self.paris.verso("disk", "import", "--name", "full", "--path", image)
        target = self.lyon.disk("full", size)
        pair = self.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target)
        self.paris.verso("pair", "start", pair, "--no-wait", "-q")
        seen = []

        def is_normal():
            seen.append(self.paris.api_call("DescribeDiskReplicaPairProgress", RegionId=self.paris.region,
                                            ReplicaPairId=pair)["Progress"])
            return self.pairs(self.paris)[0]["Status"] == "normal"
        wait_until(is_normal, "the first copy ends", timeout=120)
        self.assertTrue(any(0 < progress < 100 for progress in seen), seen)
        moving = [progress for progress in seen if progress < 100]
        self.assertEqual(moving, sorted(moving))


if __name__ == "__main__":
    main()
