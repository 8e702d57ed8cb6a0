# SPDX-License-Identifier: Apache-2.0
"""The end of writer.py that a torture holds: starts it, gives it commands, turns what it finds into Failure."""
import json
import pathlib
import select
import subprocess
import time

from lab import Failure

HERE = pathlib.Path(__file__).resolve().parent


class RawLoad:
    """Writers on all disks of a group. Runs in a process of its own, so that a hanging daemon cannot hang the torture."""

    def __init__(self, lab, rng, disks, blocks, connections=2, depth=12, bears_errors=False):
        self.path = lab.folder / "progress"
        self.path.write_bytes(bytes(8))
        options = {"seed": rng.getrandbits(32), "disks": disks, "blocks": blocks, "connections": connections,
                   "depth": depth, "bears_errors": bears_errors, "progress": str(self.path)}
        self.process = subprocess.Popen(["/usr/bin/python3", str(HERE / "writer.py"), json.dumps(options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lab.defer(self.end)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def ask(self, command, answer_within=60, **words):
        self.process.stdin.write(json.dumps({"do": command, **words}).encode() + b"\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], answer_within)[0]:
            raise Failure(f"the writer did not answer {command} within {answer_within} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failure(f"the writer ended at {command}")
        reply = json.loads(line)
        if "failure" in reply:
            raise Failure(f"{command}: {reply['failure']}")
        return reply

    def acked(self):
        """How many writes were acknowledged so far."""
        return int.from_bytes(self.path.read_bytes(), "little")

    def wait_acked(self, count, timeout=30):
        """Until so many more writes were acknowledged."""
        goal, end = self.acked() + count, time.monotonic() + timeout
        while self.acked() < goal:
            if time.monotonic() > end:
                raise Failure(f"only {self.acked()} of {goal} writes were acknowledged within {timeout} s")
            time.sleep(0.001)

    def run(self, site, disks, timeout=30):
        self.ask("run", timeout + 10, uris=[site.uri(disk) for disk in disks], timeout=timeout)

    def stop(self, flush=False):
        """Why the connections had been lost, or None."""
        return self.ask("stop", flush=flush)["lost"]

    def settle(self, site, disks, power=False, timeout=30):
        """All acknowledged writes are there (I3); with `power`: all durable ones (I4). Returns how many blocks were compared."""
        return self.ask("settle", timeout + 30, uris=[site.uri(disk) for disk in disks], power=power,
                        timeout=timeout)["checks"]

    def cut(self, site, disks, timeout=30):
        """What a failed-over site shows is one moment (I1, I2). Returns how many blocks were compared."""
        return self.ask("cut", timeout + 30, uris=[site.uri(disk) for disk in disks], timeout=timeout)["checks"]

    def point(self):
        self.ask("point")

    def counts(self):
        return self.ask("counts")["counts"]
