#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The door as real clients use it: every form of request, every error a JSON object, answers in time."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab_case import LabCase, main  # noqa: E402
from unix_http import UnixConnection  # noqa: E402

EBS, ECS = "2021-07-30", "2014-05-26"
UUID = re.compile(r"^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$")


class ApiTest(LabCase):
    def ask(self, method, target, body=None, headers=None, site=None, connection=None):
        """(status, reply as an object); checks what holds for every reply."""
        link = connection or UnixConnection((site or self.paris).api)
        link.request(method, target, body=body, headers=headers or {})
        answer = link.getresponse()
        reply = json.loads(answer.read())
        self.assertRegex(reply["RequestId"], UUID)
        self.assertEqual(answer.headers["x-acs-request-id"], reply["RequestId"])
        self.assertEqual(answer.headers["Content-Type"], "application/json;charset=utf-8")
        if answer.status == 200:
            self.assertNotIn("Code", reply)
        else:
            self.assertIsInstance(reply["Code"], str)
            self.assertIsInstance(reply["Message"], str)
            self.assertTrue(reply["Message"])
        if connection is None:
            link.close()
        return answer.status, reply

    def test_every_form_of_request(self):
        """The captured forms of the stock clients: GET, body, mixed and chunked, headers; unsigned, as on the unix socket."""
        region = urllib.parse.quote(self.paris.region)
        extra = "AccessKeyId=x&Format=JSON&Timestamp=2026-11-22T15%3A14%3A47Z"
        form = {"content-type": "application/x-www-form-urlencoded"}
        action = f"Action=DescribeDiskReplicaGroups&Version={EBS}"
        forms = [
            ("GET", f"/?{action}&RegionId={region}&{extra}", None, {}),
            ("POST", "/", f"{action}&RegionId={region}&{extra}", form),
            ("POST", f"/?RegionId={region}", None,
             {"x-acs-action": "DescribeDiskReplicaGroups", "x-acs-version": EBS, "accept": "application/json"}),
            ("POST", f"/?{action}&{extra}", iter([f"RegionId={region}".encode()]), form),  # chunked
            ("POST", f"/?{action}&RegionId={region}&SignatureType=", "", form),
        ]
        for method, target, body, headers in forms:
            status, reply = self.ask(method, target, body, headers)
            self.assertEqual((status, reply["ReplicaGroups"], reply["TotalCount"]), (200, [], 0), target)
            self.assertEqual((reply["NextToken"], reply["PageNumber"]), ("", 1))

    def test_every_error_is_json(self):
        for method, target, body, headers, status, code in [
                ("GET", "/nowhere", None, {}, 404, "InvalidApi.NotFound"),
                ("PUT", "/", None, {}, 400, "UnsupportedHTTPMethod"),
                ("GET", "/", None, {}, 400, "MissingAction"),
                ("GET", "/?Action=CreateDisk", None, {}, 400, "MissingVersion"),
                ("GET", f"/?Action=CreateDisk&Version={EBS}", None, {}, 404, "InvalidApi.NotFound"),
                ("GET", "/?Action=%zz", None, {}, 400, "InvalidParameter.Format"),
                ("POST", "/", "{}", {"content-type": "application/json"}, 400, "InvalidParameter.Format"),
                ("POST", "/", "x" * (2 << 20), {}, 413, "RequestTooLarge"),
                ("GET", "/?a=" + "x" * 70000, None, {}, 431, "RequestHeaderTooLarge"),
                ("GET", f"/?Action=StartDiskReplicaPair&Version={EBS}&RegionId=rome&ReplicaPairId=pair-1", None, {}, 404,
                 "InvalidRegionId.NotFound"),
                ("GET", f"/?Action=AttachDisk&Version={ECS}&DiskId=d-1", None, {}, 400, "MissingInstanceId")]:
            got, reply = self.ask(method, target, body, headers)
            self.assertEqual((got, reply["Code"]), (status, code), target[:80])

    def test_one_connection_and_many(self):
        target = f"/?Action=CreateDisk&Version={ECS}&RegionId={self.paris.region}&ZoneId={self.paris.zone}&SizeBytes=65536"
        connection = UnixConnection(self.paris.api)
        for _ in range(20):
            self.assertEqual(self.ask("GET", target, connection=connection)[0], 200)
        connection.close()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda number: self.ask("POST", f"{target}&ClientToken=t{number % 8}")[1], range(64)))
        self.assertEqual(len({reply.get("DiskId") for reply in replies} - {None}), 8, "a token makes one disk")
        for reply in replies:
            self.assertIn(reply.get("Code"), (None, "LastTokenProcessing"))
        page = self.ask("GET", f"/?Action=DescribeDisks&Version={ECS}&RegionId={self.paris.region}&MaxResults=500")[1]
        self.assertEqual(len(page["Disks"]["Disk"]), 28)

    def test_a_disk_grows_under_its_host(self):
        """A connected host stays; one that connects anew sees the new size; it holds over a restart."""
        mib = 1 << 20
        environment = dict(os.environ, PATH="/usr/bin:/bin")  # the python3 that has the binding of nbdsh
        disk = self.paris.disk("growing", mib)
        self.paris.attach(disk)
        host = subprocess.Popen(["nbdsh", "-u", self.paris.uri(disk), "-c", "h.pwrite(b'a' * 4096, 0)", "-c",
                                 "import sys; print('there', flush=True); sys.stdin.readline()", "-c",
                                 "print(h.pread(4096, 0)[:4].decode(), h.get_size(), flush=True)"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(host.kill)
        self.assertEqual(host.stdout.readline().strip(), "there")
        target = f"/?Action=ResizeDisk&Version={ECS}&DiskId={disk}&NewSizeBytes="
        self.assertEqual(self.ask("POST", f"{target}{3 * mib}&Type=online")[0], 200)
        host.stdin.write("\n")
        host.stdin.flush()
        self.assertEqual(host.stdout.readline().split()[0], "aaaa")
        self.assertEqual(host.wait(), 0)
        host.stdin.close()
        host.stdout.close()
        size = ["nbdinfo", "--size", self.paris.uri(disk)]
        self.assertEqual(int(subprocess.check_output(size)), 3 * mib)
        subprocess.run(["nbdsh", "-u", self.paris.uri(disk), "-c", f"h.pwrite(b'z' * 4096, {3 * mib - 4096})", "-c",
                        "h.flush()"], check=True, env=environment)
        self.paris.kill()
        self.paris.start()
        self.paris.wait_export(disk)
        self.assertEqual(int(subprocess.check_output(size)), 3 * mib)
        tail = subprocess.check_output(["nbdsh", "-u", self.paris.uri(disk), "-c",
                                        f"print(h.pread(4096, {3 * mib - 4096})[:4].decode())"], text=True, env=environment)
        self.assertEqual(tail.strip(), "zzzz")
        self.assertEqual(self.ask("POST", f"{target}{2 * mib}")[1]["Code"], "InvalidDiskSize.TooSmall")

    def test_passed_on_and_in_time(self):
        """A call for the other region, and the answer when that site is gone, come within three seconds."""
        target = f"/?Action=DescribeVersoStatus&Version=2026-11-22&RegionId={self.lyon.region}"
        status, reply = self.ask("GET", target)
        self.assertEqual((status, reply["Site"]["Name"]), (200, "lyon"))
        self.lyon.process.send_signal(19)  # SIGSTOP: silent, not gone
        try:
            begun = time.monotonic()
            status, reply = self.ask("GET", target)
            self.assertEqual((status, reply["Code"]), (504, "RequestTimeout"))
            self.assertLess(time.monotonic() - begun, 3)
        finally:
            self.lyon.process.send_signal(18)


if __name__ == "__main__":
    main()
