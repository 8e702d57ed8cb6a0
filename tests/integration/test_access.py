#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Users, access keys and policies with real daemons: the commands, the key file, what the other site learns."""
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402

READER = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "ebs:Describe*", "Resource": "*"}]}


class AccessTest(LabCase):
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
