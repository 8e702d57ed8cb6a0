# SPDX-License-Identifier: Apache-2.0
"""kill -9 under live file systems, ext4 and XFS on two disks of one group, over a client that reconnects. The daemon alone: nobody notices.
Host and daemon: mount, every synced file is there, the checker finds nothing. The site: failover, and the other site's file systems show one
moment that is not older than the point known to be there, and are sound."""
import os

from grouptorture import GroupTorture
from lab import Skip, need, run
from patient import FileLoad, PatientMount

MIB = 1 << 20
SIZES = {"ext4": 48 * MIB, "xfs": 320 * MIB}
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"], "xfs": ["mkfs.xfs", "-q"]}


class KillMounted(GroupTorture):
    name = "kill_mounted"
    cycles = 20

    def setup(self, lab, rng):
        need("nbdkit", "nbdfuse", "losetup", "mkfs.ext4", "mkfs.xfs", "e2fsck", "xfs_repair")
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            raise Skip("mounting needs root and /dev/fuse")
        lab.start()
        disks = {site: [site.disk(kind, size) for kind, size in SIZES.items()] for site in (lab.paris, lab.lyon)}
        group = lab.paris.verso("group", "create", "--peer", "lyon", "--name", "erp")
        for source, target, kind in zip(disks[lab.paris], disks[lab.lyon], SIZES):
            pair = lab.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target, "--name", f"p-{kind}")
            lab.paris.verso("group", "add", group, pair)
            lab.paris.attach(source)
        self.mounts = [PatientMount(lab, kind, kind) for kind in SIZES]
        self.loads = [FileLoad(lab, mount, mount.kind, rng.getrandbits(32)) for mount in self.mounts]
        self.exports = {lab.paris: disks[lab.paris], lab.lyon: disks[lab.lyon]}
        self.connect(lab.paris)
        for mount in self.mounts:
            run(*MAKERS[mount.kind], mount.loop)
        self.begin_group(lab, group, disks[lab.paris], disks[lab.lyon])
        self.mount_and_work()

    # -- hosts

    def connect(self, site):
        self.wait_ready(site)
        for mount, disk in zip(self.mounts, self.exports[site]):
            mount.connect(site.uri(disk))

    def mount_and_work(self):
        for mount, load in zip(self.mounts, self.loads):
            mount.mount()
            load.start()

    def crash_hosts(self):
        for load in self.loads:
            load.end()
        for mount in self.mounts:
            mount.crash()

    def look(self, oldest, is_failover=False):
        """Mounts (the log is replayed), compares files, unmounts, runs the checkers. Returns how many files."""
        files = 0
        for mount, load in zip(self.mounts, self.loads):
            mount.mount()
            files += load.verify(oldest[load], is_failover)
            mount.unmount()
            mount.check()
        return files

    def stop_hosts(self):
        """Clean: all is flushed, the disks can be detached."""
        for mount, load in zip(self.mounts, self.loads):
            load.stop()
            mount.unmount()
            mount.disconnect()

    def wait_work(self, rng, count=None):
        for load in self.loads:
            load.wait_done(rng.randrange(12) if count is None else count)

    # -- sites

    def fall(self, rng, sites):
        for site in rng.sample(sites, len(sites)):
            site.kill()
        return len(sites)

    def rise(self, rng, site):
        site.start()
        return 0

    # -- cycles

    def cycle(self, rng):
        self.wait_work(rng)
        chance = rng.random()
        if chance < 0.70:
            return self.cycle_unnoticed(rng)
        if chance < 0.88:
            return self.cycle_host_too(rng)
        return self.cycle_site(rng)

    def cycle_unnoticed(self, rng):
        """The daemons die, the file systems go on."""
        sites = rng.choice(([self.source], [self.source], [self.target], [self.source, self.target]))
        kills = self.fall(rng, sites)
        for site in rng.sample(sites, len(sites)):
            self.rise(rng, site)
        self.wait_work(rng, 2)
        self.check_one_exports()
        return {"kills": kills, "checks": 2, "unnoticed": 1}

    def cycle_host_too(self, rng):
        """Host and daemon die together: all that was synced is there, the file systems are sound."""
        kills = self.fall(rng, [self.source]) if rng.random() < 0.5 else 0
        self.crash_hosts()
        oldest = {load: load.numbers()[1] for load in self.loads}
        kills += kills or self.fall(rng, [self.source])
        self.rise(rng, self.source)
        self.connect(self.source)
        files = self.look(oldest)
        self.mount_and_work()
        return {"kills": kills + 1, "checks": files, "crashes": 1}

    def cycle_site(self, rng):
        """The whole site is lost; hosts go on at the other one, and the direction turns."""
        old, new = self.source, self.target
        if rng.random() < 0.5:
            for load in self.loads:
                load.stop()
            self.wait_point(old)
            for load in self.loads:
                load.point()
                load.start()
            self.wait_work(rng)
        self.fall(rng, [old])
        self.crash_hosts()
        new.verso("group", "failover", self.group, "-q", "--timeout", "60")
        for disk in self.exports[new]:
            new.attach(disk)
        self.connect(new)
        files = self.look({load: load.certain for load in self.loads}, is_failover=True)
        self.mount_and_work()
        self.come_back(rng, old)
        self.wait_work(rng)
        self.turn_round()
        return {"kills": 2, "checks": files, "failovers": 1}

    def finish(self, rng):
        """A planned move at the end: nothing is missing at the other site (I11)."""
        self.stop_hosts()
        compared = self.move_and_compare()
        self.connect(self.target)
        return {"checks": compared + self.look({load: load.numbers()[1] for load in self.loads})}
