#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No space: in the data store, the journal (its limit, and the file system under it), the spill. Hosts of the source
get errors only for their own store; the rest is told by name, keeps the last recovery point, and heals."""
import errno
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Lab, Skip, run, wait_until  # noqa: E402
from lab_case import LabCase, main, skip_guard  # noqa: E402

MIB = 1 << 20


class FullTest(LabCase):
    start_lab = False

    def small_tmpfs(self, path, size):
        if os.geteuid() != 0:
            raise Skip("mounting a tmpfs needs root")
        path.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
        self.lab.defer(lambda: subprocess.run(["umount", "-l", str(path)], capture_output=True))

    def restart(self, site, **replication):
        site.replication = {key.replace("_", "-"): value for key, value in replication.items()}
        site.write_config(self.lyon if site is self.paris else self.paris)
        if site.process:
            site.stop()
        site.start()

    def write(self, site, disk, pattern, offset, size, check=True):
        return run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {size}", "-c", "flush", site.uri(disk),
                   check=check)

    @skip_guard
    def test_data_full(self):
        self.small_tmpfs(self.paris.data / "disks", "16m")
        self.lab.start()
        full, other = self.paris.disk("full", 64 * MIB), self.paris.disk("other", MIB)
        self.paris.attach(full), self.paris.attach(other)
        seen = self.write(self.paris, full, 1, 0, 32 * MIB, check=False)
        self.assertNotIn("wrote", seen)
        run("qemu-io", "-f", "raw", "-c", "discard 0 32M", "-c", "flush", self.paris.uri(full))
        self.write(self.paris, full, 2, 0, 4 * MIB)  # freed space is used again, without a restart
        self.write(self.paris, other, 3, 0, MIB)

    @skip_guard
    def test_small_data_folder(self):
        """What is kept for a failover is no reason to leave nothing for a start."""
        self.small_tmpfs(self.paris.data, "16m")
        self.lab.start()
        self.paris.stop()
        self.paris.start()
        self.paris.attach(self.paris.disk("small", MIB))

    def check_blocked_then_healed(self, group, sources, targets, heal):
        """A delta larger than the journal may hold: named, the last point kept, hosts undisturbed, healed by space."""
        first = self.images(self.paris, sources)
        self.write(self.paris, sources[0], 9, 0, 12 * MIB)
        wait_until(lambda: "needs" in self.paris.status(group)["Trouble"], "the source tells what the journal needs")
        self.write(self.paris, sources[0], 8, 0, MIB)
        self.assertTrue(self.lyon.status(group)["HasPoint"])
        heal()
        self.wait_point(self.paris, group)
        self.assertEqual(self.paris.status(group)["Trouble"], "")
        expected = self.images(self.paris, sources)
        self.assertNotEqual(first, expected)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def test_journal_limit(self):
        self.lyon.replication = {"journal-max": "4M", "retain-bytes": "1M", "retain-time": "0"}
        self.lab.configure()
        self.lab.start()
        group, sources, targets = self.lab.group(1, 16 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.check_blocked_then_healed(group, sources, targets,
                                       lambda: self.restart(self.lyon, journal_max="64M"))

    @skip_guard
    def test_journal_disk_full(self):
        self.small_tmpfs(self.lyon.data / "streams", "6m")
        self.lab.start()
        group, sources, targets = self.lab.group(1, 16 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.check_blocked_then_healed(
            group, sources, targets,
            lambda: run("mount", "-o", "remount,size=128m", self.lyon.data / "streams"))

    @skip_guard
    def test_copy_does_not_fit(self):
        """The first copy finds no room: both sites name the disk, and it goes on by itself."""
        disks = self.lyon.data / "disks"
        self.small_tmpfs(disks, "4m")
        self.lab.start()
        group, sources, targets = self.lab.group(1, 16 * MIB)
        self.write(self.paris, sources[0], 9, 0, 8 * MIB)
        self.paris.verso("group", "start", group, "--no-wait", "-q")
        named = f"no room at the target in the store of disk {targets[0]}"
        wait_until(lambda: named in self.paris.status(group)["Trouble"], "the source tells which disk is full")
        wait_until(lambda: self.lyon.status(group)["FullDiskId"] == targets[0], "the target's status tells it")
        self.assertEqual(self.lyon.status(group)["JournalNeededBytes"], 0)
        run("mount", "-o", "remount,size=128m", disks)
        self.wait_point(self.paris, group)
        self.assertEqual(self.paris.status(group)["Trouble"], "")
        self.assertEqual(self.lyon.status(group)["FullDiskId"], "")
        expected = self.images(self.paris, sources)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def wait_spare(self, group):
        """What a failover needs is kept: the last of it is there, with all its room."""
        spare = self.lyon.data / "streams" / group / "superseded.volatile.spare"
        wait_until(lambda: spare.exists() and spare.stat().st_blocks * 512 >= spare.stat().st_size > 0,
                   "what a failover needs is kept")

    def fill(self, folder):
        """To the last byte, and again while the daemon lets go of some. What frees room later stays free."""
        wait_until(lambda: self.fill_once(folder), f"{folder} is full")

    def fill_once(self, folder):
        ballast = os.open(folder / "ballast", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        size = MIB
        while size >= 1:
            try:
                if os.write(ballast, b"b" * size) < size:
                    size //= 2
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                size //= 2
        os.close(ballast)
        return os.statvfs(folder).f_bfree == 0

    @skip_guard
    def test_failover_into_a_full_folder(self):
        """The target's data folder is full to the last byte; its disks lie elsewhere. It fails over all the same, hosts
        write and flush, the journal reaches the disks, and the old source's disks follow."""
        self.small_tmpfs(self.lyon.data, "192m")
        self.small_tmpfs(self.lyon.data / "disks", "128m")
        self.lab.start()
        group, sources, targets = self.lab.group(2, 16 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.write(self.paris, sources[0], 7, 0, 4 * MIB)
        self.write(self.paris, sources[1], 8, 8 * MIB, MIB)
        self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        stream = self.lyon.data / "streams" / group
        self.wait_spare(group)
        self.fill(self.lyon.data)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        for disk in targets:
            self.lyon.attach(disk)
            self.lyon.wait_export(disk)
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.write(self.lyon, targets[0], 9, MIB, 2 * MIB)
        self.write(self.lyon, targets[1], 10, 0, 16 * MIB)
        wait_until(lambda: not list(stream.glob("superseded*")), "the journal is in the disks")
        written = self.images(self.lyon, targets)
        self.lyon.kill()
        self.lyon.start()
        for disk in targets:
            self.lyon.wait_export(disk)
        self.assertEqual(self.images(self.lyon, targets), written)

    @skip_guard
    def test_failover_where_the_disks_are_full_too(self):
        """One file system for all: hosts get ENOSPC where a disk needs room, what is there is read and written over."""
        self.small_tmpfs(self.lyon.data, "192m")
        self.lab.start()
        group, sources, targets = self.lab.group(1, 16 * MIB)
        self.write(self.paris, sources[0], 7, 0, 4 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        self.wait_spare(group)
        self.fill(self.lyon.data)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        self.lyon.attach(targets[0])
        self.lyon.wait_export(targets[0])
        self.assertEqual(self.images(self.lyon, targets), expected)
        self.write(self.lyon, targets[0], 9, 0, MIB)
        seen = run("qemu-io", "-f", "raw", "-c", f"write -P 8 {12 * MIB} {MIB}", self.lyon.uri(targets[0]), check=False)
        self.assertNotIn("wrote", seen)
        (self.lyon.data / "ballast").unlink()
        self.write(self.lyon, targets[0], 8, 12 * MIB, MIB)

    @skip_guard
    def test_no_room_for_a_failover_is_told(self):
        self.small_tmpfs(self.lyon.data / "streams", "3m")
        self.lab.start()
        group, _, _ = self.lab.group(1, 4096 * MIB)  # superseded blocks of which may take 660 KiB
        ballast = self.lyon.data / "streams" / "ballast"
        ballast.write_bytes(b"b" * (2 * MIB + 600 * 1024))
        self.paris.verso("group", "start", group, "--no-wait", "-q")
        wait_until(lambda: "no room for what it needs" in (self.lyon.status(group) or {}).get("Trouble", ""), "it is told")
        ballast.unlink()
        self.wait_spare(group)  # it is made when there is room
        wait_until(lambda: self.lyon.status(group)["Trouble"] == "", "nothing is told any more")

    def test_spill_full(self):
        """The stash overflows: the epoch is aborted and merged, no write fails, the sites converge."""
        self.paris.replication = {"stash-memory": "1M", "stash-disk": "1M", "bandwidth": "4M"}
        self.lab.configure()
        self.lab.start()
        group, sources, targets = self.lab.group(1, 16 * MIB)
        self.paris.verso("group", "start", group, "-q")
        for turn in range(6):
            self.write(self.paris, sources[0], 20 + turn, 0, 8 * MIB)
        self.restart_bandwidth()
        self.wait_point(self.paris, group)
        expected = self.images(self.paris, sources)
        self.move(self.paris, self.lyon, group, sources, targets)
        self.assertEqual(self.images(self.lyon, targets), expected)

    def restart_bandwidth(self):
        self.restart(self.paris, stash_memory="1M", stash_disk="1M")
        self.lab.wait_link()
        for disk in [one["DiskId"] for one in self.paris.api_call(
                "DescribeDisks", RegionId=self.paris.region)["Disks"]["Disk"]]:
            self.paris.wait_export(disk)

    def make_lab(self):
        return Lab(replication={"interval": "100ms"})


if __name__ == "__main__":
    main()
