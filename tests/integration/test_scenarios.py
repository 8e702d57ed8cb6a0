#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Odd turns that an operator may take, over real daemons: each was a defect once, or a suspicion."""
import fcntl
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

    def test_a_pair_that_the_other_site_deleted_while_apart(self):
        """Failed over meanwhile, the group goes on without it, in the other direction; what the old source holds stays
        as a snapshot."""
        group, sources, targets = self.lab.group(2, 8 * MIB)
        for number, disk in enumerate(sources):
            self.write(self.paris, disk, number)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        self.paris.verso("group", "stop", group, "-q")
        left = next(pair["ReplicaPairId"] for pair in self.pairs(self.paris) if pair["SourceDiskId"] == sources[0])
        self.lyon.kill()
        wait_until(lambda: not self.paris.api_call("DescribeVersoStatus")["Peers"][0]["IsUp"], "paris is alone")
        self.paris.verso("group", "remove", group, left, "-q")
        self.paris.verso("pair", "delete", left, "-q")
        self.write(self.paris, sources[1], 20, offset=4 * MIB)
        lost = self.paris.image_digest(sources[1])
        self.paris.kill()
        self.lyon.start()
        self.lyon.verso("group", "failover", group, "-q")
        for number, disk in enumerate(targets):
            self.lyon.attach(disk)
            self.write(self.lyon, disk, 30 + number, offset=5 * MIB)
        expected = self.images(self.lyon, targets)
        self.paris.start()
        self.lab.wait_link()
        wait_until(lambda: any(pair.get("StatusMessage") == "DeviceRemoved" for pair in self.pairs(self.lyon)),
                   "lyon hears of the deletion")
        for disk in sources:
            self.paris.verso("disk", "detach", disk)
        _, text = self.lyon.verso_fails("group", "reprotect", group, "-q")
        self.assertIn(f"remove pair {left}", text)
        self.lyon.verso("group", "remove", group, left, "-q")
        self.lyon.verso("pair", "delete", left, "-q")
        self.lyon.verso("group", "reprotect", group, "-q", "--timeout", "60")
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.lyon.verso("group", "start", group, "-q")
        self.wait_point(self.lyon, group)
        kept = self.paris.api_call("DescribeDiskAccess", DiskId=sources[1])["Disk"]["Snapshots"]
        self.assertEqual([self.paris.image_digest(one["ExportName"]) for one in kept], [lost])
        self.write(self.lyon, targets[1], 40)
        expected = self.lyon.image_digest(targets[1])
        self.lyon.verso("group", "stop", group, "-q")
        self.lyon.verso("group", "start", group, "--one-shot", "-q", "--timeout", "60")
        self.lyon.verso("disk", "detach", targets[1])
        self.paris.verso("group", "failover", group, "-q")
        self.paris.attach(sources[1])
        self.assertEqual(self.paris.image_digest(sources[1]), expected)

    def test_disks_of_a_group_that_ended_unopened_are_open_again(self):
        """One disk is lost, so that the start closes its group; the others' hosts do not wait for another start."""
        group, sources, _ = self.lab.group(2, 8 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        raw = self.paris.data / "disks" / f"{sources[0]}.raw"
        self.paris.stop()
        raw.unlink()
        self.paris.start()
        access = self.paris.api_call("DescribeDiskAccess", DiskId=sources[0])["Disk"]
        self.assertEqual(access["Path"], str(raw))
        self.assertIn(str(raw), access["Why"])
        self.assertFalse(self.paris.is_exported(sources[1]))
        self.paris.verso("group", "forget", group, "--force", "erp", "--reason", "the disk is lost", "-q")
        self.paris.wait_export(sources[1])
        self.write(self.paris, sources[1], 1)
        self.assertEqual(self.paris.api_call("DescribeDiskAccess", DiskId=sources[1])["Disk"]["Why"], "")
        self.assertIn(str(raw), self.paris.api_call("DescribeDiskAccess", DiskId=sources[0])["Disk"]["Why"])

    def test_import_of_the_sites_own_file(self):
        """Its database is no disk for hosts, whatever the path says."""
        alias = self.lab.folder / "alias"
        alias.symlink_to(self.paris.data)
        for path in (self.paris.data / "site.db", alias / "site.db"):
            _, text = self.paris.verso_fails("api", "ImportDisk", "DiskName=own-file", f"Path={path}")
            self.assertIn("own data folder", text)
        link = self.lab.folder / "link"
        link.hardlink_to(self.paris.data / "disks" / f"{self.paris.disk('own', 4 * MIB)}.raw")
        _, text = self.paris.verso_fails("api", "ImportDisk", "DiskName=own-file", f"Path={link}")
        self.assertIn("own data folder", text)

    def test_one_store_is_one_disk(self):
        """Also while that disk is not open, and by another name of its file: its stream would not hear of the writes."""
        path, link, symlink = (self.lab.folder / name for name in ("one.raw", "link.raw", "symlink.raw"))
        path.write_bytes(bytes(4 * MIB))
        link.hardlink_to(path)
        symlink.symlink_to(path)
        disk = self.paris.verso("disk", "import", "--driver", "file", "--name", "one", "--path", path).strip()
        self.paris.stop()
        with open(path, "rb") as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            self.paris.start()
        for other in (path, link, symlink):
            _, text = self.paris.verso_fails("api", "ImportDisk", "DiskName=two", f"Path={other}")
            self.assertIn(f"in use by disk {disk}", text)

    def test_failover_over_a_damaged_journal_ends(self):
        """It fails, with the file's name as the reason, and is not tried for ever; the source goes on."""
        self.lyon.stop()
        self.lyon.replication = {"retain-time": "10m"}
        self.lab.configure()
        self.lyon.start()
        self.lab.wait_link()
        pair, source, target = self.started_pair(16 * MIB)
        for seed in range(3):
            self.write(self.paris, source, seed, size=MIB, offset=seed * MIB)
            self.wait_point(self.paris, pair)
        self.lyon.stop()
        segment = max((self.lyon.data / "streams" / pair / "journal").glob("*"), key=lambda file: file.stat().st_size)
        whole = segment.read_bytes()
        content = bytearray(whole)
        content[len(content) // 3] ^= 1
        segment.write_bytes(content)
        self.lyon.start()
        self.lyon.verso("pair", "failover", pair, "--no-wait", "-q")
        wait_until(lambda: self.lyon.status(pair)["Status"] == "failover_failed", "the failover fails", timeout=60)
        self.assertIn("damaged at offset", self.lyon.status(pair)["Trouble"])
        self.assertTrue(self.paris.is_exported(source))
        expected = self.paris.image_digest(source)
        state = self.lyon.data / "streams" / pair / "state"
        self.lyon.stop()
        state.rename(self.lyon.folder / "state")  # the stream cannot be opened, too
        self.lyon.start()
        _, text = self.lyon.verso_fails("pair", "failover", pair, "-q")
        self.assertRegex(text, "cannot be opened.*state.*restart")
        self.assertEqual(self.lyon.status(pair)["Status"], "failover_failed")
        self.lyon.stop()
        (self.lyon.folder / "state").rename(state)
        segment.write_bytes(whole)
        self.lyon.start()
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.attach(target)
        self.assertEqual(self.lyon.image_digest(target), expected)

    def test_a_cancel_without_room_for_what_is_lost_ends_later(self):
        """It fails and says why, keeps hosts off the loser's disk, and goes on when it is asked for again."""
        pair, source, target = self.started_pair()
        expected = self.paris.image_digest(source)
        self.paris.verso("disk", "detach", source)
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.attach(target)
        self.write(self.lyon, target, 3, offset=4 * MIB)
        lost = self.lyon.image_digest(target)
        self.lyon.verso("disk", "detach", target)
        layers = self.lyon.data / "layers"
        layers.rename(self.lyon.folder / "layers")
        layers.write_text("")
        self.lyon.verso_fails("pair", "cancel-failover", pair, "-q", "--timeout", "60")
        self.assertEqual(self.lyon.status(pair)["Status"], "reprotect_failed")
        self.assertIn("snapshot", self.lyon.status(pair)["Trouble"])
        _, text = self.lyon.verso_fails("pair", "failover", pair, "-q")
        self.assertIn("ask for the reprotect again", text)
        layers.unlink()
        (self.lyon.folder / "layers").rename(layers)
        self.lyon.verso("pair", "cancel-failover", pair, "-q", "--timeout", "60")
        kept = self.lyon.api_call("DescribeDiskAccess", DiskId=target)["Disk"]["Snapshots"]
        self.assertEqual([self.lyon.image_digest(one["ExportName"]) for one in kept], [lost])
        wait_until(lambda: self.paris.status(pair)["Status"] == "stopped", "paris hears of it")
        self.paris.verso("pair", "start", pair, "-q")
        self.wait_point(self.paris, pair)
        self.paris.attach(source)
        self.assertEqual(self.paris.image_digest(source), expected)

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
