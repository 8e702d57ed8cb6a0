#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A daemon that is killed between accepting a call and answering it: who asks again with the same ClientToken has the
first one's result, and it was done once. Killed before it accepted, nothing was done; asked again, it is. (In a build
with -Dstep_hooks=true, as tools/check's build-asan.)"""
import concurrent.futures
import http.client
import json
import pathlib
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Skip, wait_until  # noqa: E402
from lab_case import LabCase, main, skip_guard  # noqa: E402
from step_order import STEP_STATUS, StepOrder, has_hooks  # noqa: E402
from unix_http import UnixConnection  # noqa: E402

MANY = 12


class TokenTest(LabCase):
    start_lab = False

    @skip_guard
    def setUp(self):
        super().setUp()
        if not has_hooks(self.lab.build):
            raise Skip("this build has no step hooks")
        self.order = StepOrder(self.paris)
        self.paris.environment["VERSO_STEP_FILE"] = self.order.path
        self.paris.start()

    def ask(self, action, version="2021-07-30", **parameters):
        """(status, reply) of one call; (0, None) when the daemon died instead of answering."""
        query = urllib.parse.urlencode({"Action": action, "Version": version, "RegionId": self.paris.region, **parameters})
        link = UnixConnection(self.paris.api)
        try:
            link.request("GET", "/?" + query)
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            link.close()

    def make(self, token):
        return self.ask("CreateDiskReplicaGroup", SourceZoneId=self.paris.zone, DestinationRegionId=self.lyon.region,
                        DestinationZoneId=self.lyon.zone, ClientToken=token)

    def groups(self):
        _, reply = self.ask("DescribeDiskReplicaGroups", MaxResults=100)
        return sorted(group["ReplicaGroupId"] for group in reply["ReplicaGroups"])

    def revive(self):
        wait_until(lambda: self.paris.process.poll() is not None, "the daemon dies at the step")
        self.assertEqual(self.paris.process.returncode, STEP_STATUS)
        self.assertTrue(self.order.disarm())
        self.paris.process = None
        self.paris.start()

    def check_one(self, step, done):
        self.order.arm(step, 1)
        status, reply = self.make("the token")
        self.assertEqual(status, 0, reply)
        self.revive()
        before = self.groups()
        self.assertEqual(len(before), done)
        status, first = self.make("the token")
        self.assertEqual(status, 200, first)
        status, second = self.make("the token")
        self.assertEqual(status, 200, second)
        self.assertNotEqual(first.pop("RequestId"), second.pop("RequestId"))
        self.assertEqual(json.dumps(first), json.dumps(second))
        self.assertEqual(self.groups(), [first["ReplicaGroupId"]])
        if done:
            self.assertEqual(before, [first["ReplicaGroupId"]])

    def test_killed_when_it_was_accepted(self):
        self.check_one("change-committed", 1)

    def test_killed_before_it_was_accepted(self):
        self.check_one("change-before-commit", 0)

    def check_many(self, step, count):
        """Many in one moment share commits; each is done once, whichever of them was told."""
        self.order.arm(step, count)
        tokens = [f"token-{i}" for i in range(MANY)]
        with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
            told = dict(zip(tokens, pool.map(self.make, tokens)))
        while all(status == 200 for status, _ in told.values()):  # so many shared a commit that the step is still ahead
            self.assertLess(len(tokens), MANY + count)
            tokens.append(f"token-{len(tokens)}")
            told[tokens[-1]] = self.make(tokens[-1])
        self.revive()
        for token in tokens:
            status, reply = self.make(token)
            self.assertEqual(status, 200, reply)
            if told[token][0] == 200:
                self.assertEqual(told[token][1]["ReplicaGroupId"], reply["ReplicaGroupId"])
            told[token] = reply["ReplicaGroupId"]
        self.assertEqual(self.groups(), sorted(set(told.values())))
        self.assertEqual(len(set(told.values())), len(tokens))

    def test_many_killed_when_they_were_accepted(self):
        self.check_many("change-committed", 2)

    def test_many_killed_before_they_were_accepted(self):
        self.check_many("change-before-commit", 2)


if __name__ == "__main__":
    main()
