#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What others' users reported as silent divergence or loss, each as a test named after the report, over real daemons
and by the bytes that clients read. Which report is which: docs/faults.md, "What others got wrong"."""
import pathlib
import random
import shutil
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Lab, run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from proxy import Proxy  # noqa: E402

import nbd  # noqa: E402

MIB = 1 << 20
BLOCK = 4096


class RivalCase(LabCase):
    """One group, whose link goes through a proxy: paris dials it."""

    start_lab = False
    count, size = 2, 16 * MIB

    def make_lab(self):
        lab = Lab(replication={"interval": "100ms", **self.replication})
        self.proxy = Proxy(lab.lyon.link_port)
        lab.defer(self.proxy.close)
        lab.paris.peer_address = self.proxy.address
        lab.lyon.peer_address = None
        lab.configure()
        return lab

    def setUp(self):
        super().setUp()
        self.lab.start()
        self.group, self.sources, self.targets = self.lab.group(self.count, self.size)
        for number, disk in enumerate(self.sources):
            self.write(self.paris, disk, 1 + number, 0, 2 * MIB)
        self.paris.verso("group", "start", self.group, "-q")
        self.wait_point(self.paris, self.group)

    def write(self, site, disk, pattern, offset, size):
        run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {size}", "-c", "flush", site.uri(disk))

    def is_up(self, site):
        return site.api_call("DescribeVersoStatus")["Peers"][0]["IsUp"]

    def cut(self):
        self.proxy.cut()
        wait_until(lambda: not self.is_up(self.paris) and not self.is_up(self.lyon), "the cut is noticed")

    def heal(self):
        self.proxy.heal()
        wait_until(lambda: self.is_up(self.paris) and self.is_up(self.lyon), "the link is up again")

    def state(self, site):
        return site.api_call("DescribeDiskReplicaGroups", RegionId=site.region)["ReplicaGroups"][0]["Status"]

    def detach(self, site, disks):
        for disk in disks:
            site.verso("disk", "detach", disk)

    def fail_over(self):
        """At lyon, whatever paris does; its disks are exported."""
        self.lyon.verso("group", "failover", self.group, "-q", "--timeout", "60")
        for disk in self.targets:
            self.lyon.attach(disk)

    def go_round(self, site):
        """Reprotect and start at the site that was failed over."""
        site.verso("group", "reprotect", self.group, "-q", "--timeout", "60")
        site.verso("group", "start", self.group, "-q")
        self.wait_point(site, self.group)

    def judge(self, site, other, disks, other_disks):
        """The target equals the source: by failing over to it."""
        self.wait_point(site, self.group)
        expected = self.images(site, disks)
        self.move(site, other, self.group, disks, other_disks)
        self.assertEqual(self.images(other, other_disks), expected)


class DrbdTest(RivalCase):
    def test_drbd_145_survivor_keeps_its_dirty_map(self):
        """A survivor reconnects with a dirty map that is not empty: no handshake may empty it, however often and after
        whichever restart of either end. Only what the target acknowledged leaves it."""
        self.paris.verso("group", "stop", self.group, "-q")
        self.write(self.paris, self.sources[0], 7, 4 * MIB, MIB)
        self.write(self.paris, self.sources[1], 8, 9 * MIB, MIB)

        def backlog():
            return self.paris.status(self.group)["BacklogBytes"]

        self.assertEqual(backlog(), 2 * MIB)
        for upset in ("cut", "kill lyon", "stop lyon", "stop paris", "kill paris", "cut"):
            if upset == "cut":
                self.cut()
                self.heal()
            else:
                site = self.lyon if upset.endswith("lyon") else self.paris
                site.kill() if upset.startswith("kill") else site.stop()
                site.start()
                self.lab.wait_link()
            wait_until(lambda: self.is_up(self.paris) and self.paris.status(self.group)["Role"] == "source",
                       "the sites have met")
            wait_until(lambda: backlog() >= 2 * MIB, f"the dirty map is there after: {upset}", timeout=10)
            for _ in range(10):
                self.assertGreaterEqual(backlog(), 2 * MIB, f"the dirty map shrank after: {upset}")
                time.sleep(0.02)
        for disk in self.sources:
            self.paris.wait_export(disk)
        self.paris.verso("group", "start", self.group, "-q")
        self.judge(self.paris, self.lyon, self.sources, self.targets)

    def test_drbd_pr142_forced_promotion_is_never_in_sync_before_a_resync(self):
        """Both sides outdated, one promoted by force: neither may call itself in sync until what differs has been
        shipped and acknowledged."""
        self.cut()
        self.write(self.paris, self.sources[0], 7, 4 * MIB, MIB)  # outdates lyon
        self.paris.kill()
        self.lyon.kill()
        self.lyon.start()
        self.fail_over()
        self.write(self.lyon, self.targets[0], 9, 8 * MIB, MIB)  # outdates paris
        self.paris.start()
        self.heal()
        self.wait_role(self.paris, self.group, "fenced")
        for site in (self.paris, self.lyon):
            self.assertNotIn(self.state(site), ("normal", "syncing", "initial_syncing"))
            self.assertFalse(site.status(self.group)["IsConnected"])
        self.detach(self.paris, self.sources)
        self.lyon.verso("group", "reprotect", self.group, "-q", "--timeout", "60")
        self.assertEqual(self.state(self.lyon), "stopped")
        self.assertFalse(self.paris.status(self.group)["HasPoint"], "what differs was not shipped yet")
        self.assertGreaterEqual(self.lyon.status(self.group)["BacklogBytes"], 2 * MIB, "the union of both")
        self.lyon.verso("group", "start", self.group, "-q")
        wait_until(lambda: self.state(self.lyon) == "normal", "it is in sync")
        self.assertTrue(self.paris.status(self.group)["HasPoint"])
        self.judge(self.lyon, self.paris, self.targets, self.sources)

    def test_drbd_consistent_snapshots_across_disks(self):
        """Chains of blocks written over all disks while the link flaps: what a failover shows is one instant."""
        load = Chains(self, 4)
        for turn in range(4):
            time.sleep(0.15)
            self.cut() if turn % 2 == 0 else self.proxy.drop()
            time.sleep(0.1)
            self.proxy.heal()
        load.wait(200)
        self.wait_point(self.paris, self.group)
        load.wait(load.written() + 50)
        self.paris.kill()
        load.end()
        self.fail_over()
        self.assertGreater(load.judge(self.lyon, self.targets), 0)

    def test_drbd_verify_has_no_false_alarms_under_load(self):
        """Hosts rewrite the same blocks while these are read, summed and shipped: no checksum is ever wrong, and nobody
        learns to ignore one that is."""
        over = threading.Event()

        def rewrite(number):
            handle = nbd.NBD()
            handle.connect_uri(self.paris.uri(self.sources[number % 2]))
            buffers = [nbd.Buffer.from_bytearray(bytearray(random.Random(number * 9 + i).randbytes(BLOCK * 4)))
                       for i in range(8)]
            while not over.is_set():
                for i, buffer in enumerate(buffers * 4):  # many to the same place, in flight at once
                    handle.aio_pwrite(buffer, i % 4 * BLOCK * 2)
                while handle.aio_in_flight() > 0:
                    handle.poll(1000)
            handle.shutdown()

        connections = self.proxy.connections
        writers = [threading.Thread(target=rewrite, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        try:
            first = self.lyon.status(self.group)["EpochAcked"]
            wait_until(lambda: self.lyon.status(self.group)["EpochAcked"] >= first + 15, "15 epochs under load")
        finally:
            over.set()
            for writer in writers:
                writer.join()
        self.assertEqual(self.proxy.connections, connections, "the link was given up")
        for site in (self.paris, self.lyon):
            self.assertEqual(site.status(self.group)["Trouble"], "")
            for word in ("CRC", "checksum", "damaged", "digest"):
                self.assertNotIn(word, site.log.read_text(errors="replace"))
        self.judge(self.paris, self.lyon, self.sources, self.targets)


class RbdTest(RivalCase):
    def test_rbd_pr30548_promotion_killed_and_repeated(self):
        """kill -9 at any moment of a forced promotion, asked again: it ends, at the last complete point."""
        rng = random.Random(30548)
        expected = self.images(self.paris, self.sources)
        self.paris.kill()
        for _ in range(6):
            asked = threading.Thread(target=lambda: self.lyon.verso("group", "failover", self.group, "-q", check=False))
            asked.start()
            time.sleep(rng.random() * 0.03)
            self.lyon.kill()
            asked.join()
            self.lyon.start()
        self.fail_over()
        self.assertEqual(self.images(self.lyon, self.targets), expected)
        self.paris.start()
        self.wait_role(self.paris, self.group, "fenced")
        self.detach(self.paris, self.sources)
        for _ in range(4):  # and at any moment of the reprotect, at either site
            asked = threading.Thread(target=lambda: self.lyon.verso("group", "reprotect", self.group, "-q", check=False))
            asked.start()
            time.sleep(rng.random() * 0.05)
            site = rng.choice((self.paris, self.lyon))
            site.kill()
            asked.join()
            site.start()
            self.lab.wait_link()

        def is_turned():
            if self.state(self.lyon) != "stopped":
                self.lyon.verso("group", "reprotect", self.group, "-q", "--timeout", "5", check=False)
            return self.state(self.lyon) == "stopped"

        wait_until(is_turned, "the reprotect ends", timeout=60, pause=0.2)
        self.lyon.verso("group", "start", self.group, "-q")
        for disk in self.targets:
            self.lyon.wait_export(disk)
        self.judge(self.lyon, self.paris, self.targets, self.sources)

    def test_rbd_pr17979_forced_promotion_behind_a_delay_is_split_brain(self):
        """The target applies late and is promoted by force while the source writes on: at the next contact the sites
        say so; replication does not go on as if nothing had been."""
        self.cut()
        self.write(self.paris, self.sources[0], 7, 4 * MIB, MIB)
        self.fail_over()
        self.write(self.lyon, self.targets[0], 9, 4 * MIB, MIB)
        before = self.images(self.paris, self.sources), self.images(self.lyon, self.targets)
        self.heal()
        self.wait_role(self.paris, self.group, "fenced")
        wait_until(lambda: not self.paris.is_exported(self.sources[0]), "the stale source is closed")
        self.assertFalse(self.paris.status(self.group)["IsConnected"] or self.lyon.status(self.group)["IsConnected"])
        self.assertNotEqual(self.paris.status(self.group)["Trouble"], "")
        self.assertEqual(self.state(self.lyon), "failovered")
        self.assertEqual(self.images(self.lyon, self.targets), before[1])
        self.assertNotEqual(before[0], before[1])

    def test_rbd_pr14963_unmodified_failback_is_no_split_brain(self):
        """Failover and failback of images that nobody wrote: no conflict is found, next to nothing travels."""
        for old, new, old_disks, new_disks in ((self.paris, self.lyon, self.sources, self.targets),
                                               (self.lyon, self.paris, self.targets, self.sources)) * 2:
            expected = self.images(old, old_disks)
            self.move(old, new, self.group, old_disks, new_disks)
            self.assertEqual(self.images(new, new_disks), expected)
            self.go_round(new)
            self.assertEqual(new.status(self.group)["ShippedBytes"], 0, "nothing differs")
            for site in (self.paris, self.lyon):
                self.assertEqual(site.status(self.group)["Trouble"], "")
                self.assertNotIn("diverged", site.log.read_text(errors="replace"))

    def test_ceph_csi_3209_no_automatic_resync_discards(self):
        """After a real split nothing is resynced by itself, and what the operator's word discards is kept."""
        self.cut()
        self.write(self.paris, self.sources[0], 7, 4 * MIB, MIB)
        lost = self.images(self.paris, self.sources)
        self.fail_over()
        self.write(self.lyon, self.targets[0], 9, 4 * MIB, MIB)
        won = self.images(self.lyon, self.targets)
        self.heal()
        self.wait_role(self.paris, self.group, "fenced")
        for upset in (self.paris, self.lyon, None):
            end = time.monotonic() + 0.7  # several intervals of replication
            while time.monotonic() < end:
                self.assertEqual(self.paris.status(self.group)["Role"], "fenced")
                self.assertEqual(self.lyon.status(self.group)["ShippedBytes"], 0)
                time.sleep(0.05)
            if upset:
                upset.stop()
                upset.start()
                self.lab.wait_link()
        for number, disk in enumerate(self.sources):
            raw = self.paris.data / "disks" / f"{disk}.raw"
            self.assertEqual(run("sha256sum", raw).split()[0], lost[number], "paris' own writes are where they were")
        self.detach(self.paris, self.sources)
        for disk in self.targets:
            self.lyon.wait_export(disk)
        self.go_round(self.lyon)
        for number, disk in enumerate(self.sources):
            kept = self.paris.api_call("DescribeDiskAccess", DiskId=disk)["Disk"]["Snapshots"]
            self.assertEqual(self.paris.image_digest(kept[0]["ExportName"]), lost[number])
        self.assertEqual(self.images(self.lyon, self.targets), won)
        self.judge(self.lyon, self.paris, self.targets, self.sources)

    def test_rbd_pr52109_dirty_map_against_full_digest(self):
        """Writes, zeroes and trims while points are made and both sites are killed in turn: the map of what differs
        leaves nothing out, by the digest of all bytes. (The simulation does the same in each of its schedules.)"""
        for turn in range(4):
            load = Churn(self, turn)
            wait_until(lambda: load.done() > 150, "some writes")
            site = (self.paris, self.lyon)[turn % 2]
            site.kill()
            load.end()
            site.start()
            for disk in self.sources:
                self.paris.wait_export(disk)
        self.judge(self.paris, self.lyon, self.sources, self.targets)


