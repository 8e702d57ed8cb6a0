# SPDX-License-Identifier: Apache-2.0
"""No space, and errors of reads and writes, under each store of either site: the disks' data, the journal, the streams' state,
the metadata, the log. One cycle is one case in a lab of its own. Always: hosts are told the truth, the source's writes go on unless its own
store is the one that fails, the fault is named, and what comes after the repair is the same bytes at both sites."""
import errno

from fault_disks import BadDisk, SmallDisk
from frame import Torture
from lab import Failure, Lab, wait_until
from stamps import Stamps
from turns import Turns, demand, need_nbd

MIB = 1 << 20
DISKS, DISK_BYTES, BLOCKS = 2, 8 * MIB, 2048


class Stores(Torture):
    name = "stores"
    replication = {"interval": "100ms", "retain-time": "0s"}

    def make_lab(self):
        need_nbd()
        return Lab(build=self.frame.build, replication=self.replication, base=self.frame.folder)

    def setup(self, lab, rng):
        self.cases = [name for name in dir(self) if name.startswith("case_")]
        rng.shuffle(self.cases)
        self.is_fresh = True

    def cycle(self, rng):
        if not self.is_fresh:
            self.lab.__exit__(None, None, None)
            self.lab = self.make_lab()
        self.is_fresh = False
        case = self.cases[self.number % len(self.cases)]
        try:
            getattr(self, case)(rng)
        except Failure as reason:
            raise Failure(f"{case}: {reason}") from reason
        return {"checks": 1, case[len("case_"):]: 1}

    # --- parts of the cases ---

    def open_group(self, rng, sources=None, targets=None):
        """A group that runs and has a recovery point; on disks of the sites' own or on devices."""
        lab = self.lab
        lab.start()
        self.turns = Turns.make(lab, DISKS, DISK_BYTES, devices={"paris": sources, "lyon": targets})
        self.host = Stamps(lab.paris, self.turns.of(lab.paris), BLOCKS)
        self.host.write_some(rng)
        self.turns.start()
        self.turns.wait_point()

    def trouble(self, site):
        return (site.status(self.turns.group) or {}).get("Trouble", "")

    def wait_trouble(self, site, *words):
        wait_until(lambda: any(word in self.trouble(site) for word in words),
                   f"{site.name} names the trouble ({words}): {self.trouble(site)!r}", timeout=60)

    def wait_quiet(self, site):
        wait_until(lambda: not self.trouble(site), f"{site.name} has no trouble: {self.trouble(site)!r}", timeout=60)

    def restart(self, site, clean=True):
        site.stop() if clean else site.kill()
        site.start()
        if site is self.host.site:
            self.host.close()
        self.turns.wait_link()

    def wait_exports(self):
        for disk in self.host.disks:
            self.host.site.wait_export(disk, timeout=60)

    def judge(self, rng, forgotten=False):
        """After the repair: it goes on, hosts read what they were told, and the other site comes to hold the same."""
        self.host.close()
        self.wait_exports()
        self.host.check(forgotten)
        self.host.write_some(rng)
        self.turns.wait_point()
        for site in (self.lab.paris, self.lab.lyon):
            self.wait_quiet(site)
        expected = self.host.check()
        self.turns.detach(self.turns.source)
        self.turns.failover()
        for number, found in enumerate(self.turns.images(self.turns.target)):
            demand(found == expected[number], f"disk {number} differs between the sites")

    # --- no space ---

    def case_full_source_data(self, rng):
        """The hosts hear ENOSPC for what has no place; what has one can be written; freed space is used without a restart."""
        small = SmallDisk(self.lab, self.lab.paris.data / "disks", "24m")
        self.open_group(rng)
        demand(self.host.write(0, 0, 16) == 0 and self.host.flush(0) == 0, "blocks with a place")
        small.fill()
        errors = {self.host.write(1, rng.randrange(BLOCKS - 16), 16) for _ in range(200)}
        demand(errors <= {0, errno.ENOSPC} and errno.ENOSPC in errors, f"hosts saw {errors}")
        for _ in range(50):
            demand(self.host.write(0, rng.randrange(16)) == 0, "a block that has a place needs no space")
        self.host.check()
        small.free()
        demand(self.host.write(1, 0, 64) == 0, "freed space is used again")
        self.judge(rng)

    def case_full_target_data(self, rng):
        """The target's disks have no place for what it applies."""
        small = SmallDisk(self.lab, self.lab.lyon.data / "disks", "24m")
        self.open_group(rng)
        small.fill()
        self.host.write_some(rng, 200)
        self.wait_trouble(self.lab.lyon, "stopped", "space", "cannot")
        self.host.write_some(rng, 50)
        small.free()
        self.judge(rng)

    def case_full_target_data_first_copy(self, rng):
        """The same while it has no recovery point yet."""
        small = SmallDisk(self.lab, self.lab.lyon.data / "disks", "24m")
        self.lab.start()
        self.turns = Turns.make(self.lab, DISKS, DISK_BYTES)
        self.host = Stamps(self.lab.paris, self.turns.of(self.lab.paris), BLOCKS)
        self.host.write_some(rng, 200)
        small.fill()
        self.turns.source.verso("group", "start", self.turns.group, "-q", "--no-wait")
        self.wait_trouble(self.lab.paris, "no room at the target in the store")
        self.host.write_some(rng, 50)
        small.free()
        self.judge(rng)

    def case_full_target_journal(self, rng):
        small = SmallDisk(self.lab, self.lab.lyon.data / "streams", "64m")
        self.open_group(rng)
        small.fill()
        self.host.write_some(rng, 400)
        self.wait_trouble(self.lab.paris, "needs", "full")
        point = self.lab.lyon.status(self.turns.group)
        demand(point["HasPoint"], "the last recovery point stays")
        self.host.write_some(rng, 50)
        small.free()
        self.judge(rng)

    def case_full_source_state(self, rng):
        """Intent bits, state and spill of the source have no place."""
        small = SmallDisk(self.lab, self.lab.paris.data / "streams", "64m")
        self.open_group(rng)
        small.fill()
        self.host.write_some(rng, 200)
        if rng.random() < 0.5:
            self.restart(self.lab.lyon)
            self.host.write_some(rng, 50)
        small.free()
        self.judge(rng)

    def case_full_spill(self, rng):
        """Nothing can be spilled: the epoch is given up, the hosts notice nothing."""
        self.lab.paris.replication = {"stash-memory": "1M", "bandwidth": "4M"}
        self.lab.configure()
        small = SmallDisk(self.lab, self.lab.paris.data / "streams", "64m")
        self.open_group(rng)
        small.fill()
        for _ in range(6):
            for number in range(DISKS):
                for block in range(0, BLOCKS, 64):
                    demand(self.host.write(number, block, 64) == 0, "a full spill is no error of the host's")
        small.free()
        self.judge(rng)

    def case_full_metadata(self, rng):
        """site.db cannot grow: what is asked of it fails, the data path goes on, space heals it."""
        site = rng.choice((self.lab.paris, self.lab.lyon))
        small = SmallDisk(self.lab, site.data, "16m")
        for name in ("disks", "streams"):
            SmallDisk(self.lab, site.data / name, "64m")
        self.open_group(rng)
        small.fill()
        failed = 0
        for number in range(200):
            done = site.verso("disk", "create", "--name", f"more-{number}", "--size", "4K", check=False)
            failed += not done.startswith("d-")
            if failed > 3:
                break
        demand(failed, "a full disk under site.db refuses new disks")
        self.host.write_some(rng)
        self.turns.wait_point()
        small.free()
        site.verso("disk", "create", "--name", "afterwards", "--size", "4K")
        self.restart(site)
        self.judge(rng)

    def case_full_log(self, rng):
        """Standard error is a file on a full disk."""
        site = rng.choice((self.lab.paris, self.lab.lyon))
        small = SmallDisk(self.lab, self.lab.folder / "log", "1m")
        site.log = small.path / "versod.log"
        self.open_group(rng)
        small.fill()
        other = self.lab.lyon if site is self.lab.paris else self.lab.paris
        self.restart(other)
        self.wait_exports()
        self.host.write_some(rng)
        small.free()
        self.judge(rng)

    # --- errors ---

    def case_error_source_write(self, rng):
        """A sync of the source's disk fails once: the store is fenced, no later flush says OK, a restart reads the device anew."""
        bad = BadDisk(self.lab, "data", DISK_BYTES)
        other = BadDisk(self.lab, "other", DISK_BYTES)
        self.open_group(rng, sources=[bad.device, other.device])
        bad.fail("write")
        for _ in range(20):
            self.host.write(0, rng.randrange(BLOCKS))
        demand(self.host.flush(0) == errno.EIO, "a sync that failed is told")
        bad.heal()
        for _ in range(3):
            demand(self.host.flush(0) != 0, "no flush succeeds over what was lost")
        demand(self.host.write(1, 5) == 0 and self.host.flush(1) == 0, "the other disk goes on")
        self.lab.paris.kill()
        bad.forget_cache()
        self.lab.paris.start()
        self.turns.wait_link()
        self.judge(rng, forgotten=True)

    def case_error_source_restart(self, rng):
        """A sync fails and the daemon alone is started again: it shows what the disk has, not what the kernel remembers."""
        bad = BadDisk(self.lab, "data", 64 * MIB, is_direct=True).mount(self.lab.paris.data / "disks")
        self.open_group(rng)
        bad.fail("write")
        for _ in range(20):
            self.host.write(0, rng.randrange(BLOCKS))
        demand(self.host.flush(0) == errno.EIO, "a sync that failed is told")
        bad.heal()
        for is_cache_gone in (False, True):
            self.lab.paris.kill()
            if is_cache_gone:
                bad.remount()
            self.lab.paris.start()
            self.turns.wait_link()
            self.host.close()
            self.wait_exports()
            self.host.check(forgotten=not is_cache_gone)
        self.judge(rng)

    def case_error_source_read(self, rng):
        """Reads fail: that host is told; writes go on; what cannot be read is replicated later."""
        bad = BadDisk(self.lab, "data", DISK_BYTES)
        other = BadDisk(self.lab, "other", DISK_BYTES)
        self.open_group(rng, sources=[bad.device, other.device])
        self.lab.lyon.stop()
        self.host.write_some(rng)
        bad.forget_cache()
        bad.fail("read")
        demand(self.host.read(0, rng.randrange(BLOCKS)) == errno.EIO, "a failed read is told")
        self.lab.lyon.start()
        self.wait_trouble(self.lab.paris, "cannot be read")
        demand(self.host.write(0, 1) == 0 and self.host.write(1, 1) == 0, "writes go on")
        bad.heal()
        self.judge(rng)

    def case_error_target_data(self, rng):
        """The target's disks fail while epochs are applied: it says so, keeps its point, a restart heals it."""
        bad = BadDisk(self.lab, "data", DISK_BYTES)
        other = BadDisk(self.lab, "other", DISK_BYTES)
        self.open_group(rng, targets=[bad.device, other.device])
        bad.fail("write")
        self.host.write_some(rng, 100)
        self.wait_trouble(self.lab.lyon, "stopped", "cannot")
        self.host.write_some(rng)
        bad.heal()
        self.lab.lyon.kill()
        bad.forget_cache()
        self.lab.lyon.start()
        self.judge(rng)

    def case_error_target_journal(self, rng):
        bad = BadDisk(self.lab, "streams", 64 * MIB).mount(self.lab.lyon.data / "streams")
        self.open_group(rng)
        bad.fail("write")
        self.host.write_some(rng, 100)
        self.wait_trouble(self.lab.paris, "cannot store", "target")
        demand(self.lab.lyon.status(self.turns.group)["HasPoint"], "the last recovery point stays")
        self.host.write_some(rng)
        bad.heal()
        self.restart(self.lab.lyon, clean=False)
        self.judge(rng)

    def case_error_source_state(self, rng):
        """Intent bits cannot be stored: no write may be answered OK that a crash could hide from the peer."""
        bad = BadDisk(self.lab, "streams", 64 * MIB).mount(self.lab.paris.data / "streams")
        self.open_group(rng)
        bad.fail("write")
        errors = self.host.write_some(rng, 200, check=False)
        demand(errors <= {0, errno.EIO}, f"hosts saw {errors}")
        if errors != {0}:
            self.wait_trouble(self.lab.paris, "cannot be stored")
        bad.heal()
        self.restart(self.lab.paris, clean=False)
        self.judge(rng)

    def case_error_metadata(self, rng):
        """site.db gives errors: calls that change something fail, the data path goes on, a restart heals."""
        site = rng.choice((self.lab.paris, self.lab.lyon))
        bad = BadDisk(self.lab, "meta", 32 * MIB).mount(site.data)
        for name in ("disks", "streams"):
            SmallDisk(self.lab, site.data / name, "64m")
        self.open_group(rng)
        bad.fail("write")
        wait_until(lambda: not site.verso("disk", "create", "--name", "more", "--size", "4K", check=False).startswith("d-"),
                   "a change that cannot be stored is refused")
        self.host.write_some(rng)
        self.turns.wait_point()
        bad.heal()
        self.restart(site, clean=False)
        self.judge(rng)
