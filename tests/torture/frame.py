# SPDX-License-Identifier: Apache-2.0
"""What the tortures share: the class that each of them is, and the run that drives them; tests/torture/README.md."""
import argparse
import collections
import contextlib
import datetime
import importlib
import json
import os
import pathlib
import platform
import random
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests/lib")]
import sweep  # noqa: E402
from lab import Failure, Lab, Skip  # noqa: E402

FAILURES_MAX = 5  # of one torture; then it is given up


class Stopped(BaseException):
    """SIGINT or SIGTERM: clean up, report what was done."""


class Torture:
    """One kind of torture. A subclass with a name in a file torture_*.py is found and run.

    `cycle()` may be called any number of times after `setup()`; all its choices come from the generator it is given, so that one
    cycle can be run again alone. A violation raises lab.Failure, a missing tool lab.Skip. What it counts it returns: at least
    `kills` (or cuts: whatever it inflicts) and `checks` (what was compared)."""

    name = None
    cycles = 10        # of a run without --cycles and --minutes
    seconds_max = 120  # one cycle, then it has failed
    replication = {}   # as of Lab

    def __init__(self, frame):
        self.frame = frame
        self.lab = None
        self.number = 0  # of the present cycle

    def make_lab(self):
        """Two sites in the folder of this run, configured, not started."""
        return Lab(build=self.frame.build, replication=self.replication, base=self.frame.folder)

    def setup(self, lab, rng):
        """Starts the sites and whatever else the cycles need."""
        raise NotImplementedError

    def cycle(self, rng):
        raise NotImplementedError

    def finish(self, rng):
        """After the last cycle: what is checked once at the end. Counts as cycle() does."""
        return {}

    def teardown(self):
        """Ends what setup() began and the lab does not end by itself."""


class Report:
    """Counts of one torture."""

    def __init__(self, name):
        self.name = name
        self.cycles = self.failures = 0
        self.seconds = 0.0
        self.skipped = None
        self.is_given_up = False  # the setup itself fails
        self.counts = collections.Counter()
        self.failed = []

    def to_json(self):
        return {"torture": self.name, "cycles": self.cycles, "failures": self.failures, "seconds": round(self.seconds, 1),
                "skipped": self.skipped, "counts": dict(self.counts), "failed": self.failed}


@contextlib.contextmanager
def time_limit(seconds, what):
    def expire(number, stack):
        raise Failure(f"{what} took more than {seconds} s")
    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)  # again and again: what comes after may hang as well
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


