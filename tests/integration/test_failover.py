#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Groups and lone pairs over real daemons: first copy, failover, both reprotects, stop, restart, delete; every
image compared by the bytes that clients read."""
import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

MIB = 1 << 20


class FailoverTest(LabCase):
    def write(self, site, disk, seed, size=2 * MIB, offset=0):
        """Random bytes at an offset of an export, flushed."""
        source = self.lab.folder / "bytes"
        source.write_bytes(random.Random(seed).randbytes(size))
        run("qemu-io", "-f", "raw", "-c", f"write -s {source} {offset} {size}", "-c", "flush", site.uri(disk))

    def started_group(self, count=2, size=16 * MIB):
        group, sources, targets = self.lab.group(count, size)
        for number, disk in enumerate(sources):
            self.write(self.paris, disk, number)
        self.paris.verso("group", "start", group, "-q")
        return group, sources, targets

    def test_group_round_trip(self):
        """Loss, failover, reprotect, failback: nothing differs anywhere."""
        group, sources, targets = self.started_group(3)
        for number, disk in enumerate(sources):
            self.write(self.paris, disk, 10 + number, offset=5 * MIB)
        self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        for disk in targets:
            self.lyon.attach(disk)
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.write(self.lyon, targets[0], 20, offset=3 * MIB)
        self.paris.start()
        self.wait_role(self.paris, group, "fenced")
        for disk in sources:
            self.paris.verso("disk", "detach", disk)
        self.lyon.verso("group", "reprotect", group, "-q", "--timeout", "60")
        record = self.lyon.api_call("DescribeDiskReplicaGroups", RegionId=self.lyon.region)["ReplicaGroups"][0]
        self.assertEqual((record["SourceRegionId"], record["DestinationRegionId"], record["Status"]),
                         (self.lyon.region, self.paris.region, "stopped"))
        self.assertEqual((record["PrimaryRegion"], record["StandbyRegion"]), (self.paris.region, self.lyon.region))
        self.lyon.verso("group", "start", group, "-q")
        self.wait_point(self.lyon, group)
        expected = self.images(self.lyon, targets)
        self.move(self.lyon, self.paris, group, targets, sources)
        self.assertEqual(self.images(self.paris, sources), expected)

    def test_a_disk_that_is_away_at_a_start(self):
        """A stopped replication whose disk is missing for one life of the daemon (a device, a mount) is told, and kept:
        it could be failed over, and goes on by what differs, when the disk is back."""
        group, sources, targets = self.started_group()
        self.wait_point(self.paris, group)
        self.paris.verso("group", "stop", group, "-q")
        expected = self.images(self.paris, sources)
        for site, disk in ((self.lyon, targets[0]), (self.paris, sources[1])):
            site.stop()
            path, away = site.data / "disks" / f"{disk}.raw", site.folder / "away"
            path.rename(away)
            site.start()
            self.lab.wait_link()
            self.assertIn(f"disk {disk} is not open", site.status(group)["Trouble"])
            self.assertIn(f"open {path}: No such file", site.verso("disk", "show", disk))
            other = (targets[1] if disk in targets else sources[0])
            self.assertIn(f"{group}, which it belongs to, cannot be opened", site.verso("disk", "show", other))
            status, text = self.paris.verso_fails("group", "start", group)
            self.assertEqual((status, f"disk {disk} is not open" in text), (4, True), text)
            self.assertTrue((site.data / "streams" / group / "state").exists())
            site.stop()
            away.rename(path)
            site.start()
            self.lab.wait_link()
            self.assertEqual(site.status(group)["Trouble"], "")
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        for disk in targets:
            self.lyon.attach(disk)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def test_cancel_failover(self):
        """ReverseReplicate=false: the old direction goes on, what the target wrote is discarded but kept."""
        group, sources, targets = self.started_group()
        self.wait_point(self.paris, group)
        for disk in sources:
            self.paris.verso("disk", "detach", disk)
        self.lyon.verso("group", "failover", group, "-q")
        self.lyon.attach(targets[0])
        self.write(self.lyon, targets[0], 30, offset=MIB)
        kept = self.lyon.image_digest(targets[0])
        self.lyon.verso("disk", "detach", targets[0])
        self.lyon.verso("group", "cancel-failover", group, "-q", "--timeout", "60")
        self.wait_role(self.paris, group, "source")
        for disk in sources:
            self.paris.attach(disk)
        self.write(self.paris, sources[1], 31, offset=MIB)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        shown = self.lyon.api_call("DescribeDiskAccess", DiskId=targets[0])["Disk"]["Snapshots"]
        self.assertEqual(self.lyon.image_digest(shown[0]["ExportName"]), kept)
        expected = self.images(self.paris, sources)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def test_lone_pair_one_shot_and_stop(self):
        source, target = self.paris.disk("one", 8 * MIB), self.lyon.disk("one", 8 * MIB)
        pair = self.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target)
        self.paris.attach(source)
        self.write(self.paris, source, 1)
        self.paris.verso("pair", "start", pair, "--one-shot", "-q", "--timeout", "60")
        record = self.paris.api_call("DescribeDiskReplicaPairs", RegionId=self.paris.region)["ReplicaPairs"][0]
        self.assertEqual(record["Status"], "stopped")
        self.assertGreater(record["LastRecoverPoint"], 0)
        first = self.paris.image_digest(source)
        self.write(self.paris, source, 2)  # after the one shot: must not be at the target
        self.paris.kill()
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.attach(target)
        self.assertEqual(self.lyon.image_digest(target), first)

    def test_restart_of_both_goes_on(self):
        """Clean restart: no full copy, the source waits for its peer before it exports."""
        group, sources, _ = self.started_group()
        self.wait_point(self.paris, group)
        self.paris.stop()
        self.lyon.stop()
        self.paris.start()
        self.assertFalse(self.paris.is_exported(sources[0]), "a restarted source must wait for its peer")
        self.lyon.start()
        self.paris.wait_export(sources[0])
        self.write(self.paris, sources[0], 5, size=MIB)
        self.wait_point(self.paris, group)
        stream = self.paris.status(group)
        self.assertLess(stream["ShippedBytes"], 4 * MIB, "only the delta may travel after a clean restart")

    def test_both_promoted_then_healed(self):
        """Split brain by operators: each side's writes are kept, the chosen one wins."""
        group, sources, targets = self.started_group(1)
        self.wait_point(self.paris, group)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        self.lyon.attach(targets[0])
        self.write(self.lyon, targets[0], 40, offset=MIB)
        self.lyon.kill()
        self.paris.start()  # alone: holds, until an operator forces it open
        self.assertFalse(self.paris.is_exported(sources[0]))
        self.paris.verso("group", "force-open", group, "--reason", "test of a split")
        self.paris.wait_export(sources[0])
        self.write(self.paris, sources[0], 41, offset=2 * MIB)
        lost = self.paris.image_digest(sources[0])
        self.lyon.start()
        self.wait_role(self.paris, group, "fenced")
        wait_until(lambda: not self.paris.is_exported(sources[0]), "the stale source closed its export")
        self.paris.verso("disk", "detach", sources[0])
        self.lyon.verso("group", "reprotect", group, "-q", "--timeout", "60")
        shown = self.paris.api_call("DescribeDiskAccess", DiskId=sources[0])["Disk"]["Snapshots"]
        self.assertEqual(self.paris.image_digest(shown[0]["ExportName"]), lost)
        self.lyon.verso("group", "start", group, "-q")
        self.wait_point(self.lyon, group)
        expected = self.lyon.image_digest(targets[0])
        self.move(self.lyon, self.paris, group, targets, sources)
        self.assertEqual(self.paris.image_digest(sources[0]), expected)

    def test_forget_after_the_loss_of_production(self):
        """A failed-over group whose production site is lost is dissolved at the other one alone; hosts notice nothing.
        The lost site comes back after all: it does not open."""
        group, sources, targets = self.started_group(2)
        self.wait_point(self.paris, group)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        for disk in targets:
            self.lyon.attach(disk)
        self.write(self.lyon, targets[0], 50, offset=MIB)
        expected = self.images(self.lyon, targets)
        status, text = self.lyon.verso_fails("group", "forget", group, "--force", "erp2", "--reason", "fire")
        self.assertIn("erp", text)
        self.lyon.verso("group", "forget", group, "--force", "erp", "--reason", "paris burnt down", "--timeout", "60")
        self.assertIn("paris burnt down", self.lyon.log.read_text())
        self.assertIsNone(self.lyon.status())
        self.assertEqual(self.lyon.api_call("DescribeDiskReplicaPairs", RegionId=self.lyon.region)["ReplicaPairs"], [])
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.lyon.stop()
        self.lyon.start()
        for disk in targets:
            self.lyon.wait_export(disk)
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.paris.start()
        self.lab.wait_link()
        self.wait_role(self.paris, group, "fenced")
        for disk in sources:
            self.assertFalse(self.paris.is_exported(disk))
        self.assertIn("given up", self.paris.status(group)["Trouble"])
        self.paris.stop()
        self.paris.start()
        self.wait_role(self.paris, group, "fenced")
        self.assertFalse(self.paris.is_exported(sources[0]))
        self.assertIsNone(self.lyon.status())
        for disk in sources:
            self.paris.verso("disk", "detach", disk)
        self.paris.verso("group", "forget", group, "--force", group, "--reason", "lyon goes on", "--timeout", "60")
        self.paris.verso("disk", "delete", sources[0])

    def test_forget_with_a_damaged_journal(self):
        """What hosts saw must not go in silence: only by order."""
        self.lab.replication.update({"retain-time": "1h", "retain-bytes": "1G"})
        self.lab.configure()
        for site in (self.paris, self.lyon):
            site.stop()
            site.start()
        self.lab.wait_link()
        group, _, targets = self.started_group(1)
        self.wait_point(self.paris, group)
        self.write(self.paris, self.paris.api_call("DescribeDiskReplicaPairs", RegionId=self.paris.region)
                   ["ReplicaPairs"][0]["SourceDiskId"], 60, offset=4 * MIB)
        self.wait_point(self.paris, group)
        self.paris.kill()
        self.lyon.kill()
        for segment in (self.lyon.data / "streams" / group / "journal").iterdir():
            with open(segment, "r+b") as journal:
                journal.seek(100000)
                journal.write(b"damaged")
        self.lyon.start()
        self.lyon.verso("disk", "list")
        status, text = self.lyon.verso_fails("group", "forget", group, "--force", "erp", "--reason", "damaged",
                                             "--timeout", "30")
        self.assertIn("journal", text)
        told = self.lyon.status(group)
        self.assertEqual(told["Status"], "delete_failed")
        self.assertIn("repair that and restart the daemon, or give it up: forget, --discard-journal", told["Trouble"])
        self.assertIn("--discard-journal", self.lyon.verso("status"))
        # Not asked at the lost site: it is ended here, or refused for what is known here.
        status, text = self.lyon.verso_fails("group", "delete", group, "-y", "--timeout", "30")
        self.assertEqual(status, 4, text)
        self.lyon.verso("group", "forget", group, "--force", "erp", "--reason", "damaged", "--discard-journal",
                        "--timeout", "30")
        self.lyon.attach(targets[0])

    def test_forget_after_a_failed_failover(self):
        """A host that was attached while the failover was under way does not get the disk by a Forget, and the other
        site's source, which goes on, is not fenced."""
        self.lab.replication.update({"retain-time": "1h", "retain-bytes": "1G"})
        self.lab.configure()
        for site in (self.paris, self.lyon):
            site.stop()
            site.start()
        self.lab.wait_link()
        group, sources, targets = self.started_group(1)
        self.wait_point(self.paris, group)
        self.write(self.paris, sources[0], 60, offset=4 * MIB)
        self.wait_point(self.paris, group)
        self.paris.stop()
        self.lyon.kill()
        for segment in (self.lyon.data / "streams" / group / "journal").iterdir():
            with open(segment, "r+b") as journal:
                journal.seek(100000)
                journal.write(b"damaged")
        self.lyon.start()
        self.lyon.verso("group", "failover", group, "-q", "--no-wait", check=False)
        self.lyon.verso("disk", "attach", targets[0], "--instance", "i-9", "--no-wait")
        wait_until(lambda: self.lyon.status(group)["Status"] == "failover_failed", "the failover has failed", 120)
        self.assertFalse(self.lyon.is_exported(targets[0]))
        forget = ("group", "forget", group, "--force", "erp", "--reason", "damaged", "--discard-journal",
                  "--timeout", "30")
        status, text = self.lyon.verso_fails(*forget)
        self.assertIn(f"Disk {targets[0]} is attached", text)
        self.assertFalse(self.lyon.is_exported(targets[0]))
        self.lyon.verso("disk", "detach", targets[0])
        self.lyon.verso(*forget)
        self.paris.start()
        self.lab.wait_link()
        wait_until(lambda: self.paris.status(group)["Status"] == "invalid", "paris has heard of it")
        self.paris.wait_export(sources[0])
        self.write(self.paris, sources[0], 61)

    def test_delete_leaves_ordinary_disks(self):
        group, sources, targets = self.started_group(1)
        self.wait_point(self.paris, group)
        expected = self.paris.image_digest(sources[0])
        pair = self.paris.api_call("DescribeDiskReplicaPairs", RegionId=self.paris.region)["ReplicaPairs"][0]
        self.paris.verso("group", "stop", group, "-q")
        self.paris.verso("group", "remove", group, pair["ReplicaPairId"])
        self.paris.verso("group", "delete", group, "-q")
        self.paris.verso("pair", "delete", pair["ReplicaPairId"], "-q", "--timeout", "60")
        wait_until(lambda: not self.lyon.api_call("DescribeDiskReplicaPairs",
                                                  RegionId=self.lyon.region)["ReplicaPairs"], "gone at lyon")
        self.lyon.attach(targets[0])
        self.assertEqual(self.lyon.image_digest(targets[0]), expected)
        raw = self.lyon.data / "disks" / f"{targets[0]}.raw"
        self.assertEqual(os.stat(raw).st_size, 16 * MIB)


if __name__ == "__main__":
    main()
