# SPDX-License-Identifier: Apache-2.0
"""unittest over a lab: what is missing on the machine is a skip, a test that skipped everything ends with 77 (as
meson reads it), and a failure shows the ends of both daemons' logs."""
import sys
import unittest

from lab import Lab, Skip, wait_until


class LabCase(unittest.TestCase):
    """A test with self.lab, made by make_lab() and started; ended whatever happens."""

    replication = {}
    start_lab = True

    def make_lab(self):
        return Lab(replication=self.replication)

    def setUp(self):
        try:
            self.lab = self.make_lab()
        except Skip as reason:
            self.skipTest(str(reason))
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.paris, self.lyon = self.lab.paris, self.lab.lyon
        self.addCleanup(self.show_logs)
        if self.start_lab:
            self.lab.start()

    def show_logs(self):
        """Runs before the lab goes: the ends of both logs, when the test failed so far."""
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.errors + outcome.failures) or sys.exc_info()[0] \
                or not self._outcome.success:
            for site in (self.paris, self.lyon):
                print(f"--- log of {site.name}\n{site.log_tail()}", file=sys.stderr)
                if site.process and site.process.poll() is None and site.api.exists():
                    print(site.verso("api", "DescribeVersoStatus", check=False), file=sys.stderr)

    def wait_role(self, site, stream, role, timeout=30):
        wait_until(lambda: (site.status(stream) or {}).get("Role") == role, f"{stream} is {role} at {site.name}",
                   timeout)

    def wait_point(self, site, stream):
        site.verso("wait", stream, "--for", "recovery-point", "--timeout", "60", "-q")

    def images(self, site, disks):
        return [site.image_digest(disk) for disk in disks]

    def move(self, old, new, group, old_disks, new_disks):
        """Failover from old to new with both there: detached at old, attached and exported at new."""
        for disk in old_disks:
            old.verso("disk", "detach", disk)
        new.verso("group", "failover", group, "-q")
        for disk in new_disks:
            new.attach(disk)


def skip_guard(function):
    """Turns a Skip raised inside a test into unittest's."""
    def guarded(self, *words):
        try:
            return function(self, *words)
        except Skip as reason:
            self.skipTest(str(reason))
    guarded.__name__ = function.__name__
    guarded.__doc__ = function.__doc__
    return guarded


def main():
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) == result.testsRun else 0)
