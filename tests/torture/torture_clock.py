# SPDX-License-Identifier: Apache-2.0
"""Clocks that jump (libfaketime, its offset changed while the daemon runs), a monotonic clock that is another after a restart (time
namespace), daemons that are stopped for a while (SIGSTOP). Replication goes on, nothing spins, what is said of the age of a recovery point is never less than it is, and `verso wait`
never tells of a point that lacks what was written before."""
import glob
import json
import os
import pathlib
import shutil
import signal
import time

import sweep
from frame import Torture
from lab import Skip, wait_until
from stamps import Stamps
from turns import Turns, demand, need_nbd

MIB = 1 << 20
DISKS, DISK_BYTES, BLOCKS = 2, 8 * MIB, 2048
HOUR, YEARS = 3600, 10 * 365 * 86400
JUMPS = (HOUR, -HOUR, YEARS, -YEARS, -1, 30, 0)
CYCLES_SHORT = 6         # of the first ones the pauses are short
SPIN_SHARE = 0.4         # of one processor, over a second in which nothing is asked of a daemon
TICKS = os.sysconf("SC_CLK_TCK")


class Clock(Torture):
    name = "clock"
    cycles = 6
    replication = {"interval": "500ms"}
    seconds_max = 240

    def setup(self, lab, rng):
        need_nbd()
        libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not libraries:
            raise Skip("libfaketime is missing")
        if (self.frame.build / "meson-info").exists() and "-fsanitize" in (self.frame.build / "build.ninja").read_text():
            raise Skip("libfaketime does not go with sanitizers")
        for site in (lab.paris, lab.lyon):
            site.environment = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": str(site.folder / "clock"),
                                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            self.set_clock(site, 0)
            site.kill, site.stop = self.with_removal(site, site.kill), self.with_removal(site, site.stop)
        lab.start()
        self.turns = Turns.make(lab, DISKS, DISK_BYTES)
        self.host = Stamps(lab.paris, self.turns.of(lab.paris), BLOCKS)
        self.host.write_some(rng)
        self.turns.start()

    def with_removal(self, site, end):
        def end_and_remove():
            process = site.process
            end()
            if process:
                sweep.remove_clock(process.pid)
        return end_and_remove

    def set_clock(self, site, offset):
        """Another offset to the machine's clock, in seconds, from now on; a rename, so that no half of it is read."""
        path = site.folder / "clock"
        path.with_suffix(".new").write_text(f"{offset:+d}\n")
        path.with_suffix(".new").rename(path)

    def cycle(self, rng):
        cases = ("step", "pause", "step", "restart")
        case = cases[self.number % len(cases)]
        getattr(self, case)(rng)
        self.judge(rng)
        return {"checks": 1, case: 1}

    # --- cases ---

    def step(self, rng):
        """One site's clock, or both, again and again."""
        sites = rng.sample((self.lab.paris, self.lab.lyon), rng.randint(1, 2))
        for offset in rng.sample(JUMPS, 4):
            for site in sites:
                self.set_clock(site, offset)
            self.host.write_some(rng)
            self.turns.wait_point()
        if rng.random() < 0.5:
            self.check_age(rng)
        # Behind a point of the future, what is written now is not in it: judge() waits for the next one.
        self.set_clock(self.lab.paris, HOUR)
        self.host.write_some(rng)
        self.turns.wait_point()
        self.set_clock(self.lab.paris, -HOUR)

    def pause(self, rng):
        """Daemons that do not run for a while, as after a suspended machine."""
        seconds = rng.uniform(1, 3) if self.number <= CYCLES_SHORT else rng.uniform(16, 40)
        sites = rng.sample((self.lab.paris, self.lab.lyon), rng.randint(1, 2))
        for site in sites:
            os.kill(site.process.pid, signal.SIGSTOP)
        try:
            if self.lab.paris not in sites:
                self.host.write_some(rng)
            time.sleep(seconds)
        finally:
            for site in sites:
                os.kill(site.process.pid, signal.SIGCONT)
        self.host.write_some(rng)
        self.turns.wait_link()
        self.turns.wait_point()

    def restart(self, rng):
        """A machine that came up again: the monotonic clock began elsewhere."""
        site = rng.choice((self.lab.paris, self.lab.lyon))
        rng.choice((site.stop, site.kill))()
        if shutil.which("unshare") and os.geteuid() == 0:
            ahead = str(rng.choice((1, 100_000, 10_000_000)))
            site.wrapper = ["unshare", "-T", "--monotonic", ahead, "--boottime", ahead] if not site.wrapper else []
        site.start()
        if site is self.lab.paris:
            self.host.close()
            for disk in self.host.disks:
                site.wait_export(disk, timeout=60)
        self.turns.wait_link()
        self.host.write_some(rng)

    # --- checks ---

    def status(self, site):
        return json.loads(site.verso("status", "--json"))["streams"][0]

    def check_age(self, rng):
        """The source does not run: the target says that its point grows older, whatever the clocks say."""
        pid = self.lab.paris.process.pid
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic_ns()
        try:
            self.set_clock(self.lab.lyon, rng.choice(JUMPS))
            time.sleep(1.5)
            passed = time.monotonic_ns() - began
            lag = self.status(self.lab.lyon)["LagNs"]
        finally:
            os.kill(pid, signal.SIGCONT)
        # A frame that was under way may have arrived a moment after the stop.
        demand(lag >= passed - 300_000_000, f"lyon says {lag / 1e9} s, but for {passed / 1e9} s it heard nothing")

    def check_rest(self):
        """Nobody asks for anything: nobody works."""
        sites = (self.lab.paris, self.lab.lyon)
        before = [self.used(site) for site in sites]
        time.sleep(1)
        for site, used in zip(sites, before):
            share = self.used(site) - used
            demand(share < SPIN_SHARE, f"{site.name} used {share} s of processor time in a second of rest")

    def used(self, site):
        words = pathlib.Path(f"/proc/{site.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def judge(self, rng):
        """The point that `verso wait` told of holds all that was written before: both sites are equal."""
        self.host.write_some(rng)
        self.turns.wait_point()
        expected = self.host.check()
        self.turns.detach(self.turns.source)
        self.turns.failover()
        for number, found in enumerate(self.turns.images(self.turns.target)):
            demand(found == expected[number], f"disk {number}: the point lacks what was written before it")
        self.turns.reprotect(False)
        self.turns.delete_snapshots()
        self.host.close()
        self.turns.start()
        self.check_rest()
        wait_until(lambda: not self.status(self.lab.paris)["Trouble"], "paris has no trouble")
