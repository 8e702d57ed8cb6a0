# SPDX-License-Identifier: Apache-2.0
"""kill -9 of either daemon or both under raw writers, restarted at once, sometimes killed again while it starts: every
acknowledged write reads back (I3), one site exports (I8), replication goes on without a full copy, and after a failover the other
site shows one moment of all disks (I1, I2). Roles turn every dozen cycles."""
import time

from frame import Failure
from lab import run
from rawtorture import RawTorture

MIB = 1 << 20
COLD_START, COLD_BYTES = 12 * MIB, 24 * MIB  # random bytes that no writer touches
SHIPPED_MAX = 20 * MIB  # after a restart; a full copy would be two times COLD_BYTES


class KillRaw(RawTorture):
    name = "kill_raw"
    cycles = 60

    def setup(self, lab, rng):
        lab.start()
        group, sources, targets = lab.group(self.disks, COLD_START + COLD_BYTES)
        cold = lab.folder / "cold"
        for disk in sources:
            cold.write_bytes(rng.randbytes(COLD_BYTES))
            run("qemu-io", "-f", "raw", "-c", f"write -s {cold} {COLD_START} {COLD_BYTES}", "-c", "flush", lab.paris.uri(disk))
        cold.unlink()
        self.begin(lab, rng, group, sources, targets)

    def fall(self, rng, sites):
        for site in rng.sample(sites, len(sites)):
            site.kill()
        return len(sites)

    def rise(self, rng, site):
        falls = 0
        while rng.random() < 0.25:
            site.start(wait=False)
            time.sleep(rng.random() ** 2 * 0.15)  # any moment of the start is wanted
            site.kill()
            falls += 1
        site.start()
        return falls

    def check_resumed(self, is_restarted=False):
        super().check_resumed(is_restarted)
        shipped = self.source.status(self.group)["ShippedBytes"]
        if is_restarted and shipped > SHIPPED_MAX:
            raise Failure(f"{shipped} bytes were shipped after a restart; {self.disks * self.blocks * 4096} at most had changed")
