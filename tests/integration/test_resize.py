#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ResizeDisk of replicated disks over real daemons: both sites grow under a writing host and the replication goes on, in
both directions; killed at any moment it goes on when it is asked again; refused it leaves everything as it was."""
import os
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

MIB = 1 << 20


class Writer:
    """A host that writes all the time, connected as long as it is let."""

    SCRIPT = ("import sys, select\n"
              "n = 0\n"
              "print('there', flush=True)\n"
              "while not select.select([sys.stdin], [], [], 0)[0]:\n"
              "    n += 1\n"
              "    h.pwrite(n.to_bytes(4, 'little') * 1024, n % 1024 * 4096)\n"
              "h.flush()\n"
              "print(n, flush=True)\n")

    def __init__(self, uri):
        environment = dict(os.environ, PATH="/usr/bin:/bin")  # the python3 that has the binding of nbdsh
        self.process = subprocess.Popen(["nbdsh", "-u", uri, "-c", self.SCRIPT], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, env=environment)
        self.process.stdout.readline()

    def end(self):
        """How many writes it did; it must not have been disturbed."""
        out, _ = self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0, "the host lost its connection"
        return int(out)


class ResizeTest(LabCase):
    def resize(self, site, disk, size, check=True):
        return site.api_call("ResizeDisk", check=check, Version="2014-05-26", DiskId=disk, NewSizeBytes=size)

    def refused(self, site, disk, size):
        words = ["api", "ResizeDisk", "Version=2014-05-26", f"DiskId={disk}", f"NewSizeBytes={size}"]
        return site.verso_fails(*words)[1]

    def size(self, site, disk):
        """What its record says; where hosts reach it, the export as well."""
        shown = site.api_call("DescribeDiskAccess", DiskId=disk)["Disk"]["SizeBytes"]
        if site.is_exported(disk):
            self.assertEqual(int(subprocess.check_output(["nbdinfo", "--size", site.uri(disk)])), shown)
        return shown

    def write(self, site, disk, seed, offset, size=MIB):
        source = self.lab.folder / "bytes"
        source.write_bytes(random.Random(seed).randbytes(size))
        run("qemu-io", "-f", "raw", "-c", f"write -s {source} {offset} {size}", "-c", "flush", site.uri(disk))

    def started(self, count=1, size=16 * MIB):
        group, sources, targets = self.lab.group(count, size)
        for number, disk in enumerate(sources):
            self.write(self.paris, disk, number, MIB)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        return group, sources, targets

    def expect_size(self, disks, size):
        for site, disk in zip((self.paris, self.lyon), disks):
            wait_until(lambda: self.size(site, disk) == size, f"{disk} has {size} bytes at {site.name}")

    def test_grows_under_a_host_and_turns_round(self):
        group, sources, targets = self.started(2)
        host = Writer(self.paris.uri(sources[0]))
        self.assertTrue(self.resize(self.paris, sources[0], 40 * MIB)["OrderId"])
        self.expect_size((sources[0], targets[0]), 40 * MIB)
        self.write(self.paris, sources[0], 10, 39 * MIB)
        self.assertGreater(host.end(), 0)
        self.wait_point(self.paris, group)
        pair = self.paris.api_call("DescribeDiskReplicaPairs", RegionId=self.paris.region)["ReplicaPairs"][0]
        self.assertEqual(pair["Status"], "normal")
        expected = self.images(self.paris, sources)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        for disk in targets:
            self.lyon.attach(disk)
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.refused(self.lyon, targets[0], 50 * MIB)
        self.write(self.lyon, targets[0], 11, 30 * MIB)
        self.paris.start()
        self.wait_role(self.paris, group, "fenced")
        for disk in sources:
            self.paris.verso("disk", "detach", disk)
        self.lyon.verso("group", "reprotect", group, "-q", "--timeout", "60")
        self.lyon.verso("group", "start", group, "-q")
        self.wait_point(self.lyon, group)
        self.resize(self.lyon, targets[0], 48 * MIB)  # with a snapshot of the loser beside it
        self.expect_size((sources[0], targets[0]), 48 * MIB)
        self.write(self.lyon, targets[0], 12, 47 * MIB)
        self.wait_point(self.lyon, group)
        expected = self.images(self.lyon, targets)
        self.move(self.lyon, self.paris, group, targets, sources)
        self.assertEqual(self.images(self.paris, sources), expected)

    def test_killed_in_it(self):
        """Either daemon dies at a moment of chance; asked again both have the size, and the same bytes."""
        group, sources, targets = self.started()
        size, chance = 16 * MIB, random.Random(7)
        for number in range(8):
            victim = (self.paris, self.lyon)[number % 2]
            size += 4 * MIB + 4096
            words = ["api", "ResizeDisk", "Version=2014-05-26", f"DiskId={sources[0]}", f"NewSizeBytes={size}"]
            asked = subprocess.Popen([self.lab.build / "verso", "--socket", self.paris.api, *words],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * 0.06)  # the moment of chance itself
            victim.kill()
            asked.wait(60)
            victim.start()
            self.paris.wait_export(sources[0])
            wait_until(lambda: self.can_resize(sources[0], size), "it grows when it is asked again", timeout=60)
            self.expect_size((sources[0], targets[0]), size)
            self.write(self.paris, sources[0], number, size - MIB)
            self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def can_resize(self, disk, size):
        """False: not yet, the sites have not met again."""
        answer = subprocess.run([self.lab.build / "verso", "--socket", self.paris.api, "api", "ResizeDisk",
                                 "Version=2014-05-26", f"DiskId={disk}", f"NewSizeBytes={size}"],
                                capture_output=True, text=True)
        return answer.returncode == 0

    def test_the_other_site_is_away(self):
        _, sources, targets = self.started()
        self.lyon.stop()
        self.assertIn("RequestTimeout", self.refused(self.paris, sources[0], 20 * MIB))
        self.assertEqual(self.size(self.paris, sources[0]), 16 * MIB)
        self.lyon.start()
        self.assertEqual(self.size(self.lyon, targets[0]), 16 * MIB)
        self.assertIn("InReplication", self.refused(self.lyon, targets[0], 20 * MIB))
        wait_until(lambda: self.can_resize(sources[0], 20 * MIB), "it grows once the other site is there")
        self.expect_size((sources[0], targets[0]), 20 * MIB)

    def test_no_room_at_the_other_site(self):
        """Its file system has an end that this site's has not: a limit on the size of its files."""
        self.lyon.stop()
        self.lyon.wrapper = ["prlimit", f"--fsize={64 * MIB}", "sh", "-c", "trap \"\" XFSZ; exec \"$@\"", "sh"]
        self.lyon.start()
        group, sources, targets = self.started()
        self.assertIn("InvalidDiskSize.TooLarge", self.refused(self.paris, sources[0], 80 * MIB))
        self.assertEqual(self.size(self.paris, sources[0]), 16 * MIB)
        self.write(self.paris, sources[0], 3, 5 * MIB)
        self.wait_point(self.paris, group)
        self.resize(self.paris, sources[0], 32 * MIB)
        self.expect_size((sources[0], targets[0]), 32 * MIB)

    def test_strict(self):
        self.paris.stop()
        self.paris.api_options = {"strict": "yes"}
        self.paris.write_config(self.lyon)
        self.paris.start()
        self.lab.wait_link()
        _, sources, targets = self.started()
        self.assertIn("IncorrectDiskStatus.InReplication", self.refused(self.paris, sources[0], 20 * MIB))
        self.assertEqual(self.size(self.lyon, targets[0]), 16 * MIB)


if __name__ == "__main__":
    main()
