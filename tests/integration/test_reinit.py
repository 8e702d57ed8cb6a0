#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ReInitDisk over a real daemon: the disk is empty afterwards, also when the daemon is killed in the middle of it; what
a snapshot of it shows stays."""
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

MIB = 1 << 20


class ReinitTest(LabCase):
    def write(self, site, disk, offset, seed, size=MIB):
        source = self.lab.folder / "bytes"
        source.write_bytes(random.Random(seed).randbytes(size))
        run("qemu-io", "-f", "raw", "-c", f"write -s {source} {offset} {size}", "-c", "flush", site.uri(disk))

    def reinit(self, disk):
        self.paris.api_call("ReInitDisk", Version="2014-05-26", DiskId=disk)

    def refused(self, disk):
        return self.paris.verso_fails("api", "ReInitDisk", "Version=2014-05-26", f"DiskId={disk}")[1]

    def status(self, disk):
        disks = self.paris.api_call("DescribeDisks", Version="2014-05-26", RegionId=self.paris.region,
                                    DiskIds=f'["{disk}"]')["Disks"]["Disk"]
        return disks[0]["Status"]

    def wait_empty(self, disk):
        """Hosts reach it only when it is."""
        wait_until(lambda: self.status(disk) == "In_use", f"{disk} is In_use", timeout=60)
        self.paris.wait_export(disk)

    def expect_zeros(self, disk, offset, size=MIB):
        done = subprocess.run(["qemu-io", "-f", "raw", "-r", "-c", f"read -P 0 {offset} {size}", self.paris.uri(disk)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("Pattern verification failed", done.stdout + done.stderr)

    def test_done(self):
        disk = self.paris.disk("scratch", 100 * MIB)
        self.assertIn("IncorrectDiskStatus", self.refused(disk))
        self.paris.attach(disk)
        for offset in (0, 31 * MIB, 63 * MIB + 4096, 99 * MIB):
            self.write(self.paris, disk, offset, offset)
        host = subprocess.Popen(["/usr/bin/python3", "-c", "import nbd, sys; h = nbd.NBD(); h.connect_uri(sys.argv[1]);"
                                 "print('there', flush=True); sys.stdin.read()", self.paris.uri(disk)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        host.stdout.readline()
        self.assertIn("IncorrectInstanceStatus", self.refused(disk))
        host.communicate("", timeout=60)
        wait_until(lambda: not self.connections(disk), "the host has gone")
        self.reinit(disk)
        self.wait_empty(disk)
        self.expect_zeros(disk, 0, 100 * MIB)
        allocated = (self.paris.data / "disks" / f"{disk}.raw").stat().st_blocks * 512
        self.assertLess(allocated, MIB, "what it held is given back")
        self.write(self.paris, disk, MIB, 1)
        self.paris.stop()
        self.paris.start()
        self.paris.wait_export(disk)
        done = subprocess.run(["qemu-io", "-f", "raw", "-r", "-c", f"read -P 0 {MIB} {MIB}", self.paris.uri(disk)],
                              capture_output=True, text=True)
        self.assertIn("Pattern verification failed", done.stdout + done.stderr, "what came later stays")

    def connections(self, disk):
        return self.paris.api_call("DescribeDiskAccess", DiskId=disk)["Disk"]["Connections"]

    def test_killed_in_the_middle(self):
        """256 GiB are 8192 pieces: a kill comes in the middle of them, or before, or behind."""
        size = 256 << 30
        disk = self.paris.disk("large", size)
        self.paris.attach(disk)
        chance = random.Random(7)
        for number in range(5):
            places = (0, size // 2, size - MIB)
            for offset in places:
                self.write(self.paris, disk, offset, number)
            wait_until(lambda: not self.connections(disk), "the host has gone")
            self.reinit(disk)
            time.sleep(chance.random() * 0.2)  # the moment of chance itself
            self.paris.kill()
            self.paris.start()
            self.wait_empty(disk)
            for offset in places:
                self.expect_zeros(disk, offset)

    def test_a_snapshot_stays(self):
        """Of a side that lost, kept at a reprotect."""
        group, sources, targets = self.lab.group(1, 48 * MIB)
        self.write(self.paris, sources[0], 40 * MIB, 1)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        self.paris.start()
        self.wait_role(self.paris, group, "fenced")
        self.paris.verso("disk", "detach", sources[0])
        self.lyon.verso("group", "reprotect", group, "-q", "--timeout", "60")
        shown = self.paris.api_call("DescribeDiskAccess", DiskId=sources[0])["Disk"]["Snapshots"]
        kept = self.paris.image_digest(shown[0]["ExportName"])
        self.paris.verso("group", "forget", group, "--force", "erp", "--reason", "used again", "--timeout", "60")
        self.paris.attach(sources[0])
        self.assertEqual(self.paris.image_digest(sources[0]), kept)
        wait_until(lambda: not self.connections(sources[0]), "the host has gone")
        self.reinit(sources[0])
        self.wait_empty(sources[0])
        self.expect_zeros(sources[0], 0, 48 * MIB)
        self.assertEqual(self.paris.image_digest(shown[0]["ExportName"]), kept)


if __name__ == "__main__":
    main()
