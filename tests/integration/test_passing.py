#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is answered with RequestTimeout was not done, and is not done when the other site goes on: whatever moment of a passed-on call
that site (or the way to it) stood still in. Asked at paris, done at lyon."""
import concurrent.futures
import json
import pathlib
import signal
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Lab, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from proxy import Proxy  # noqa: E402
from unix_http import UnixConnection  # noqa: E402

EBS, ECS, OURS = "2021-07-30", "2014-05-26", "2026-11-22"
CROWD = 24


class PassingTest(LabCase):
    def make_lab(self):
        lab = Lab()
        self.proxy = Proxy(lab.lyon.link_port)
        lab.defer(self.proxy.close)
        lab.paris.peer_address = self.proxy.address
        lab.lyon.peer_address = None
        lab.configure()
        return lab

    def ask(self, site, action, version, **parameters):
        connection = UnixConnection(site.api)
        query = urllib.parse.urlencode(dict(parameters, Action=action, Version=version))
        try:
            connection.request("POST", "/?" + query)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def create(self, name):
        """A disk at lyon, asked for at paris; within three seconds."""
        begun = time.monotonic()
        answer = self.ask(self.paris, "CreateDisk", ECS, RegionId=self.lyon.region, ZoneId=self.lyon.zone, SizeBytes=65536,
                          DiskName=name, ClientToken=name)
        self.assertLess(time.monotonic() - begun, 3, name)
        return answer

    def disks(self):
        status, reply = self.ask(self.lyon, "DescribeDisks", ECS, RegionId=self.lyon.region, MaxResults=500)
        self.assertEqual(status, 200)
        return [disk["DiskName"] for disk in reply["Disks"]["Disk"]]

    def events(self, **parameters):
        status, reply = self.ask(self.lyon, "DescribeReplicaEvents", OURS, Order="newest", MaxResults=500, **parameters)
        self.assertEqual(status, 200)
        return reply["Events"]

    def wait_dealt_with(self, replies):
        """Lyon has an end of each of these calls in its record."""
        wanted = {reply["RequestId"] for reply in replies}
        wait_until(lambda: wanted <= {line.get("CallRequestId") for line in self.events(Kind="call", Operation="CreateDisk")},
                   "lyon has dealt with what was late")

    def stop(self):
        tasks = pathlib.Path(f"/proc/{self.lyon.process.pid}/task")
        self.lyon.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.go_on)
        wait_until(lambda: {(task / "stat").read_text().rsplit(")", 1)[1].split()[0] for task in tasks.iterdir()} == {"T"},
                   "lyon stands still", pause=0)

    def go_on(self):
        if self.lyon.process and self.lyon.process.poll() is None:
            self.lyon.process.send_signal(signal.SIGCONT)

    def refused(self, name):
        """It times out; returns the reply."""
        status, reply = self.create(name)
        self.assertEqual((status, reply["Code"]), (504, "RequestTimeout"), reply)
        return reply

    def never_done(self, name, reply):
        self.wait_dealt_with([reply])
        self.assertNotIn(name, self.disks())
        status, again = self.create(name)  # its token is free
        self.assertEqual(status, 200, again)
        self.assertEqual(self.disks().count(name), 1)

    def test_stopped_before_it_reads_the_call(self):
        self.stop()
        reply = self.refused("unread")
        self.go_on()
        self.never_done("unread", reply)

    def test_stopped_before_the_consent(self):
        """Lyon has read it, and its question is on the way."""
        self.proxy.hold_back()
        reply = self.refused("unasked")
        self.stop()
        self.proxy.heal()
        self.go_on()
        self.never_done("unasked", reply)

    def test_lost_behind_the_consent(self):
        """Its question came through, its answer did not: then nobody says that nothing was done."""
        for number in range(5):  # a heartbeat may take the place of the question
            name = f"untold-{number}"
            self.proxy.hold_back(1)
            status, reply = self.create(name)
            self.proxy.heal()
            if status == 500:
                break
            self.never_done(name, reply)
        self.assertEqual((status, reply["Code"]), (500, "InternalError"))
        self.assertIn("has not told the end", reply["Message"])
        status, again = self.create(name)  # the first one's answer, or the first one's work
        self.assertEqual(status, 200, again)
        self.assertEqual(self.disks().count(name), 1)

    def test_a_crowd_in_every_moment(self):
        for answered in (1, CROWD // 3):
            names = [f"crowd-{answered}-{number}" for number in range(CROWD)]
            with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
                asked = {pool.submit(self.create, name): name for name in names}
                wait_until(lambda: sum(future.done() for future in asked) >= answered, "some are answered", pause=0)
                self.stop()
                concurrent.futures.wait(asked)
            self.go_on()
            replies = {name: future.result() for future, name in asked.items()}
            self.wait_dealt_with([reply for _, reply in replies.values()])
            there = self.disks()
            for name, (status, reply) in replies.items():
                if status == 200:
                    self.assertEqual(there.count(name), 1)
                elif status == 504:
                    self.assertNotIn(name, there, reply)
                else:
                    self.assertIn("has not told the end", reply["Message"])
                    self.assertEqual(self.create(name)[0], 200)
            there = self.disks()
            self.assertEqual([name for name, (status, _) in replies.items() if there.count(name) != (status != 504)], [])

    def test_half_a_pair_goes_at_once(self):
        disks = [self.paris.disk("one", 65536), self.lyon.disk("two", 65536)]
        create = dict(RegionId=self.paris.region, SourceZoneId=self.paris.zone, DiskId=disks[0],
                      DestinationRegionId=self.lyon.region, DestinationZoneId=self.lyon.zone, DestinationDiskId=disks[1])
        self.stop()
        status, reply = self.ask(self.paris, "CreateDiskReplicaPair", EBS, **create)
        self.assertEqual((status, reply["Code"]), (504, "RequestTimeout"))
        self.go_on()
        wait_until(lambda: any(line["Text"] == "creating -> gone" for line in self.events(Kind="state")),
                   "lyon's half is gone", timeout=10)
        self.assertEqual(self.ask(self.lyon, "DescribeDiskReplicaPairs", EBS, RegionId=self.lyon.region)[1]["TotalCount"], 0)
        self.assertEqual(self.ask(self.paris, "CreateDiskReplicaPair", EBS, **create)[0], 200)


if __name__ == "__main__":
    main()
