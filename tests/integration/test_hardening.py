#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the process is allowed and what it hides: protections in the binaries, the systemd unit, seccomp, secrets,
the watchdog, and a kernel that forbids io_uring."""
import ctypes
import os
import pathlib
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import ROOT, Failure, need, wait_until  # noqa: E402
from lab_case import LabCase, main, skip_guard  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


def forbid_io_uring():
    """In a child before exec: io_uring_setup answers EPERM, as under a container's usual profile."""
    program = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or \
            LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) != 0:
        os._exit(99)


def is_sanitized(build):
    needed = subprocess.run(["readelf", "-d", str(build / "src/daemon/versod")], capture_output=True, text=True).stdout
    return re.search(r"lib(asan|tsan|ubsan)", needed) is not None


class Binaries(unittest.TestCase):
    def check(self, *words):
        return subprocess.run([str(ROOT / "tools/check-hardening"), *map(str, words)], capture_output=True, text=True)

    @skip_guard
    def test_check_sees_what_is_missing(self):
        need("cc", "readelf")
        with tempfile.TemporaryDirectory() as folder:
            source, binary = pathlib.Path(folder, "a.c"), pathlib.Path(folder, "a")
            source.write_text("#include <stdio.h>\nint main(int c, char **v) { char b[64]; sprintf(b, \"%s\", v[0]);"
                              " return puts(b); }\n")
            flags = ["-g", "-O2", "-std=gnu17", "-fstack-protector-strong", "-fstack-clash-protection",
                     "-ftrivial-auto-var-init=zero", "-D_FORTIFY_SOURCE=3", "-fPIE", "-pie", "-Wl,-z,relro,-z,now"]
            if os.uname().machine == "x86_64":
                flags.append("-fcf-protection")
            subprocess.run(["cc", *flags, str(source), "-o", str(binary)], check=True)
            self.assertEqual(self.check(binary).stdout, "hardening: all there\n")
            for flag, text in (("-Wl,-z,lazy", "NOW"), ("-no-pie", "PIE"), ("-Wl,-z,norelro", "RELRO"),
                               ("-Wl,-z,execstack", "stack that is not executable"),
                               ("-fno-stack-protector", "stack protector"), ("-U_FORTIFY_SOURCE", "fortified"),
                               ("-fno-stack-clash-protection", "-fstack-clash-protection"),
                               ("-ftrivial-auto-var-init=uninitialized", "auto-var-init"), ("-g0", "debug information")):
                with self.subTest(flag):
                    subprocess.run(["cc", *flags, flag, str(source), "-o", str(binary)], check=True)
                    done = self.check(binary)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(text, done.stdout)


class Unit(unittest.TestCase):
    @skip_guard
    def test_score(self):
        need("systemd-analyze")
        build = pathlib.Path(os.environ.get("VERSO_BUILD", ROOT / "build"))
        drop_in = (ROOT / "dist/block-devices.conf").read_text()
        for extra in ("", drop_in[drop_in.index("[Service]"):]):
            with tempfile.TemporaryDirectory() as folder:
                unit = pathlib.Path(folder, "versod.service")
                unit.write_text((build / "dist/versod.service").read_text() + extra)
                done = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)],
                                      capture_output=True, text=True, env=dict(os.environ, LC_ALL="C.UTF-8"))
            self.assertNotRegex(done.stderr, r"(?i)unknown|invalid|ignoring")
            found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
            self.assertIsNotNone(found, done.stdout + done.stderr)
            self.assertLessEqual(float(found[1]), 2.0)


