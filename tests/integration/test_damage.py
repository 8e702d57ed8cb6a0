#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files of the data folder that are gone when the daemon starts: what an operator is told (status, record of events,
answers), and that nothing older is shown for the newest."""
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Failure, Lab, run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

MIB = 1 << 20


class DamageTest(LabCase):
    def make_lab(self):
        return Lab(replication={"retain-time": "10m"})

    def replicate(self):
        """A group with a recovery point, and one behind it; what the disk held at both."""
        group, sources, targets = self.lab.group(1, 16 * MIB)
        held = []
        for pattern in (1, 2):
            run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} 0 1M", "-c", "flush", self.paris.uri(sources[0]))
            if pattern == 1:
                self.paris.verso("group", "start", group, "-q")
            self.paris.verso("wait", group, "--for", "recovery-point", "-q")
            held.append(self.paris.image_digest(sources[0]))
        return group, sources, targets, held

    def restore_old(self, site):
        """Replicates, and puts a copy of before into the place of the site's data folder."""
        group, sources, targets, _ = self.replicate()
        site.stop()
        run("cp", "-a", "--sparse=always", site.data, site.folder / "old")
        site.start()
        self.lab.wait_link()
        self.paris.wait_export(sources[0])
        run("qemu-io", "-f", "raw", "-c", "write -P 3 0 1M", "-c", "flush", self.paris.uri(sources[0]))
        self.paris.verso("wait", group, "--for", "recovery-point", "-q")
        site.stop()
        shutil.rmtree(site.data)
        (site.folder / "old").rename(site.data)
        site.start()
        return group, sources, targets

    def test_old_copy_of_a_source(self):
        group, sources, _ = self.restore_old(self.paris)
        wait_until(lambda: "stale: " in self.paris.status(group)["Trouble"], "the source knows that it is old")
        wait_until(lambda: "why not          stale: the other site has newer data" in
                   self.paris.verso("disk", "show", sources[0]), "who asks for the disk is told that it is old")
        self.assertFalse(self.paris.is_exported(sources[0]))

    def told(self, site, object_id, kind="trouble"):
        return site.verso("event", "list", "--object", object_id, "--kind", kind, "--severity", "warning")

    def test_journal_of_a_target(self):
        """Without it the disks are older than what was stored: not opened, told, and given up by a person's word only."""
        group, _, targets, held = self.replicate()
        self.lyon.stop()
        for segment in self.lyon.data.glob("streams/*/journal/*.seg"):
            segment.unlink()
        self.lyon.start()
        wait_until(lambda: "lacks epoch" in self.lyon.status(group)["Trouble"], "the status says what is missing")
        self.assertFalse(self.lyon.status(group)["IsOpen"])
        self.assertIn("no: not open", self.lyon.verso("status"))
        wait_until(lambda: "lacks epoch" in self.told(self.lyon, group), "the record of events says it")
        self.paris.kill()
        _, text = self.lyon.verso_fails("group", "failover", group, "-q")
        self.assertIn("failover_failed: ", text)
        self.assertIn("lacks epoch", text)
        _, text = self.lyon.verso_fails("group", "forget", group, "--force", "erp", "--reason", "the site burnt")
        self.assertIn("lacks epoch", text)
        self.assertFalse(self.lyon.is_exported(targets[0]))
        self.lyon.verso("group", "forget", group, "--force", "erp", "--reason", "the site burnt", "--discard-journal")
        self.lyon.attach(targets[0])
        self.assertEqual(self.lyon.image_digest(targets[0]), held[0])

    def test_site_db(self):
        """Without it nothing in the folder has a name: no start with an empty one, which the peer would hear of."""
        self.replicate()
        self.paris.stop()
        for path in self.paris.data.glob("site.db*"):
            path.rename(self.paris.folder / path.name)
        with self.assertRaises(Failure):
            self.paris.start()
        self.assertIn("site.db is missing", self.paris.log_tail().splitlines()[-1])
        self.assertFalse((self.paris.data / "site.db").exists())
        for path in self.paris.folder.glob("site.db*"):
            path.rename(self.paris.data / path.name)
        self.paris.start()

    def test_disk_of_a_target(self):
        group, _, targets, _ = self.replicate()
        self.lyon.stop()
        (self.lyon.data / "disks" / f"{targets[0]}.raw").unlink()
        self.lyon.start()
        for one in (targets[0], group):
            self.assertIn("cannot be opened", self.told(self.lyon, one, "left_out"))
        self.paris.kill()
        _, text = self.lyon.verso_fails("group", "failover", group, "-q")
        self.assertIn(f"disk {targets[0]} is not open", text)
        self.assertIn("restart versod", text)
        self.assertIn("no: not open", self.lyon.verso("status"))


if __name__ == "__main__":
    main()
