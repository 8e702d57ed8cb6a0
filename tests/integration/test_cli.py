#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The interface that others script against: what verso prints, its exit codes, imports, bad input, the errors of
the seed operation; and the configuration file."""
import json
import os
import pathlib
import pty
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Skip, need, run, wait_until  # noqa: E402
from lab_case import LabCase, main, skip_guard  # noqa: E402

MIB = 1 << 20


class CliTest(LabCase):
    def refused(self, site, action, status, code, message=None, **parameters):
        words = [f"{key}={value}" for key, value in parameters.items()]
        seen, text = site.verso_fails("api", action, *words)
        reply = json.loads(text)
        self.assertEqual((seen, reply["Code"]), (status, code), reply)
        self.assertRegex(reply["RequestId"], r"^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$")
        if message:
            self.assertIn(message, reply["Message"])

    def test_ids_alone_and_uris(self):
        disk = self.paris.verso("disk", "create", "--name", "one", "--size", "1G")
        self.assertRegex(disk, r"^d-[0-9a-z]{20}$")
        uri = self.paris.verso("disk", "attach", disk, "--instance", "i-x", "-q")
        self.assertRegex(uri, rf"^nbd\+unix:///{disk}\?socket=/")
        self.assertEqual(run("nbdinfo", "--size", uri).strip(), str(1 << 30))
        self.assertEqual(self.paris.verso("disk", "url", "one", "-q"), uri)
        listed = json.loads(self.paris.verso("disk", "list", "--json"))
        self.assertEqual((listed["api"], listed["disks"][0]["DiskId"]), ("verso/v1", disk))
        self.paris.verso("disk", "detach", disk)
        self.paris.verso("disk", "delete", disk)
        wait_until(lambda: json.loads(self.paris.verso("disk", "list", "--json"))["disks"] == [], "the disk is gone")
        self.assertEqual(list((self.paris.data / "disks").iterdir()), [])

    def test_words_of_others_do_not_speak_to_the_terminal(self):
        disk = self.paris.disk("plain", MIB)
        self.paris.verso("api", "ModifyDiskAttribute", f"DiskId={disk}", "DiskName=n\u009b31m")
        self.paris.verso("api", "AttachDisk", f"DiskId={disk}", "InstanceId=i\x1b]0;owned\x07")
        self.assertIn("n?31m", self.paris.verso("disk", "show", disk))
        self.assertNotRegex(self.paris.verso("disk", "list"), "[\x1b\x07\u009b]")
        status, text = self.paris.verso_fails("disk", "detach", disk, "--instance", "i-other")
        self.assertIn("i?]0;owned?", text)
        self.paris.verso("api", "DetachDisk", f"DiskId={disk}", "InstanceId=i\x1b]0;owned\x07")

    def test_import_in_place(self):
        path = self.lab.folder / "mine.raw"
        path.write_bytes(os.urandom(2 * MIB))
        disk = self.paris.verso("disk", "import", "--name", "mine", "--path", path)
        self.paris.attach(disk)
        self.assertEqual(self.paris.image_digest(disk), run("sha256sum", path).split()[0])
        status, text = self.paris.verso_fails("disk", "import", "--name", "again", "--path", path)
        self.assertIn("in use", text)
        for name, size in (("odd", 4097), ("empty", 0)):
            (self.lab.folder / name).write_bytes(bytes(size))
            status, text = self.paris.verso_fails("disk", "import", "--name", "odd", "--path", self.lab.folder / name)
            self.assertIn(name, text)
        status, text = self.paris.verso_fails("disk", "import", "--name", "no", "--path", "/nowhere/disk")
        self.assertIn("/nowhere/disk", text)
        self.paris.verso("disk", "detach", disk)
        self.paris.verso("disk", "delete", disk)
        self.assertTrue(path.exists(), "an imported file is never deleted")

    def test_an_import_keeps_the_name_that_was_given(self):
        """A link of /dev/disk/by-id leads to the same device after a reboot; what it leads to now need not."""
        def path_of(name):
            return json.loads(self.paris.verso("disk", "show", name, "--json"))["disk"]["Path"]

        path, link = self.lab.folder / "real.raw", self.lab.folder / "by-id"
        path.write_bytes(bytes(MIB))
        link.symlink_to(path)
        disk = self.paris.verso("disk", "import", "--name", "linked", "--path", link)
        self.assertEqual(path_of("linked"), str(link))
        for name in (path, os.path.relpath(path)):
            self.assertIn("in use", self.paris.verso_fails("disk", "import", "--name", "twice", "--path", name)[1])
        self.paris.verso("disk", "delete", disk)
        self.paris.verso("disk", "import", "--name", "near", "--path", os.path.relpath(path))
        self.assertTrue(os.path.isabs(path_of("near")) and os.path.samefile(path_of("near"), path), path_of("near"))

    @skip_guard
    def test_block_device(self):
        need("losetup")
        if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
            raise Skip("loop devices need root")
        backing = self.lab.folder / "backing"
        backing.write_bytes(os.urandom(4 * MIB))
        loop = run("losetup", "--find", "--show", backing).strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", loop])
        disk = self.paris.verso("disk", "import", "--name", "dev", "--path", loop)
        self.paris.attach(disk)
        run("qemu-io", "-f", "raw", "-c", "write -P 7 1M 1M", "-c", "write -z 2M 1M", "-c", "flush", self.paris.uri(disk))
        run("qemu-io", "-f", "raw", "-c", "read -P 7 1M 1M", "-c", "read -P 0 2M 1M", self.paris.uri(disk))
        self.paris.verso("disk", "detach", disk)
        self.paris.stop()
        with open(backing, "rb") as image:
            image.seek(MIB)
            self.assertEqual(image.read(2 * MIB), bytes([7]) * MIB + bytes(MIB))

    def test_exit_codes(self):
        self.assertEqual(self.paris.verso_fails("disk", "show", "nothing")[0], 3)
        self.assertEqual(self.paris.verso_fails("disk", "create")[0], 2)
        self.assertEqual(self.paris.verso_fails("frobnicate")[0], 2)
        self.assertEqual(self.paris.verso_fails("disk", "list", "--socket", "/nowhere.sock")[0], 8)
        group = self.paris.verso("group", "create", "--peer", "lyon", "--name", "grp")
        self.assertRegex(group, r"^pg-[0-9A-Za-z]+$")
        self.assertEqual(self.paris.verso_fails("group", "start", group)[0], 4)
        self.assertEqual(self.paris.verso_fails("wait", group, "--for", "normal", "--timeout", "0.2")[0], 6)
        self.lyon.kill()
        wait_until(lambda: not json.loads(self.paris.verso("status", "--json"))["peers"][0]["IsUp"], "the link is down")
        self.assertEqual(self.paris.verso_fails("group", "failover", group, "-y")[0], 8)

    def test_what_is_not_understood_is_not_done(self):
        disk = self.paris.disk("only", 4 * MIB)
        for word in ("", "d", "d-"):  # an unset variable, or the type alone
            self.assertEqual(self.paris.verso_fails("disk", "delete", word)[0], 3)
        for words, status, text in (
                (("disk", "delete", disk, disk), 2, "one word too many"), (("status", "a", "b"), 2, "one word too many"),
                (("disk", "list", "-o", "id,colour"), 2, "no column colour"), (("status", "-o", "+colour"), 2, "no column colour"),
                (("wait", "only", "--for", "happy"), 2, "happy is no state"),
                (("wait", "only", "--for", "normal", "--timeout", "soon"), 2, "soon is not a number")):
            self.assertEqual(self.paris.verso_fails(*words)[0], status, words)
            self.assertIn(text, self.paris.verso_fails(*words)[1])
        self.assertEqual(self.paris.verso("disk", "list", "--raw", "--noheadings", "-o", "id,size"), f"{disk} 4M")

    def test_a_person_is_asked_before_a_disk_goes(self):
        disk = self.paris.disk("only", 4 * MIB)
        command = [str(self.lab.build / "verso"), "--socket", str(self.paris.api), "disk", "delete", "only"]
        for answer, status in ((b"\n", 9), (b"y\n", 0)):
            master, terminal = pty.openpty()
            os.write(master, answer)
            done = subprocess.run(command, stdin=terminal, stderr=terminal, timeout=60)
            self.assertEqual(done.returncode, status)
            self.assertIn(b"delete disk only? [y/N]", os.read(master, 1000))
            os.close(terminal)
            os.close(master)
        wait_until(lambda: disk not in self.paris.verso("disk", "list"), "the disk is gone")

    def test_a_list_on_standard_input_is_no_answer(self):
        """A script's loop over a list, run at a terminal."""
        disks = [self.paris.disk(name, 4 * MIB) for name in ("one", "two", "three")]
        verso = f"{self.lab.build / 'verso'} --socket {self.paris.api}"
        master, terminal = pty.openpty()
        done = subprocess.run(["sh", "-c", f"while read -r d; do {verso} disk delete $d || exit; done"], stderr=terminal,
                              input="\n".join(disks).encode() + b"\n", timeout=60)
        os.close(terminal)
        os.close(master)
        self.assertEqual(done.returncode, 0)
        wait_until(lambda: self.paris.verso("disk", "list") == "", "all are gone")

    def test_resize(self):
        group, sources, targets = self.lab.group(1, 4 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.paris.verso("disk", "resize", sources[0], "--size", "8M")
        for site, disk in ((self.paris, sources[0]), (self.lyon, targets[0])):
            self.assertIn("8M", self.site_line(site, disk))
        self.assertEqual(self.paris.verso_fails("disk", "resize", sources[0])[0], 2)
        self.assertEqual(self.paris.verso_fails("disk", "resize", sources[0], "--size", "4M")[0], 2)

    def site_line(self, site, disk):
        return next(line for line in site.verso("disk", "list").splitlines() if line.startswith(disk))

    def test_status_tells_what_stands_in_the_way(self):
        group, sources, targets = self.lab.group(1, 4 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.assertIn(group, self.paris.verso("status", sources[0]))
        self.assertRegex(self.paris.verso("status", "--watch", "--timeout", "3"), r"link ok .* ms, sends .*/s, gets .*/s")
        self.lyon.stop()
        wait_until(lambda: "connect to 127.0.0.1" in self.paris.verso("status"), "the last try to connect is told")
        self.paris.stop()
        self.paris.start()
        wait_until(lambda: "erp: hosts are kept out: waiting for the other site" in self.paris.verso("status"), "why hosts wait")

    def test_invalid_ones_are_deleted_where_they_are(self):
        """Of a relation that the production site gave up, the present source keeps an invalid record."""
        group, sources, targets = self.lab.group(1, 4 * MIB)
        self.paris.verso("group", "start", group, "-q")
        self.paris.verso("disk", "detach", sources[0])
        self.lyon.verso("group", "failover", group, "-q")
        self.lyon.verso("group", "reprotect", group, "-q")
        self.paris.verso("group", "forget", group, "--force", "erp", "--reason", "test", "-q")
        wait_until(lambda: self.lyon.status(group)["Status"] == "invalid", "lyon knows")
        self.lyon.verso("group", "remove", group, "erp-0")
        self.lyon.verso("pair", "delete", "erp-0", "-q")
        self.lyon.verso("group", "delete", group, "-q")
        self.assertEqual(self.lyon.verso("group", "list"), "")

    def test_errors_of_the_seed_operation(self):
        ask = {"RegionId": self.lyon.region, "ReverseReplicate": "true"}
        self.refused(self.lyon, "ReprotectDiskReplicaGroup", 3, "NoSuchResource", "does not exist",
                     ReplicaGroupId="pg-none", **ask)
        group = self.paris.verso("group", "create", "--peer", "lyon", "--name", "empty")
        self.refused(self.lyon, "ReprotectDiskReplicaGroup", 4, "OperationDenied.NoPairInGroup",
                     ReplicaGroupId=group, **ask)
        group, sources, targets = self.lab.group(1, 4 * MIB)
        self.refused(self.lyon, "ReprotectDiskReplicaGroup", 4, "OperationDenied.InvalidStatus",
                     "not allowed in current status", ReplicaGroupId=group, **ask)
        self.refused(self.paris, "ReprotectDiskReplicaGroup", 4, "OperationDenied.OperateNotAllowedForPrimary",
                     "not allowed on the primary site", ReplicaGroupId=group, RegionId=self.paris.region)
        self.paris.verso("group", "start", group, "-q")
        self.lyon.verso("group", "failover", group, "-q")
        self.refused(self.lyon, "ReprotectDiskReplicaGroup", 4, "OperationDenied", sources[0],
                     ReplicaGroupId=group, **ask)
        # RegionId names the executing site: asked at paris' socket, carried out by lyon.
        self.refused(self.paris, "ReprotectDiskReplicaGroup", 4, "OperationDenied", sources[0],
                     ReplicaGroupId=group, **ask)
        self.paris.kill()
        wait_until(lambda: not json.loads(self.lyon.verso("status", "--json"))["peers"][0]["IsUp"], "the link is down")
        self.refused(self.lyon, "ReprotectDiskReplicaGroup", 8, "RequestTimeout", ReplicaGroupId=group, **ask)

    def test_bad_input(self):
        place = {"RegionId": self.paris.region, "ZoneId": self.paris.zone}
        self.refused(self.paris, "NoSuchAction", 2, "InvalidApi.NotFound")
        self.refused(self.paris, "CreateDisk", 2, "MissingRegionId", ZoneId=self.paris.zone, Size=1)
        self.refused(self.paris, "CreateDisk", 2, "MissingParameter", "ZoneId", RegionId=self.paris.region, Size=1)
        a, b = self.paris.disk("one", 4 * MIB), self.lyon.disk("two", 8 * MIB)
        pair = {"RegionId": self.paris.region, "SourceZoneId": self.paris.zone, "DestinationRegionId": self.lyon.region,
                "DestinationZoneId": self.lyon.zone, "DiskId": a, "DestinationDiskId": b}
        self.refused(self.paris, "CreateDiskReplicaPair", 4, "OperationDenied", **pair)  # sizes differ
        self.refused(self.paris, "CreateDiskReplicaPair", 3, "NoSuchResource", **{**pair, "DestinationDiskId": "d-none"})
        same = self.lyon.disk("same", 4 * MIB)
        self.paris.api_call("CreateDiskReplicaPair", **{**pair, "DestinationDiskId": same})
        self.refused(self.paris, "CreateDiskReplicaPair", 4, "OperationDenied.QuotaExceed",
                     **{**pair, "DestinationDiskId": same})
        status, text = self.paris.verso_fails("api", "CreateDisk", *[f"{k}={v}" for k, v in place.items()], "SizeBytes=4097")
        self.assertIn("SizeBytes", text)
        done = subprocess.run(["curl", "-s", "--unix-socket", str(self.paris.api), "http://x/nowhere", "-X", "PUT"],
                              capture_output=True, text=True)
        reply = json.loads(done.stdout)
        self.assertTrue(reply["Code"] and reply["Message"] and reply["RequestId"])


class ConfigTest(LabCase):
    start_lab = False

    def refused(self, change):
        text = self.paris.config.read_text()
        self.paris.config.write_text(change(text))
        done = subprocess.run([str(self.lab.build / "versod"), "--config", str(self.paris.config)],
                              capture_output=True, text=True, timeout=60)
        self.paris.config.write_text(text)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_messages_name_the_thing(self):
        self.assertIn("unknown key colour", self.refused(lambda text: text.replace("[api]", "[api]\ncolour=red")))
        self.assertIn("interval", self.refused(lambda text: re.sub("interval=.*", "interval=soon", text)))
        self.assertIn("region", self.refused(lambda text: text.replace("region=cn-paris\n", "", 1)))
        path = self.paris.config
        for change, said in (
                (lambda text: text.replace("[nbd]", "[ndb]"), "unknown section [ndb]"),
                (lambda text: text.replace("name=paris", "name=paris\nname=berlin"), f"{path}:3: [site] name: is given twice"),
                (lambda text: text + "[peer.lyon]\nregion=cn-x\n", "[peer.lyon] region: is given twice"),
                (lambda text: text + "[peer.twin]\nregion=cn-lyon\nzone=cn-lyon-a\n", "[peer.twin] has the region and zone of"),
                (lambda text: re.sub("listen=.*", "listen=paris.example.com:10909", text), '"paris.example.com:10909" is no address'),
                (lambda text: re.sub("address=.*", "address=127.0.0.1", text), '[peer.lyon] address: "127.0.0.1" is no address'),
                (lambda text: text.replace("[link]", "[link]\nheartbeat=20s"), "dead-after"),
                (lambda text: text.replace("[nbd]", "[nbd]\nrequests-max=0"), "[nbd] requests-max: 0 is out of range: 1 to 65536"),
                (lambda text: text.replace("[nbd]", "[nbd]\nbuffer-max=1K"), "1K is out of range: 32M to 1T"),
                (lambda text: text.replace("[nbd]", "[nbd]\nhandshake-time=1.5s"), "a whole number and ms, s, m, h or d")):
            self.assertIn(said, self.refused(change))
        self.lab.psk.chmod(0o644)
        self.assertIn("chmod 600", self.refused(lambda text: text))
        self.lab.psk.chmod(0o600)
        self.lab.psk.write_text("short")
        self.assertIn("32", self.refused(lambda text: text))
        self.lab.psk.write_text("none")  # what the unit passes on when there is no key
        self.assertIn("there was no /etc/verso/link.psk", self.refused(lambda text: text))

    def test_help(self):
        done = subprocess.run([str(self.lab.build / "versod"), "--help"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--config FILE", done.stdout)

    def test_a_port_that_is_taken(self):
        """Hosts are served and the peer is dialled all the same; the status tells."""
        with socket.socket() as holder:
            holder.bind((self.paris.link_address, self.paris.link_port))
            holder.listen()
            self.paris.start()
            self.assertIn("Address already in use", self.paris.verso("status"))
            wait_until(lambda: re.search("connect to 127.0.0.1.*no peer can connect to this site: .*Address already in use",
                                         self.paris.verso("status")), "both are told")
            self.lyon.start()
            self.lab.wait_link()


if __name__ == "__main__":
    main()