class Process(LabCase):
    def tasks(self, site):
        """{thread name: (mode of seccomp, how many lists)}"""
        tasks = {}
        for folder in pathlib.Path(f"/proc/{site.process.pid}/task").iterdir():
            status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
            tasks[status["Name"]] = int(status["Seccomp"]), int(status["Seccomp_filters"])
        return tasks

    def test_seccomp_is_on_all_threads(self):
        before = self.lab_filters()
        # The door opens a moment before the sandbox closes, and its thread has its own list from the next call on.
        wait_until(lambda: self.tasks(self.paris)["versod"][0] == 2, "the sandbox is entered")
        self.paris.verso("status")
        tasks = self.tasks(self.paris)
        self.assertIn("verso-data", tasks)
        for name, (mode, _) in tasks.items():
            self.assertEqual(mode, 2, name)
        if not is_sanitized(self.lab.build):
            lists = {name: count - before for name, (_, count) in tasks.items()}
            self.assertEqual(lists["verso-data"], 1)
            self.assertEqual([count for name, count in lists.items() if name.startswith("MHD")], [2])

    @staticmethod
    def lab_filters():
        """Lists that this test itself runs under (a container's)."""
        return int(re.search(r"Seccomp_filters:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])

    def test_without_sandbox(self):
        self.paris.stop()
        self.paris.config.write_text(self.paris.config.read_text().replace("[api]", "sandbox=no\n[api]"))
        self.paris.start()
        wait_until(lambda: "sandbox=no" in self.paris.log_tail(), "the log says so")
        self.assertEqual({count for _, count in self.tasks(self.paris).values()}, {self.lab_filters()})

    def dumped_memory(self, process):
        """(bytes of each mapping that a core dump would hold, bytes of those that it leaves out)"""
        dumped, hidden, span = [], [], None
        with open(f"/proc/{process}/mem", "rb") as memory, open(f"/proc/{process}/smaps") as maps:
            for line in maps:
                found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(?!\[v)", line)
                if re.match(r"[0-9a-f]+-", line):
                    span = found and (int(found[1], 16), int(found[2], 16))
                elif line.startswith("VmFlags:") and span:
                    try:
                        memory.seek(span[0])
                        (hidden if " dd" in line else dumped).append(memory.read(span[1] - span[0]))
                    except OSError:
                        pass
        return dumped, hidden

    def test_key_is_nowhere(self):
        key = self.lab.psk.read_bytes().strip()
        self.lab.wait_link()
        for site in (self.paris, self.lyon):
            folder = pathlib.Path(f"/proc/{site.process.pid}")
            for name in ("cmdline", "environ", "maps", "status"):
                self.assertNotIn(key, (folder / name).read_bytes())
            if is_sanitized(self.lab.build):
                continue
            self.assertRegex((folder / "limits").read_text(), r"Max core file size\s+0\s+0")
            dumped, hidden = self.dumped_memory(site.process.pid)
            self.assertGreaterEqual(sum(part.count(key) for part in hidden), 2, "ours: configuration, link")
            # OpenSSL keeps one in the session of a connection (when both sites dialled at once there are two for a
            # moment); this is why the process is not dumpable at all.
            wait_until(lambda: sum(part.count(key) for part in self.dumped_memory(site.process.pid)[0]) <= 1,
                       f"at most one copy of the key in memory that could be dumped at {site.name}")
        for site in (self.paris, self.lyon):
            site.stop()
            self.assertNotIn(key, site.log.read_bytes())
            for path in site.data.rglob("*"):
                if path.is_file():
                    self.assertNotIn(key, path.read_bytes(), path)

    def test_nobody_else_reads_the_data(self):
        self.paris.stop()
        shutil.rmtree(self.paris.data)
        self.paris.data.mkdir(mode=0o755)
        self.paris.data.chmod(0o755)
        self.paris.start()
        self.paris.disk("one", 4 << 20)
        self.assertIn("one", self.paris.verso("disk", "list"))
        self.assertTrue((self.paris.data / "events.db").exists())
        self.assertEqual([path for path in self.paris.data.rglob("*") if path.lstat().st_mode & 0o077], [])

    def test_key_as_credential(self):
        self.paris.stop()
        text = self.paris.config.read_text().replace(f"psk-file={self.paris.psk}", "psk-file=link.psk")
        self.paris.config.write_text(text)
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.lab.psk.parent)
        try:
            self.paris.start()
        finally:
            del os.environ["CREDENTIALS_DIRECTORY"]
        self.lab.wait_link()
        self.paris.stop()
        with self.assertRaisesRegex(Failure, f"psk-file {self.paris.folder}/link.psk: No such file"):
            self.paris.start()
        beside = self.paris.folder / "link.psk"
        beside.write_bytes(self.paris.psk.read_bytes())
        beside.chmod(0o600)
        self.paris.start()
        self.lab.wait_link()


class Kernel(LabCase):
    start_lab = False

    def start_under(self, filter_call, io):
        self.lab.io = io
        self.lab.configure()
        with open(self.paris.log, "ab") as log:
            self.paris.process = subprocess.Popen(
                [str(self.lab.build / "versod"), "--config", str(self.paris.config)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=filter_call)

    def test_io_uring_forbidden(self):
        self.start_under(forbid_io_uring, "auto")
        wait_until(self.paris.is_ready, "versod starts without io_uring", timeout=60)
        self.assertEqual(self.paris.api_call("DescribeVersoStatus")["Site"]["Io"], "threads")
        disk = self.paris.disk("quiet", 4 << 20)
        self.paris.attach(disk)
        self.assertEqual(len(self.paris.image_digest(disk)), 64)
        self.paris.stop()

    def test_io_uring_forbidden_and_asked_for(self):
        self.start_under(forbid_io_uring, "uring")
        self.assertEqual(self.paris.process.wait(30), 1)
        self.paris.process = None
        self.assertRegex(self.paris.log_tail(), "io_uring cannot be used here")

    def test_too_few_descriptors(self):
        self.lab.io = "uring"
        self.lab.configure()
        done = subprocess.run(["sh", "-c", "ulimit -n 4; exec \"$0\" \"$@\"", str(self.lab.build / "versod"),
                               "--config", str(self.paris.config)], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(len(done.stderr), 10)
        self.assertGreaterEqual(done.returncode, 0, "ends by itself, not by a signal")


class Watchdog(LabCase):
    start_lab = False
    period_s = 2.0

    def beats(self, seconds):
        """Messages WATCHDOG=1 that come within so many seconds."""
        count, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                count += b"WATCHDOG=1" in self.socket.recv(4096)
            except TimeoutError:
                pass
        return count

    def test_fed_by_the_data_loop(self):
        path = self.lab.folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(path))
        environment = dict(os.environ, NOTIFY_SOCKET=str(path), WATCHDOG_USEC=str(int(self.period_s * 1e6)))
        environment.pop("WATCHDOG_PID", None)
        with open(self.paris.log, "ab") as log:
            self.paris.process = subprocess.Popen(
                [str(self.lab.build / "versod"), "--config", str(self.paris.config)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=environment)
        wait_until(self.paris.is_ready, "versod is ready", timeout=60)
        wait_until(lambda: self.beats(0.5), "it is fed", timeout=20)
        thread = next(int(task.name) for task in pathlib.Path(f"/proc/{self.paris.process.pid}/task").iterdir()
                      if (task / "comm").read_text().strip() == "verso-data")
        if LIBC.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
            self.skipTest("this test may not trace")
        try:
            LIBC.ptrace(PTRACE_INTERRUPT, thread, None, None)
            os.waitpid(thread, WALL)  # only the data loop stands still from here on
            self.beats(self.period_s / 2)  # a look that was under way
            self.assertEqual(self.beats(2 * self.period_s), 0)
        finally:
            LIBC.ptrace(PTRACE_DETACH, thread, None, None)
        wait_until(lambda: self.beats(0.5), "it is fed again", timeout=20)
        self.paris.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.paris.process.wait(60), 0)
        self.paris.process = None


if __name__ == "__main__":
    main()
