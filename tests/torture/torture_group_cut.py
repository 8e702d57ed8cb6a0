# SPDX-License-Identifier: Apache-2.0
"""The group-cut oracle: chains of checksummed blocks over the disks of a group while the cable between the sites, or a site,
suffers; then the target is failed over, and what it shows must be one instant of what was written (chain_judge.py)."""
import os
import signal
import subprocess
import time

import chain_judge
from frame import Torture
from lab import Failure, Skip, wait_until
from net_lab import NetLab
from turns import Turns, demand, need_nbd

MIB = 1 << 20
DISKS, CHAINS = 4, 8
DISK_BYTES = 8 * MIB
FIRST_BLOCK, SLOTS = 64, 192      # the chains take blocks 64 ... 1599 of 2048
FRESH_CHAINS = 20                 # cycles after which chains begin anew, so that histories stay small
CLOCK_SLACK_NS = 5_000_000        # between two readings of two clocks
FAULTS = ("up", "cut", "flap", "throttle", "lossy", "black_hole", "pause_source", "pause_target", "kill_source",
          "kill_target", "planned")


class GroupCut(Torture):
    name = "group_cut"
    cycles = 22
    replication = {"interval": "100ms", "stash-memory": "1M"}

    def make_lab(self):
        need_nbd()
        self.program = self.frame.build / "tests/torture/chain_writer"
        if not self.program.exists():
            raise Skip("chain_writer was not built (libnbd-dev)")
        return NetLab(build=self.frame.build, replication=self.replication, base=self.frame.folder)

    def setup(self, lab, rng):
        self.writer = self.log = None
        self.judged = 0
        lab.start()
        self.turns = Turns.make(lab, DISKS, DISK_BYTES)
        self.begin_chains(rng)
        self.turns.start()

    def teardown(self):
        self.stop_writer()

    # --- the writers ---

    def begin_chains(self, rng):
        """New chains over whatever the source's disks hold now."""
        self.history = chain_judge.History(CHAINS)
        self.before = self.turns.images(self.turns.source)
        self.seed = rng.randrange(1 << 60)

    def start_writer(self, rng):
        path = self.lab.folder / "chains.log"
        path.unlink(missing_ok=True)
        path.touch()
        self.log = open(path, "rb")
        source = self.turns.source
        pause_us = rng.choice((0, 500, 2000))
        self.writer = subprocess.Popen(
            [self.program, path, str(self.seed), str(self.history.line), str(pause_us), str(FIRST_BLOCK), str(SLOTS),
             self.history.starts(), *map(source.uri, self.turns.of(source))], stdin=subprocess.DEVNULL)

    def stop_writer(self):
        if self.writer is not None:
            self.writer.kill()
            self.writer.wait()
            self.writer = None
        if self.log is not None:
            self.history.load(self.log)
            self.log.close()
            self.log = None

    def wait_writes(self, count):
        """So many acknowledgements more, of all chains together."""
        def acknowledged():
            demand(self.writer.poll() is None, "chain_writer ended")
            self.history.load(self.log)
            return sum(self.history.acked())
        goal = acknowledged() + count
        wait_until(lambda: acknowledged() >= goal, "the writers go on", timeout=60)

    # --- faults: each leaves the target ready for a failover, the source as it may ---

    def fault_up(self, rng):
        self.wait_writes(rng.randrange(1, 300))

    def fault_cut(self, rng):
        self.lab.cut()
        self.wait_writes(rng.randrange(1, 300))

    def fault_flap(self, rng):
        for _ in range(rng.randrange(2, 5)):
            self.lab.cut()
            self.wait_writes(rng.randrange(1, 150))
            self.lab.plug()
            self.wait_writes(rng.randrange(1, 300))

    def fault_throttle(self, rng):
        self.lab.throttle(rng.choice((1000, 4000, 10000, 30000)))
        self.wait_writes(rng.randrange(200, 1500))

    def fault_lossy(self, rng):
        self.lab.lose(20)
        self.wait_writes(rng.randrange(200, 1500))

    def fault_black_hole(self, rng):
        self.lab.lose(100)
        self.wait_writes(rng.randrange(1, 600))

    def fault_pause_source(self, rng):
        os.kill(self.turns.source.process.pid, signal.SIGSTOP)

    def fault_pause_target(self, rng):
        pid = self.turns.target.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            self.wait_writes(rng.randrange(1, 600))
        finally:
            os.kill(pid, signal.SIGCONT)

    def fault_kill_source(self, rng):
        self.turns.source.kill()

    def fault_kill_target(self, rng):
        target = self.turns.target
        for _ in range(rng.randrange(1, 3)):
            target.kill()
            self.wait_writes(rng.randrange(1, 150))
            target.start()
            self.wait_writes(rng.randrange(1, 300))

    def fault_planned(self, rng):
        """No fault: nothing may be missing."""
        self.stop_writer()
        self.turns.wait_point()

    def mend(self, fault):
        source = self.turns.source
        self.lab.heal()
        if fault == "pause_source":
            os.kill(source.process.pid, signal.SIGCONT)
        if fault == "kill_source":
            source.start()
        self.turns.wait_link()

    # --- judging ---

    def claimed(self):
        """Up to which moment of the writers' clock the target says that nothing is missing."""
        status = self.turns.target.status(self.turns.group)
        return max(status["PointWallUs"], status["CurrentWallUs"]) * 1000 - (time.time_ns() - time.monotonic_ns())

    def judge(self, site, kept):
        images = [chain_judge.Image(content, before) for content, before in zip(self.turns.images(site), self.before)]
        try:
            return chain_judge.judge(self.history, images, kept)
        except chain_judge.Breach as reason:
            self.keep_evidence(images)
            raise Failure(str(reason)) from reason

    def keep_evidence(self, images):
        if self.frame.options.keep:
            for number, image in enumerate(images):
                (self.lab.folder / f"image-{number}").write_bytes(image.content)

    def run_writes(self, rng):
        """Writes, with a moment before which all is certain, and some more. Returns that many of each chain."""
        self.start_writer(rng)
        self.wait_writes(rng.randrange(1, 400))
        certain = time.monotonic_ns()
        self.turns.wait_point()
        self.wait_writes(rng.randrange(1, 400))
        self.history.load(self.log)
        return self.history.acked(certain)

    def cycle(self, rng):
        turns = self.turns
        fault = FAULTS[self.number % len(FAULTS)]
        kept = self.run_writes(rng)
        getattr(self, f"fault_{fault}")(rng)
        claim = self.claimed()
        if fault == "planned":
            turns.detach(turns.source)
        turns.failover()
        self.stop_writer()
        promised = self.history.acked() if fault == "planned" else self.history.acked(claim - CLOCK_SLACK_NS)
        counts = self.judge(turns.target, [max(pair) for pair in zip(kept, promised)])
        demand(not self.history.errors, f"hosts of the source saw errors: {self.history.errors[:5]}")
        self.judged += 1
        missing = sum(max(0, acked - count) for acked, count in zip(self.history.acked(), counts))
        self.mend(fault)
        self.go_on(rng, fault, counts)
        return {"cuts": 1, "checks": 1, "missing": missing, fault: 1}

    def go_on(self, rng, fault, counts):
        """The direction turns or it does not; what was acknowledged at the site that wins must be there."""
        turns = self.turns
        is_reversed = rng.random() < 0.5
        turns.reprotect(is_reversed)
        if is_reversed:
            self.history.rewind(counts)
        elif fault == "kill_source" or rng.random() < 0.3:
            self.judge(turns.source, self.history.acked())
        turns.delete_snapshots()
        if self.judged % FRESH_CHAINS == 0:
            self.begin_chains(rng)
        turns.start()
