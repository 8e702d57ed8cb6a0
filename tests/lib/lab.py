# SPDX-License-Identifier: Apache-2.0
"""Two sites on this machine, for the demo, the integration tests and the bench.

A Lab owns a temporary folder and everything that was started or mounted from it, and undoes all of it at the
end, last first. Only loopback addresses and unix sockets; only processes that it started are ended.
"""
import contextlib
import errno
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Failure(Exception):
    """A command or a check failed; the text says which and what was seen."""


class Skip(Exception):
    """Something that the test needs is not on this machine."""


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is missing")


def free_port():
    """None that the system gives to who dials: it stays free until its owner listens, and while that is down."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.SystemRandom().randrange(12000, 32000)))
                return probe.getsockname()[1]
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise


def wait_until(condition, what, timeout=30, pause=0.02):
    """Polls until `condition()` is true and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not reached within {timeout} s: {what}")
        time.sleep(pause)


def run(*command, check=True, timeout=120, **options):
    """Runs a command; returns its standard output as text."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                          **options)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def digest(path):
    """SHA-256 of a file's content."""
    hasher = hashlib.sha256()
    with open(path, "rb") as source:
        while chunk := source.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def tree_digest(folder):
    """{relative path: digest} of all regular files below a folder."""
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): digest(path)
            for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()}


