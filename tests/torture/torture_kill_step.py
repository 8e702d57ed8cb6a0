# SPDX-License-Identifier: Apache-2.0
"""Death at named steps (src/base/step.h, a build of its own with -Dstep_hooks=true): of commit, acknowledgement, apply, failover, drain,
reprotect both ways, snapshot, state, bitfile, transaction of a job, clean stop. The daemon is started again and the same operation asked
again; what must hold holds, and replication goes on."""
import os
import signal
import subprocess
import time

from frame import Failure
from lab import run, wait_until
from rawtorture import RawTorture
from step_order import STEP_STATUS, StepOrder

MIB = 1 << 20

RUNNING = [("run", "target")]
STOP = [("stop", "source")]
FAILOVER = [("failover", "new")]
LOSER = [("reprotect", "loser"), ("cancel", "loser")]
WINNER = [("reprotect", "winner"), ("cancel", "winner")]
# At which step who dies under which operation. The names stand in src/ as step_point("...").
STEPS = {
    "commit-before-table": RUNNING, "commit-before-sync": RUNNING, "commit-before-record": RUNNING, "commit-durable": RUNNING,
    "ack-before-send": RUNNING,
    "apply-before-mark": RUNNING, "apply-moved": RUNNING, "apply-synced": RUNNING, "apply-recorded": RUNNING, "apply-released": RUNNING,
    "state-before-write": RUNNING + FAILOVER + LOSER + WINNER, "state-before-sync": RUNNING + FAILOVER + LOSER + WINNER,
    "state-synced": RUNNING + FAILOVER + LOSER + WINNER, "state-twin-written": RUNNING + FAILOVER + LOSER + WINNER,
    "failover-quiet": FAILOVER, "failover-held": FAILOVER, "failover-tracked": FAILOVER, "failover-promoted": FAILOVER,
    "failover-before-save": FAILOVER, "failover-saved": FAILOVER, "failover-before-drain": FAILOVER,
    "drain-moved": FAILOVER, "drain-synced": FAILOVER, "drain-recorded": FAILOVER, "drain-journal-reset": FAILOVER,
    "bits-before-sync": FAILOVER, "bits-synced": FAILOVER, "bitfile-before-rename": LOSER,
    "change-before-commit": FAILOVER + [("reprotect", "winner"), ("cancel", "loser")],
    "change-committed": FAILOVER + [("reprotect", "winner"), ("cancel", "loser")],
    "reprotect-loser-stopped": LOSER, "reprotect-loser-saved": LOSER, "reprotect-loser-drained": LOSER, "reprotect-loser-synced": LOSER,
    "reprotect-told": LOSER, "reprotect-marking": WINNER, "reprotect-marked": WINNER, "reprotect-winner-saved": WINNER,
    "reprotect-commit-taken": LOSER, "reprotect-become-synced": LOSER, "reprotect-snapshots-kept": LOSER,
    "reprotect-become-saved": LOSER, "reprotect-before-done": LOSER, "reprotect-done-taken": WINNER, "reprotect-confirmed": WINNER,
    "layer-before-rename": LOSER, "layer-renamed": LOSER, "layer-data-synced": LOSER,
    "stop-dirty-saved": STOP, "stop-saved": STOP,
}


