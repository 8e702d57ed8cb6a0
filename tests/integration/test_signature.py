#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signed requests to a real daemon over TCP, signed by Python's own hmac: both versions in all forms, nothing taken
twice, across a restart and a kill too, and each refusal of the door with status, code and text.

With VERSO_FAR=1 only what an address needs that is not loopback: FarAddressTest runs that in a network namespace."""
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest
import urllib.parse
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import free_port, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from unix_http import UnixConnection  # noqa: E402

EBS = "2021-07-30"
FORM = "application/x-www-form-urlencoded"
FAR = "192.0.2.1"  # for documentation only: nobody's
HOSTILE = "space * ~ ! ' ( ) + \u00e9 / & = %41"


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical(pairs):
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(pairs.items(), key=lambda pair: pair[0].encode()))


def now(offset=0):
    time = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


class Request:
    """method, target, body, headers; send() gives (status, reply, headers of the reply). `port` may be a unix socket."""

    def __init__(self, port, method="POST", query=None, body=None, headers=None):
        self.host, self.port, self.method, self.body = "127.0.0.1", port, method, body
        self.target = "/?" + urllib.parse.urlencode(query) if query else "/"
        self.headers = dict(headers or {})

    def send(self):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30) if isinstance(self.port, int) \
            else UnixConnection(self.port)
        connection.request(self.method, self.target, self.body, self.headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text), answer.headers


def v1(port, key, query=None, body=None, method="POST", version=EBS, action="DescribeDiskReplicaGroups", leave=(),
       secret=None, chunked=False, **changes):
    """`changes`: of the protocol's parameters; `leave`: which are not sent at all."""
    protocol = {"Action": action, "Version": version, "Format": "json", "AccessKeyId": key[0], "SignatureMethod": "HMAC-SHA1",
                "SignatureVersion": "1.0", "SignatureNonce": uuid.uuid4().hex, "Timestamp": now(), **changes}
    protocol = {name: value for name, value in protocol.items() if name not in leave}
    text = f"{method}&%2F&{encode(canonical({**protocol, **(query or {}), **(body or {})}))}"
    mac = hmac.new(f"{secret or key[1]}&".encode(), text.encode(), hashlib.sha1).digest()
    if "Signature" not in leave:
        protocol["Signature"] = base64.b64encode(mac).decode()
    data = urllib.parse.urlencode(body).encode() if body else None
    request = Request(port, method, {**protocol, **(query or {})}, iter([data]) if chunked else data,
                      {"content-type": FORM} if body else {})
    request.text = text
    return request


