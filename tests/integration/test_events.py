#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a site records: calls with who and what, states of pairs and groups; and that a follower neither loses nor
repeats a line while the daemon is killed and started again. Forms of replies with an independent reader."""
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from unix_http import UnixConnection  # noqa: E402

MIB = 1 << 20
VERSO, ECS, EBS = "2026-11-22", "2014-05-26", "2021-07-30"


def ask(site, action, version, **parameters):
    """(status, content type, body as text)"""
    link = UnixConnection(site.api)
    query = urllib.parse.urlencode({"Action": action, "Version": version, **parameters})
    link.request("GET", "/?" + query)
    answer = link.getresponse()
    body = answer.read().decode()
    link.close()
    return answer.status, answer.headers["Content-Type"], body


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


class EventsTest(LabCase):
    def events(self, site, *words):
        return json.loads(site.verso("event", "list", "--json", "--limit", "1000", *words))["events"]

    def texts(self, site, *words):
        return [line["Text"] for line in self.events(site, *words)]

    def wait_texts(self, site, *words):
        wait_until(lambda: self.texts(site, *words), f"an event: {words}")
        return self.texts(site, *words)

    def test_calls_and_states(self):
        group, sources, _ = self.lab.group(1, 8 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.lyon.verso_fails("disk", "delete", "d-00000000000000000000")
        created = [line for line in self.events(self.paris, "--operation", "CreateDisk")]
        self.assertEqual([(line["Caller"], line["Status"], line["ObjectId"]) for line in created],
                         [("root", 200, sources[0])])
        self.assertRegex(created[0]["CallRequestId"], "^[0-9A-F]{8}-")
        refused = self.events(self.lyon, "--operation", "DeleteDisk")
        reads = self.events(self.lyon, "--reads", "--operation", "DescribeDisks")
        self.assertTrue(reads or refused)  # the name is looked up first, by a read
        self.assertEqual(self.events(self.lyon, "--operation", "DescribeDisks"), [])
        states = self.texts(self.paris, "--object", group, "--kind", "state")
        self.assertEqual(states[0], "-> created")
        self.assertIn("created -> syncing", states)
        self.wait_point(self.paris, group)
        self.paris.kill()
        self.lyon.verso("group", "failover", group, "-q")
        loss = self.texts(self.lyon, "--object", group, "--kind", "failover")
        self.assertRegex(loss[0], r"^at the recovery point of 20.*Z; what hosts wrote at paris in the \d+\.\d s before")
        self.assertIn("target -> promoted",
                      self.wait_texts(self.lyon, "--object", group, "--kind", "role"))
        self.assertIn("failovering -> failovered",
                      self.texts(self.lyon, "--object", group, "--kind", "state", "--severity", "warning"))

    def test_what_a_start_finds(self):
        """A disk that is missing, what belongs to it, a snapshot that is damaged: an event each."""
        source, target = self.paris.disk("one", 8 * MIB), self.lyon.disk("one", 8 * MIB)
        pair = self.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target)
        self.paris.verso("pair", "start", pair, "-q")
        self.wait_point(self.paris, pair)
        self.lyon.verso("pair", "failover", pair, "-q")
        self.lyon.verso("pair", "cancel-failover", pair, "-q", "--timeout", "60")
        self.assertEqual(self.events(self.lyon, "--kind", "left_out") + self.events(self.lyon, "--kind", "lost"), [])
        self.lyon.stop()
        (kept,) = (self.lyon.data / "layers").glob("*.map")
        kept.unlink()
        raw = self.lyon.data / "disks" / f"{target}.raw"
        raw.rename(self.lyon.folder / "away")
        self.lyon.start()
        left = self.events(self.lyon, "--kind", "left_out", "--severity", "critical")
        self.assertEqual([line["ObjectId"] for line in left], [target, pair])
        self.assertIn(str(raw), left[0]["Text"])
        self.assertIn(f"disk {target} is not open", left[1]["Text"])
        (lost,) = self.events(self.lyon, "--kind", "lost", "--severity", "critical")
        self.assertEqual(lost["ObjectId"], target)
        self.assertIn(f"snapshot {kept.stem} is lost", lost["Text"])
        self.lyon.stop()
        (self.lyon.folder / "away").rename(raw)
        self.lyon.start()
        self.assertEqual([len(self.events(self.lyon, "--kind", kind)) for kind in ("left_out", "lost")], [2, 1])

    def test_what_passes_on_is_recorded_at_both(self):
        group, _, _ = self.lab.group(1, 8 * MIB)
        self.paris.verso("group", "start", group, "-q")
        reply = self.lyon.api_call("StopDiskReplicaGroup", ReplicaGroupId=group, RegionId=self.lyon.region)
        at_paris = self.events(self.paris, "--operation", "StopDiskReplicaGroup")
        at_lyon = self.events(self.lyon, "--operation", "StopDiskReplicaGroup")
        self.assertEqual([line["CallRequestId"] for line in at_paris + at_lyon], [reply["RequestId"]] * 2)
        self.assertEqual(at_paris[0]["Text"], "passed on by the other site")

    def test_a_line_names_what_was_done(self):
        disk = self.paris.disk("one", MIB)
        self.paris.api_call("DeleteDisk", ReplicaPairId="pair-decoy", DiskId=disk)
        lines = self.events(self.paris, "--operation", "DeleteDisk")
        self.assertEqual([line["ObjectId"] for line in lines], [disk])
        self.paris.verso("user", "create", "anna")
        key = json.loads(self.paris.verso("key", "create", "--user", "anna", "--json"))["AccessKey"]["AccessKeyId"]
        self.paris.verso("key", "delete", key, "--yes")
        self.assertEqual([(line["Operation"], line["Text"]) for line in self.events(self.paris, "--object", key)],
                         [("CreateAccessKey", "of user anna"), ("DeleteAccessKey", "")])

    def test_a_follower_loses_nothing_over_kills(self):
        follower = subprocess.Popen([str(self.lab.build / "verso"), "--socket", str(self.paris.api), "event", "follow",
                                     "--kind", "call", "--operation", "CreateDisk", "--json", "-q"],
                                    stdout=subprocess.PIPE, text=True)
        seen = []
        reader = threading.Thread(target=lambda: seen.extend(json.loads(line) for line in follower.stdout))
        reader.start()
        try:
            made = []
            for turn in range(3):
                for number in range(7):
                    made.append(self.paris.disk(f"disk-{turn}-{number}", MIB))
                wait_until(lambda: self.events(self.paris, "--operation", "CreateDisk", "--object", made[-1]),
                           "the last is written")
                self.paris.kill()
                self.paris.start()
            wait_until(lambda: made[-1] in [line["ObjectId"] for line in seen], "the follower is there")
        finally:
            follower.send_signal(signal.SIGTERM)
            reader.join(30)
            follower.wait(30)
            follower.stdout.close()
        self.assertEqual([line["ObjectId"] for line in seen], made)
        rising = [line["Number"] for line in seen]
        self.assertEqual(rising, sorted(set(rising)))

    def test_lag_at_both_sites(self):
        group, sources, _ = self.lab.group(1, 8 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.wait_point(self.paris, group)
        self.wait_point(self.lyon, group)

        def lag(site):
            return site.api_call("DescribeReplicaLag", ReplicaId=group)["Lags"][0]

        self.assertLess(lag(self.paris)["LagSeconds"], 60)
        self.lyon.kill()
        run("qemu-io", "-f", "raw", "-c", "write -P 7 0 1M", self.paris.uri(sources[0]))
        wait_until(lambda: not lag(self.paris)["IsPeerUp"], "the cut is noticed")
        wait_until(lambda: lag(self.paris)["LagBytes"] >= MIB, "the bytes behind, which may be told 0.1 s late")
        seen = lag(self.paris)
        self.assertEqual((seen["Role"], seen["IsBytesKnown"]), ("source", True))
        wait_until(lambda: lag(self.paris)["LagMilliseconds"] > 1500, "the lag grows while the link is down")
        self.lyon.start()
        self.wait_point(self.lyon, group)
        self.paris.kill()
        wait_until(lambda: not lag(self.lyon)["IsPeerUp"], "the cut is noticed")
        seen = lag(self.lyon)
        self.assertEqual((seen["Role"], seen["IsBytesKnown"], seen["IsLagKnown"]), ("target", False, True))
        self.assertNotIn("LagBytes", seen)
        wait_until(lambda: lag(self.lyon)["LagSeconds"] >= 2, "the age of the newest point is told")
        self.assertIn("down", self.texts(self.lyon, "--kind", "link", "--severity", "warning")[-1])

    def test_samples_of_a_disk(self):
        disk = self.paris.disk("busy", 64 * MIB)
        self.paris.attach(disk)

        def data(start, end, period=5):
            stamps = {name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
                      for name, at in (("StartTime", start), ("EndTime", end))}
            return json.loads(ask(self.paris, "DescribeDiskMonitorData", EBS, RegionId=self.paris.region, DiskId=disk,
                                  Period=period, **stamps)[2])

        def points():
            return data(begun - 10, time.time() + 5)["MonitorData"]

        begun = int(time.time())
        wait_until(points, "the first sample", timeout=30)
        def write():
            words = [word for i in range(8) for word in ("-c", f"write -P 7 {i}M 1M")]
            run("qemu-io", "-f", "raw", *words, "-c", "flush", self.paris.uri(disk))
            time.sleep(0.5)
            return any(point["WriteBytesPerSecond"] for point in points())

        wait_until(write, "the writes are seen", timeout=90)  # on a machine so slow that a beat is a gap, in a later one
        busy = next(point for point in points() if point["WriteBytesPerSecond"])
        self.assertEqual(busy["WriteBlockSize"], MIB)
        self.assertTrue(all(point["Timestamp"].endswith(("0Z", "5Z")) for point in points()))
        before = len(points())
        self.paris.kill()
        self.paris.start()
        self.assertGreaterEqual(len(points()), before)
        for answer, name in ((data(begun, begun + 2005), "EndTime"), (data(begun, begun), "EndTime"),
                             (data(begun - 4 * 86400, begun - 4 * 86400 + 10), "StartTime"),
                             (data(begun, begun + 5, period=7), "Period")):
            self.assertEqual((answer["Code"], answer["Message"].split(".")[0]),
                             ("InvalidParameter", f"The parameter {name} is invalid"))
        self.assertNotIn("Code", data(begun, begun + 400 * 60, period=60))
        self.paris.verso("disk", "detach", disk)
        self.paris.verso("disk", "delete", disk)
        ring = self.paris.data / "monitor" / f"{disk}.ring"
        wait_until(lambda: not ring.exists(), "its samples go with the disk", timeout=30)
        self.assertEqual(data(begun, begun + 5)["Code"], "NoSuchResource")

    def test_a_damaged_record_is_begun_anew(self):
        self.paris.disk("one", MIB)
        self.paris.stop()
        with open(self.paris.data / "events.db", "r+b") as file:
            file.write(b"\x5a" * 5000)
        self.paris.start()
        lines = self.events(self.paris, "--kind", "store")
        self.assertIn("begun anew", lines[0]["Text"])
        self.assertTrue((self.paris.data / "events.db.damaged").exists())

    def test_forms_of_every_operation(self):
        """Operations that answer and that refuse, in both forms."""
        self.lab.group(1, 8 * MIB)
        asked = [("DescribeDisks", ECS), ("DescribeDiskReplicaPairs", EBS), ("DescribeDiskReplicaGroups", EBS),
                 ("DescribeVersoStatus", VERSO), ("DescribeReplicaEvents", VERSO), ("StartDiskReplicaPair", EBS),
                 ("NoSuchThing", EBS), ("CreateDisk", ECS)]
        for action, version in asked:
            for form in ("XML", "json", "Yaml"):
                status, kind, body = ask(self.paris, action, version, Format=form, RegionId=self.paris.region)
                self.assertTrue(body)
                if form == "XML":
                    self.assertEqual(kind, "text/xml;charset=utf-8")
                    root = ElementTree.fromstring(body)
                    self.assertEqual(root.tag, f"{action}Response" if status == 200 else "Error", body)
                    self.assertTrue(root.findtext("RequestId"))
                    continue
                self.assertEqual(kind, "application/json;charset=utf-8")
                reply = json.loads(body)
                if form == "Yaml":
                    self.assertEqual((status, reply["Code"]), (400, "InvalidParameter.Format"))
                self.assertEqual("Code" in reply, status != 200)
                self.assertTrue(all(abs(number) < 1 << 53 for number in numbers(reply)), reply)
                if status != 200:
                    names = ("RequestId", "HostId", "Code", "Message", "Recommend")
                    self.assertTrue(all(isinstance(reply[name], str) for name in names), reply)


if __name__ == "__main__":
    main()
