#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two sites for the client tests: tests/lib/lab.py behind JSON lines on standard input and output.

Request {"id": 1, "do": "verso", "args": [...]}, answer {"id": 1, "value": ...} or {"id": 1, "error": "..."}. Each
request runs in a thread of its own. When standard input ends, everything that was started or mounted is undone.

lab_server.py SETTINGS: {"region": both sites in one, told apart by zone; "api": {key: value} of section [api]}
"""
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from lab import Lab, free_port, run, wait_until  # noqa: E402

class Server:
    """The requests are its public methods; a site is named by its name."""

    def __init__(self, lab, settings):
        self.lab, self.settings = lab, settings
        self.sites = {"paris": lab.paris, "lyon": lab.lyon}

    def start(self):
        """Certificates, listeners, daemons. {site: {region, zone, port, tlsPort, log}, ca, caFile}"""
        self._certificates()
        ports = {}
        for name, site in self.sites.items():
            ports[name] = (free_port(), free_port())
            site.region = self.settings.get("region", site.region)
            site.api_options = {"listen": f"127.0.0.1:{ports[name][0]}", "tls-listen": f"127.0.0.1:{ports[name][1]}",
                                "tls-cert": self.folder / "server.pem", "tls-key": self.folder / "server.key",
                                **self.settings.get("api", {})}
        self._small_data("lyon", "48m")
        self.lab.configure()
        self.lab.start()
        return {"ca": (self.folder / "ca.pem").read_text(), "caFile": str(self.folder / "ca.pem"),
                **{name: {"region": site.region, "zone": site.zone, "port": ports[name][0], "tlsPort": ports[name][1]}
                   for name, site in self.sites.items()}}

    def _certificates(self):
        """A private CA and a server certificate for 127.0.0.1, as docs/clients.md makes them."""
        self.folder = self.lab.folder / "tls"
        self.folder.mkdir()
        (self.folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        quiet = {"cwd": self.folder}
        run("openssl", "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=Verso test CA", **quiet)
        run("openssl", "req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=verso", **quiet)
        run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "san", "-out", "server.pem", **quiet)

    def _small_data(self, name, size):
        """The site's data folder on a file system that fill() can fill, where that is allowed: too small for the log to keep room."""
        data = self.sites[name].data
        self.is_fillable = os.geteuid() == 0
        if self.is_fillable:
            data.mkdir(parents=True)
            run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", data)
            self.lab.defer(lambda: subprocess.run(["umount", "-l", str(data)], capture_output=True))

    def keys(self):
        """{name: key}, all of root; one is disabled."""
        keys = {name: self.new_key("--root") for name in ("root", "hosts", "disabled")}
        self.lab.paris.verso("key", "disable", keys["disabled"]["id"])
        return keys

    def new_key(self, *words):
        made = json.loads(self.lab.paris.verso("key", "create", *words, "--json"))["AccessKey"]
        return {"id": made["AccessKeyId"], "secret": made["AccessKeySecret"]}

    def new_user(self, user, policy):
        """A user with a policy of his own; his key."""
        document = self.lab.folder / f"{user}.json"
        document.write_text(json.dumps(policy))
        self.lab.paris.verso("user", "create", user)
        self.lab.paris.verso("policy", "create", user, "--file", document)
        self.lab.paris.verso("policy", "attach", user, "--user", user)
        return self.new_key("--user", user)

    def verso(self, site, *words):
        return self.sites[site].verso(*words)

    def shell(self, site, text):
        """Runs commands as a user at the site would, in a new folder."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.lab.folder))
        environment = {**os.environ, "VERSO_SOCKET": str(self.sites[site].api),
                       "PATH": f"{self.lab.build}:{os.environ['PATH']}"}
        return run("sh", "-eux", "-c", text, cwd=folder, env=environment)

    def silence(self, site):
        """There, but answers nobody. Its threads stop one after the other, when they are next scheduled."""
        process = self.sites[site].process
        process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        wait_until(lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in tasks.glob("*/stat")),
                   f"all threads of {site} stand still")

    def wake(self, site):
        self.sites[site].process.send_signal(signal.SIGCONT)

    def restart(self, site, api=None):
        """A clean stop, and ready again with the link up; `api`: changes of its section [api]."""
        self.sites[site].api_options.update(api or {})
        self.lab.configure()
        self.sites[site].stop()
        self.sites[site].start()
        self.lab.wait_link()

    def kill(self, site):
        self.sites[site].kill()

    def start_again(self, site):
        self.sites[site].start()
        self.lab.wait_link()

    def fill(self, site):
        """Leaves no byte free in the site's data folder; false where that cannot be done."""
        if not self.is_fillable:
            return False
        ballast = self.sites[site].data / "ballast"
        with open(ballast, "ab", buffering=0) as sink:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        sink.write(b"\1" * size)
                except OSError:
                    pass
        return True

    def empty(self, site):
        (self.sites[site].data / "ballast").unlink()

    def write(self, site, disk, pattern, offset, size):
        """As a host would, over NBD, and flushed."""
        run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {size}", "-c", "flush",
            self.sites[site].uri(disk))

    def digest(self, site, disk):
        return self.sites[site].image_digest(disk)

    def wait_export(self, site, disk):
        self.sites[site].wait_export(disk)

    def logs(self):
        return {name: site.log_tail() for name, site in self.sites.items()}


def main():
    lock = threading.Lock()
    with Lab() as lab, concurrent.futures.ThreadPoolExecutor(8) as pool:
        server = Server(lab, json.loads(sys.argv[1]))

        def answer(request):
            try:
                reply = {"id": request["id"], "value": getattr(server, request["do"])(*request.get("args", []))}
            except Exception as error:  # the other side decides what it means
                reply = {"id": request["id"], "error": f"{type(error).__name__}: {error}"}
            with lock:
                print(json.dumps(reply), flush=True)

        for line in sys.stdin:
            pool.submit(answer, json.loads(line))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