class Site:
    """One versod with its configuration, sockets and data folder."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.folder = lab.folder / name
        self.data = self.folder / "data"
        self.api = self.folder / "api.sock"
        self.nbd = self.folder / "nbd.sock"
        self.log = self.folder / "versod.log"
        self.link_address, self.link_port = "127.0.0.1", free_port()
        self.wrapper = []  # words before versod's: ip netns exec, unshare, faketime
        self.environment = {}
        self.region, self.zone = f"cn-{name}", f"cn-{name}-a"
        self.process = None
        self.psk = lab.psk
        self.peer_address = None  # set by the lab; a proxy may stand between
        self.api_options = {}  # of section [api], besides the socket
        self.replication = {}
        self.folder.mkdir()

    def write_config(self, peer):
        lines = ["[site]", f"name={self.name}", f"region={self.region}", f"zone={self.zone}",
                 f"data={self.data}", f"io={self.lab.io}",
                 "[api]", f"socket={self.api}", *[f"{key}={value}" for key, value in self.api_options.items()],
                 "[nbd]", f"socket={self.nbd}",
                 "[link]", f"listen={self.link_address}:{self.link_port}", f"psk-file={self.psk}",
                 f"[peer.{peer.name}]", f"region={peer.region}", f"zone={peer.zone}"]
        if self.peer_address:
            lines.append(f"address={self.peer_address}")
        lines.append("[replication]")
        lines += [f"{key}={value}" for key, value in {**self.lab.replication, **self.replication}.items()]
        self.config = self.folder / "verso.conf"
        self.config.write_text("\n".join(lines) + "\n")

    def start(self, wait=True):
        environment = {**os.environ, **self.environment}
        environment.pop("NOTIFY_SOCKET", None)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, str(self.lab.build / "versod"), "--config", str(self.config)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        if wait:
            wait_until(self.is_ready, f"{self.name} accepts calls; its log: {self.log_tail()}", timeout=60)

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failure(f"versod of {self.name} ended with {self.process.returncode}: {self.log_tail()}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.api)) == 0

    def log_tail(self):
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def stop(self, timeout=60):
        """Clean stop; raises if the daemon does not end with 0."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        self.process = None
        if status != 0:
            raise Failure(f"versod of {self.name} stopped with {status}: {self.log_tail()}")

    def kill(self):
        """kill -9"""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def verso(self, *words, check=True, timeout=120):
        return run(self.lab.build / "verso", "--socket", self.api, *words, check=check, timeout=timeout).strip()

    def verso_when_heard(self, *words, timeout=60):
        """As verso(); asks again while the other site is not reachable: a link that was black a moment ago may still
        be the old connection, which only its heartbeat ends."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.verso(*words)
            except Failure as failure:
                if "RequestTimeout" not in str(failure) or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def verso_fails(self, *words):
        """Runs verso, which must fail; returns (exit status, standard error and output)."""
        done = subprocess.run([str(self.lab.build / "verso"), "--socket", str(self.api), *map(str, words)],
                              capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            raise Failure(f"verso {' '.join(map(str, words))} was expected to fail")
        return done.returncode, done.stdout + done.stderr

    def api_call(self, action, check=True, **parameters):
        text = self.verso("api", action, *[f"{key}={value}" for key, value in parameters.items()], check=check)
        return json.loads(text)

    def status(self, name=None):
        """The stream of verso status --json by name or id (the only one by default)."""
        streams = json.loads(self.verso("status", "--json"))["streams"]
        if name is None:
            return streams[0] if streams else None
        return next((one for one in streams if name in (one["Name"], one["Id"])), None)

    def uri(self, export):
        return f"nbd+unix:///{export}?socket={self.nbd}"

    def disk(self, name, size):
        return self.verso("disk", "create", "--name", name, "--size", str(size))

    def attach(self, disk):
        """Attaches and waits until it is exported."""
        uri = self.verso("disk", "attach", disk, "--instance", "i-lab", "-q")
        self.wait_export(disk)
        return uri

    def is_exported(self, disk):
        return subprocess.run(["nbdinfo", "--size", self.uri(disk)], capture_output=True).returncode == 0

    def wait_export(self, disk, timeout=30):
        wait_until(lambda: self.is_exported(disk), f"{disk} is exported at {self.name}", timeout)

    def image_digest(self, export):
        """SHA-256 of what a client reads from an export."""
        reader = subprocess.Popen(["nbdcopy", "--", self.uri(export), "-"], stdout=subprocess.PIPE)
        hasher = hashlib.sha256()
        with reader.stdout:
            while chunk := reader.stdout.read(1 << 20):
                hasher.update(chunk)
        if reader.wait() != 0:
            raise Failure(f"nbdcopy from {self.uri(export)} failed")
        return hasher.hexdigest()


class Mount:
    """An export mounted with a file system: nbdfuse makes it a file, a loop device mounts that."""

    def __init__(self, lab, site, disk, options=""):
        self.lab, self.site, self.disk = lab, site, disk
        base = pathlib.Path(tempfile.mkdtemp(prefix="m-", dir=lab.folder))
        self.fuse, self.path = base / "fuse", base / "fs"
        self.fuse.mkdir(), self.path.mkdir()
        self.process, self.loop = None, None
        self.options = options
        lab.defer(self.end)

    @property
    def file(self):
        return self.fuse / "nbd"

    def open(self):
        """Only the file, no file system (for mkfs)."""
        self.process = subprocess.Popen(["nbdfuse", str(self.fuse), self.site.uri(self.disk)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.file.exists, f"nbdfuse shows {self.disk}")
        self.loop = run("losetup", "--find", "--show", self.file).strip()
        return self

    def mount(self):
        if self.loop is None:
            self.open()
        command = ["mount"] + (["-o", self.options] if self.options else []) + [self.loop, str(self.path)]
        run(*command)
        return self

    def unmount(self):
        """Clean: what was written is flushed."""
        run("umount", self.path)
        self.end()

    def end(self):
        """As well as it goes, also when the disk behind is gone."""
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True)
        if self.loop:
            subprocess.run(["losetup", "--detach", self.loop], capture_output=True)
            self.loop = None
        if self.process:
            subprocess.run(["fusermount3", "-u", "-z", str(self.fuse)], capture_output=True)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Lab(contextlib.AbstractContextManager):
    """Sites paris and lyon, configured against each other, not started."""

    def __init__(self, build=None, io=None, replication=None, base=None):
        self.build = pathlib.Path(build or os.environ.get("VERSO_BUILD", ROOT / "build")).resolve()
        self.io = io or os.environ.get("VERSO_IO", "auto")
        self.replication = {"interval": "200ms", "retain-time": "2s", "retain-bytes": "64M", **(replication or {})}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="verso-lab-", dir=base))
        self.undo = []
        self.psk = self.folder / "link.psk"
        self.psk.write_text(os.urandom(32).hex() + "\n")
        self.psk.chmod(0o600)
        self.paris, self.lyon = Site(self, "paris"), Site(self, "lyon")
        self.paris.peer_address = f"127.0.0.1:{self.lyon.link_port}"
        self.lyon.peer_address = f"127.0.0.1:{self.paris.link_port}"
        self.configure()

    def configure(self):
        self.paris.write_config(self.lyon)
        self.lyon.write_config(self.paris)

    def defer(self, action):
        self.undo.append(action)

    def start(self):
        self.paris.start()
        self.lyon.start()
        self.wait_link()
        return self

    def wait_link(self, timeout=30):
        def is_up():
            peers = json.loads(self.paris.verso("status", "--json"))["peers"]
            return peers and all(peer["IsUp"] for peer in peers)
        wait_until(is_up, "the link is up", timeout)

    def group(self, count, size, name="erp", devices=None):
        """`count` disks of `size` at each site, paired and grouped, attached at paris, not started. `devices`: {site name:
        [block devices]} to be used in place of new disks, where not None.

        Returns (group id, [paris disks], [lyon disks])."""
        sources, targets = [
            [site.verso("disk", "import", "--driver", "block", "--name", f"{name}-{i}", "--path", paths[i]) if paths
             else site.disk(f"{name}-{i}", size) for i in range(count)]
            for site in (self.paris, self.lyon) for paths in [(devices or {}).get(site.name)]]
        group = self.paris.verso("group", "create", "--peer", "lyon", "--name", name)
        for number, (source, target) in enumerate(zip(sources, targets)):
            pair = self.paris.verso("pair", "create", "--disk", source, "--peer", "lyon", "--peer-disk", target,
                                    "--name", f"{name}-{number}")
            self.paris.verso("group", "add", group, pair)
        for source in sources:
            self.paris.attach(source)
        return group, sources, targets

    def __exit__(self, *exception):
        for action in reversed(self.undo):
            try:
                action()
            except Exception as error:  # the undo stack goes on, whatever one of them says
                print(f"lab: undo: {error}")
        for site in (self.paris, self.lyon):
            site.kill()
        if os.environ.get("VERSO_KEEP"):
            print(f"lab: kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        return False
