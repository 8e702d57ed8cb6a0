# SPDX-License-Identifier: Apache-2.0
"""A machine's disks that can lose power: forget_plugin.c under nbdkit, each of its devices shown as a loop device."""
import contextlib
import os
import socket
import subprocess

from lab import Failure, Skip, need, run, wait_until

MODES = ("none", "all", "prefix", "writes", "writes", "512", "4096", "4096")


class ForgetDisks:
    """Devices {name: bytes, or "bytes:whole"} that lose power together. attach() makes loop devices of them, detach() takes these away."""

    def __init__(self, lab, folder, devices):
        need("nbdkit", "nbdfuse", "losetup")
        plugin = lab.build / "tests/torture/forget_plugin.so"
        if not plugin.exists():
            raise Skip(f"{plugin} is missing (nbdkit-plugin-dev)")
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            raise Skip("loop devices need root and /dev/fuse")
        self.folder, self.devices = folder, devices
        folder.mkdir()
        self.control, self.socket = folder / "control", folder / "nbd.sock"
        self.fuses, self.loops, self.attached = {}, {}, 0
        self.process = subprocess.Popen(
            ["nbdkit", "-f", "--exit-with-parent", "-U", str(self.socket), str(plugin), f"control={self.control}",
             *[f"device={name}:{size}" for name, size in devices.items()]], stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        lab.defer(self.end)
        wait_until(self.socket.exists, "nbdkit serves disks that forget")

    def order(self, text):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(self.control))
            line.sendall(text.encode() + b"\n")
            return line.recv(200).decode().strip()

    def attach(self):
        """{name: loop device}. Links to them, whose names do not change, lie in the folder."""
        for name in self.devices:
            self.attached += 1
            point = self.folder / f"fuse-{name}-{self.attached}"
            point.mkdir()
            self.fuses[name] = point, subprocess.Popen(["nbdfuse", str(point), f"nbd+unix:///{name}?socket={self.socket}"],
                                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in self.devices:
            file = self.fuses[name][0] / "nbd"
            wait_until(file.exists, f"nbdfuse shows {name}", pause=0.002)
            self.loops[name] = run("losetup", "--find", "--show", file).strip()
            link = self.path(name)
            link.unlink(missing_ok=True)
            link.symlink_to(self.loops[name])
        return self.loops

    def path(self, name):
        return self.folder / f"device-{name}"

    def detach(self):
        """The loop devices and what they had cached go. When another process's mount namespace holds a copy of the file system, it lives
        on over a client that is dead: what it still wants to write goes nowhere."""
        for device in self.loops.values():
            run("losetup", "--detach", device)
        for name, device in self.loops.items():
            with contextlib.suppress(Failure):
                wait_until(lambda device=device: not os.path.exists(f"/sys/block/{os.path.basename(device)}/loop/backing_file"),
                           f"{device} ({name}) is let go", timeout=1, pause=0.002)
        for name, (point, fuse) in self.fuses.items():
            subprocess.run(["fusermount3", "-u", "-z", str(point)], capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                fuse.wait(1)
            fuse.kill()
            fuse.wait()
        self.loops, self.fuses = {}, {}

    def cut(self, rng):
        """The power goes, for all devices in one instant. Returns how many pieces were lost."""
        answer = self.order(f"cut {rng.choice(MODES)} {rng.getrandbits(63)} {rng.choice((100, 500, 900, rng.randrange(1001)))}")
        return int(answer.split()[1])

    def restore(self):
        if self.order("restore") != "ok":
            raise Failure("the disks did not come back")

    def end(self):
        with contextlib.suppress(Failure):
            self.detach()
        self.process.kill()
        self.process.wait()
