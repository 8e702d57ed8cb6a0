#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The NBD server with the clients that people use, and with hostile ones.

Usage: test_nbd_clients.py NBD_DAEMON [uring|threads] [unittest's arguments]
Runs under the distribution's python3 (for its libnbd binding). A missing tool skips its test; without the
daemon, or with a loop that this kernel does not offer, the whole test is skipped (status 77).
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import nbd
except ImportError:
    nbd = None

MIB = 1 << 20
DAEMON = None
LOOP = "threads"

OPTION_MAGIC = 0x49484156454F5054
REQUEST_MAGIC = 0x25609513
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO, OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META = 1, 2, 3, 6, 7, 8, 9, 10
REP_ACK, REP_ERR_UNSUP, REP_ERR_INVALID, REP_ERR_UNKNOWN = 1, 0x80000001, 0x80000003, 0x80000006
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    return unittest.skipIf(missing, f"missing: {' '.join(missing)}")


def wait_until(condition, what, timeout=20):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not reached within {timeout} s: {what}")
        time.sleep(0.01)


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


class Daemon:
    """nbd_daemon with three exports: disk (64 MiB, empty), other (16 MiB), snapshot (read-only, 8 MiB, with holes)."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="verso-nbd-")
        self.socket = os.path.join(self.folder, "nbd.sock")
        self.disk = os.path.join(self.folder, "disk.raw")
        self.snapshot_bytes = b"".join(os.urandom(MIB) if i % 2 == 0 else bytes(MIB) for i in range(8))
        snapshot = os.path.join(self.folder, "snapshot.raw")
        with open(snapshot, "wb") as file:
            for i in range(0, 8, 2):
                file.seek(i * MIB)
                file.write(self.snapshot_bytes[i * MIB:(i + 1) * MIB])
            file.truncate(8 * MIB)
        self.log_path = os.path.join(self.folder, "log")
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [DAEMON, "--io", LOOP, "--socket", self.socket, "--listen", "127.0.0.1:0",
             "--file", self.disk, "--size", str(64 * MIB), "--name", "disk",
             "--file", os.path.join(self.folder, "other.raw"), "--size", str(16 * MIB), "--name", "other",
             "--file", snapshot, "--size", str(8 * MIB), "--name", "snapshot", "--read-only"],
            stdout=subprocess.PIPE, stderr=self.log_file, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        assert self.process.stdout.readline().startswith("ready")

    def uri(self, name="disk"):
        return f"nbd+unix:///{name}?socket={self.socket}"

    def log(self):
        return read_file(self.log_path)

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024

    def is_sanitized(self):
        return b"libasan" in read_file(f"/proc/{self.process.pid}/maps")

    def stop(self):
        self.process.terminate()
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        self.log_file.close()
        text = self.log()
        shutil.rmtree(self.folder)
        if status != 0:
            raise AssertionError(f"nbd_daemon ended with {status}\n{text.decode(errors='replace')}")


class DaemonCase(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.stop)
        self.folder = self.daemon.folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def random_file(self, name, size, hole_every=4):
        """Random data with every fourth MiB zero."""
        path = self.path(name)
        with open(path, "wb") as file:
            for i in range(size // MIB):
                if i % hole_every == hole_every - 1:
                    file.seek(MIB, os.SEEK_CUR)
                else:
                    file.write(os.urandom(MIB))
            file.truncate(size)
        return path

    def background(self, *command):
        """Starts a command that is ended with the test."""
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        def end():
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=30)

        self.addCleanup(end)
        return process


class Tools(DaemonCase):
    """One test a client program."""

    @needs("nbdinfo")
    def test_nbdinfo(self):
        info = json.loads(run("nbdinfo", "--json", self.daemon.uri()))
        export = info["exports"][0]
        self.assertEqual(info["protocol"], "newstyle-fixed")
        self.assertTrue(info["structured"])
        self.assertEqual(export["export-size"], 64 * MIB)
        self.assertEqual([export[key] for key in ("block_size_minimum", "block_size_preferred", "block_size_maximum")],
                         [512, 4096, 32 * MIB])
        self.assertIn("base:allocation", export["contexts"])
        for flag in ("can_cache", "can_df", "can_fast_zero", "can_flush", "can_fua", "can_multi_conn", "can_trim",
                     "can_zero"):
            self.assertTrue(export[flag], flag)
        self.assertFalse(export["is_read_only"])
        snapshot = json.loads(run("nbdinfo", "--json", self.daemon.uri("snapshot")))["exports"][0]
        self.assertTrue(snapshot["is_read_only"])
        self.assertFalse(snapshot["can_trim"])

    @needs("nbdinfo")
    def test_nbdinfo_list_and_unknown(self):
        info = json.loads(run("nbdinfo", "--list", "--json", f"nbd+unix://?socket={self.daemon.socket}"))
        self.assertEqual(sorted(export["export-name"] for export in info["exports"]), ["disk", "other", "snapshot"])
        with self.assertRaisesRegex(AssertionError, "error to opt_go request: No such file"):
            run("nbdinfo", self.daemon.uri("nobody"))

    @needs("nbdinfo")
    def test_nbdinfo_map(self):
        extents = json.loads(run("nbdinfo", "--map", "--json", self.daemon.uri("snapshot")))
        self.assertEqual([(e["offset"] // MIB, e["length"] // MIB, e["type"]) for e in extents],
                         [(i, 1, 0 if i % 2 == 0 else 3) for i in range(8)])

    @needs("nbdinfo")
    def test_tcp(self):
        self.assertEqual(run("nbdinfo", "--size", f"nbd://127.0.0.1:{self.daemon.port}/other").strip(),
                         str(16 * MIB))

    @needs("nbdcopy")
    def test_nbdcopy(self):
        source = self.random_file("source", 64 * MIB)
        run("nbdcopy", "--flush", source, self.daemon.uri())
        self.assertEqual(read_file(self.daemon.disk), read_file(source))
        run("nbdcopy", "--connections=4", "--requests=64", self.daemon.uri(), self.path("copy"))
        self.assertEqual(read_file(self.path("copy")), read_file(source))
        run("nbdcopy", self.daemon.uri("snapshot"), self.path("snapshot.copy"))
        self.assertEqual(read_file(self.path("snapshot.copy")), self.daemon.snapshot_bytes)

    @needs("nbdsh")
    def test_nbdsh(self):
        run("nbdsh", "-u", self.daemon.uri(), "-c", "h.pwrite(b'v' * 512, 512); h.flush(); assert h.pread(512, 512) == b'v' * 512",
            "-c", "assert h.get_size() == 64 * 1024 * 1024",
            env=dict(os.environ, PATH="/usr/bin:/bin"))  # the python3 that has the binding

    @needs("nbdfuse", "fusermount3")
    def test_nbdfuse(self):
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.skipTest("/dev/fuse cannot be used")
        mount = self.path("mount")
        os.mkdir(mount)
        process = self.background("nbdfuse", os.path.join(mount, "nbd"), self.daemon.uri())
        try:
            wait_until(lambda: os.path.ismount(mount) or process.poll() is not None, "mounted")
            if process.poll() is not None:
                self.skipTest(f"nbdfuse cannot mount here: {process.stdout.read().decode()}")
            content = os.urandom(3 * MIB)
            with open(os.path.join(mount, "nbd"), "r+b") as file:
                file.seek(5 * MIB)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                file.seek(5 * MIB)
                self.assertEqual(file.read(3 * MIB), content)
        finally:
            subprocess.run(["fusermount3", "-u", mount], capture_output=True, timeout=30)
        process.wait(timeout=30)
        self.assertEqual(read_file(self.daemon.disk)[5 * MIB:8 * MIB], content)

    @needs("qemu-img")
    def test_qemu_img(self):
        source = self.random_file("source", 64 * MIB)
        uri = self.daemon.uri()
        self.assertEqual(json.loads(run("qemu-img", "info", "--output=json", uri))["virtual-size"], 64 * MIB)
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, uri)
        self.assertEqual(read_file(self.daemon.disk), read_file(source))
        self.assertIn("identical", run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, uri))
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, self.path("copy.qcow2"))
        self.assertIn("identical", run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, self.path("copy.qcow2")))
        extents = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", self.daemon.uri("snapshot")))
        self.assertEqual([(e["start"] // MIB, e["length"] // MIB, e["zero"]) for e in extents],
                         [(i, 1, i % 2 == 1) for i in range(8)])

    @needs("qemu-io")
    def test_qemu_io(self):
        text = run("qemu-io", "-f", "raw", "-c", "write -P 0xab 0 1M", "-c", "read -P 0xab 512 4096",
                   "-c", "write -z 64k 64k", "-c", "read -P 0 64k 64k", "-c", "write -zu 128k 64k",
                   "-c", "read -P 0 128k 64k", "-c", "write -f -P 0xcd 1M 512", "-c", "discard 0 64k",
                   "-c", "flush", "-c", "read -P 0xcd 1M 512", "-c", "aio_write -P 0x11 2M 8M", "-c", "aio_flush",
                   "-c", "read -P 0x11 2M 8M", self.daemon.uri())
        self.assertNotIn("verification failed", text)
        self.assertNotIn("failed", text)
        self.assertEqual(read_file(self.daemon.disk)[2 * MIB:10 * MIB], b"\x11" * (8 * MIB))

    @needs("qemu-storage-daemon", "nbdcopy")
    def test_qemu_storage_daemon(self):
        inner = self.path("qsd.sock")
        self.background(
            "qemu-storage-daemon",
            "--blockdev", f"driver=nbd,node-name=n,server.type=unix,server.path={self.daemon.socket},export=disk",
            "--nbd-server", f"addr.type=unix,addr.path={inner}",
            "--export", "type=nbd,id=e,node-name=n,name=again,writable=on")
        wait_until(lambda: os.path.exists(inner), "qemu-storage-daemon listens")
        source = self.random_file("source", 64 * MIB)
        uri = f"nbd+unix:///again?socket={inner}"
        run("nbdcopy", "--flush", source, uri)
        self.assertEqual(read_file(self.daemon.disk), read_file(source))
        run("nbdcopy", uri, self.path("copy"))
        self.assertEqual(read_file(self.path("copy")), read_file(source))

    @needs("fio")
    def test_fio_verify(self):
        engines = run("fio", "--enghelp")
        if "nbd" not in engines:
            self.skipTest("fio without its nbd engine")
        for depth, sizes in ((32, "4k-4k"), (16, "512-256k"), (1, "4k-4k")):
            run("fio", "--name=verify", "--ioengine=nbd", f"--uri={self.daemon.uri()}", "--rw=randwrite",
                f"--bsrange={sizes}", f"--iodepth={depth}", "--size=64M", "--io_size=32M", "--verify=crc32c",
                "--verify_fatal=1", "--do_verify=1", "--randrepeat=0", "--bs_unaligned=0",
                "--verify_state_save=0")

    @needs("nbdkit", "nbdcopy")
    def test_nbdkit_nbd_plugin(self):
        inner = self.path("kit.sock")
        self.background("nbdkit", "-f", "-U", inner, "nbd", f"socket={self.daemon.socket}", "export=disk", "shared=1")
        wait_until(lambda: os.path.exists(inner), "nbdkit listens")
        source = self.random_file("source", 64 * MIB)
        run("nbdcopy", "--flush", "--connections=2", source, f"nbd+unix:///?socket={inner}")
        self.assertEqual(read_file(self.daemon.disk), read_file(source))


@unittest.skipIf(nbd is None, "python3-libnbd is missing")
class Library(DaemonCase):
    """libnbd in this process: what the programs do not reach."""

    def connect(self, name="disk", structured=True, contexts=("base:allocation",)):
        handle = nbd.NBD()
        handle.set_request_structured_replies(structured)
        handle.set_export_name(name)
        for context in contexts:
            handle.add_meta_context(context)
        handle.connect_unix(self.daemon.socket)
        return handle

    def test_multi_connection_flush(self):
        one, two = self.connect(), self.connect()
        self.assertTrue(one.can_multi_conn())
        for i in range(16):
            one.pwrite(bytes([i]) * 4096, i * 4096)
            self.assertEqual(two.pread(4096, i * 4096), bytes([i]) * 4096)
        two.flush()
        self.assertEqual(read_file(self.daemon.disk)[15 * 4096:16 * 4096], b"\x0f" * 4096)
        one.shutdown()
        two.shutdown()

    def test_reads_with_and_without_structure(self):
        content = os.urandom(MIB)
        handle = self.connect()
        handle.pwrite(content, 0, nbd.CMD_FLAG_FUA)
        self.assertTrue(handle.get_structured_replies_negotiated())
        self.assertEqual(handle.pread(MIB, 0), content)
        plain = self.connect(structured=False, contexts=())
        self.assertFalse(plain.get_structured_replies_negotiated())
        self.assertFalse(plain.can_df())
        self.assertEqual(plain.pread(MIB, 0), content)
        chunks = []
        handle.pread_structured(65536, 4096, lambda data, offset, status, error: chunks.append((offset, bytes(data))),
                                nbd.CMD_FLAG_DF)
        self.assertEqual(chunks, [(4096, content[4096:4096 + 65536])])

    def test_zero_and_trim(self):
        handle = self.connect()
        handle.pwrite(b"x" * MIB, 0)
        handle.zero(65536, 0, nbd.CMD_FLAG_NO_HOLE)
        handle.zero(65536, 131072)
        handle.trim(65536, 262144)
        try:
            handle.zero(65536, 524288, nbd.CMD_FLAG_FAST_ZERO)
            self.assertEqual(handle.pread(65536, 524288), bytes(65536))
        except nbd.Error as error:
            self.assertEqual(error.errno, "ENOTSUP")
            self.assertEqual(handle.pread(65536, 524288), b"x" * 65536)
        self.assertEqual(handle.pread(65536, 0), bytes(65536))
        self.assertEqual(handle.pread(65536, 131072), bytes(65536))
        self.assertEqual(handle.pread(65536, 65536), b"x" * 65536)
        handle.cache(MIB, 0)
        handle.zero(64 * MIB, 0)
        self.assertEqual(handle.pread(MIB, 0), bytes(MIB))

    def test_block_status(self):
        handle = self.connect("snapshot")
        self.assertTrue(handle.can_meta_context("base:allocation"))
        seen = []
        handle.block_status(8 * MIB, 0, lambda context, offset, entries, error: seen.append((context, offset, entries)))
        self.assertEqual(seen, [("base:allocation", 0, [word for i in range(8) for word in (MIB, 0 if i % 2 == 0 else 3)])])
        seen.clear()
        handle.block_status(8 * MIB - 512, 512, lambda context, offset, entries, error: seen.append(entries),
                            nbd.CMD_FLAG_REQ_ONE)
        self.assertEqual(seen, [[MIB - 512, 0]])

    def test_errors(self):
        handle = self.connect()
        handle.set_strict_mode(0)
        cases = [
            (lambda: handle.pread(511, 0), "EINVAL"),
            (lambda: handle.pread(512, 1), "EINVAL"),
            (lambda: handle.pread(512, 64 * MIB), "EINVAL"),
            (lambda: handle.pread(33 * MIB, 0), "EOVERFLOW"),
            (lambda: handle.pwrite(bytes(512), 64 * MIB), "ENOSPC"),
            (lambda: handle.pwrite(bytes(100), 0), "EINVAL"),
            (lambda: handle.zero(512, 64 * MIB), "ENOSPC"),
            (lambda: handle.trim(512, 64 * MIB), "EINVAL"),
            (lambda: handle.pread(512, 0, nbd.CMD_FLAG_NO_HOLE), "EINVAL"),
            (lambda: handle.block_status(0xffffffff, 0, lambda *args: 0), "EINVAL"),
        ]
        for number, (call, wanted) in enumerate(cases):
            with self.assertRaises(nbd.Error) as caught:
                call()
            self.assertEqual(caught.exception.errno, wanted, f"case {number}")
        self.assertEqual(handle.pread(512, 0), bytes(512))
        snapshot = self.connect("snapshot")
        snapshot.set_strict_mode(0)
        with self.assertRaises(nbd.Error) as caught:
            snapshot.pwrite(bytes(512), 0)
        self.assertEqual(caught.exception.errno, "EPERM")

    def test_largest_requests_in_flight(self):
        handle = self.connect()
        content = os.urandom(32 * MIB)
        buffers = [nbd.Buffer.from_bytearray(bytearray(content)) for _ in range(4)]
        for i, buffer in enumerate(buffers):
            handle.aio_pwrite(buffer, 32 * MIB * (i % 2))
        while handle.aio_in_flight() > 0:
            handle.poll(-1)
        reads = [nbd.Buffer(32 * MIB) for _ in range(4)]
        for i, buffer in enumerate(reads):
            handle.aio_pread(buffer, 32 * MIB * (i % 2))
        while handle.aio_in_flight() > 0:
            handle.poll(-1)
        for buffer in reads:
            self.assertEqual(bytes(buffer.to_bytearray()), content)

    def test_export_removed_under_clients(self):
        handle, other = self.connect("snapshot"), self.connect("disk")
        self.daemon.process.send_signal(signal.SIGUSR1)
        self.assertEqual(self.daemon.process.stdout.readline().strip(), "removed")
        with self.assertRaises(nbd.Error):
            handle.pread(512, 0)
        self.assertEqual(other.pread(512, 0), bytes(512))
        with self.assertRaises(nbd.Error):
            self.connect("snapshot")


class Raw:
    """A socket that speaks NBD as badly as it is told to."""

    def __init__(self, daemon, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(daemon.socket)  # blocking: waits while the queue of the listener is full
        self.socket.settimeout(20)
        if greet:
            self.recv(18)
            self.send(struct.pack(">I", 3))

    def __del__(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def recv(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionResetError("end of stream")
            data += piece
        return data

    def is_ended(self):
        """Waits for the end of the stream."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        self.close()
        return True

    def close(self):
        self.socket.close()

    def option(self, option, data=b"", length=None):
        self.send(struct.pack(">QII", OPTION_MAGIC, option, len(data) if length is None else length) + data)

    def reply(self):
        _, option, kind, length = struct.unpack(">QIII", self.recv(20))
        return option, kind, self.recv(length)

    def result(self):
        while True:
            _, kind, _ = self.reply()
            if kind == REP_ACK or kind & 0x80000000:
                return kind

    def go(self, name=b"disk"):
        self.option(OPT_GO, struct.pack(">I", len(name)) + name + struct.pack(">H", 0))
        kind = self.result()
        assert kind == REP_ACK, hex(kind)
        return self

    def request(self, command, offset=0, length=0, flags=0, cookie=1, data=b""):
        self.send(struct.pack(">IHHQQI", REQUEST_MAGIC, flags, command, cookie, offset, length) + data)

    def simple_reply(self):
        magic, error, cookie = struct.unpack(">IIQ", self.recv(16))
        assert magic == 0x67446698, hex(magic)
        return error, cookie


class Hostile(DaemonCase):
    """Nothing that one client sends or leaves out may hurt another, and each end has one clear line."""

    def setUp(self):
        super().setUp()
        self.good = Raw(self.daemon).go()
        self.addCleanup(self.good.close)

    def check_good(self):
        """The neighbour that was there before, and a newcomer, are served."""
        for client in (self.good, Raw(self.daemon).go(b"other")):
            client.request(READ, 4096, 512)
            self.assertEqual(client.simple_reply(), (0, 1))
            client.recv(512)
            if client is not self.good:
                client.close()
        self.assertIsNone(self.daemon.process.poll())

    def test_name_lengths(self):
        for length in (0, 255, 256, 257, 4096):
            name = b"n" * length
            raw = Raw(self.daemon)
            for option in (OPT_INFO, OPT_GO):
                raw.option(option, struct.pack(">I", length) + name + struct.pack(">H", 0))
                self.assertEqual(raw.result(), REP_ERR_UNKNOWN)
            raw.option(OPT_STRUCTURED)
            self.assertEqual(raw.result(), REP_ACK)
            for option in (OPT_LIST_META, OPT_SET_META):
                raw.option(option, struct.pack(">I", length) + name + struct.pack(">I", 0))
                self.assertEqual(raw.result(), REP_ERR_UNKNOWN)
            raw.option(OPT_EXPORT_NAME, name)
            self.assertTrue(raw.is_ended())
        self.check_good()

    def test_name_lengths_that_lie(self):
        for length in (4097, 1 << 31, 0xffffffff):
            raw = Raw(self.daemon)
            for option in (OPT_INFO, OPT_GO):
                raw.option(option, struct.pack(">I", length) + b"disk" + struct.pack(">H", 0))
                self.assertEqual(raw.result(), REP_ERR_INVALID)
            raw.option(OPT_GO, struct.pack(">I", 4) + b"disk" + struct.pack(">H", 0xffff))
            self.assertEqual(raw.result(), REP_ERR_INVALID)
            raw.option(OPT_STRUCTURED)
            self.assertEqual(raw.result(), REP_ACK)
            for option in (OPT_LIST_META, OPT_SET_META):
                raw.option(option, struct.pack(">I", length) + b"disk" + struct.pack(">I", 0))
                self.assertEqual(raw.result(), REP_ERR_INVALID)
                raw.option(option, struct.pack(">I", 4) + b"disk" + struct.pack(">II", 1, length) + b"base:allocation")
                self.assertEqual(raw.result(), REP_ERR_INVALID)
            raw.option(OPT_EXPORT_NAME, b"disk", length)
            self.assertTrue(raw.is_ended())
        self.check_good()

    def test_huge_options(self):
        for option in (OPT_GO, OPT_LIST, OPT_SET_META, 77):
            for length in (65537, 1 << 31, 0xffffffff):
                raw = Raw(self.daemon)
                raw.option(option, b"x" * 100, length)
                self.assertTrue(raw.is_ended())
        self.check_good()

    def test_unknown_and_many_options(self):
        raw = Raw(self.daemon)
        raw.option(77, b"x" * 65536)
        self.assertEqual(raw.result(), REP_ERR_UNSUP)
        raw.option(5)  # STARTTLS
        self.assertEqual(raw.result(), REP_ERR_UNSUP)
        for _ in range(62):
            raw.option(77)
            self.assertEqual(raw.result(), REP_ERR_UNSUP)
        raw.option(OPT_LIST)
        self.assertTrue(raw.is_ended())
        raw = Raw(self.daemon)
        for _ in range(200):  # all at once, no reply read
            raw.option(OPT_LIST)
        self.assertTrue(raw.is_ended())
        self.check_good()

    def test_bad_magic_and_flags(self):
        raw = Raw(self.daemon)
        raw.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(raw.is_ended())
        raw = Raw(self.daemon, greet=False)
        raw.send(struct.pack(">I", 0xfffffffc))
        self.assertTrue(raw.is_ended())
        self.check_good()

    def test_close_after_each_byte(self):
        hello = struct.pack(">I", 3)
        name = b"disk"
        hello += struct.pack(">QII", OPTION_MAGIC, OPT_STRUCTURED, 0)
        data = struct.pack(">I", 4) + name + struct.pack(">II", 1, 15) + b"base:allocation"
        hello += struct.pack(">QII", OPTION_MAGIC, OPT_SET_META, len(data)) + data
        data = struct.pack(">I", 4) + name + struct.pack(">H", 0)
        hello += struct.pack(">QII", OPTION_MAGIC, OPT_GO, len(data)) + data
        hello += struct.pack(">IHHQQI", REQUEST_MAGIC, 0, WRITE, 1, 0, 512) + bytes(512)
        for count in list(range(180)) + [len(hello) - 1, len(hello)]:
            raw = Raw(self.daemon, greet=False)
            raw.send(hello[:count])
            raw.close()
        self.check_good()

    def test_half_open_handshakes_and_stop(self):
        raws = [Raw(self.daemon, greet=False) for _ in range(200)]
        self.check_good()
        self.daemon.process.terminate()
        self.assertEqual(self.daemon.process.wait(timeout=10), 0)
        for raw in raws:
            raw.close()

    def test_slow_handshake_is_ended(self):
        raw = Raw(self.daemon)
        begin = time.monotonic()
        data = struct.pack(">QII", OPTION_MAGIC, OPT_LIST, 60000)
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for i in range(300):
                raw.socket.sendall(data[i:i + 1] or b"x")
                time.sleep(0.1)
        self.assertTrue(9 < time.monotonic() - begin < 14)
        self.assertIn(b"handshake took more than 10 s", self.daemon.log())
        self.check_good()

    def test_names_are_escaped_in_the_log(self):
        raw = Raw(self.daemon)
        raw.option(OPT_EXPORT_NAME, b"x\r\n<3>nbd: forged\x1b[31m" + b"\xff" * 4000)
        self.assertTrue(raw.is_ended())
        log = self.daemon.log()
        self.assertNotIn(b"\x1b", log)
        self.assertNotIn(b"\r", log)
        self.assertEqual(len([line for line in log.splitlines() if b"forged" in line]), 1)
        self.assertFalse(any(line.startswith(b"<3>") for line in log.splitlines()))

    def test_requests(self):
        raw = Raw(self.daemon)
        raw.option(OPT_STRUCTURED)
        self.assertEqual(raw.result(), REP_ACK)
        data = struct.pack(">I", 4) + b"disk" + struct.pack(">II", 1, 15) + b"base:allocation"
        raw.option(OPT_SET_META, data)
        self.assertEqual(raw.result(), REP_ACK)
        raw.go()
        size = 64 * MIB
        for offset, length in ((0, 0xffffffff), (0, 0xfffffe00), (size, 512), (size - 512, 1024), (1, 512), (0, 0),
                               (0xfffffffffffffe00, 512), (0xffffffffffffffff, 0xffffffff)):
            raw.request(STATUS, offset, length)
            magic, _, kind, _, count = struct.unpack(">IHHQI", raw.recv(20))
            self.assertEqual((magic, kind), (0x668E33EF, 0x8001))
            self.assertEqual(struct.unpack(">I", raw.recv(count)[:4])[0], 22)
        for offset, length, error in ((0, 0xffffffff, 22), (size - 512, 1024, 28), (0xfffffffffffffe00, 512, 28)):
            raw.request(ZEROES, offset, length)
            self.assertEqual(raw.simple_reply()[0], error if length % 512 == 0 else 28)
        raw.request(TRIM, 0, 0xfffffe00)
        self.assertEqual(raw.simple_reply()[0], 22)
        raw.request(FLUSH, 512, 512)
        self.assertEqual(raw.simple_reply()[0], 22)
        for length in (1 << 31, 0xffffffff):
            raw = Raw(self.daemon).go()
            raw.request(WRITE, 0, length, data=b"x" * 10000)
            self.assertTrue(raw.is_ended())
        self.check_good()

    def test_dead_in_the_middle_of_payloads(self):
        randomness = random.Random(7)
        for _ in range(60):
            raw = Raw(self.daemon).go(b"other")
            length = randomness.choice((512, 4096, 65536, MIB))
            for _ in range(randomness.randrange(4)):
                raw.request(WRITE, 0, length, data=bytes(length))
            raw.request(WRITE, 0, length, data=bytes(randomness.randrange(length)))
            raw.close()
        self.check_good()

    def test_client_that_never_reads(self):
        before = self.daemon.rss_bytes()
        greedy = []
        for _ in range(4):
            raw = Raw(self.daemon).go()
            raw.send(b"".join(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, READ, i, 0, 8 * MIB) for i in range(200)))
            greedy.append(raw)
        for _ in range(50):
            self.check_good()
        self.assertLess(self.daemon.rss_bytes() - before, 4 * 64 * MIB + 64 * MIB)
        for raw in greedy:
            raw.close()
        if not self.daemon.is_sanitized():  # a sanitizer keeps what was freed
            wait_until(lambda: self.daemon.rss_bytes() < before + 64 * MIB, "memory comes back")
        self.check_good()

    def test_random_bytes(self):
        randomness = random.Random(11)
        for i in range(200):
            raw = Raw(self.daemon)
            if i % 2:
                raw.go()
            raw.send(randomness.randbytes(randomness.randrange(1, 3000)))
            raw.socket.shutdown(socket.SHUT_WR)
            self.assertTrue(raw.is_ended())
        self.check_good()


def main():
    global DAEMON, LOOP
    arguments = sys.argv[1:]
    if not arguments or not os.access(arguments[0], os.X_OK):
        print("test_nbd_clients: nbd_daemon is missing")
        return 77
    DAEMON = os.path.abspath(arguments.pop(0))
    if arguments and arguments[0] in ("uring", "threads"):
        LOOP = arguments.pop(0)
    try:
        Daemon().stop()
    except IndexError:
        print(f"test_nbd_clients: the loop {LOOP} does not start here")
        return 77
    return 0 if unittest.main(argv=[sys.argv[0]] + arguments, exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
