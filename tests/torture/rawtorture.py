# SPDX-License-Identifier: Apache-2.0
"""A group under raw writers: the checks after a site fell and rose again, and the turn of roles under way."""
from frame import Failure
from grouptorture import GroupTorture
from rawload import RawLoad


class RawTorture(GroupTorture):
    disks, blocks = 2, 512
    loses_power = False  # what was not flushed may be gone

    # -- the group

    def begin(self, lab, rng, group, sources, targets):
        """Replication runs, writers write."""
        self.begin_group(lab, group, sources, targets)
        self.load = RawLoad(lab, rng, self.disks, self.blocks, bears_errors=self.loses_power)
        self.go_on()

    def go_on(self):
        self.load.run(self.source, self.exports[self.source])

    def settle(self, site):
        return self.load.settle(site, self.exports[site], power=self.loses_power)

    # -- checks

    def check_resumed(self, is_restarted=False):
        """While nobody writes: a point that holds everything."""
        self.wait_point(self.source)
        self.load.point()

    def stop_undisturbed(self):
        lost = self.load.stop()
        if lost:
            raise Failure(f"I7: what happened to {self.target.name} cut hosts of {self.source.name} off: {lost}")

    # -- cycles

    def cycle(self, rng):
        if rng.random() < self.turn_chance:
            return self.cycle_turn(rng)
        sites = rng.choice(([self.source], [self.source], [self.target], [self.source, self.target]))
        self.load.wait_acked(rng.choice((0, 5, 50, rng.randrange(1500))))
        kills = self.fall(rng, sites)
        kills += sum(self.rise(rng, site) for site in rng.sample(sites, len(sites)))
        checks = 0
        if self.source in sites:
            checks += self.settle(self.source)
            if rng.random() < 0.8:
                self.check_resumed(is_restarted=True)
            self.go_on()
        elif rng.random() < 0.5:
            self.stop_undisturbed()
            self.check_resumed()
            self.go_on()
        self.check_one_exports()
        return {"kills": kills, "checks": checks}

    def cycle_turn(self, rng):
        """The source falls (or is left, or both fall and it stays away), the target takes over, the old source comes back fenced, the
        direction turns."""
        old, new = self.source, self.target
        how = rng.choice(("lost", "lost", "both lost", "planned"))
        fallen = {"lost": [old], "both lost": [old, new], "planned": []}[how]
        self.load.wait_acked(rng.randrange(500))
        if how == "planned":
            self.stop_undisturbed()
            self.detach(old)
        kills = self.fall(rng, fallen) if fallen else 0
        if new in fallen:
            kills += self.rise(rng, new)
        checks = self.fail_over(new)
        self.load.wait_acked(rng.randrange(200))
        if rng.random() < 0.5:
            kills += self.fall(rng, [new]) + self.rise(rng, new)
            checks += self.settle(new)
            self.load.run(new, self.exports[new])
        if fallen:
            kills += self.come_back(rng, old)
        self.load.stop()
        return {"kills": kills, "checks": checks + self.turn(rng), "turns": 1}

    def fail_over(self, new):
        new.verso("group", "failover", self.group, "-q", "--timeout", "60")
        for disk in self.exports[new]:
            new.attach(disk)
        self.load.stop()
        checks = self.load.cut(new, self.exports[new])
        self.load.run(new, self.exports[new])
        return checks

    def turn(self, rng):
        new = self.turn_round()
        checks = self.load.settle(new, self.exports[new])
        self.wait_point(new)
        self.load.point()
        self.go_on()
        return checks

    def finish(self, rng):
        """All faults are over: both sites come to hold the same bytes (I11)."""
        self.load.stop(flush=True)
        compared = self.move_and_compare()
        return {"checks": compared, **self.load.counts()}
