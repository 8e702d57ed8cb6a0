#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The full round trip with ext4, XFS and btrfs mounted through nbdfuse and a loop device: files written at one
site, the site lost under load, checked by the file system's own checker and by checksums at the other; and back."""
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Failure, Mount, Skip, need, run, tree_digest  # noqa: E402
from lab_case import LabCase, main, skip_guard  # noqa: E402

MIB = 1 << 20
CHECKERS = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"], "btrfs": ["btrfs", "check", "--readonly"]}
MAKERS = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"]}
SIZES = {"ext4": 64 * MIB, "xfs": 320 * MIB, "btrfs": 128 * MIB}


class FileSystemTest(LabCase):
    def round_trip(self, kind):
        need("nbdfuse", "losetup", MAKERS[kind][0], CHECKERS[kind][0])
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            raise Skip("mounting needs root and /dev/fuse")
        group, sources, targets = self.lab.group(1, SIZES[kind])
        mount = Mount(self.lab, self.paris, sources[0]).open()
        run(*MAKERS[kind], mount.loop)
        try:
            mount.mount()
        except Failure as reason:
            if "unknown filesystem" in str(reason):
                raise Skip(f"this kernel has no {kind}") from reason
            raise
        self.fill(mount.path, 1)
        self.paris.verso("group", "start", group, "-q")
        self.fill(mount.path, 2)
        certain = tree_digest(mount.path)
        self.wait_point(self.paris, group)
        self.fill(mount.path, 3, sync=False)
        self.paris.kill()
        mount.end()
        self.lyon.verso("group", "failover", group, "-q")
        self.lyon.attach(targets[0])
        files = self.check(kind, self.lyon, targets[0])
        self.assertEqual({name: files.get(name) for name in certain}, certain)
        mount = Mount(self.lab, self.lyon, targets[0]).mount()
        self.fill(mount.path, 4)
        certain = tree_digest(mount.path)
        mount.unmount()
        self.paris.start()
        self.wait_role(self.paris, group, "fenced")
        self.paris.verso("disk", "detach", sources[0])
        self.lyon.verso("group", "reprotect", group, "-q", "--timeout", "60")
        self.lyon.verso("group", "start", group, "-q")
        self.wait_point(self.lyon, group)
        self.move(self.lyon, self.paris, group, targets, sources)
        self.assertEqual(self.check(kind, self.paris, sources[0]), certain)

    def fill(self, path, seed, sync=True):
        generator = random.Random(seed)
        folder = path / str(seed)
        folder.mkdir()
        for number in range(15):
            (folder / str(number)).write_bytes(generator.randbytes(generator.randrange(1, 200_000)))
        if sync:
            run("sync", "-f", path)

    def check(self, kind, site, disk):
        """Mount (replays the log), unmount, the checker without repair, then the files' digests."""
        mount = Mount(self.lab, site, disk).mount()
        mount.unmount()
        mount = Mount(self.lab, site, disk).open()
        done = subprocess.run([*CHECKERS[kind], mount.loop], capture_output=True, text=True)
        mount.end()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        mount = Mount(self.lab, site, disk).mount()
        files = tree_digest(mount.path)
        mount.unmount()
        return files

    @skip_guard
    def test_ext4(self):
        self.round_trip("ext4")

    @skip_guard
    def test_xfs(self):
        self.round_trip("xfs")

    @skip_guard
    def test_btrfs(self):
        self.round_trip("btrfs")


if __name__ == "__main__":
    main()
