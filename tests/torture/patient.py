# SPDX-License-Identifier: Apache-2.0
"""A mounted export whose client reconnects for ever: nbdkit's nbd plugin behind its retry filter, nbdfuse, a loop device, a file system; and
the worker on it (fileload.py)."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import fileload
from lab import Failure, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent
CHECKERS = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"]}


class PatientMount:
    def __init__(self, lab, kind, name):
        self.lab, self.kind = lab, kind
        self.folder = lab.folder / f"patient-{name}"
        self.folder.mkdir()
        self.path, self.socket = self.folder / "fs", self.folder / "nbd.sock"
        self.path.mkdir()
        self.fuse, self.connected = None, 0
        self.client = self.fuse_process = self.loop = None
        lab.defer(self.crash)

    def connect(self, uri):
        """Only the loop device."""
        self.connected += 1
        self.fuse = self.folder / f"fuse-{self.connected}"
        self.fuse.mkdir()
        self.socket.unlink(missing_ok=True)
        self.client = subprocess.Popen(
            ["nbdkit", "-f", "--exit-with-parent", "-U", str(self.socket), "--filter=retry", "nbd", f"uri={uri}",
             "retries=1000", "retry-delay=1", "retry-exponential=no"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.socket.exists, "nbdkit is there", pause=0.002)
        self.fuse_process = subprocess.Popen(["nbdfuse", str(self.fuse), f"nbd+unix:///?socket={self.socket}"],
                                             stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until((self.fuse / "nbd").exists, "nbdfuse is there", pause=0.002)
        self.loop = run("losetup", "--find", "--show", self.fuse / "nbd").strip()

    def mount(self):
        run("mount", "-t", self.kind, self.loop, self.path)

    def unmount(self):
        wait_until(lambda: subprocess.run(["umount", str(self.path)], capture_output=True).returncode == 0,
                   f"{self.path} is unmounted", pause=0.005)

    def is_writable(self):
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            _, point, _, options, *_ = line.split()
            if point == str(self.path):
                return "rw" in options.split(",")
        return False

    def check(self):
        """The file system's own checker, after its log was replayed and it was unmounted."""
        done = subprocess.run([*CHECKERS[self.kind], self.loop], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"{self.kind} is damaged: {done.stdout[-1500:]}{done.stderr[-500:]}")

    def disconnect(self):
        """Clean: not mounted any more, all is flushed."""
        self.let_go()

    def crash(self):
        """The host dies: client first, then everything that it had in memory is given up."""
        for process in (self.client, self.fuse_process):
            if process:
                process.kill()
                process.wait()
        subprocess.run(["umount", str(self.path)], capture_output=True)
        subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True)
        self.let_go()

    def let_go(self):
        if self.loop:
            device = pathlib.Path(f"/sys/block/{os.path.basename(self.loop)}/loop/backing_file")
            subprocess.run(["losetup", "--detach", self.loop], capture_output=True)
            with contextlib.suppress(Failure):  # another process's mount namespace may hold it; its client is dead
                wait_until(lambda: not device.exists(), f"{self.loop} is let go", timeout=1, pause=0.002)
        if self.fuse:
            subprocess.run(["fusermount3", "-u", "-z", str(self.fuse)], capture_output=True)
        for process in (self.fuse_process, self.client):
            if process and process.poll() is None:
                try:
                    process.wait(0.5 if process is self.fuse_process else 0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.client = self.fuse_process = self.loop = None


class FileLoad:
    """The worker on a mount, and what its files must look like."""

    def __init__(self, lab, mount, name, seed):
        self.mount, self.seed = mount, seed
        self.progress = lab.folder / f"progress-{name}"
        self.progress.write_bytes(bytes(16))
        self.process = None
        self.known = (0, {})  # an operation, and the state after it
        self.base = (0, {})   # likewise; the other site holds at least that
        lab.defer(self.end)

    def numbers(self):
        data = self.progress.read_bytes()
        return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")

    def start(self):
        """From the known state on."""
        number, state = self.known
        if self.process:
            self.process.wait(30)
        self.progress.write_bytes(number.to_bytes(8, "little") * 2)
        self.process = subprocess.Popen(["/usr/bin/python3", str(HERE / "fileload.py"), str(self.mount.path), str(self.progress), str(self.seed),
                                         str(number + 1), json.dumps(state)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait_done(self, count, timeout=60):
        """Until so many more operations are done, on a file system that noticed nothing."""
        goal, end = self.numbers()[1] + count, time.monotonic() + timeout
        while self.numbers()[1] < goal:
            if self.process.poll() is not None:
                raise Failure(f"the worker on {self.mount.kind} met an error: {self.process.stderr.read().decode()[-800:]}")
            if time.monotonic() > end:
                raise Failure(f"{self.mount.kind}: operation {goal} is not done after {timeout} s, {self.numbers()[1]} is")
            time.sleep(0.002)
        if not self.mount.is_writable():
            raise Failure(f"{self.mount.kind} has become read-only")

    def stop(self):
        """After the operation under way. A worker that has not begun yet dies of the signal, and has done nothing."""
        self.process.terminate()
        if self.process.wait(60) not in (0, -signal.SIGTERM):
            raise Failure(f"the worker on {self.mount.kind} met an error: {self.process.stderr.read().decode()[-800:]}")
        self.learn(self.numbers()[1])

    def end(self):
        """At once, whatever it does. It may wait for the disk and be gone only when the mount has crashed, so nobody waits for it."""
        if self.process and self.process.poll() is None:
            self.process.kill()

    def learn(self, number):
        """The worker has done all up to this number; the other site may be behind."""
        first, state = self.known
        states = fileload.replay(self.seed, state, first + 1, number)
        self.known = (number, states[-1])

    def verify(self, oldest, is_failover=False):
        """The mounted files show the state after some operation from `oldest` on. Work goes on from there: after a failover, there is nothing
        older anywhere. Returns how many files."""
        begun = self.numbers()[0]
        base, state = self.base
        states = fileload.replay(self.seed, state, base + 1, oldest)
        number, found, reason = fileload.find_state(self.mount.path, self.seed, states[-1], oldest + 1, max(begun, oldest))
        if number is None:
            raise Failure(f"{self.mount.kind}: files show no state between operation {oldest} and {begun}: {reason}")
        self.known = (number, found)
        if is_failover:
            self.point()
        return len(found)

    def point(self):
        """All that is known to be done is at the other site."""
        self.base = self.known

    @property
    def certain(self):
        return self.base[0]
