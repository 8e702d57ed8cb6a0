# SPDX-License-Identifier: Apache-2.0
"""kill -9 of either daemon or both under raw writers, restarted at once, sometimes killed again while it starts: every
acknowledged write reads back (I3), one site exports (I8), replication goes on without a full copy, and after a failover the other
site shows one moment of all disks (I1, I2). Roles turn every dozen cycles."""
import time

from frame import Failure, Torture
from lab import run, wait_until
from rawload import RawLoad

MIB = 1 << 20
DISKS, HOT_BLOCKS = 2, 512
DISK_BYTES, COLD_BYTES = 40 * MIB, 24 * MIB  # cold: random bytes from 12 MiB on that no writer touches
COLD_START = 12 * MIB
SHIPPED_MAX = 20 * MIB  # after a restart; a full copy would be DISKS * COLD_BYTES


class KillRaw(Torture):
    name = "kill_raw"
    cycles = 60
    replication = {"interval": "50ms"}
    turn_chance = 0.08

    def setup(self, lab, rng):
        lab.start()
        self.group, sources, targets = lab.group(DISKS, DISK_BYTES)
        self.disks = {lab.paris: sources, lab.lyon: targets}
        self.source, self.target = lab.paris, lab.lyon
        cold = lab.folder / "cold"
        for disk in sources:
            cold.write_bytes(rng.randbytes(COLD_BYTES))
            run("qemu-io", "-f", "raw", "-c", f"write -s {cold} {COLD_START} {COLD_BYTES}", "-c", "flush", lab.paris.uri(disk))
        cold.unlink()
        lab.paris.verso("group", "start", self.group, "-q")
        self.load = RawLoad(lab, rng, DISKS, HOT_BLOCKS)
        self.load.run(self.source, self.disks[self.source])

    # -- conditions

    def wait_point(self, site):
        site.verso("wait", self.group, "--for", "recovery-point", "--timeout", "60", "-q")

    def wait_role(self, site, role):
        wait_until(lambda: (site.status(self.group) or {}).get("Role") == role, f"the group is {role} at {site.name}")

    def check_one_exports(self):
        for disk in self.disks[self.target]:
            if self.target.is_exported(disk):
                raise Failure(f"I8: {self.target.name} is the target and exports {disk}")

    # -- kills

    def restart(self, rng, site):
        """Starts again; one time in four it is killed while it starts. Returns how often."""
        kills = 0
        while rng.random() < 0.25:
            site.start(wait=False)
            time.sleep(rng.random() ** 2 * 0.15)  # any moment of the start is wanted
            site.kill()
            kills += 1
        site.start()
        return kills

    def kill(self, rng, sites):
        self.load.wait_acked(rng.choice((0, 5, 50, rng.randrange(1500))))
        for site in rng.sample(sites, len(sites)):
            site.kill()
        return len(sites) + sum(self.restart(rng, site) for site in rng.sample(sites, len(sites)))

    def go_on(self):
        self.load.run(self.source, self.disks[self.source])

    def cycle(self, rng):
        if rng.random() < self.turn_chance:
            return self.cycle_turn(rng)
        sites = rng.choice(([self.source], [self.source], [self.target], [self.source, self.target]))
        kills = self.kill(rng, sites)
        checks = 0
        if self.source in sites:
            checks += self.load.settle(self.source, self.disks[self.source])
            self.check_resumed(is_restarted=True)
            self.go_on()
        elif rng.random() < 0.5:
            lost = self.load.stop()
            if lost:
                raise Failure(f"I7: the death of {self.target.name} cut hosts of {self.source.name} off: {lost}")
            self.check_resumed()
            self.go_on()
        self.check_one_exports()
        return {"kills": kills, "checks": checks}

    def check_resumed(self, is_restarted=False):
        """While nobody writes: a point that holds everything, and no full copy."""
        self.wait_point(self.source)
        self.load.point()
        shipped = self.source.status(self.group)["ShippedBytes"]
        if is_restarted and shipped > SHIPPED_MAX:
            raise Failure(f"{shipped} bytes were shipped after a restart; hot are only {DISKS * HOT_BLOCKS * 4096}")

    # -- roles

    def cycle_turn(self, rng):
        """The source dies (or is left), the target takes over, the old source comes back fenced, the direction turns."""
        old, new = self.source, self.target
        is_lost = rng.random() < 0.7
        self.load.wait_acked(rng.randrange(500))
        if is_lost:
            old.kill()
        else:
            self.load.stop()
            self.detach(old)
        new.verso("group", "failover", self.group, "-q")
        for disk in self.disks[new]:
            new.attach(disk)
        self.load.ask("stop")
        checks = self.load.cut(new, self.disks[new])
        self.load.run(new, self.disks[new])
        self.load.wait_acked(rng.randrange(200))
        kills = int(is_lost)
        if rng.random() < 0.5:
            new.kill()
            new.start()
            kills += 1
            checks += self.load.settle(new, self.disks[new])
            self.load.run(new, self.disks[new])
        if is_lost:
            self.come_back(rng, old)
        self.load.stop()
        new.verso("group", "reprotect", self.group, "-q", "--timeout", "60")
        self.delete_snapshots(old)
        new.verso("group", "start", self.group, "-q", "--timeout", "60")
        self.source, self.target = new, old
        checks += self.load.settle(new, self.disks[new])
        self.wait_point(new)
        self.load.point()
        self.go_on()
        return {"kills": kills, "checks": checks, "turns": 1}

    def come_back(self, rng, old):
        """The old source must not export, not even for a moment, until it is fenced."""
        kills = self.restart(rng, old)

        def is_fenced():
            for disk in self.disks[old]:
                if old.is_exported(disk):
                    raise Failure(f"I8: {old.name} exports {disk} after {self.target.name} was promoted")
            return (old.status(self.group) or {}).get("Role") == "fenced"
        wait_until(is_fenced, f"{old.name} is fenced")
        self.detach(old)
        return kills

    def detach(self, site):
        for disk in self.disks[site]:
            site.verso("disk", "detach", disk)

    def delete_snapshots(self, site):
        for disk in self.disks[site]:
            for snapshot in site.api_call("DescribeDiskAccess", DiskId=disk)["Disk"].get("Snapshots", []):
                site.api_call("DeleteDiskSnapshot", SnapshotId=snapshot["SnapshotId"])

    def finish(self, rng):
        """All faults are over: both sites come to hold the same bytes (I11)."""
        self.load.stop(flush=True)
        self.wait_point(self.source)
        expected = [self.source.image_digest(disk) for disk in self.disks[self.source]]
        self.detach(self.source)
        self.target.verso("group", "failover", self.group, "-q")
        for disk, image in zip(self.disks[self.target], expected):
            self.target.attach(disk)
            if self.target.image_digest(disk) != image:
                raise Failure(f"I11: {disk} at {self.target.name} differs after all faults were over")
        return {"checks": len(expected), **self.load.counts()}
