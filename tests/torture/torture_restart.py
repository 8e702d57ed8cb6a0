# SPDX-License-Identifier: Apache-2.0
"""Clean stops of either site or both, in any order: nothing is lost, nothing is copied again, the link comes back. The
smallest torture there is, and so the example of one."""
from frame import Failure, Torture
from lab import wait_until

MIB = 1 << 20


class Restart(Torture):
    name = "restart"
    cycles = 10

    def setup(self, lab, rng):
        lab.start()
        self.group, self.sources, self.targets = lab.group(2, 8 * MIB)
        lab.paris.verso("group", "start", self.group, "-q")
        lab.paris.verso("wait", self.group, "--for", "recovery-point", "--timeout", "60", "-q")
        self.images = [lab.paris.image_digest(disk) for disk in self.sources]

    def cycle(self, rng):
        sites = [self.lab.paris, self.lab.lyon]
        chosen = rng.sample(sites, rng.randint(1, 2))
        for site in chosen:
            site.stop()
        for site in rng.sample(chosen, len(chosen)):
            site.start()
        self.lab.wait_link()
        for disk, image in zip(self.sources, self.images):
            self.lab.paris.wait_export(disk)
            if self.lab.paris.image_digest(disk) != image:
                raise Failure(f"{disk} has changed over a clean stop of {[site.name for site in chosen]}")
        wait_until(lambda: self.lab.paris.status(self.group)["Role"] == "source", "paris is the source")
        return {"kills": len(chosen), "checks": len(self.sources)}