class Frame:
    """One run: its options, its folder, its reports."""

    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "little")
        self.folder = sweep.claim(options.base)
        self.reports = []

    def build_with(self, name, *meson_options, targets=("src/daemon/versod", "src/cli/verso")):
        """A build of its own, made or brought up to date: for tortures that need another versod. Returns its folder."""
        folder = ROOT / name
        if not (folder / "build.ninja").exists():
            subprocess.run(["meson", "setup", str(folder), "--werror", *meson_options], cwd=ROOT, check=True,
                           stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", str(folder), *targets], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        for link, target in (("versod", "src/daemon/versod"), ("verso", "src/cli/verso")):
            if not (folder / link).exists():
                (folder / link).symlink_to(target)
        return folder

    def generator(self, name, what):
        return random.Random(f"{self.seed}:{name}:{what}")

    def again(self, name, number):
        base = f" --base {self.options.base}" if self.options.base else ""
        return (f"tests/torture/run --build {self.options.build} --only {name} --seed {self.seed} --first {number} "
                f"--cycles {name}=1{base}")

    def note_failure(self, report, torture, number, reason):
        report.failures += 1
        text = str(reason) if isinstance(reason, Failure) else "".join(traceback.format_exception(reason))
        report.failed.append({"cycle": number, "seed": self.seed, "again": self.again(report.name, number), "text": text[:4000]})
        print(f"FAILED {report.name} cycle {number} of seed {self.seed}: {text}\n  again: {self.again(report.name, number)}",
              flush=True)
        if torture.lab:
            for site in (torture.lab.paris, torture.lab.lyon):
                print(f"--- log of {site.name}\n{site.log_tail()}", flush=True)
        if self.options.keep:
            raise Stopped(f"kept as it is: {self.folder}, sites and all; the next run without --keep removes it")

    @contextlib.contextmanager
    def standing(self, torture):
        """The torture set up; taken down whatever happens, but with --keep after a failure."""
        try:
            with time_limit(300, f"setup of {torture.name}"):
                torture.lab = torture.make_lab()
                torture.setup(torture.lab, self.generator(torture.name, "setup"))
            yield
        except Stopped:
            if not self.options.keep:
                self.take_down(torture)
            raise
        except BaseException:
            self.take_down(torture)
            raise
        self.take_down(torture)

    def take_down(self, torture):
        for action in (torture.teardown, lambda: torture.lab and torture.lab.__exit__(None, None, None)):
            try:
                with time_limit(60, f"teardown of {torture.name}"):
                    action()
            except Exception as reason:  # the sweep at the end removes what stayed
                print(f"{torture.name}: teardown: {reason}", flush=True)
        torture.lab = None

    def run_batch(self, report, kind, number, wants_more):
        """Cycles from `number` on in one lab, until enough or a failure; returns the next number."""
        torture = kind(self)
        failed_at, is_set_up = number, False
        try:
            with self.standing(torture):
                is_set_up = True
                try:
                    while wants_more(number):
                        failed_at = torture.number = number
                        with time_limit(torture.seconds_max, "the cycle"):
                            counts = torture.cycle(self.generator(kind.name, number)) or {}
                        report.cycles += 1
                        report.counts.update(counts)
                        number += 1
                        if self.options.verbose:
                            print(f"{kind.name} {number - 1}: {counts}", flush=True)
                    failed_at = number - 1
                    with time_limit(300, "the end"):
                        report.counts.update(torture.finish(self.generator(kind.name, "finish")) or {})
                except Skip:
                    raise
                except Exception as reason:  # whatever it is: this cycle failed, the next one has a fresh lab
                    self.note_failure(report, torture, failed_at, reason)
                    return number + 1
        except Skip as reason:
            report.skipped = str(reason)
        except Exception as reason:
            self.note_failure(report, torture, failed_at, reason)
            report.is_given_up = not is_set_up
            return number + 1
        return number

    def run_torture(self, kind, cycles, deadline):
        report = Report(kind.name)
        self.reports.append(report)
        began = time.monotonic()
        first = number = self.options.first
        print(f"== {kind.name}  [{time.strftime('%H:%M:%S')}]", flush=True)

        def wants_more(number):
            if deadline is not None:
                return time.monotonic() < deadline
            return number < first + cycles
        try:
            while wants_more(number) and report.failures < FAILURES_MAX and not report.skipped \
                    and not report.is_given_up:
                number = self.run_batch(report, kind, number, wants_more)
        finally:
            report.seconds = time.monotonic() - began

    def run(self, kinds, cycles):
        end = time.monotonic() + self.options.minutes * 60 if self.options.minutes else None
        for index, kind in enumerate(kinds):
            deadline = None
            if end is not None:
                left = max(0.0, end - time.monotonic())
                deadline = time.monotonic() + left / (len(kinds) - index)
            self.run_torture(kind, cycles.get(kind.name, kind.cycles), deadline)

    def show(self):
        """The table and its twin for machines; the exit status."""
        print(f"\n{'torture':<16}{'cycles':>8}{'kills':>8}{'checks':>12}{'failures':>10}{'seconds':>9}")
        for report in self.reports:
            print(f"{report.name:<16}{report.cycles:>8}{report.counts['kills']:>8}{report.counts['checks']:>12}"
                  f"{report.failures:>10}{report.seconds:>9.0f}" + (f"  skipped: {report.skipped}" if report.skipped else ""))
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
        result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                  "commit": commit.stdout.strip(), "seed": self.seed, "first": self.options.first,
                  "kernel": platform.release(), "processors": os.cpu_count(),
                  "tortures": [report.to_json() for report in self.reports]}
        path = pathlib.Path(self.options.json or self.build / "torture.json")
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"seed {self.seed}; as JSON: {path}")
        passed = sum(report.cycles for report in self.reports)
        failed = sum(report.failures for report in self.reports)
        print(f"{passed} passed, {failed} failed")
        if failed:
            return 1
        return 0 if passed else 77


def discover():
    """{name: class} of all tortures beside this file."""
    found = {}
    for path in sorted(HERE.glob("torture_*.py")):
        module = importlib.import_module(path.stem)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Torture) and value.name and value.__module__ == path.stem:
                found[value.name] = value
    return found


def parse_cycles(text):
    return {name: int(count) for name, _, count in (part.partition("=") for part in text.split(",") if part)}


def parse_options(words, found):
    parser = argparse.ArgumentParser(prog="tests/torture/run", description="Tortures real daemons; tests/torture/README.md")
    parser.add_argument("--build", default="build", help="where versod and verso are")
    parser.add_argument("--minutes", type=float, help="this long in all, shared by the tortures")
    parser.add_argument("--cycles", type=parse_cycles, default={}, metavar="NAME=N,…", help="without --only: these alone")
    parser.add_argument("--only", default="", metavar="NAME,…", help=", ".join(found))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--first", type=int, default=1, help="number of the first cycle")
    parser.add_argument("--base", help="where the sites' folders are made; /dev/shm is faster")
    parser.add_argument("--json", help="default: torture.json in the build")
    parser.add_argument("--keep", action="store_true", help="stop at the first failure and leave everything as it is")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(words)
    names = [name for name in options.only.split(",") if name] or list(options.cycles) or list(found)
    for name in {*names, *options.cycles}:
        if name not in found:
            parser.error(f"no torture is called {name}; there are {', '.join(found)}")
    return options, [found[name] for name in names]


def stop(number, stack):
    raise Stopped(f"signal {number}")


def main(words):
    found = discover()
    options, kinds = parse_options(words, found)
    swept = sweep.sweep_dead(options.base)
    if swept:
        print(f"removed what {swept} dead runs had left")
    frame = Frame(options)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    print(f"seed {frame.seed}", flush=True)
    kept = False
    try:
        frame.run(kinds, options.cycles)
    except Stopped as reason:
        print(f"stopped: {reason}")
        kept = options.keep and any(report.failures for report in frame.reports)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not kept:
            sweep.sweep(frame.folder)
    return frame.show()
