# SPDX-License-Identifier: Apache-2.0
"""Places for a site's files that run out of space or give errors on command. All of it lies below the lab's folder, so that
sweep.py finds what a killed run leaves."""
import os
import pathlib
import subprocess

from lab import Skip, need, run, wait_until

MIB = 1 << 20


def quietly(*command):
    subprocess.run([str(word) for word in command], capture_output=True)


class SmallDisk:
    """A tmpfs at a path that can be filled up and freed."""

    def __init__(self, lab, path, size):
        if os.geteuid() != 0:
            raise Skip("mounting a tmpfs needs root")
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path)
        lab.defer(lambda: quietly("umount", "-l", self.path))
        self.filler = self.path / ".filler"

    def fill(self, spare=0):
        """Takes all that is free but `spare` bytes."""
        shape = os.statvfs(self.path)
        with open(self.filler, "wb") as out:
            left = shape.f_bavail * shape.f_frsize - spare
            while left > 0:
                left -= out.write(bytes(min(left, MIB)))

    def free(self):
        self.filler.unlink()


class BadDisk:
    """A loop device over nbdfuse over nbdkit's error filter: fails when told to, and forgets nothing of itself.

    The kernel's page cache stands before it, as it does before any disk: a write error shows in the next sync, and only once."""

    def __init__(self, lab, name, size, is_direct=False):
        """`is_direct`: no cache but the one before the disk; else there is one below it, too, which a sync error leaves in doubt."""
        need("nbdkit", "nbdfuse", "losetup")
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            raise Skip("loop devices need root, nbdfuse needs /dev/fuse")
        self.lab, self.folder = lab, lab.folder / f"bad-{name}"
        fuse, image, socket = self.folder / "fuse", self.folder / "image", self.folder / "nbd.sock"
        fuse.mkdir(parents=True)
        with open(image, "wb") as out:
            out.truncate(size)
        kinds = ("pread", "pwrite", "zero", "trim")
        rules = [word for kind in kinds
                 for word in (f"error-{kind}=EIO", f"error-{kind}-rate=100%", f"error-{kind}-file={self.trigger(kind)}")]
        self.start(["nbdkit", "-f", "-U", str(socket), "--filter=error", "file", str(image), *rules])
        wait_until(socket.exists, "nbdkit listens")
        self.start(["nbdfuse", str(fuse), f"nbd+unix:///?socket={socket}"])
        wait_until((fuse / "nbd").exists, "nbdfuse shows the disk")
        lab.defer(lambda: quietly("fusermount3", "-u", "-z", fuse))
        self.device = run("losetup", "--find", "--show", *(["--direct-io=on"] if is_direct else []), fuse / "nbd").strip()
        lab.defer(lambda: quietly("losetup", "--detach", self.device))
        self.path = None

    def start(self, command):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
        self.lab.defer(end)

    def trigger(self, kind):
        return self.folder / f"fail-{kind}"

    def fail(self, *kinds):
        """From now on reads ("read") or writes ("write") give EIO."""
        for kind in kinds:
            for name in {"read": ("pread",), "write": ("pwrite", "zero", "trim")}[kind]:
                self.trigger(name).touch()

    def heal(self):
        for path in self.folder.glob("fail-*"):
            path.unlink()

    def forget_cache(self):
        """What the kernel has of it in memory and believes to be stored goes."""
        for path in (self.device, self.folder / "fuse" / "nbd"):
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    def mount(self, path):
        """As ext4 without a journal of its own, which would make it read-only at the first error."""
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        run("mkfs.ext4", "-q", "-O", "^has_journal", self.device)
        run("mount", "-o", "errors=continue", self.device, self.path)
        self.lab.defer(lambda: quietly("umount", "-l", self.path))
        return self

    def remount(self):
        """Nothing is left of what the kernel remembered of its files."""
        run("umount", self.path)
        run("mount", "-o", "errors=continue", self.device, self.path)
