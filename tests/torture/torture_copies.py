# SPDX-License-Identifier: Apache-2.0
"""A site's data folder put back from an old copy, or started twice: recognised by what the sites remember of each other, refused in words, and
never followed by two sites that hold different bytes and say that all is well."""
import contextlib
import shutil
import sqlite3
import time

from frame import Torture
from lab import Failure, Lab, Site, run, wait_until
from stamps import Stamps
from turns import Turns, demand, need_nbd

MIB = 1 << 20
DISKS, DISK_BYTES, BLOCKS = 2, 8 * MIB, 2048

SLOT, VERSION_AT, CRC_AT = 16384, 8, 12  # docs/stream-state.md


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def newer_slot(slot):
    """A slot of a stream's state as the next version would mark it, whole by its CRC."""
    changed = bytearray(slot)
    changed[CRC_AT:CRC_AT + 4] = bytes(4)
    if crc32c(changed).to_bytes(4, "little") != slot[CRC_AT:CRC_AT + 4]:
        raise Failure("the state's slot is not what docs/stream-state.md says")
    version = int.from_bytes(slot[VERSION_AT:VERSION_AT + 4], "little")
    changed[VERSION_AT:VERSION_AT + 4] = (version + 1).to_bytes(4, "little")
    changed[CRC_AT:CRC_AT + 4] = crc32c(changed).to_bytes(4, "little")
    return bytes(changed)


def user_version(site, number=None):
    """Of the metadata's file, or sets it."""
    with contextlib.closing(sqlite3.connect(site.data / "site.db")) as database:
        if number is not None:
            database.execute(f"PRAGMA user_version = {number}")
            database.commit()
        return database.execute("PRAGMA user_version").fetchone()[0]


