#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Users, access keys and policies with real daemons: the commands, the key file, what the other site learns, and what
they allow to calls that are signed."""
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import free_port, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from signed import ECS, OWN, STS, Client  # noqa: E402

def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def policy(*statements):
    return {"Version": "1", "Statement": list(statements)}


READER = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "ebs:Describe*", "Resource": "*"}]}


class AccessTest(LabCase):
    start_lab = False

    def setUp(self):
        super().setUp()
        self.ports = {}
        for site in (self.paris, self.lyon):
            self.ports[site] = free_port()
            site.api_options = {"listen": f"127.0.0.1:{self.ports[site]}"}
        self.lab.configure()
        self.lab.start()

    def client(self, site, key, **more):
        return Client(self.ports[site], *key, **more)

    def give(self, site, user, name, *statements):
        """The user may what the statements say, by a policy of that name."""
        site.verso("policy", "set", name, "--file", self.policy_file(name, policy(*statements)))
        if name not in [row["PolicyName"] for row in self.listed(site, "policy", "--user", user)]:
            site.verso("policy", "attach", name, "--user", user)

    def refused(self, answer, status, code):
        self.assertEqual((answer[0], answer[1].get("Code")), (status, code), answer)

    def good(self, answer):
        self.assertEqual(answer[0], 200, answer)
        return answer[1]

    def policy_file(self, name, document):
        path = self.lab.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def make_key(self, site, *whose):
        text = site.verso("key", "create", *whose, "-q")
        match = re.fullmatch(r"AccessKeyId      (VERSO[0-9A-Z]{20})\nAccessKeySecret  ([0-9A-Za-z]{40})", text)
        self.assertTrue(match, text)
        return match.groups()

    def listed(self, site, noun, *words):
        rows = json.loads(site.verso(noun, "list", *words, "--json"))
        return rows[{"user": "users", "key": "keys", "policy": "policies"}[noun]]

    def names(self, site, noun, field):
        return sorted(row[field] for row in self.listed(site, noun))

    def test_a_policy_does_not_speak_to_the_terminal(self):
        hostile = policy(allow("ebs:Describe*", "acs:ebs:*:*:disk/a\u009b31mb\x7f"))
        document = self.policy_file("hostile", json.dumps(hostile, ensure_ascii=False, indent=1))
        self.paris.verso("policy", "create", "hostile", "--file", document, "--description", "\u009b2J")
        for words in (("show", "hostile"), ("show", "hostile", "--json"), ("list", "--json")):
            self.assertNotRegex(self.paris.verso("policy", *words), "[\x1b\x7f\u0080-\u009f]", words)
        self.assertEqual(json.loads(self.paris.verso("policy", "show", "hostile")), hostile)

    def test_commands(self):
        paris = self.paris
        paris.verso("user", "create", "anna", "--description", "of operations")
        self.assertEqual(paris.verso_fails("user", "create", "anna")[0], 4)
        self.assertEqual(paris.verso_fails("user", "delete", "bert")[0], 3)
        self.assertEqual(paris.verso_fails("user", "create", "no spaces")[0], 2)
        self.assertEqual(self.listed(paris, "user")[0]["Description"], "of operations")
        self.assertIn("anna", paris.verso("user", "list"))

        self.assertEqual(paris.verso_fails("key", "create")[0], 2)
        self.assertEqual(paris.verso_fails("key", "create", "--root", "--user", "anna")[0], 2)
        root, _ = self.make_key(paris, "--root")
        key, secret = self.make_key(paris, "--user", "anna")
        reply = json.loads(paris.verso("key", "create", "--user", "anna", "--json"))
        self.assertEqual(len(reply["AccessKey"]["AccessKeySecret"]), 40)
        paris.verso("key", "disable", key)
        states = {row["AccessKeyId"]: row["Status"] for row in self.listed(paris, "key")}
        self.assertEqual((states[key], states[root], len(states)), ("Inactive", "Active", 3))
        paris.verso("key", "enable", key)
        self.assertEqual({row["UserName"] for row in self.listed(paris, "key", "--user", "anna")}, {"anna"})
        paris.verso("key", "delete", reply["AccessKey"]["AccessKeyId"])
        self.assertEqual(paris.verso_fails("key", "delete", "VERSO0")[0], 3)

        document = self.policy_file("reader", READER)
        paris.verso("policy", "create", "reader", "--file", document)
        self.assertEqual(json.loads(paris.verso("policy", "show", "reader")), READER)
        status, text = paris.verso_fails("policy", "create", "bad", "--file", self.policy_file("bad", '{"Version":"1"}'))
        self.assertEqual(status, 2)
        self.assertIn("Statement", text)
        self.assertEqual(paris.verso_fails("policy", "create", "none", "--file", "/nowhere")[0], 1)
        paris.verso("policy", "attach", "reader", "--user", "anna")
        self.assertEqual(paris.verso_fails("policy", "delete", "reader")[0], 4)
        self.assertEqual([row["PolicyName"] for row in self.listed(paris, "policy", "--user", "anna")], ["reader"])
        paris.verso("policy", "set", "reader", "--file", document, "--description", "reads")
        self.assertEqual(self.listed(paris, "policy")[0]["AttachmentCount"], 1)
        paris.verso("policy", "detach", "reader", "--user", "anna")
        paris.verso("policy", "delete", "reader")
        paris.verso("user", "delete", "anna")
        self.assertEqual(self.names(paris, "key", "AccessKeyId"), [root])

        identity = json.loads(paris.verso("api", "GetCallerIdentity"))
        self.assertEqual((identity["IdentityType"], identity["AccountId"]), ("Account", "1000000000000001"))
        for path in paris.data.glob("*"):
            if path.is_file():
                self.assertNotIn(secret.encode(), path.read_bytes(), path)
        self.assertNotIn(secret, paris.log_tail())

    def test_the_other_site_learns(self):
        paris, lyon = self.paris, self.lyon
        paris.verso("user", "create", "anna")
        key, _ = self.make_key(paris, "--user", "anna")
        paris.verso("policy", "create", "reader", "--file", self.policy_file("reader", READER))
        paris.verso("policy", "attach", "reader", "--user", "anna")
        wait_until(lambda: self.names(lyon, "key", "AccessKeyId") == [key] and
                   len(self.listed(lyon, "policy", "--user", "anna") if self.names(lyon, "user", "UserName") else []) == 1,
                   "lyon knows anna")
        paris.kill()
        lyon.verso("user", "delete", "anna")
        lyon.verso("user", "create", "bert")
        other, _ = self.make_key(lyon, "--user", "bert")
        paris.start()
        wait_until(lambda: self.names(paris, "key", "AccessKeyId") == [other] and
                   self.names(paris, "user", "UserName") == ["bert"], "paris learnt what happened")

    def test_who_may_what(self):
        paris = self.paris
        disks = [paris.disk(f"one-{i}", "64M") for i in range(3)]
        paris.verso("user", "create", "anna")
        key = self.make_key(paris, "--user", "anna")
        anna = self.client(paris, key)
        region = {"RegionId": paris.region}
        self.assertEqual(self.good(anna.call("GetCallerIdentity", STS))["Arn"], "acs:ram::1000000000000001:user/anna")
        self.refused(anna.call("DescribeDisks", ECS, **region), 403, "Forbidden.Action")
        self.refused(anna.call("CreateUser", OWN, UserName="x"), 403, "Forbidden.Action")
        self.refused(Client(self.ports[paris], key[0], "wrong").call("DescribeDisks", ECS, **region), 400,
                     "SignatureDoesNotMatch")

        self.give(paris, "anna", "two", allow("ecs:*", [f"acs:ecs:*:*:disk/{disk}" for disk in disks[:2]]))
        for call in (anna.call, anna.call_v1):
            reply = self.good(call("DescribeDisks", ECS, **region))
            self.assertEqual(sorted(disk["DiskId"] for disk in reply["Disks"]["Disk"]), sorted(disks[:2]))
            self.assertEqual(reply["TotalCount"], 2)
        reply = self.good(anna.call("DescribeDisks", ECS, **region, MaxResults=1))
        reply = self.good(anna.call("DescribeDisks", ECS, **region, MaxResults=1, NextToken=reply["NextToken"]))
        self.assertEqual((reply["NextToken"], len(reply["Disks"]["Disk"])), ("", 1))
        self.refused(anna.call("DeleteDisk", ECS, DiskId=disks[2]), 403, "Forbidden")
        self.refused(anna.call("DeleteDisk", ECS, DiskId="d-" + "0" * 20), 403, "Forbidden")
        self.refused(anna.call("AttachDisk", ECS, DiskId=disks[0], InstanceId="i-1"), 403, "Forbidden")
        self.good(anna.call("DeleteDisk", ECS, DiskId=disks[1]))

        self.give(paris, "anna", "instances", allow("ecs:AttachDisk", "acs:ecs:*:*:instance/i-1",
                                                    Condition={"IpAddress": {"acs:SourceIp": "127.0.0.9"}}))
        self.refused(anna.call("AttachDisk", ECS, DiskId=disks[0], InstanceId="i-1"), 403, "Forbidden")
        near = self.client(paris, key, source="127.0.0.9")
        self.refused(near.call("AttachDisk", ECS, DiskId=disks[0], InstanceId="i-2"), 403, "Forbidden")
        self.good(near.call("AttachDisk", ECS, DiskId=disks[0], InstanceId="i-1"))
        self.give(paris, "anna", "instances", allow("ecs:DetachDisk", "*", Condition={"Bool": {"acs:SecureTransport": "true"}}))
        self.refused(near.call("DetachDisk", ECS, DiskId=disks[0], InstanceId="i-1"), 403, "Forbidden")
        self.give(paris, "anna", "instances", allow("ecs:DetachDisk"),
                  {"Effect": "Deny", "Action": "*", "Resource": "*",
                   "Condition": {"DateGreaterThan": {"acs:CurrentTime": "2020-01-01T00:00:00Z"}}})
        self.refused(near.call("DetachDisk", ECS, DiskId=disks[0], InstanceId="i-1"), 403, "Forbidden")
        self.give(paris, "anna", "instances", allow("ecs:DetachDisk"))
        self.good(near.call("DetachDisk", ECS, DiskId=disks[0], InstanceId="i-1"))

        paris.verso("key", "disable", key[0])
        self.refused(anna.call("DescribeDisks", ECS, **region), 400, "InvalidAccessKeyId.Inactive")
        paris.verso("key", "enable", key[0])
        self.good(anna.call("DescribeDisks", ECS, **region))
        self.assertNotEqual(self.listed(paris, "key")[0]["LastUsedDate"], "")
        paris.verso("user", "delete", "anna")
        self.assertEqual(anna.call("DescribeDisks", ECS, **region)[1]["Code"], "InvalidAccessKeyId.NotFound")
        paris.verso("user", "create", "anna")
        self.assertEqual(anna.call("DescribeDisks", ECS, **region)[1]["Code"], "InvalidAccessKeyId.NotFound")

    def test_passed_on_and_after_a_loss(self):
        paris, lyon = self.paris, self.lyon
        root = self.client(paris, self.make_key(paris, "--root"))
        group, _, _ = self.lab.group(1, "64M")
        other = self.good(root.call("CreateDiskReplicaGroup", RegionId=paris.region, SourceZoneId=paris.zone,
                                    DestinationRegionId=lyon.region, DestinationZoneId=lyon.zone))["ReplicaGroupId"]
        paris.verso("user", "create", "anna")
        key = self.make_key(paris, "--user", "anna")
        self.give(paris, "anna", "erp", allow("ebs:*DiskReplicaGroup*", f"acs:ebs:*:*:diskreplicagroup/{group}"))
        here, there = self.client(paris, key), self.client(lyon, key)

        def seen(client, site):
            return [row["ReplicaGroupId"] for row in self.good(client.call("DescribeDiskReplicaGroups", RegionId=site.region))["ReplicaGroups"]]

        self.assertEqual(sorted(seen(root, paris)), sorted([group, other]))
        self.assertEqual(seen(here, paris), [group])
        wait_until(lambda: there.call("DescribeDiskReplicaGroups", RegionId=lyon.region)[0] == 200, "lyon knows anna's rights")
        self.assertEqual(seen(there, lyon), [group])
        self.assertEqual(seen(here, lyon), [group])  # passed on to lyon, which judges too
        self.refused(here.call("FailoverDiskReplicaGroup", RegionId=lyon.region, ReplicaGroupId=other), 403, "Forbidden")
        self.good(here.call("StartDiskReplicaGroup", RegionId=paris.region, ReplicaGroupId=group))
        self.wait_point(paris, "erp")
        paris.kill()
        self.refused(there.call("FailoverDiskReplicaGroup", RegionId=lyon.region, ReplicaGroupId=other), 403, "Forbidden")
        self.good(there.call("FailoverDiskReplicaGroup", RegionId=lyon.region, ReplicaGroupId=group))
        wait_until(lambda: self.good(there.call("DescribeDiskReplicaGroups", RegionId=lyon.region))
                   ["ReplicaGroups"][0]["Status"] == "failovered", "the group is failed over")

    def test_the_key_file(self):
        paris = self.paris
        path = paris.data / "secret.key"
        self.assertEqual((path.stat().st_mode & 0o7777, path.stat().st_size), (0o600, 32))
        key, _ = self.make_key(paris, "--root")
        paris.stop()
        good = path.read_bytes()

        def refuses(what):
            paris.start(wait=False)
            self.assertNotEqual(paris.process.wait(30), 0)
            self.assertIn(what, paris.log_tail())

        path.chmod(0o644)
        refuses("chmod 600")
        path.chmod(0o600)
        path.write_bytes(os.urandom(32))
        refuses("does not open with secret.key")
        path.write_bytes(good[:-1])
        refuses("32 bytes")
        path.unlink()
        refuses("is missing")
        path.write_bytes(good)
        path.chmod(0o600)
        paris.start()
        self.assertEqual(self.names(paris, "key", "AccessKeyId"), [key])


if __name__ == "__main__":
    main()
