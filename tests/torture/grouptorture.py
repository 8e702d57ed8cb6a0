# SPDX-License-Identifier: Apache-2.0
"""What the tortures of one replicated group share: who is the source, conditions to wait for, what must hold when a site comes back, the
turn of roles. A subclass says what falling and rising are."""
from frame import Failure, Torture
from lab import wait_until


class GroupTorture(Torture):
    turn_chance = 0.08
    replication = {"interval": "50ms"}

    # -- what a subclass says

    def fall(self, rng, sites):
        """These sites die now. Returns how many times."""
        raise NotImplementedError

    def rise(self, rng, site):
        """The site is back and its API answers. Returns how many times it fell again meanwhile."""
        raise NotImplementedError

    # -- the group

    def begin_group(self, lab, group, sources, targets):
        """Replication runs from paris to lyon."""
        self.group = group
        self.exports = {lab.paris: sources, lab.lyon: targets}
        self.source, self.target = lab.paris, lab.lyon
        lab.paris.verso("group", "start", group, "-q", "--timeout", "60")

    def wait_point(self, site):
        site.verso("wait", self.group, "--for", "recovery-point", "--timeout", "60", "-q")

    def wait_ready(self, site):
        """All disks are exported: the source has heard its peer."""
        for disk in self.exports[site]:
            site.wait_export(disk)

    def detach(self, site):
        for disk in self.exports[site]:
            site.verso("disk", "detach", disk)

    def delete_snapshots(self, site):
        for disk in self.exports[site]:
            for snapshot in site.api_call("DescribeDiskAccess", DiskId=disk)["Disk"].get("Snapshots", []):
                site.api_call("DeleteDiskSnapshot", SnapshotId=snapshot["SnapshotId"])

    # -- checks

    def check_one_exports(self):
        for disk in self.exports[self.target]:
            if self.target.is_exported(disk):
                raise Failure(f"I8: {self.target.name} is the target and exports {disk}")

    # -- roles

    def move_and_compare(self):
        """A planned move: the other site shows what the source held (I11). Returns how many disks were compared."""
        self.wait_point(self.source)
        expected = [self.source.image_digest(disk) for disk in self.exports[self.source]]
        self.detach(self.source)
        self.target.verso("group", "failover", self.group, "-q", "--timeout", "60")
        for disk, image in zip(self.exports[self.target], expected):
            self.target.attach(disk)
            if self.target.image_digest(disk) != image:
                raise Failure(f"I11: {disk} at {self.target.name} differs after all faults were over")
        return len(expected)

    def come_back(self, rng, old):
        """The old source must not export, not even for a moment, before it is fenced and after."""
        falls = self.rise(rng, old)

        def is_fenced():
            for disk in self.exports[old]:
                if old.is_exported(disk):
                    raise Failure(f"I8: {old.name} exports {disk} after the other site was promoted")
            return (old.status(self.group) or {}).get("Role") == "fenced"
        wait_until(is_fenced, f"{old.name} is fenced")
        self.detach(old)
        return falls

    def turn_round(self):
        """Reprotect from the promoted site, and the stream runs the other way. Returns the new source."""
        old, new = self.source, self.target
        self.lab.wait_link()
        new.verso_when_heard("group", "reprotect", self.group, "-q", "--timeout", "60")
        self.delete_snapshots(old)
        new.verso("group", "start", self.group, "-q", "--timeout", "60")
        self.source, self.target = new, old
        return new