class TotalLossTest(LabCase):
    """TigerBeetle under Jepsen had no way back from the total loss of a node."""

    def pair(self, site, other, disk, other_disk):
        return site.verso("pair", "create", "--disk", disk, "--peer", other.name, "--peer-disk", other_disk)

    def write(self, site, disk, pattern, offset, size):
        run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {size}", "-c", "flush", site.uri(disk))

    def lose(self, site):
        site.kill()
        shutil.rmtree(site.data)

    def rebuild(self, site, lost, disk):
        """All of `lost` is gone and it starts empty; hosts of `site` write on meanwhile."""
        lost.start()
        self.lab.wait_link()
        fresh = lost.disk("fresh", 16 * MIB)
        pair = self.pair(site, lost, disk, fresh)
        site.verso("pair", "start", pair, "-q")
        for turn in range(8):
            self.write(site, disk, 100 + turn, (turn * 3 % 16) * MIB, MIB // 2)
        self.wait_point(site, pair)
        expected = site.image_digest(disk)
        site.verso("disk", "detach", disk)
        lost.verso("pair", "failover", pair, "-q")
        lost.attach(fresh)
        self.assertEqual(lost.image_digest(fresh), expected)

    def begin(self):
        disk, other = self.paris.disk("one", 16 * MIB), self.lyon.disk("one", 16 * MIB)
        pair = self.pair(self.paris, self.lyon, disk, other)
        self.paris.attach(disk)
        self.write(self.paris, disk, 1, 0, 4 * MIB)
        self.paris.verso("pair", "start", pair, "-q")
        self.wait_point(self.paris, pair)
        return pair, disk, other

    def test_total_loss_of_the_target_rebuilt_online(self):
        pair, disk, _ = self.begin()
        self.lose(self.lyon)
        self.write(self.paris, disk, 2, 2 * MIB, MIB)
        self.paris.verso("pair", "stop", pair, "-q")
        self.paris.verso("pair", "delete", pair, "-q", "--timeout", "60")
        self.rebuild(self.paris, self.lyon, disk)

    def test_total_loss_of_the_source_rebuilt_online(self):
        pair, disk, other = self.begin()
        expected = self.paris.image_digest(disk)
        self.lose(self.paris)
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.attach(other)
        self.assertEqual(self.lyon.image_digest(other), expected)
        self.lyon.verso("pair", "delete", pair, "-q", "--timeout", "60")
        self.assertEqual(self.lyon.image_digest(other), expected)
        self.rebuild(self.lyon, self.paris, other)


class Load:
    """Threads that write over a connection of their own until the daemon dies or end() is called."""

    def __init__(self, case, count):
        self.case, self.over = case, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        try:
            handles = []
            for disk in self.case.sources:
                handles.append(nbd.NBD())
                handles[-1].connect_uri(self.case.paris.uri(disk))
            while not self.over.is_set():
                self.step(number, handles)
        except nbd.Error:
            pass  # the daemon is gone

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Chains(Load):
    """Chain c writes record k (1, 2, ...) to slot k of its own, on disk k mod disks, each after the one before was
    acknowledged. So every instant shows a beginning of each chain."""

    SLOTS = 1500

    def __init__(self, case, count):
        self.times = [[] for _ in range(count)]  # (issued, acknowledged or None) of each record
        super().__init__(case, count)

    def place(self, chain, record):
        return record % self.case.count, (8 * MIB // BLOCK + chain * 500 + record // self.case.count % 500) * BLOCK

    def step(self, chain, handles):
        record = len(self.times[chain]) + 1
        if record >= 2 * 490:
            self.over.wait(0.01)
            return
        disk, offset = self.place(chain, record)
        self.times[chain].append([time.monotonic(), None])
        handles[disk].pwrite(struct.pack("<QQ", chain + 1, record) * (BLOCK // 16), offset)
        self.times[chain][-1][1] = time.monotonic()
        time.sleep(0.002)

    def written(self):
        return sum(len(times) for times in self.times)

    def wait(self, count):
        wait_until(lambda: self.written() >= min(count, 490), f"{count} records are written")

    def judge(self, site, disks):
        handles = []
        for disk in disks:
            handles.append(nbd.NBD())
            handles[-1].connect_uri(site.uri(disk))
        newest_there, oldest_absent, found = 0.0, float("inf"), 0
        for chain, times in enumerate(self.times):
            is_there = []
            for record in range(1, len(times) + 1):
                disk, offset = self.place(chain, record)
                content = bytes(handles[disk].pread(BLOCK, offset))
                whole = struct.pack("<QQ", chain + 1, record) * (BLOCK // 16)
                self.case.assertIn(content, (whole, bytes(BLOCK)), f"chain {chain} record {record} is torn")
                is_there.append(content == whole)
            length = sum(is_there)
            self.case.assertTrue(all(is_there[:length]), f"chain {chain} has a hole: no instant shows that")
            found += length
            for number, (issued, acked) in enumerate(times):
                if number < length:
                    newest_there = max(newest_there, issued)
                elif acked is not None:
                    oldest_absent = min(oldest_absent, acked)
        self.case.assertGreaterEqual(oldest_absent, newest_there, "an acknowledged write is missing, a later one is there")
        return found


class Churn(Load):
    """Writes, zeroes and trims at random."""

    def __init__(self, case, seed):
        self.random, self.seed, self.count = {}, seed, 0
        super().__init__(case, 3)

    def step(self, number, handles):
        rng = self.random.setdefault(number, random.Random(self.seed * 10 + number))
        handle = rng.choice(handles)
        offset, length = rng.randrange(8 * MIB) // BLOCK * BLOCK, rng.randint(1, 16) * BLOCK
        kind = rng.random()
        if kind < 0.7:
            handle.pwrite(rng.randbytes(BLOCK) * (length // BLOCK), offset)
        elif kind < 0.85:
            handle.zero(length, offset)
        else:
            handle.trim(length, offset)
        if rng.random() < 0.1:
            handle.flush()
        self.count += 1

    def done(self):
        return self.count


if __name__ == "__main__":
    main()
