#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The API's listeners on TCP and TLS: what they answer to whatever comes, which limits hold, and how a certificate
changes while connections live. A real daemon; every wait is for a condition and bounded.

Whether a request is signed is no matter here: each must get an answer that clients can read."""
import contextlib
import json
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import free_port, need, run, wait_until  # noqa: E402
from lab_case import LabCase, main  # noqa: E402
from signer import Signer  # noqa: E402

GET = b"GET /?Action=DescribeRegions&Version=2021-07-30 HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1 << 20


class Answer:
    """One answer from a stream; `rest` is what came behind it."""

    def __init__(self, sock, before=b""):
        data = before
        while b"\r\n\r\n" not in data:
            data += self.more(sock)
        head, self.rest = data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(re.match(r"HTTP/1\.1 (\d{3}) ", lines[0])[1])
        self.fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        length = int(self.fields["content-length"])
        while len(self.rest) < length:
            self.rest += self.more(sock)
        self.body, self.rest = json.loads(self.rest[:length]), self.rest[length:]

    @staticmethod
    def more(sock):
        data = sock.recv(65536)
        if not data:
            raise ConnectionResetError("end of stream")
        return data


def is_sanitized(build):
    return b"__asan_init" in (build / "versod").read_bytes()


def is_ended(sock, timeout=15):
    """Waits for the end of a connection; what comes before it does not matter."""
    sock.settimeout(timeout)
    try:
        while sock.recv(65536):
            pass
        return True
    except ssl.SSLError as error:
        return not isinstance(error, ssl.SSLWantReadError)
    except TimeoutError:
        return False
    except OSError:
        return True


class HttpCase(LabCase):
    """paris with all listeners; lyon is not started."""

    start_lab = False
    options = {}

    def setUp(self):
        super().setUp()
        need("openssl")
        self.plain, self.tls, self.six = free_port(), free_port(), free_port()
        self.cert, self.key = self.lab.folder / "api.pem", self.lab.folder / "api.key"
        self.make_certificate("one")
        self.paris.api_options = {"listen": f"127.0.0.1:{self.plain}, [::1]:{self.six}",
                                  "tls-listen": f"127.0.0.1:{self.tls}", "tls-cert": self.cert, "tls-key": self.key,
                                  **self.options}
        self.lab.configure()

    def make_certificate(self, name, cert=None, key=None):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", cert or self.cert,
            "-keyout", key or self.key)
        (key or self.key).chmod(0o600)

    def dial(self, port=None, source="127.0.0.1"):
        sock = socket.create_connection(("127.0.0.1", port or self.plain), timeout=15, source_address=(source, 0))
        self.addCleanup(sock.close)
        return sock

    def dial_tls(self, low=ssl.TLSVersion.TLSv1_2, high=ssl.TLSVersion.TLSv1_3, ciphers=None, source="127.0.0.1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version, context.maximum_version = low, high
        if ciphers:
            context.set_ciphers(ciphers)
        sock = context.wrap_socket(self.dial(self.tls, source), server_hostname="127.0.0.1")
        self.addCleanup(sock.close)
        return sock

    def ask(self, sock, request=GET):
        sock.sendall(request)
        return self.proper(Answer(sock))

    def proper(self, answer):
        """The rules of every answer."""
        body = answer.body
        self.assertIsInstance(body["RequestId"], str)
        self.assertRegex(answer.fields["content-type"], r"^application/json;charset=utf-8$")
        self.assertEqual(answer.fields["x-acs-request-id"], body["RequestId"])
        if answer.status != 200:
            self.assertIsInstance(body["Code"], str)
            self.assertIsInstance(body["Message"], str)
        self.assertNotIn(answer.status, (204, 500, 502))
        return answer

    def subject(self, sock):
        text = ssl.DER_cert_to_PEM_cert(sock.getpeercert(True))
        return run("openssl", "x509", "-noout", "-subject", input=text).split("=")[-1].strip()

    def refusals(self):
        """The lines of what was no request, by address."""
        events = self.paris.api_call("DescribeReplicaEvents", Kind="call", MaxResults=500)["Events"]
        return sorted((line["SourceIp"], line["Status"], line["Caller"], line["CallRequestId"])
                      for line in events if line["ErrorCode"] == "InvalidRequest")

    def is_local_fine(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(15)
            sock.connect(str(self.paris.api))
            sock.sendall(GET)
            return "RequestId" in self.proper(Answer(sock)).body


class Start(HttpCase):
    """What the daemon refuses to start with."""

    def check(self, **options):
        self.paris.api_options = {**self.paris.api_options, **{key.replace("_", "-"): value
                                                              for key, value in options.items()}}
        self.paris.write_config(self.lyon)
        return self.versod("--check")

    def versod(self, *words):
        return subprocess.run([str(self.lab.build / "versod"), "--config", str(self.paris.config), *words],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def refused(self, wanted, **options):
        for done in (self.check(**options), self.versod()):
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(wanted, done.stderr)

    def test_plain_http_for_everybody(self):
        self.refused("allow-plain=yes", listen="0.0.0.0:1")
        self.refused("allow-plain=yes", listen="127.0.0.1:1,[::]:1")
        self.refused("allow-plain=yes", listen="[2001:db8::1]:1")

    def test_addresses(self):
        self.refused("no address", listen="localhost:80")
        self.refused("no address", listen="127.0.0.1:80,,127.0.0.1:81")
        self.refused("no address", listen="", tls_listen="unix:/tmp/x")
        with socket.create_server(("127.0.0.1", 0)) as other:
            done = self.check(tls_listen=f"127.0.0.1:{other.getsockname()[1]}")
            self.assertIn("fine", done.stdout)
            done = self.versod()
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("Address already in use", done.stderr)
        self.assertFalse(self.paris.api.exists())

    def test_certificates(self):
        self.refused("needs tls-cert and tls-key", tls_cert="")
        self.refused("No such file", tls_cert=self.lab.folder / "nothing")
        self.refused("tls-cert", tls_cert=self.key)
        self.make_certificate("other", self.lab.folder / "other.pem", self.lab.folder / "other.key")
        self.refused("tls-key", tls_cert=self.cert, tls_key=self.lab.folder / "other.key")
        self.key.chmod(0o644)
        self.refused("others may read it", tls_key=self.key)

    def test_allowed(self):
        self.paris.api_options.update({"listen": f"0.0.0.0:{self.plain}", "allow-plain": "yes"})
        self.lab.configure()
        self.paris.start()
        self.ask(self.dial())
        self.paris.stop()


class Doors(HttpCase):
    def setUp(self):
        super().setUp()
        self.paris.start()

    def test_each_answers(self):
        for sock in (self.dial(), self.dial_tls(high=ssl.TLSVersion.TLSv1_2), self.dial_tls(low=ssl.TLSVersion.TLSv1_3),
                     socket.create_connection(("::1", self.six), timeout=15)):
            for _ in range(5):
                answer = self.ask(sock)
                self.assertEqual(answer.fields["keep-alive"], "timeout=55")
            sock.close()
        self.assertTrue(self.is_local_fine())
        self.paris.stop()

    def test_old_tls(self):
        for options in ({"low": ssl.TLSVersion.TLSv1, "high": ssl.TLSVersion.TLSv1_1, "ciphers": "ALL:@SECLEVEL=0"},
                        {"high": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-SHA:AES256-GCM-SHA384"}):
            with self.assertRaises((ssl.SSLError, OSError)):
                self.dial_tls(**options)

    def test_wrong_door(self):
        """Told at once, not when a time is over."""
        began = time.monotonic()
        answer = self.ask(self.dial(self.tls))
        self.assertEqual((answer.status, answer.body["Code"]), (400, "InvalidRequest"))
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context = ssl.create_default_context()
            context.wrap_socket(self.dial(self.plain), server_hostname="127.0.0.1")
        self.assertLess(time.monotonic() - began, 8)
        self.ask(self.dial_tls())

    def test_hostile_framing(self):
        """A request that is not HTTP worth the name gets JSON and the end; nothing behind it is looked at."""
        post = b"POST / HTTP/1.1\r\nHost: x\r\n"
        rows = [(post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
                (post + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\na=1", 400),
                (post + b"Content-Length: -1\r\n\r\n", 400),
                (post + b"Content-Length: 99999999999999999999999\r\n\r\n", 413),
                (post + b"Content-Length: 99999999\r\n\r\n", 413),
                (post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                (post + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n", 413),
                (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nno colon\r\nHost: x\r\n\r\n", 400),
                (b"GET / HTTP/3.1\r\nHost: x\r\n\r\n", 505),
                (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 70 + b"\r\n", 431),
                (b"GET /?a=" + b"x" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
                (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200000 + b"\r\n\r\n", 431)]
        for dial in (self.dial, self.dial_tls):
            for request, status in rows:
                with self.subTest(request=request[:90], dial=dial.__name__):
                    sock = dial()
                    answer = self.ask(sock, request)
                    self.assertEqual(answer.status, status)
                    self.assertNotIn("keep-alive", answer.fields)
                    self.assertEqual(answer.rest, b"")
                    self.assertTrue(is_ended(sock))

    def test_no_request_line(self):
        for request in (b"garbage\r\n", b"\x01\x02\n", b"GET\r\n\r\n", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"SSH-2.0-x\r\n", b"GET\t/\tHTTP/1.1\r\n"):
            with self.subTest(request=request):
                for dial in (self.dial, lambda: self.dial_tls(high=ssl.TLSVersion.TLSv1_2), self.dial_tls):
                    sock = dial()
                    answer = self.ask(sock, request)
                    self.assertEqual((answer.status, answer.body["Code"]), (400, "InvalidRequest"))
                    self.assertEqual(answer.rest, b"")
                    self.assertTrue(is_ended(sock))
        sock = self.dial_tls()  # behind good ones, and behind the empty line that some send after a body
        self.ask(sock, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1\r\n")
        self.ask(sock)
        self.assertEqual(self.ask(sock, b"garbage\r\n").body["Code"], "InvalidRequest")
        self.assertTrue(is_ended(sock))

    def test_what_is_no_request_is_recorded(self):
        """With the site's name, and a line; many from one address in a moment have one line."""
        answer = self.ask(self.dial(), b"garbage\r\n")
        self.assertEqual(answer.body["HostId"], "paris")
        for _ in range(20):
            self.ask(self.dial(), b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        self.assertEqual(self.refusals(), [("127.0.0.1", 400, "", answer.body["RequestId"])])

    def test_what_is_no_request_inside_tls_is_recorded(self):
        """Who speaks is told of, also where he has gone before the answer; who only comes and goes is not."""
        answer = self.ask(self.dial_tls(source="127.0.0.2"), b"SSH-2.0-x\r\n")
        sock = self.dial_tls(source="127.0.0.3")
        sock.sendall(b"NBDMAGIC")  # and the end, which is answered in turn
        with contextlib.suppress(ssl.SSLError):
            sock.unwrap()
        sock = self.dial_tls(source="127.0.0.4")
        sock.sendall(b"garbage\r\n")
        sock.close()
        quiet = self.dial_tls(source="127.0.0.5")
        quiet.unwrap()
        for words in (b"", GET, GET + b"\r\n"):
            sock = self.dial_tls(source="127.0.0.6")
            if words:
                self.ask(sock, words)
            sock.unwrap()
        wait_until(lambda: len(self.refusals()) >= 3, "a line of each who spoke")
        lines = self.refusals()
        self.assertEqual([line[:3] for line in lines], [(f"127.0.0.{last}", 400, "") for last in (2, 3, 4)])
        self.assertEqual(lines[0][3], answer.body["RequestId"])

    def test_paths_and_methods(self):
        for method, path, status in (("GET", "/nothing", 404), ("POST", "/v1/x?y", 404), ("PUT", "/", 400),
                                     ("DELETE", "/", 400), ("OPTIONS", "/", 400), ("OPTIONS", "*", 400),
                                     ("PATCH", "/", 400), ("TRACE", "/", 400), ("BREW", "/", 400)):
            with self.subTest(method=method, path=path):
                answer = self.ask(self.dial(), f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                self.assertEqual(answer.status, status)
                if status == 400:
                    self.assertEqual(answer.fields["allow"], "GET, POST")
        sock = self.dial()
        sock.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
        self.assertTrue(data.startswith(b"HTTP/1.1 400 ") and data.endswith(b"\r\n\r\n"), data)

    def test_bodies(self):
        post = b"POST / HTTP/1.1\r\nHost: x\r\n"
        for dial in (self.dial, self.dial_tls):
            sock = dial()
            self.ask(sock, post + b"Content-Length: 3\r\n\r\na=1")
            self.ask(sock, post + b"Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n")
            sock.sendall(post + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            self.assertEqual(sock.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
            self.ask(sock, b"a=1")
            for piece in (post, b"Content-Length: 3\r\n", b"\r\n", b"a", b"=", b"1"):  # in pieces
                sock.sendall(piece)
                time.sleep(0.02)
            self.proper(Answer(sock))
            sock.sendall(GET * 20)  # one behind the other
            rest = b""
            for _ in range(20):
                rest = self.proper(Answer(sock, rest)).rest

    def test_too_large_and_still_told(self):
        """A client that sends all before it reads gets its answer, not a reset."""
        for _ in range(5):
            sock = self.dial()
            sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (3 * MIB))
            sock.sendall(b"x" * (3 * MIB))
            self.assertEqual(self.proper(Answer(sock)).status, 413)


class Reload(HttpCase):
    def setUp(self):
        super().setUp()
        self.paris.start()

    def reload(self, wanted):
        before = len(self.paris.log.read_text())
        self.paris.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP" in self.paris.log.read_text()[before:], "the log tells of the reload")
        self.assertIn(wanted, self.paris.log.read_text()[before:])

    def test_new_and_broken(self):
        old = self.dial_tls()
        self.ask(old)
        self.assertEqual(self.subject(old), "one")
        self.make_certificate("two")
        self.assertEqual(self.subject(self.dial_tls()), "one")
        self.reload("were read again")
        new = self.dial_tls()
        self.assertEqual(self.subject(new), "two")
        self.ask(new)
        self.ask(old)

        good_cert, good_key = self.cert.read_bytes(), self.key.read_bytes()
        for cert, key in ((b"nonsense", good_key), (good_cert, b"nonsense"), (b"", b""), (good_cert, None),
                          (b"x" * MIB, good_key)):
            self.cert.write_bytes(cert)
            if key is None:
                self.key.unlink()
            else:
                self.key.write_bytes(key)
                self.key.chmod(0o600)
            self.reload("the old certificate stays")
            self.assertEqual(self.subject(self.dial_tls()), "two")
            self.key.write_bytes(good_key)
            self.cert.write_bytes(good_cert)
        self.key.chmod(0o604)
        self.reload("others may read it")
        self.key.chmod(0o600)
        self.make_certificate("three", key=self.lab.folder / "three.key")  # the key of another
        self.reload("the old certificate stays")
        self.ask(old)
        self.ask(new)
        self.make_certificate("four")
        self.reload("were read again")
        self.assertEqual(self.subject(self.dial_tls()), "four")
        self.ask(old)
        self.paris.stop()

    def test_many_while_connections_come(self):
        socks = []
        for number in range(10):
            self.make_certificate(f"n{number}")
            socks.append(self.dial_tls())
            self.reload("were read again")
        for sock in socks:
            self.ask(sock)
        self.paris.stop()

    def test_without_tls(self):
        self.paris.stop()
        self.paris.api_options = {"listen": f"127.0.0.1:{self.plain}"}
        self.lab.configure()
        self.paris.start()
        self.reload("SIGHUP")
        self.ask(self.dial())


class Walls(HttpCase):
    def setUp(self):
        super().setUp()
        self.paris.start()

    def test_each_door_has_its_own_list(self):
        """Each thread that reads what strangers send can open no file, from its first connection on."""
        if is_sanitized(self.lab.build):
            self.skipTest("a sanitized build has no such list")
        own = int(re.search(r"Seccomp_filters:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
        for sock in (self.dial(), self.dial_tls(), socket.create_connection(("::1", self.six), timeout=15)):
            self.ask(sock)
            sock.close()
        self.is_local_fine()

        def lists():
            texts = [(task / "status").read_text()
                     for task in pathlib.Path(f"/proc/{self.paris.process.pid}/task").iterdir()]
            return [int(re.search(r"Seccomp_filters:\s+(\d+)", text)[1]) - own for text in texts
                    if text.startswith("Name:\tMHD")]
        self.assertEqual(lists(), [2] * 4)

    def test_key_is_nowhere(self):
        """The text of the key is wiped once the library has read it, also after a reload."""
        if is_sanitized(self.lab.build):
            self.skipTest("its shadow memory is too large to read")
        secret = self.key.read_bytes().splitlines()[1]
        self.ask(self.dial_tls())
        self.paris.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "were read again" in self.paris.log.read_text(), "the log tells of the reload")
        found = seen = 0
        with open(f"/proc/{self.paris.process.pid}/maps") as maps, \
                open(f"/proc/{self.paris.process.pid}/mem", "rb") as memory:
            for line in maps:
                span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ \S+\s*(?!\[v)", line)
                if span:
                    memory.seek(int(span[1], 16))
                    content = memory.read(int(span[2], 16) - int(span[1], 16))
                    seen, found = seen + len(content), found + content.count(secret)
        self.assertGreater(seen, MIB)
        self.assertEqual(found, 0)
        self.assertNotIn(secret, self.paris.log.read_bytes())


class Limits(HttpCase):
    options = {"connections-max": 24, "connections-per-address": 8, "waiting-max": 12, "head-time": "2s",
               "request-time": "4s", "idle-time": "3s", "body-rate-min": 1000, "head-max": 4096, "body-max": 8192}

    def setUp(self):
        super().setUp()
        self.paris.start()

    def half(self, source="127.0.0.1"):
        """A connection that the daemon has: the kernel gives it over with its first byte."""
        sock = self.dial(source=source)
        sock.sendall(b"G")
        return sock

    def count_open(self, crowd):
        return sum(not is_ended(sock, 0.001) for sock in crowd)

    def test_times(self):
        began = time.monotonic()
        silent, head = self.dial(), self.half()
        idle, body, drip = self.dial(), self.dial(), self.dial_tls()
        self.assertEqual(self.ask(idle).fields["keep-alive"], "timeout=2")
        body.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\na=")
        drip.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8100\r\n\r\na=")

        def has_dripped():  # fast enough for body-rate-min, and still not done in time
            try:
                drip.sendall(b"x" * 30)
                return False
            except OSError:
                return True
        wait_until(has_dripped, "request-time", pause=0.02)
        self.assertGreater(time.monotonic() - began, 3.5)
        for sock in (silent, head, idle, body):
            self.assertTrue(is_ended(sock))
        log = self.paris.log.read_text()
        for key in ("head-time", "idle-time", "request-time", "body-rate-min"):
            self.assertIn(f"({key})", log)
        self.ask(self.dial())

    def test_late(self):
        """Who began and does not come to the point is told so, and of; who says nothing is neither."""
        rows = (b"NBDMAGICIHAVEOPT", b"\r\n\r\n", b"\0\r\n", b"GET / HTTP/1.1\r\nHost")
        crowd, silent = [], [self.dial(source="127.0.0.3"), self.dial_tls(source="127.0.0.3")]
        for number, words in enumerate((*rows, rows[0], rows[3])):
            source = f"127.0.0.{10 + number}"
            crowd.append(self.dial(source=source) if number < len(rows) else self.dial_tls(source=source))
            crowd[-1].sendall(words)
        for sock in silent:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                self.assertEqual(sock.recv(1), b"")
        answers = [self.proper(Answer(sock)) for sock in crowd]
        for sock, answer in zip(crowd, answers):
            self.assertEqual((answer.status, answer.body["Code"], answer.rest), (408, "InvalidRequest", b""))
            self.assertTrue(is_ended(sock))
        self.assertEqual(self.refusals(), [(f"127.0.0.{10 + number}", 408, "", answer.body["RequestId"])
                                           for number, answer in enumerate(answers)])

    def test_drips(self):
        """Head by head a byte: each ends, soon after head-time."""
        began, crowd = time.monotonic(), [self.dial(source=f"127.0.0.{2 + number}") for number in range(8)]
        crowd += [self.dial_tls(source=f"127.0.0.{20 + number}") for number in range(2)]
        for sock in crowd:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: ")
        left = list(crowd)

        def drip():
            for sock in list(left):
                try:
                    sock.sendall(b"x")
                except OSError:
                    left.remove(sock)
            return not left
        wait_until(drip, "all have ended", pause=0.001, timeout=30)
        self.assertGreater(time.monotonic() - began, 1.9)
        self.ask(self.dial())

    def test_words_and_the_end(self):
        """No line of who only looks whether the door is there; one of who said something."""
        for source, words in (("127.0.0.2", b""), ("127.0.0.3", b"NBDMAGIC"), ("127.0.0.4", b"garbage\r\n")):
            sock = self.dial(source=source)
            sock.sendall(words)
            sock.shutdown(socket.SHUT_WR)
            self.assertTrue(is_ended(sock))
        wait_until(lambda: len(self.refusals()) >= 2, "a line of each who spoke")
        self.assertEqual([line[:2] for line in self.refusals()], [("127.0.0.3", 400), ("127.0.0.4", 400)])

    def test_answers_that_nobody_takes(self):
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", self.plain))
        sock.settimeout(30)
        with self.assertRaises(OSError) as caught:
            while True:
                sock.sendall(GET * 100)
        self.assertNotIsInstance(caught.exception, TimeoutError)
        self.ask(self.dial())

    def test_sizes(self):
        self.assertEqual(self.ask(self.dial(), b"GET /?a=" + b"x" * 4100 + b" HTTP/1.1\r\nHost: x\r\n\r\n").status, 431)
        post = b"POST / HTTP/1.1\r\nHost: x\r\n"
        self.assertEqual(self.ask(self.dial(), post + b"Content-Length: 8193\r\n\r\n").status, 413)
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.ask(self.dial(), chunked + chunk * 3 + b"0\r\n\r\n").status, 413)
        self.assertEqual(self.ask(self.dial(), chunked + chunk * 100).status, 413)  # never ends
        self.assertEqual(self.ask(self.dial_tls(), chunked + chunk * 10).status, 413)

    def test_one_address(self):
        """It loses its own connections, nobody else's."""
        good = self.dial(source="127.0.0.9")
        self.ask(good)
        crowd = [self.half("127.0.0.2") for _ in range(40)]
        self.ask(good)
        self.ask(self.dial(source="127.0.0.3"))
        self.assertTrue(self.is_local_fine())
        wait_until(lambda: self.count_open(crowd) <= 8, "at most 8 of one address are left")
        self.ask(good)

    def test_many_addresses(self):
        """A crowd of strangers on all addresses: the local operator does not notice, a client gets through."""
        crowd = [self.half(f"127.0.1.{1 + i % 50}") for i in range(150)]
        self.assertTrue(self.is_local_fine())

        def gets_through():
            try:
                self.ask(self.dial(source="127.0.0.9"))
                return True
            except OSError:  # the moment in which all have their fair time
                return False
        wait_until(gets_through, "a good client gets its answer")
        wait_until(lambda: self.count_open(crowd) <= 24, "at most connections-max are left")
        self.assertTrue(self.is_local_fine())

    def test_idle_crowd(self):
        """Idle connections on all places give way."""
        for i in range(30):
            self.ask(self.dial(source=f"127.0.2.{1 + i % 10}"))
            self.ask(self.dial_tls())
        self.paris.stop()


class Strangers(HttpCase):
    """Nobody here is slow or has more than one connection: only who never proved who he is goes first."""

    options = {"connections-max": 24, "waiting-max": 12, "idle-time": "60s", "connections-per-address": 24}

    def test_known_callers_stay(self):
        self.paris.start()
        signer = Signer(self.paris)
        known = [self.dial(source=f"127.0.3.{1 + i}") for i in range(5)] + [self.dial_tls()]
        for sock in known:
            self.assertEqual(self.ask(sock, signer.get("DescribeVersoStatus", "2026-11-22")).status, 200)
        for i in range(120):  # each asks, is refused, and stays
            self.ask(self.dial(source=f"127.0.4.{1 + i}"))
        for sock in known:
            self.assertEqual(self.ask(sock, signer.get("DescribeVersoStatus", "2026-11-22")).status, 200)
        self.paris.stop()


if __name__ == "__main__":
    main()
