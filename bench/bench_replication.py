#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of replication, all measured in this run on two sites of this machine, stores on tmpfs:
reprotect after a change on each side, failover of eight disks, age of the recovery point under load, memory of an
idle 1 TiB disk. Prints each figure beside its target; status 1 if one is missed. Needs python3-libnbd and fio."""
import argparse
import http.client
import json
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

import nbd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "lib"))
from lab import Lab  # noqa: E402

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
BASE = "/dev/shm"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("verso", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Api:
    """Calls without starting a process each."""

    def __init__(self, site):
        self.connection = UnixConnection(site.api)

    def call(self, action, version="2021-07-30", **parameters):
        body = urllib.parse.urlencode({"Action": action, "Version": version, "Format": "JSON", **parameters})
        self.connection.request("POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
        reply = self.connection.getresponse()
        return reply.status, json.loads(reply.read())


class Figures:
    def __init__(self):
        self.missed = 0

    def add(self, what, value, unit, limit=None):
        verdict = ""
        if limit is not None:
            ok = value <= limit
            self.missed += not ok
            verdict = f"  (at most {limit:g}: {'met' if ok else 'MISSED'})"
        print(f"{what:<78} {value:10.2f} {unit}{verdict}", flush=True)


def write_blocks(uri, blocks, generator):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    for block in blocks:
        handle.pwrite(generator.randbytes(4096), block * 4096)
    handle.flush()
    handle.shutdown()


def link_bytes(site):
    peer = json.loads(site.verso("status", "--json"))["peers"][0]
    return peer["BytesOut"] + peer["BytesIn"]


def reprotect_once(figures, fraction, limit):
    size, generator = 4 * GIB, random.Random(1)
    with Lab(base=BASE) as lab:
        lab.start()
        group, sources, targets = lab.group(1, size)
        blocks = int(size / 4096 * fraction)
        here = generator.sample(range(size // 4096), blocks)
        there = generator.sample(range(size // 4096), blocks)
        # All of them hold data from the beginning, else half of the union would travel as holes.
        write_blocks(lab.paris.uri(sources[0]), here + there, generator)
        lab.paris.verso("group", "start", group, "-q")
        # A split: both sides write after the common point; each change is known exactly.
        lab.paris.verso("group", "stop", group, "-q")
        write_blocks(lab.paris.uri(sources[0]), here, generator)
        lab.paris.verso("disk", "detach", sources[0])
        lab.lyon.verso("group", "failover", group, "-q")
        lab.lyon.attach(targets[0])
        write_blocks(lab.lyon.uri(targets[0]), there, generator)
        union = len(set(here) | set(there)) * 4096
        before, started = link_bytes(lab.lyon), time.monotonic()
        lab.lyon.verso("group", "reprotect", group, "-q")
        lab.lyon.verso("group", "start", group, "-q")
        seconds, shipped = time.monotonic() - started, link_bytes(lab.lyon) - before
        figures.add(f"reprotect, 4 GiB, {100 * fraction:g} % changed on each side: bytes on the wire / union",
                    shipped / union, "x", limit)
        figures.add(f"  union {union / MIB:.0f} MiB: time with start to the first point", seconds, "s")
        return seconds, union


def reprotect(figures):
    reprotect_once(figures, 0.01, 1.1)
    small = reprotect_once(figures, 0.02, 1.1)
    large = reprotect_once(figures, 0.06, 1.1)
    figures.add("  time per MiB of union, 6 % against 2 %", (large[0] / large[1]) / (small[0] / small[1]), "x", 1.5)


def first_write(lab, group, disk):
    """Milliseconds from the failover call to the first successful write at the other site."""
    api = Api(lab.lyon)
    api.call("DescribeDiskReplicaGroups", RegionId=lab.lyon.region)
    started = time.monotonic()
    status, reply = api.call("FailoverDiskReplicaGroup", RegionId=lab.lyon.region, ReplicaGroupId=group)
    assert status == 200, reply
    while True:
        status, reply = api.call("AttachDisk", version="2014-05-26", RegionId=lab.lyon.region, DiskId=disk,
                                 InstanceId="i-bench")
        if status == 200:
            break
        assert time.monotonic() - started < 30, reply
    handle = nbd.NBD()
    while True:
        try:
            handle.connect_uri(lab.lyon.uri(disk))
            break
        except nbd.Error:
            assert time.monotonic() - started < 30
            handle = nbd.NBD()
    handle.pwrite(bytes(4096), 0)
    return 1000 * (time.monotonic() - started)


def failover(figures, rounds):
    times = []
    for number in range(rounds):
        with Lab(base=BASE, replication={"retain-time": "1h", "retain-bytes": "1G"}) as lab:
            lab.start()
            group, sources, targets = lab.group(8, 64 * MIB)
            lab.paris.verso("group", "start", group, "-q")
            generator = random.Random(number)
            for disk in sources:
                write_blocks(lab.paris.uri(disk), generator.sample(range(16384), 2048), generator)
            lab.paris.verso("wait", group, "--for", "recovery-point", "-q")
            journal = lab.lyon.status(group)["JournalBytes"]
            lab.paris.kill()
            times.append(first_write(lab, group, targets[0]))
    figures.add(f"failover of 8 disks, journal {journal / MIB:.0f} MiB warm: call to first write, median of {rounds}",
                statistics.median(times), "ms", 200)
    figures.add("  the slowest", max(times), "ms")


def point_age(figures, seconds):
    with Lab(base=BASE, replication={"interval": "1s", "retain-time": "10m", "retain-bytes": "1G"}) as lab:
        lab.start()
        group, sources, _ = lab.group(1, GIB)
        lab.paris.verso("group", "start", group, "-q")
        load = subprocess.Popen(["fio", "--name=load", "--ioengine=nbd", f"--uri={lab.paris.uri(sources[0])}",
                                 "--rw=randwrite", "--bs=4k", "--iodepth=8", "--rate=20m", "--size=1G",
                                 "--time_based", f"--runtime={seconds}"], stdout=subprocess.DEVNULL)
        time.sleep(2)  # the load's first interval is not the steady state
        ages, api = [], Api(lab.lyon)
        while load.poll() is None:
            _, reply = api.call("DescribeVersoStatus", version="2026-11-22")
            stream = reply["Streams"][0]
            ages.append((reply["WallUs"] - max(stream["PointWallUs"], stream["CurrentWallUs"])) / 1e3)
            time.sleep(0.05)
        figures.add("age of the recovery point at 20 MB/s of random writes, interval 1 s: median",
                    statistics.median(ages), "ms")
        figures.add("  the oldest seen", max(ages), "ms", 2100)


def memory_kib(site):
    for line in pathlib.Path(f"/proc/{site.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def idle_memory(figures):
    with Lab(base=BASE) as lab:
        lab.start()
        lab.paris.attach(lab.paris.disk("warm", MIB))
        before = memory_kib(lab.paris)
        lab.paris.attach(lab.paris.disk("idle", TIB))
        figures.add("memory of an idle 1 TiB disk, attached", (memory_kib(lab.paris) - before) / 1024, "MiB", 2)


def stream_cost(figures, seconds):
    """4 KiB random writes with replication off and on: both sites and the client on this machine. What a round left to be
    sent is at the other site before the next one begins: else its work would slow that one's "off"."""
    def measure(lab, disk):
        done = subprocess.run(["fio", "--name=w", "--ioengine=nbd", f"--uri={lab.paris.uri(disk)}", "--rw=randwrite",
                               "--bs=4k", "--iodepth=32", "--size=256M", "--time_based", f"--runtime={seconds}",
                               "--output-format=json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]["write"]["iops"]
    with Lab(base=BASE, replication={"interval": "1s", "journal-max": "4G"}) as lab:
        lab.start()
        group, sources, _ = lab.group(1, 256 * MIB)
        plain = lab.paris.disk("plain", 256 * MIB)
        lab.paris.attach(plain)
        lab.paris.verso("group", "start", group, "-q")
        ratios = []
        for _ in range(3):
            off, on = measure(lab, plain), measure(lab, sources[0])
            ratios.append(on / off)
            lab.paris.verso("wait", group, "--for", "recovery-point", "-q")
        figures.add("4 KiB random write QD 32 with a running stream: IOPS", on, "")
        figures.add("  of the rate without, median of 3 interleaved pairs", statistics.median(ratios), "x")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    figures = Figures()
    parts = {"reprotect": lambda: reprotect(figures), "failover": lambda: failover(figures, 5),
             "age": lambda: point_age(figures, max(8, 2 * arguments.seconds)), "memory": lambda: idle_memory(figures),
             "stream": lambda: stream_cost(figures, arguments.seconds)}
    for name, part in parts.items():
        if not arguments.only or name in arguments.only.split(","):
            part()
    return 1 if figures.missed else 0


if __name__ == "__main__":
    sys.exit(main())