def v3(port, key, query=None, body=None, method="POST", version=EBS, action="DescribeDiskReplicaGroups", leave=(),
       secret=None, algorithm="ACS3-HMAC-SHA256", chunked=False, extra=None, **changes):
    """`changes`: of headers, underscores for dashes."""
    data = urllib.parse.urlencode(body).encode() if body else b""
    headers = {"host": f"127.0.0.1:{port}" if isinstance(port, int) else "localhost",
               "x-acs-action": action, "x-acs-version": version, "x-acs-date": now(),
               "x-acs-signature-nonce": uuid.uuid4().hex, "x-acs-content-sha256": hashlib.sha256(data).hexdigest(),
               "x-acs-credentials-provider": "static_ak",
               **({"content-type": FORM} if body else {}), **{name.replace("_", "-"): value for name, value in changes.items()}}
    headers = {name: value for name, value in headers.items() if name not in leave}
    listed = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    text = f"{method}\n/\n{canonical(query or {})}\n{lines}\n{listed}\n{hashlib.sha256(data).hexdigest()}"
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(text.encode()).hexdigest()}"
    mac = hmac.new((secret or key[1]).encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"{algorithm} Credential={key[0]},SignedHeaders={listed},Signature={mac}"
    request = Request(port, method, query, iter([data]) if chunked else data if body else None,
                      {"accept": "application/json", **headers, **(extra or {})})
    request.text = to_sign
    return request


class SignatureTest(LabCase):
    start_lab = False
    options = {}

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.paris.api_options = self.make_options()
        self.lab.configure()
        self.paris.start()
        self.key = self.make_key("--root")
        self.where = {"RegionId": self.paris.region}

    def make_options(self):
        return {"listen": f"127.0.0.1:{self.port}", **self.options}

    def make_key(self, *whose):
        made = json.loads(self.paris.verso("key", "create", *whose, "--json"))["AccessKey"]
        return made["AccessKeyId"], made["AccessKeySecret"]

    def taken(self, request):
        status, reply, _ = request.send()
        self.assertEqual((status, reply.get("ReplicaGroups")), (200, []), reply)

    def refused(self, request, status, code, message=None):
        answer, reply, headers = request.send()
        self.assertEqual((answer, reply["Code"]), (status, code), reply)
        self.assertTrue(reply["RequestId"] and isinstance(reply["Message"], str))
        if message:
            self.assertEqual(reply["Message"], message)
        return reply, headers

    def test_every_form_is_taken(self):
        hostile = {"Name": HOSTILE, "Empty": "", "a=b&c": "a=b&c", "\u00e9": "x", "Z": "1", "a": "2"}
        for sign in (v1, v3):
            with self.subTest(sign.__name__):
                self.taken(sign(self.port, self.key, self.where, method="GET"))
                self.taken(sign(self.port, self.key, self.where))
                self.taken(sign(self.port, self.key, body=self.where))
                self.taken(sign(self.port, self.key, body=self.where, chunked=True))
                self.taken(sign(self.port, self.key, {"MaxResults": "10"}, body=self.where))
                self.taken(sign(self.port, self.key, {**self.where, "Unknown": HOSTILE, "Empty": "", "a=b&c": "a=b&c",
                                                      "\u00e9": "x", "Z": "1", "a": "2"}))
                self.taken(sign(self.port, self.key, self.where, body={"Unknown": HOSTILE, "\u00e9": "=&+ "}))
                self.assertEqual(sign(self.port, self.key, {**self.where, **hostile}).send()[0], 200)
        self.taken(v1(self.port, self.key, self.where, SignatureNonce="n" * 64))
        self.taken(v1(self.port, self.key, self.where, SignatureType="", SecurityToken=""))
        status, reply, _ = v3(self.port, self.key, version="2015-04-01", action="GetCallerIdentity").send()
        self.assertEqual((status, reply["IdentityType"]), (200, "Account"), reply)

    def test_what_is_changed_on_the_way(self):
        def spoiled(request, change):
            change(request)
            return self.refused(request, 400, "SignatureDoesNotMatch")[0]

        for sign in (v1, v3):
            with self.subTest(sign.__name__):
                spoiled(sign(self.port, self.key, self.where), lambda request: setattr(request, "target", request.target + "&Name=x"))
                spoiled(sign(self.port, self.key, self.where), lambda request: setattr(request, "method", "GET"))
                spoiled(sign(self.port, self.key, body=self.where), lambda request: setattr(request, "body", request.body + b"x"))
                wrong = sign(self.port, self.key, self.where, secret="wrong")
                reply, _ = self.refused(wrong, 400, "SignatureDoesNotMatch")
                self.assertEqual(reply["Message"], "Specified signature is not matched with our calculation. "
                                                   f"server string to sign is:{wrong.text}")
        spoiled(v3(self.port, self.key, self.where), lambda request: request.headers.update({"x-acs-action": "DescribeRegions"}))
        spoiled(v3(self.port, self.key, self.where), lambda request: request.headers.update({"host": "elsewhere"}))
        self.refused(v3(self.port, self.key, self.where, extra={"x-acs-new": "1"}), 400, "IncompleteSignature")

    def test_nothing_is_taken_twice(self):
        used = "Specified signature nonce was used already."
        heard = [v1(self.port, self.key, self.where), v3(self.port, self.key, self.where),
                 v1(self.port, self.key, self.where, Timestamp=now(700)), v3(self.port, self.key, self.where, x_acs_date=now(-700))]
        for request in heard:
            self.taken(request)
            self.refused(request, 400, "SignatureNonceUsed", used)
        self.paris.stop()
        self.paris.start()
        for request in heard:
            self.refused(request, 400, "SignatureNonceUsed", used)
        heard.append(v3(self.port, self.key, self.where))
        self.taken(heard[-1])
        self.paris.kill()
        self.paris.start()
        for request in heard:
            self.refused(request, 400, "SignatureNonceUsed", used)
        # Another key may use the same nonce; a fresh request is taken at once, whatever its clock.
        other = self.make_key("--root")
        self.taken(v1(self.port, other, self.where, SignatureNonce=uuid.uuid4().hex))
        nonce = uuid.uuid4().hex
        self.taken(v3(self.port, self.key, self.where, x_acs_signature_nonce=nonce, x_acs_date=now(-800)))
        self.taken(v3(self.port, other, self.where, x_acs_signature_nonce=nonce))

    def test_without_the_memory_of_nonces(self):
        """As after a power loss: for some seconds nothing is taken, and what was heard is never."""
        heard = [v1(self.port, self.key, self.where), v3(self.port, self.key, self.where, x_acs_date=now(100))]
        for request in heard:
            self.taken(request)
        self.paris.kill()
        (self.paris.data / "nonces.volatile").unlink()
        self.paris.start()
        self.refused(heard[0], 503, "ServiceUnavailable")
        self.refused(v3(self.port, self.key, self.where), 503, "ServiceUnavailable")  # its clock was ahead: for minutes
        other = self.make_key("--root")
        wait_until(lambda: v3(self.port, other, self.where).send()[0] == 200, "a key with a right clock is taken", pause=0.2)
        self.refused(heard[0], 503, "ServiceUnavailable")
        self.refused(heard[1], 503, "ServiceUnavailable")

    def test_every_refusal(self):
        self.paris.verso("user", "create", "anna")
        disabled = self.make_key("--user", "anna")
        self.paris.verso("key", "disable", disabled[0])
        key, port = self.key, self.port
        mandatory = "{} is mandatory for this action."
        for name in ("Action", "Version", "AccessKeyId", "Signature", "SignatureMethod", "SignatureNonce", "SignatureVersion",
                     "Timestamp"):
            self.refused(v1(port, key, leave=(name,)), 400, f"Missing{name}", mandatory.format(name))
        for header, name in (("x-acs-date", "Timestamp"), ("x-acs-signature-nonce", "SignatureNonce"),
                             ("x-acs-content-sha256", "x-acs-content-sha256")):
            self.refused(v3(port, key, leave=(header,)), 400, f"Missing{name}", mandatory.format(name))
        self.refused(Request(port, "GET", {"Action": "DescribeRegions", "Version": EBS}), 400, "MissingAccessKeyId",
                     mandatory.format("AccessKeyId"))
        for sign, changes in ((v1, {"Timestamp": "yesterday"}), (v3, {"x_acs_date": "2026-11-22 10:00:00"})):
            self.refused(sign(port, key, **changes), 400, "InvalidTimeStamp.Format",
                         "Specified time stamp or date value is not well formatted.")
        for offset in (-910, 910):
            for sign, name in ((v1, "Timestamp"), (v3, "x_acs_date")):
                self.refused(sign(port, key, **{name: now(offset)}), 400, "InvalidTimeStamp.Expired",
                             "Specified time stamp or date value is expired.")
        for sign in (v1, v3):
            self.refused(sign(port, ("LTAInobody", "x")), 404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
            self.refused(sign(port, disabled), 400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
            self.refused(sign(port, key, action="Nonsense"), 404, "InvalidApi.NotFound",
                         "Specified api is not found, please check your url and method.")
            self.refused(sign(port, key, action="QueryAvailableInstances", version="2017-12-14"), 404, "InvalidApi.NotFound")
            self.refused(sign(port, key, version="one"), 400, "InvalidVersion", "Specified parameter Version is not valid.")
        self.refused(v1(port, key, SignatureMethod="HMAC-MD5"), 400, "InvalidSignatureMethod", "Specified signature method is not valid.")
        self.refused(v3(port, key, algorithm="ACS3-HMAC-SM3"), 400, "InvalidSignatureMethod")
        self.refused(v1(port, key, SignatureVersion="2.0"), 400, "InvalidSignatureVersion")
        self.refused(v1(port, key, SignatureNonce="n" * 65), 400, "InvalidSignatureNonce")
        self.refused(v1(port, key, Format="yaml"), 400, "InvalidParameter.Format", "Specified parameter format is not valid.")
        for request in (v1(port, key, SecurityToken="t"), v3(port, key, x_acs_security_token="t")):
            self.refused(request, 400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        self.refused(v1(port, key, SignatureType="BEARERTOKEN", BearerToken="t"), 400, "InvalidSignatureType")
        self.refused(Request(port, "GET", {"Action": "DescribeRegions", "Version": EBS}, headers={"authorization": "Bearer abc"}), 400,
                     "InvalidSignatureType", "Specified parameter SignatureType is not valid.")
        broken = v3(port, key)
        broken.headers["authorization"] = "ACS3-HMAC-SHA256 Credential=x"
        self.refused(broken, 400, "IncompleteSignature")
        self.refused(Request(port, "PUT", {"Action": "x"}), 400, "UnsupportedHTTPMethod", "This http method is not supported.")
        self.taken(v3(port, key, self.where))

    def test_on_the_unix_socket(self):
        """Without a signature the site's own root; with one it is checked."""
        door = str(self.paris.api)
        self.taken(Request(door, "GET", {"Action": "DescribeDiskReplicaGroups", "Version": EBS, **self.where}))
        for sign in (v1, v3):
            request = sign(door, self.key, self.where)
            self.taken(request)
            self.refused(request, 400, "SignatureNonceUsed")
            self.refused(sign(door, self.key, self.where, secret="wrong"), 400, "SignatureDoesNotMatch")
            self.refused(sign(door, ("LTAInobody", "x"), self.where), 404, "InvalidAccessKeyId.NotFound")
        self.refused(v1(door, self.key, leave=("Signature",)), 400, "MissingSignature")

    def test_a_key_that_ends(self):
        self.taken(v1(self.port, self.key, self.where))
        self.paris.verso("key", "disable", self.key[0])
        self.refused(v1(self.port, self.key), 400, "InvalidAccessKeyId.Inactive")
        self.paris.verso("key", "enable", self.key[0])
        self.taken(v1(self.port, self.key, self.where))
        self.paris.verso("key", "delete", self.key[0])
        self.refused(v1(self.port, self.key), 404, "InvalidAccessKeyId.NotFound")


class FlowTest(SignatureTest):
    """The same daemon with a low rate."""

    options = {"key-rate": 2, "clock-window": "60s"}

    def test_requests_a_second(self):
        taken = 0
        for _ in range(100):
            status, reply, headers = v3(self.port, self.key, self.where).send()
            if status != 200:
                break
            taken += 1
        self.assertGreaterEqual(taken, 2)
        self.assertEqual((status, reply["Code"], reply["Message"]),
                         (400, "Throttling.User", "Request was denied due to user flow control."))
        self.assertIn(int(headers["x-acs-retry-after"]), range(1, 501))
        self.assertIn(f"TimeLeft:{headers['x-acs-retry-after']}", headers["x-ratelimit-user-api"])
        self.taken(v3(self.port, self.make_key("--root"), self.where))  # each key its own
        wait_until(lambda: v3(self.port, self.key, self.where).send()[0] == 200, "the bucket fills again", timeout=10)

    def test_another_window(self):
        self.taken(v1(self.port, self.key, self.where, Timestamp=now(-50)))
        self.refused(v1(self.port, self.key, Timestamp=now(-70)), 400, "InvalidTimeStamp.Expired")
        self.refused(v3(self.port, self.key, x_acs_date=now(70)), 400, "InvalidTimeStamp.Expired")


class ReplayTest(LabCase):
    """A request that was heard on its way to one site is not taken by the other one either."""

    start_lab = False

    def setUp(self):
        super().setUp()
        self.ports = {site: free_port() for site in (self.paris, self.lyon)}
        for site, port in self.ports.items():
            site.api_options = {"listen": f"127.0.0.1:{port}"}
        self.lab.configure()
        self.lab.start()
        made = json.loads(self.paris.verso("key", "create", "--root", "--json"))["AccessKey"]
        self.key = made["AccessKeyId"], made["AccessKeySecret"]
        where = {"RegionId": self.lyon.region}
        wait_until(lambda: v3(self.ports[self.lyon], self.key, where).send()[0] == 200, "lyon knows the key")

    def replay(self, request, site):
        """The same bytes, to another door."""
        request.port = self.ports[site]
        status, reply, _ = request.send()
        return status, reply.get("Code")

    def disks(self, site):
        return site.api_call("DescribeDisks", RegionId=site.region)["TotalCount"]

    def told(self, site, other):
        """What the sites tell each other is heard in the order of telling: this comes behind it."""
        self.assertEqual(site.api_call("DescribeVersoStatus", RegionId=other.region)["Site"]["Name"], other.name)

    def test_what_runs_at_one_site(self):
        """Done where it was asked, or passed on: the same at the other door, and at this one."""
        for sign in (v1, v3):
            for asked, site in ((self.paris, self.paris), (self.paris, self.lyon), (self.lyon, self.paris)):
                before = self.disks(site)
                query = {"RegionId": site.region, "ZoneId": site.zone, "SizeBytes": "65536"}
                request = sign(self.ports[asked], self.key, query, action="CreateDisk", version="2014-05-26")
                self.assertEqual(request.send()[0], 200)
                for door in (self.lyon, self.paris):
                    self.assertEqual(self.replay(request, door), (400, "SignatureNonceUsed"))
                self.assertEqual(self.disks(site), before + 1)

    def test_what_runs_at_whichever_is_asked(self):
        for asked, other in ((self.paris, self.lyon), (self.lyon, self.paris)):
            request = v3(self.ports[asked], self.key, {"UserName": asked.name}, action="CreateUser", version="2026-11-22")
            self.assertEqual(request.send()[0], 200)
            self.told(asked, other)
            self.assertEqual(self.replay(request, other), (400, "SignatureNonceUsed"))

    def test_what_was_asked_while_the_other_was_away(self):
        self.lyon.stop()
        request = v3(self.ports[self.paris], self.key, {"UserName": "anna"}, action="CreateUser", version="2026-11-22")
        self.assertEqual(request.send()[0], 200)
        self.lyon.start()
        self.lab.wait_link()
        self.told(self.paris, self.lyon)
        self.assertEqual(self.replay(request, self.lyon), (400, "SignatureNonceUsed"))


class FarAddressTest(unittest.TestCase):
    """What holds away from loopback, on an address of a network namespace of its own."""

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip"), "needs root, unshare, ip")
    def test_in_a_namespace(self):
        inside = f"ip link set lo up && ip address add {FAR} dev lo && exec {sys.executable} {__file__}"
        done = subprocess.run(["unshare", "--net", "sh", "-c", inside], env={**os.environ, "VERSO_FAR": "1"},
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Ran 2 tests", done.stderr)


class Far(SignatureTest):
    """Run by FarAddressTest. Plain HTTP on FAR and on loopback."""

    options = {"allow-plain": "yes", "account-id": "42"}

    def make_options(self):
        self.far_port = free_port()
        return {"listen": f"127.0.0.1:{self.port}, {FAR}:{self.far_port}", **self.options}

    def at_far(self, request):
        request.host, request.port = FAR, self.far_port
        return request

    def taken_everywhere(self, make):
        self.taken(make(self.port, self.key, self.where))
        self.taken(self.at_far(make(self.port, self.key, self.where)))

    def test_v1_needs_tls(self):
        self.taken_everywhere(v3)
        self.taken(v1(self.port, self.key, self.where))
        self.refused(self.at_far(v1(self.port, self.key, self.where)), 404, "InvalidProtocol.NeedSsl",
                     "Your request is denied as lack of ssl protect.")
        self.paris.stop()
        self.paris.api_options["allow-v1"] = "yes"
        self.lab.configure()
        self.paris.start()
        self.taken_everywhere(v1)
        self.taken_everywhere(v3)

    def test_account(self):
        """The configured number is that of identities and of resources."""
        _, reply, _ = v3(self.port, self.key, version="2015-04-01", action="GetCallerIdentity").send()
        self.assertEqual((reply["AccountId"], reply["Arn"]), ("42", "acs:ram::42:root"))
        for account, status in (("42", 200), ("1000000000000001", 403)):
            with self.subTest(account=account):
                self.paris.verso("user", "create", f"u{account}")
                policy = self.lab.folder / f"u{account}.json"
                policy.write_text(json.dumps({"Version": "1", "Statement": [
                    {"Effect": "Allow", "Action": "ebs:DescribeRegions", "Resource": f"acs:ebs:*:{account}:*"}]}))
                self.paris.verso("policy", "create", f"u{account}", "--file", policy)
                self.paris.verso("policy", "attach", f"u{account}", "--user", f"u{account}")
                key = self.make_key("--user", f"u{account}")
                self.assertEqual(v3(self.port, key, action="DescribeRegions").send()[0], status)


# What these inherit is run once, above; and Far's in its namespace alone.
is_far = os.environ.get("VERSO_FAR") == "1"
for inherited in [name for name in dir(SignatureTest) if name.startswith("test_")]:
    setattr(FlowTest, inherited, None)
    setattr(Far, inherited, None)
if is_far:
    del SignatureTest, FlowTest, ReplayTest, FarAddressTest
else:
    del Far

if __name__ == "__main__":
    main()