class KillStep(RawTorture):
    name = "kill_step"
    cycles = 60
    replication = {"interval": "50ms", "retain-time": "300ms"}

    def make_lab(self):
        self.frame_build = self.frame.build
        self.frame.build = self.frame.build_with("build-steps", "-Dstep_hooks=true")
        try:
            return super().make_lab()
        finally:
            self.frame.build = self.frame_build

    def setup(self, lab, rng):
        self.steps = sorted(STEPS)
        rng.shuffle(self.steps)  # fifty cycles take all of them, a few not always the same few
        self.orders = {}
        for site in (lab.paris, lab.lyon):
            self.orders[site] = StepOrder(site)
            site.start = self.with_order(site, site.start)
        lab.start()
        group, sources, targets = lab.group(self.disks, 8 * MIB)
        self.begin(lab, rng, group, sources, targets)

    def with_order(self, site, start):
        def start_with_order(**options):
            os.environ["VERSO_STEP_FILE"] = self.orders[site].path
            start(**options)
        return start_with_order

    # -- dying

    def has_died(self, site):
        """It died at its step. Anything else that ended it is a failure."""
        if site.process is None or site.process.poll() is None:
            return False
        if site.process.returncode != STEP_STATUS:
            raise Failure(f"versod of {site.name} ended with {site.process.returncode}")
        return True

    def revive(self, site):
        """Started again if it has died; true then."""
        if not self.has_died(site):
            return False
        self.orders[site].disarm()
        site.process = None
        site.start()
        self.deaths += 1
        return True

    def wait_death(self, site, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.has_died(site):
            time.sleep(0.002)
        return self.revive(site)

    def is_in_state(self, site, victim, state):
        self.revive(victim)
        try:
            return (site.status(self.group) or {}).get("Status") == state
        except Failure:
            if not self.revive(victim):  # it died in this very moment
                raise
            return False

    def ask(self, site, victim, words, state):
        """Asks for an operation while one may die; revives it; asks again until the group is in the state."""
        end = time.monotonic() + 60
        while True:
            asked = subprocess.Popen([str(site.lab.build / "verso"), "--socket", str(site.api), "group", words, self.group, "-q", "-y",
                                      "--timeout", "20"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            while asked.poll() is None:
                self.revive(victim)
                time.sleep(0.002)
            said = asked.stdout.read().decode()
            self.revive(victim)
            site.verso("wait", self.group, "--for", state, "--timeout", "10", "-q", check=False)
            if self.is_in_state(site, victim, state):
                return
            if time.monotonic() > end:
                raise Failure(f"{words} at {site.name}, {victim.name} died at {self.step}: not {state} after asking again; it said: {said}")

    # -- cycles

    def cycle(self, rng):
        self.step = self.steps[self.number % len(self.steps)]
        operation, victim = rng.choice(STEPS[self.step])
        self.count = rng.choice((1, 1, 1, 2, 3)) if self.step.startswith(("change-", "state-", "commit-", "bits-")) else 1
        self.deaths = 0
        self.load.wait_acked(rng.randrange(100))
        checks = {"run": self.cycle_run, "stop": self.cycle_stop}.get(operation, self.cycle_turn_step)(rng, operation, victim)
        return {"kills": self.deaths, "checks": checks, "not reached": int(self.deaths == 0), f"{operation} {self.step}": self.deaths}

    def cycle_run(self, rng, operation, victim):
        self.orders[self.target].arm(self.step, self.count)
        self.wait_death(self.target, 5)
        self.orders[self.target].disarm()
        self.stop_undisturbed()
        self.check_resumed()
        self.go_on()
        self.check_one_exports()
        return 1

    def cycle_stop(self, rng, operation, victim):
        site = self.source
        self.orders[site].arm(self.step, self.count)
        site.process.send_signal(signal.SIGTERM)
        site.process.wait(60)
        if site.process.returncode == 0:
            self.orders[site].disarm()
            site.process = None
            site.start()
        self.revive(site)
        checks = self.settle(site)
        self.check_resumed()
        self.go_on()
        return checks

    def cycle_turn_step(self, rng, operation, victim):
        old, new = self.source, self.target
        is_cancel = operation == "cancel"
        is_planned = is_cancel or rng.random() < 0.5
        if is_planned:
            self.stop_undisturbed()
            self.wait_point(old)
            self.load.point()
            self.detach(old)
        else:
            old.kill()
        if operation == "failover":
            self.orders[new].arm(self.step, self.count)
        self.ask(new, new, "failover", "failovered")
        if operation == "failover" and self.deaths == 0 and self.step.startswith("drain-"):
            self.wait_death(new, 3)
        self.orders[new].disarm()
        for disk in self.exports[new]:
            new.attach(disk)
        self.load.stop()
        checks = self.load.cut(new, self.exports[new])
        if is_cancel:  # what is written now is given up
            run("qemu-io", "-f", "raw", "-c", "write -P 0xaa 0 256k", new.uri(self.exports[new][0]))
            self.detach(new)
        else:
            self.load.run(new, self.exports[new])
            self.load.wait_acked(rng.randrange(100))
            self.load.stop()
        if not is_planned:
            self.come_back(rng, old)
        self.lab.wait_link()
        winner, loser = (old, new) if is_cancel else (new, old)
        dying = winner if victim == "winner" else loser
        if operation != "failover":
            self.orders[dying].arm(self.step, self.count)
        self.ask(new, dying, "cancel-failover" if is_cancel else "reprotect", "stopped")
        self.go_on_after(winner, loser, dying, is_cancel)
        return checks + self.check_turned(winner)

    def go_on_after(self, winner, loser, dying, is_cancel):
        """The stream runs from winner to loser; a step of the first epochs there may kill as well."""
        if self.step != "layer-data-synced":
            self.orders[dying].disarm()
            self.revive(dying)
            self.delete_snapshots(loser)
        self.lab.wait_link()
        if is_cancel:
            for disk in self.exports[winner]:
                winner.attach(disk)
        wait_until(lambda: winner.status(self.group)["Role"] == "source", f"{winner.name} is the source")
        winner.verso("group", "start", self.group, "-q", "--timeout", "60")
        if self.step == "layer-data-synced":
            self.load.run(winner, self.exports[winner])
            self.wait_death(loser, 5)
            self.orders[loser].disarm()
            self.delete_snapshots(loser)
            self.load.stop()
        self.source, self.target = winner, loser

    def check_turned(self, winner):
        checks = self.load.settle(winner, self.exports[winner])
        self.wait_point(winner)
        self.load.point()
        self.go_on()
        self.check_one_exports()
        return checks

    def rise(self, rng, site):
        site.start()
        return 0
