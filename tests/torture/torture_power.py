# SPDX-License-Identifier: Apache-2.0
"""Power cuts of either site or both, on disks that forget what was not flushed (forget_plugin.c): under a file system with the data
folder (metadata, state, journal, one disk of the group) and under the other disk of the group, a block device. Every write that a host
saw flushed is there (I4), each sector whole (I5); the target never goes back behind a point it had acknowledged and shows one
moment of all disks (I1, I2, I14); at the end both hold the same bytes (I10, I11)."""
import contextlib
import ctypes
import os
import signal
import subprocess
import time

from forget import ForgetDisks
from lab import Lab, need, run, wait_until
from rawtorture import RawTorture

MIB = 1 << 20
DISK_BYTES = 8 * MIB
LIBC = ctypes.CDLL(None)
SYNC_FILE_RANGE_ALL = 7  # wait, write, wait
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"], "xfs": ["mkfs.xfs", "-q"]}
# The last number is what a power cut does not tear. XFS takes for granted that its directory blocks do not tear: recovery leaves one alone whose
# first sector says that it is new, and the mount fails with EFSBADCRC (17 of some 700 cuts of a mere XFS that tear by 512 bytes, none of 500 by 4096).
DATA_DEVICES = {"ext4": f"{192 * MIB}:512", "xfs": f"{320 * MIB}:4096"}


class Machine:
    """One site's hardware: the disks, the file system on one of them, the daemon."""

    def __init__(self, lab, site, kind):
        need(MAKERS[kind][0])
        self.site = site
        self.disks = ForgetDisks(lab, site.folder / "disks", {"data": DATA_DEVICES[kind], "disk": DISK_BYTES})
        self.point = site.folder / "fs"
        self.point.mkdir()
        site.data = self.point / "data"
        loops = self.disks.attach()
        lab.defer(self.unmount)
        run(*MAKERS[kind], loops["data"])
        run("mount", loops["data"], self.point)

    def unmount(self):
        subprocess.run(["umount", "--lazy", str(self.point)], capture_output=True)

    def write_back(self, rng):
        """The kernel writes back what it likes and flushes nothing: here some pages of some files, in any order."""
        files = [path for path in sorted(self.site.data.rglob("*")) if path.is_file()] + [self.disks.path("disk")]
        for path in rng.sample(files, rng.randint(0, len(files))):
            with contextlib.suppress(OSError):  # what is gone meanwhile
                file = os.open(path, os.O_RDONLY)
                try:
                    size = os.lseek(file, 0, os.SEEK_END)
                    whole = rng.random() < 0.3
                    for _ in range(1 if whole else 8):
                        first = 0 if whole else rng.randrange(size // 4096 + 1) * 4096
                        LIBC.sync_file_range(file, ctypes.c_int64(first), ctypes.c_int64(0 if whole else rng.choice((4096, 1 << 20))),
                                             SYNC_FILE_RANGE_ALL)
                finally:
                    os.close(file)

    def cut(self, rng):
        """The power goes. Mostly the daemon sees nothing of it; else it meets dead disks for a moment."""
        process = self.site.process
        if process:
            # Stopped: the kernel would write a page back while it is being written, and a sector of it could be half old, half new.
            process.send_signal(signal.SIGSTOP)
        if rng.random() < 0.8:
            self.write_back(rng)
        is_seen = process and rng.random() < 0.2
        if is_seen:
            process.send_signal(signal.SIGCONT)
        lost = self.disks.cut(rng)
        if is_seen:
            time.sleep(rng.random() * 0.02)  # for the daemon to meet the dead disks, if it likes
        self.site.kill()
        return lost

    def power_on(self):
        def is_unmounted():  # busy while the kernel ends the ring of the killed daemon
            return subprocess.run(["umount", str(self.point)], capture_output=True).returncode == 0
        wait_until(is_unmounted, f"{self.point} is unmounted", pause=0.002)
        self.disks.detach()
        self.disks.restore()
        loops = self.disks.attach()
        run("mount", loops["data"], self.point)


class Power(RawTorture):
    name = "power"
    cycles = 20
    loses_power = True
    turn_chance = 0.1
    kinds = ("ext4", "xfs")

    def make_lab(self):
        lab = Lab(build=self.frame.build, replication=self.replication, base=self.frame.folder)
        try:
            self.machines = {site: Machine(lab, site, kind) for site, kind in zip((lab.paris, lab.lyon), self.kinds)}
            lab.configure()
        except BaseException:
            lab.__exit__(None, None, None)
            raise
        return lab

    def setup(self, lab, rng):
        self.lost = 0
        lab.start()
        disks = {}
        for site, machine in self.machines.items():
            block = site.verso("disk", "import", "--path", machine.disks.path("disk"), "--driver", "block", "--name", "block")
            disks[site] = [site.disk("file", DISK_BYTES), block]
        group = lab.paris.verso("group", "create", "--peer", "lyon", "--name", "erp")
        for number, (source, target) in enumerate(zip(disks[lab.paris], disks[lab.lyon])):
            pair = lab.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target, "--name", f"p-{number}")
            lab.paris.verso("group", "add", group, pair)
            lab.paris.attach(source)
        self.begin(lab, rng, group, disks[lab.paris], disks[lab.lyon])

    def fall(self, rng, sites):
        for site in rng.sample(sites, len(sites)):
            self.lost += self.machines[site].cut(rng)
        return len(sites)

    def rise(self, rng, site):
        """One time in five the power goes again while the daemon recovers."""
        falls = 0
        self.machines[site].power_on()
        while rng.random() < 0.2:
            site.start(wait=False)
            time.sleep(rng.random() ** 2 * 0.15)  # any moment of the start is wanted
            falls += self.fall(rng, [site])
            self.machines[site].power_on()
        site.start()
        return falls

    def cycle(self, rng):
        self.lost = 0
        return {**super().cycle(rng), "lost": self.lost}
