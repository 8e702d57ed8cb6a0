#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The link cut, black-holed, damaged and restored under load, and a wrong key: the source never notices, nothing is
lost, only differences travel, and a stranger gets no data."""
import os
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Lab, run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from proxy import Proxy  # noqa: E402

MIB = 1 << 20


class LinkTest(LabCase):
    """All bytes of the link go through a proxy: paris dials it, lyon only listens."""

    start_lab = False

    def make_lab(self):
        lab = Lab(replication={"interval": "100ms"})
        self.proxy = Proxy(lab.lyon.link_port)
        lab.defer(self.proxy.close)
        lab.paris.peer_address = self.proxy.address
        lab.lyon.peer_address = None
        lab.configure()
        return lab

    def setUp(self):
        super().setUp()
        self.lab.start()
        self.group, self.sources, self.targets = self.lab.group(2, 16 * MIB)
        self.paris.verso("group", "start", self.group, "-q")

    def write(self, disk, pattern, offset, size):
        run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {size}", "-c", "flush", self.paris.uri(disk))

    def is_up(self, site):
        return site.api_call("DescribeVersoStatus")["Peers"][0]["IsUp"]

    def judge(self):
        """Equal after the healing, by the bytes that clients read."""
        self.wait_point(self.paris, self.group)
        expected = self.images(self.paris, self.sources)
        self.move(self.paris, self.lyon, self.group, self.sources, self.targets)
        self.assertEqual(self.images(self.lyon, self.targets), expected)

    def test_cut_and_heal_under_load(self):
        for turn in range(5):
            self.write(self.sources[0], 30 + turn, turn * MIB, MIB)
            self.proxy.cut()
            wait_until(lambda: not self.is_up(self.paris), "the cut is noticed")
            self.write(self.sources[1], 60 + turn, turn * MIB, MIB)  # the source goes on
            self.proxy.heal()
            wait_until(lambda: self.is_up(self.paris), "the link is up again")
        shipped = self.paris.status(self.group)["ShippedBytes"]
        self.assertLess(shipped, 40 * MIB, "a cut must cost the difference, not the disk")
        self.judge()

    def test_lag_is_told_truthfully(self):
        self.wait_point(self.paris, self.group)
        self.proxy.cut()
        wait_until(lambda: not self.is_up(self.lyon), "the cut is noticed")
        stream = self.lyon.status(self.group)
        first = max(stream["PointWallUs"], stream["CurrentWallUs"])
        self.write(self.sources[0], 1, 0, MIB)
        stream = self.lyon.status(self.group)
        self.assertEqual(max(stream["PointWallUs"], stream["CurrentWallUs"]), first)
        self.assertGreater(stream["LagNs"], 0)
        self.assertGreaterEqual(self.paris.status(self.group)["BacklogBytes"], MIB)
        self.proxy.heal()
        self.judge()

    def test_damaged_bytes_are_refused(self):
        before = self.proxy.connections
        self.proxy.flip_at(MIB)
        for turn in range(4):
            self.write(self.sources[0], 90 + turn, 0, 4 * MIB)
        wait_until(lambda: self.proxy.flips > 0, "a byte was damaged")
        wait_until(lambda: self.proxy.connections > before, "the connection was given up and made anew")
        self.judge()

    def test_black_hole(self):
        """No FIN, no RST: own heartbeats notice it within 15 s and some."""
        self.proxy.black_hole()
        self.write(self.sources[0], 5, 0, MIB)
        wait_until(lambda: not self.is_up(self.paris), "the silence is noticed", timeout=25)
        self.proxy.heal()
        wait_until(lambda: self.is_up(self.paris), "the link is up again", timeout=40)
        self.judge()

    def test_slow_link_never_stalls_the_source(self):
        self.proxy.throttle(MIB)
        done = threading.Event()
        writer = threading.Thread(target=lambda: (self.write(self.sources[0], 7, 0, 8 * MIB), done.set()))
        writer.start()
        self.assertTrue(done.wait(5), "8 MiB at a link of 1 MiB/s must not wait for the link")
        writer.join()
        self.proxy.throttle(None)
        self.judge()


class KeyTest(LabCase):
    start_lab = False

    def test_wrong_key(self):
        other = self.lab.folder / "other.psk"
        other.write_text(os.urandom(32).hex())
        other.chmod(0o600)
        self.lyon.psk = other
        self.lab.configure()
        self.paris.start(), self.lyon.start()
        self.paris.stop()
        self.paris.peer_address = None  # it waits for lyon, and knows no more than who was refused
        self.lab.paris.write_config(self.lyon)
        self.paris.start()
        for site in (self.paris, self.lyon):
            wait_until(lambda: "another key" in site.api_call("DescribeVersoStatus")["Peers"][0]["Why"],
                       f"{site.name} tells why")
        for site in (self.paris, self.lyon):
            self.assertFalse(site.api_call("DescribeVersoStatus")["Peers"][0]["IsUp"])
        status, _ = self.paris.verso_fails("pair", "create", "--disk", self.paris.disk("one", MIB), "--peer", "lyon",
                                           "--peer-disk", self.lyon.disk("one", MIB))
        self.assertEqual(status, 8)
        self.lyon.stop()
        self.lyon.psk = self.lab.psk
        self.lab.configure()
        self.lyon.start()
        self.lab.wait_link()


if __name__ == "__main__":
    main()