class Copies(Torture):
    name = "copies"
    cycles = 6
    replication = {"interval": "100ms"}

    def make_lab(self):
        need_nbd()
        return Lab(build=self.frame.build, replication=self.replication, base=self.frame.folder)

    def setup(self, lab, rng):
        self.cases = sorted(name for name in dir(self) if name.startswith("case_"))
        rng.shuffle(self.cases)  # so that a few cycles are not always the same few
        self.is_fresh = True

    def cycle(self, rng):
        if not self.is_fresh:
            self.lab.__exit__(None, None, None)
            self.lab = self.make_lab()
        self.is_fresh = False
        case = self.cases[self.number % len(self.cases)]
        self.open_group(rng)
        getattr(self, case)(rng)
        return {"checks": 1, case[len("case_"):]: 1}

    # --- parts of the cases ---

    def open_group(self, rng):
        self.lab.start()
        self.turns = Turns.make(self.lab, DISKS, DISK_BYTES)
        self.host = Stamps(self.lab.paris, self.turns.of(self.lab.paris), BLOCKS)
        self.host.write_some(rng)
        self.turns.start()
        self.turns.wait_point()

    def copy_of(self, site, rng):
        """The data folder as a backup of a stopped site has it, or a snapshot of a running one."""
        copy = self.lab.folder / f"copy-of-{site.name}"
        if rng.random() < 0.5:
            site.stop()
        else:
            site.kill()
        run("cp", "-a", "--sparse=always", site.data, copy)
        site.start()
        self.host.close()
        self.wait_source()
        return copy

    def wait_source(self):
        self.turns.wait_link()
        for disk in self.host.disks:
            self.lab.paris.wait_export(disk, timeout=60)

    def put_back(self, site, copy):
        site.kill()
        shutil.rmtree(site.data)
        run("cp", "-a", "--sparse=always", copy, site.data)
        site.start()
        self.host.close()

    def clone_of(self, site, copy, peer):
        """A site that believes to be another one; not started."""
        clone = Site(self.lab, "clone")
        clone.name, clone.region, clone.zone, clone.data = site.name, site.region, site.zone, copy
        clone.peer_address = f"127.0.0.1:{peer.link_port}"
        clone.write_config(peer)
        self.lab.defer(clone.kill)
        return clone

    def trouble(self, site):
        return (site.status(self.turns.group) or {}).get("Trouble", "")

    def live_on(self, rng):
        """More points, more writes, as a site has behind its backup."""
        for _ in range(rng.randrange(1, 4)):
            self.host.write_some(rng, 60)
            self.turns.wait_point()

    # --- cases ---

    def case_old_source(self, rng):
        """The source's folder, disks and all, of before. What the target holds is newer: nothing of the old may be shipped
        over it as if it were a delta."""
        copy = self.copy_of(self.lab.paris, rng)
        self.live_on(rng)
        newest = self.host.check()
        self.put_back(self.lab.paris, copy)
        self.turns.wait_link()
        wait_until(lambda: "stale" in self.trouble(self.lab.paris) or "stale" in self.trouble(self.lab.lyon),
                   f"the old copy is recognised; paris: {self.lab.paris.status()}, lyon: {self.lab.lyon.status()}")
        for disk in self.host.disks:
            demand(not self.lab.paris.is_exported(disk), "hosts must not write on an old copy")
        if rng.random() < 0.5:
            self.lab.paris.kill()
            self.lab.paris.start()
            self.turns.wait_link()
        self.turns.failover()
        for number, found in enumerate(self.turns.images(self.lab.lyon)):
            demand(found == newest[number], f"disk {number}: lyon lost what it had")
        self.refuse_reprotect(newest)

    def refuse_reprotect(self, newest):
        """The old copy does not know what it lacks: replication must not begin again as if only a delta differed."""
        paris, lyon = self.lab.paris, self.lab.lyon
        self.turns.wait_role(paris, "fenced")
        self.turns.detach(paris)
        _, text = lyon.verso_fails("group", "reprotect", self.turns.group, "-q", "--timeout", "60")
        demand("stale" in text, f"the reprotect says why it is refused: {text}")
        for number, found in enumerate(self.turns.images(lyon)):
            demand(found == newest[number], f"disk {number}: lyon's content changed by a reprotect that was refused")

    def case_old_target(self, rng):
        """The target's folder of before: the source says so, ships nothing, and its hosts go on."""
        copy = self.copy_of(self.lab.lyon, rng)
        self.live_on(rng)
        self.put_back(self.lab.lyon, copy)
        self.turns.wait_link()
        wait_until(lambda: "stale" in self.trouble(self.lab.paris), f"the old copy is recognised: {self.trouble(self.lab.paris)!r}")
        self.host.write_some(rng)
        self.host.check()

    def case_newer_files(self, rng):
        """Files that a newer Verso wrote: refused by name, nothing is guessed and nothing lost when the right ones are back."""
        site = rng.choice((self.lab.paris, self.lab.lyon))
        expected = self.host.check()
        site.stop()
        state = site.data / "streams" / self.turns.group / "state"
        original = state.read_bytes()
        state.write_bytes(b"".join(newer_slot(original[at:at + SLOT]) for at in range(0, len(original), SLOT)))
        site.start()
        self.host.close()
        wait_until(lambda: "newer version" in self.trouble(site), f"{site.name} names the version: {self.trouble(site)!r}")
        for disk in self.turns.of(site):
            demand(not site.is_exported(disk), "a disk whose stream cannot be read is closed")
        site.stop()
        state.write_bytes(original)
        self.refuse_database(site)
        site.start()
        self.wait_source()
        found = self.host.check()
        demand(found == expected, "the disks are as they were")
        self.host.write_some(rng)
        self.turns.wait_point()

    def refuse_database(self, site):
        """site.db of a newer version: the daemon does not start, and says why."""
        version = user_version(site)
        user_version(site, version + 1)
        site.start(wait=False)
        demand(site.process.wait(30) == 1, "versod ends with 1")
        site.process = None
        last = site.log_tail().splitlines()[-1]
        demand("site.db" in last and "newer" in last, f"the last line names file and reason: {last}")
        user_version(site, version)

    def case_twins(self, rng):
        """A target and its clone are both failed over: the same term, the same site id, two histories. The source follows the
        one that an operator reprotects, and never the other one."""
        paris, lyon = self.lab.paris, self.lab.lyon
        clone = self.clone_of(lyon, self.copy_of(lyon, rng), paris)
        self.host.write_some(rng)
        self.turns.wait_point()
        paris.kill()
        self.turns.failover()
        lyon.kill()
        clone.start()
        clone.verso("group", "failover", self.turns.group, "-q", "--timeout", "60")
        paris.start()
        self.turns.wait_role(paris, "fenced")
        clone.kill()
        lyon.start()
        self.turns.wait_link()
        self.turns.reprotect(True)
        self.turns.start()
        self.turns.wait_point()
        lyon.kill()
        clone.start()
        wait_until(lambda: self.trouble(paris), "paris tells that this is not the lyon that it follows")
        demand("stale" in self.trouble(paris) or "older history" in self.trouble(paris), self.trouble(paris))
        clone.kill()
        lyon.start()
        self.turns.wait_link()
        self.turns.wait_point()
        expected = self.turns.images(lyon)
        self.turns.detach(lyon)
        self.turns.failover()
        for number, found in enumerate(self.turns.images(paris)):
            demand(found == expected[number], f"disk {number} differs between the sites")

    def case_clone_of_source(self, rng):
        self.run_clone(rng, self.lab.paris)

    def case_clone_of_target(self, rng):
        self.run_clone(rng, self.lab.lyon)

    def run_clone(self, rng, site):
        """A copy of a folder started beside the original: it must not be taken for it."""
        copy = self.copy_of(site, rng)
        self.live_on(rng)
        peer = self.lab.lyon if site is self.lab.paris else self.lab.paris
        clone = self.clone_of(site, copy, peer)
        clone.start()
        began = time.monotonic()
        while time.monotonic() < began + 3:
            if site is self.lab.paris:
                for disk in self.host.disks:
                    demand(not clone.is_exported(disk), "hosts must not write on a clone")
            self.host.write_some(rng, 5)
        clone.kill()
        self.turns.wait_link()
        self.host.write_some(rng)
        self.turns.wait_point()
        expected = self.host.check()
        self.turns.detach(self.lab.paris)
        self.turns.failover()
        for number, found in enumerate(self.turns.images(self.lab.lyon)):
            demand(found == expected[number], f"disk {number} differs between the sites")
