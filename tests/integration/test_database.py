#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SQLite database that spans two disks of a group (two files, one transaction, a super-journal), failed over under
load again and again: both files intact, the same transfers in both, the sum unchanged, and nothing lost that was
committed before an awaited recovery point."""
import os
import pathlib
import sqlite3
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Mount, Skip, need, run, wait_until  # noqa: E402
from lab_case import LabCase, main, skip_guard  # noqa: E402

MIB = 1 << 20
ROUNDS = int(os.environ.get("VERSO_ROUNDS", "3"))
ACCOUNTS, START = 20, 1000
WRITER = """
import random, sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
ledger.execute("PRAGMA synchronous=FULL")
ledger.execute("ATTACH ? AS far", (sys.argv[2],))
ledger.execute("PRAGMA far.synchronous=FULL")
while True:
    amount, account = random.randrange(1, 50), random.randrange(20)
    ledger.execute("BEGIN IMMEDIATE")
    ledger.execute("UPDATE main.account SET money = money - ? WHERE id = ?", (amount, account))
    ledger.execute("UPDATE far.account SET money = money + ? WHERE id = ?", (amount, account))
    ledger.execute("INSERT INTO main.transfer(amount) VALUES (?)", (amount,))
    ledger.execute("INSERT INTO far.transfer(amount) VALUES (?)", (amount,))
    ledger.execute("COMMIT")
    print(flush=True)
"""


class DatabaseTest(LabCase):
    def setUp(self):
        super().setUp()
        self.before = 0  # transfers committed in earlier rounds
        # One pair of paths for both sites: SQLite finds the super-journal by its absolute path.
        self.paths = [self.lab.folder / "host" / name for name in ("a", "b")]
        for path in self.paths:
            path.mkdir(parents=True)

    def mount(self, site, disks):
        mounts = []
        for disk, path in zip(disks, self.paths):
            mount = Mount(self.lab, site, disk)
            mount.path = path
            mounts.append(mount.mount())
        return mounts

    @property
    def ledgers(self):
        return [str(self.paths[0] / "a.db"), str(self.paths[1] / "b.db")]

    def load(self, transfers):
        """A writer that has committed `transfers` more and goes on."""
        writer = subprocess.Popen([sys.executable, "-c", WRITER, *self.ledgers], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(writer.stdout.close)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        for _ in range(transfers):
            if not writer.stdout.readline():
                self.fail("the writer ended early")
        return writer, self.before + transfers

    def judge(self, certain):
        ledger = sqlite3.connect(self.ledgers[0], timeout=30)
        ledger.execute("ATTACH ? AS far", (self.ledgers[1],))
        for name in ("main", "far"):
            self.assertEqual(ledger.execute(f"PRAGMA {name}.integrity_check").fetchone()[0], "ok")
        near, far, money = ledger.execute(
            "SELECT (SELECT count(*) FROM main.transfer), (SELECT count(*) FROM far.transfer),"
            " (SELECT sum(money) FROM main.account) + (SELECT sum(money) FROM far.account)").fetchone()
        ledger.close()
        self.assertEqual(near, far, "a transfer is in one file only")
        self.assertEqual(money, 2 * ACCOUNTS * START)
        self.assertGreaterEqual(near, certain, "a transfer before the recovery point is lost")
        self.before = near

    @skip_guard
    def test_failover_under_load(self):
        need("nbdfuse", "losetup", "mkfs.ext4")
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            raise Skip("mounting needs root and /dev/fuse")
        group, here, there = self.lab.group(2, 64 * MIB)
        active, other = self.paris, self.lyon
        for disk in here:
            mount = Mount(self.lab, active, disk).open()
            run("mkfs.ext4", "-q", mount.loop)
            mount.end()
        mounts = self.mount(active, here)
        for path in self.ledgers:
            with sqlite3.connect(path) as ledger:
                ledger.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER)")
                ledger.execute("CREATE TABLE transfer(id INTEGER PRIMARY KEY, amount INTEGER)")
                ledger.executemany("INSERT INTO account VALUES (?, ?)", [(i, START) for i in range(ACCOUNTS)])
            ledger.close()
        for _ in range(ROUNDS):
            active.verso("group", "start", group, "-q")
            writer, certain = self.load(20)
            self.wait_point(active, group)
            active.kill()
            writer.kill()
            writer.wait()
            for mount in mounts:
                mount.end()
            other.verso("group", "failover", group, "-q")
            for disk in there:
                other.attach(disk)
            mounts = self.mount(other, there)
            self.judge(certain)
            self.turn_round(active, other, group, here)
            active, other, here, there = other, active, there, here
        for mount in mounts:
            mount.unmount()

    def turn_round(self, lost, promoted, group, disks):
        lost.start()
        self.wait_role(lost, group, "fenced")
        for disk in disks:
            lost.verso("disk", "detach", disk)
            wait_until(lambda disk=disk: not lost.is_exported(disk), f"{disk} is gone")
        promoted.verso("group", "reprotect", group, "-q", "--timeout", "60")


if __name__ == "__main__":
    main()
