# SPDX-License-Identifier: Apache-2.0
"""Failover, reprotect, failback, round and round, with writes on both sides: planned or forced, either way of the reprotect,
or without a single write. At the end of each loop both sites are compared byte by byte, what the loser held is a snapshot, and no more
than the union of what both changed has gone over the wire."""
from frame import Torture
from turns import Turns, demand, need_nbd, open_export, read_export

MIB = 1 << 20
BLOCK = 4096
DISKS, DISK_BYTES = 2, 8 * MIB
PATCHES_MAX = 40
OVERHEAD = 64 << 10  # frames, hashes, records of the control plane


class Content:
    """What the disks of a group hold, and which blocks were written since the last mark."""

    def __init__(self, images, dirty=()):
        self.images = [bytearray(image) for image in images]
        self.dirty = set(dirty)

    def copy(self):
        return Content(self.images, self.dirty)

    def write(self, site, disks, rng):
        """Random patches, here and there; some unaligned, some trims, some with FUA, a flush now and then."""
        for number, disk in enumerate(disks):
            handle = open_export(site, disk)
            for _ in range(rng.randrange(1, PATCHES_MAX)):
                self.patch(handle, number, rng)
            handle.flush()
            handle.shutdown()

    def patch(self, handle, number, rng):
        size = rng.choice((512, BLOCK, BLOCK, 3 * BLOCK, 16 * BLOCK, 64 * BLOCK))
        offset = rng.randrange(0, DISK_BYTES - size + 1, 512 if size == 512 else BLOCK)
        if rng.random() < 0.1:
            data = bytes(size)
            handle.zero(size, offset)
        else:
            data = rng.randbytes(size)
            handle.pwrite(data, offset, handle_flags(handle, rng))
        self.images[number][offset:offset + size] = data
        self.dirty.update((number, block) for block in range(offset // BLOCK, (offset + size - 1) // BLOCK + 1))


def handle_flags(handle, rng):
    import nbd
    return nbd.CMD_FLAG_FUA if rng.random() < 0.2 and handle.can_fua() else 0


class FailoverLoops(Torture):
    name = "failover_loops"
    cycles = 10
    replication = {"interval": "100ms"}

    def make_lab(self):
        need_nbd()
        return super().make_lab()

    def setup(self, lab, rng):
        lab.start()
        self.turns = Turns.make(lab, DISKS, DISK_BYTES)
        self.content = Content(self.turns.images(lab.paris))
        self.content.write(lab.paris, self.turns.of(lab.paris), rng)
        self.turns.start()

    # --- steps ---

    def compare(self, site, content, what):
        for number, (found, expected) in enumerate(zip(self.turns.images(site), content.images)):
            compare_bytes(found, expected, f"{what}: {site.name}, disk {number}")

    def write(self, site, content, rng):
        content.write(site, self.turns.of(site), rng)

    def demand_no_split(self, when):
        """An unmodified disk, or one whose loser wrote nothing, must not look like two histories."""
        for site in (self.lab.paris, self.lab.lyon):
            trouble = site.status(self.turns.group)["Trouble"]
            demand("diverged" not in trouble and "foreign" not in trouble and "stale" not in trouble,
                   f"{when}: {site.name} says {trouble}")

    def lose_source(self, rng, content):
        """Writes that never reach the target, since it is not there, and then the source is lost."""
        source, target = self.turns.source, self.turns.target
        rng.choice((target.stop, target.kill))()
        self.write(source, content, rng)
        rng.choice((source.stop, source.kill))()
        target.start()

    def check_kept(self, site, content):
        """What the loser held is the newest snapshot of each of its disks."""
        for number, disk in enumerate(self.turns.of(site)):
            shown = self.turns.snapshots(site, disk)
            demand(shown, f"{site.name}: no snapshot of disk {number} was kept")
            newest = max(shown, key=lambda one: int(one["Label"].lstrip("g")))
            compare_bytes(read_export(site, newest["ExportName"]), content.images[number],
                          f"snapshot {newest['ExportName']} at {site.name}")

    def wire(self):
        """Bytes that the source's end of the link has sent."""
        return self.turns.source.api_call("DescribeVersoStatus")["Peers"][0]["BytesOut"]

    def ship(self, content, differs):
        """Starts; no more than what differs may travel."""
        before = self.wire()
        self.turns.start()
        self.turns.wait_point()
        shipped = self.wire() - before
        limit = len(differs) * BLOCK + OVERHEAD
        demand(shipped <= limit, f"{shipped} bytes travelled for a union of {len(differs)} blocks")
        content.dirty.clear()
        return shipped

    def check_equal(self, content):
        """Failover and failback of what nobody writes: both sites hold the same bytes, and no false split brain."""
        turns = self.turns
        self.compare(turns.source, content, "end of the loop")
        turns.detach(turns.source)
        turns.failover()
        self.demand_no_split("failover of an unmodified disk")
        self.compare(turns.target, content, "end of the loop")
        turns.reprotect(False)
        self.demand_no_split("failback of an unmodified disk")
        shipped = self.ship(content, set())
        demand(shipped <= OVERHEAD, f"{shipped} bytes travelled though nobody wrote")

    def part(self, rng, forced):
        """Until both sites hold what they hold: (what the source holds, what the target holds)."""
        turns, here = self.turns, self.content
        self.write(turns.source, here, rng)
        turns.wait_point()
        here.dirty.clear()
        there = here.copy()
        if forced:
            self.lose_source(rng, here)
        else:
            turns.detach(turns.source)
        turns.failover()
        self.compare(turns.target, there, "forced: the point" if forced else "planned: nothing may be lost")
        if rng.random() < 0.9:
            self.write(turns.target, there, rng)
        if forced:
            turns.source.start()
        turns.wait_link()
        return here, there

    def cycle(self, rng):
        forced, reverse = rng.random() < 0.5, rng.random() < 0.6
        here, there = self.part(rng, forced)
        differs = here.dirty | there.dirty
        self.turns.reprotect(reverse)
        self.check_kept(self.turns.target, here if reverse else there)
        self.content = there if reverse else here
        shipped = self.ship(self.content, differs)
        self.check_equal(self.content)
        self.turns.delete_snapshots()
        return {"checks": 4 * DISKS, "shipped KiB": shipped >> 10, "forced" if forced else "planned": 1,
                "reversed" if reverse else "cancelled": 1}


def compare_bytes(found, expected, what):
    if found == expected:
        return
    wrong = [at // BLOCK for at in range(0, len(expected), BLOCK) if found[at:at + BLOCK] != expected[at:at + BLOCK]]
    demand(False, f"{what}: {len(wrong)} blocks differ, {wrong[:8]} ...")
