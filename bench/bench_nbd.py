#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NBD against nbdkit and qemu-nbd on this machine, in this run.

One connection over a unix socket, a preallocated file on /dev/shm that all serve, fio's nbd engine as the client. Each
round runs every server once for each workload, side by side in time, in turning order; the figures are medians of
rounds and the ratios are medians of the ratios within a round. The peers are started for each run; versod, with the file
imported as a disk and replication off, runs throughout and is idle while a peer is measured.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from lab import Lab  # noqa: E402

SIZE = 1 << 30
SERVERS = ["verso", "nbdkit", "qemu-nbd"]
WORKLOADS = (  # name, fio's rw, block size, depth, wanted of nbdkit, wanted of qemu-nbd
    ("4k random write QD32", "randwrite", "4k", 32, 1.0, 2.0),
    ("4k random read QD32", "randread", "4k", 32, 1.0, 2.0),
    ("4k random write QD1", "randwrite", "4k", 1, 1.0, 2.0),
    ("4k random read QD1", "randread", "4k", 1, 1.0, 2.0),
    ("256k seq. write QD8", "write", "256k", 8, 0.95, None),
    ("256k seq. read QD8", "read", "256k", 8, 0.95, None),
)


class Process:
    """A server that is started for each run."""

    def __init__(self, name, command, export=""):
        self.name, self.command, self.export = name, command, export

    def start(self, folder):
        self.socket = os.path.join(folder, f"{self.name}.sock")
        command = [word.replace("SOCKET", self.socket) for word in self.command]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench_nbd: {self.name} does not start: {' '.join(command)}")
            time.sleep(0.01)
        return f"nbd+unix:///{self.export}?socket={self.socket}"

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        if os.path.exists(self.socket):
            os.unlink(self.socket)


class Versod:
    """The real daemon of one site, its peer absent."""

    def __init__(self, lab, path):
        lab.paris.start()
        disk = lab.paris.verso("disk", "import", "--name", "bench", "--path", path)
        lab.paris.attach(disk)
        self.uri = lab.paris.uri(disk)

    def start(self, folder):
        return self.uri

    def stop(self):
        pass


def make_servers(options, lab, path):
    if options.server == "versod":
        own = Versod(lab, path)
    else:
        own = Process("verso", [str(options.build / "tests/lib/nbd_daemon"), "--io", options.io, "--socket", "SOCKET",
                                "--file", path, "--size", str(SIZE)], "disk")
    return {
        "verso": own,
        "nbdkit": Process("nbdkit", ["nbdkit", "--foreground", "--unix", "SOCKET", "file", path]),
        "qemu-nbd": Process("qemu-nbd", ["qemu-nbd", "--socket", "SOCKET", "--format=raw", "--persistent",
                                         "--cache=writeback", "--aio=threads", path]),
    }


def measure(options, server, workload, folder):
    """One run of one workload; operations a second."""
    uri = server.start(folder)
    try:
        _, rw, size, depth, _, _ = workload
        done = subprocess.run(
            ["fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={rw}", f"--bs={size}",
             f"--iodepth={depth}", f"--size={SIZE}", "--time_based", f"--runtime={options.seconds}", "--ramp_time=0.3",
             "--randrepeat=0", "--norandommap", "--output-format=json"],
            capture_output=True, text=True, timeout=options.seconds + 60)
        if done.returncode != 0:
            raise SystemExit(f"bench_nbd: fio: {done.stdout}{done.stderr}")
        job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
        return job["read"]["iops"] + job["write"]["iops"]
    finally:
        server.stop()


def take_figures(options, workloads):
    figures = {workload[0]: {server: [] for server in SERVERS} for workload in workloads}
    with Lab(build=options.build, io=options.io, base="/dev/shm") as lab:
        path = str(lab.folder / "bench.raw")
        with open(path, "wb") as file:  # no server pays for the allocation of pages
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        servers = make_servers(options, lab, path)
        for number in range(options.rounds):
            for workload in workloads:
                for name in SERVERS[number % 3:] + SERVERS[:number % 3]:
                    figures[workload[0]][name].append(measure(options, servers[name], workload, lab.folder))
        if options.server == "versod":
            lab.paris.stop()
    return figures


def ratio(figures, server):
    return statistics.median(own / other for own, other in zip(figures["verso"], figures[server]))


def version(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=2, help="of each run (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs for each figure (default 5)")
    parser.add_argument("--io", default="auto", choices=("auto", "uring", "threads"))
    parser.add_argument("--server", default="versod", choices=("versod", "nbd_daemon"),
                        help="nbd_daemon: the data path alone")
    parser.add_argument("--only", help="workloads whose name contains this text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    missing = [tool for tool in ("fio", "nbdkit", "qemu-nbd") if not shutil.which(tool)]
    if missing:
        print(f"bench_nbd: skipped, missing: {' '.join(missing)}")
        return 77
    workloads = [workload for workload in WORKLOADS if not options.only or options.only in workload[0]]
    figures = take_figures(options, workloads)
    return report(options, workloads, figures)


def report(options, workloads, figures):
    failed = 0
    rows = []
    for name, _, _, _, wanted_kit, wanted_qemu in workloads:
        kit, qemu = ratio(figures[name], "nbdkit"), ratio(figures[name], "qemu-nbd")
        is_met = kit >= wanted_kit and (wanted_qemu is None or qemu >= wanted_qemu)
        failed += not is_met
        rows.append((name, *(statistics.median(figures[name][server]) for server in SERVERS), kit, qemu, is_met))
    if options.json:
        print(json.dumps([dict(zip(("workload", "verso", "nbdkit", "qemu_nbd", "of_nbdkit", "of_qemu_nbd", "met"), row))
                          for row in rows]))
        return 1 if failed else 0
    print(f"NBD, one connection over a unix socket, 1 GiB file on tmpfs, {version('fio', '--version')} with its nbd engine,")
    print(f"{os.cpu_count()} CPUs, medians of {options.rounds} rounds of {options.seconds:g} s. Operations a second:")
    print(f"{'':22}{'verso':>9}{'nbdkit':>9}{'qemu-nbd':>9}{'/nbdkit':>9}{'/qemu':>7}")
    for name, own, kit, qemu, of_kit, of_qemu, is_met in rows:
        print(f"{name:22}{own:9.0f}{kit:9.0f}{qemu:9.0f}{of_kit:9.2f}{of_qemu:7.2f}{'' if is_met else '  MISSED'}")
    print(f"verso: {options.server}, io={options.io}, file store, replication off")
    print(f"nbdkit: {version('nbdkit', '--version')}, file plugin, default settings (16 threads, cache=default)")
    print(f"qemu-nbd: {version('qemu-nbd', '--version')}, raw, --cache=writeback --aio=threads (its defaults)")
    print("wanted: 4k: 1.0 of nbdkit and 2.0 of qemu-nbd; 256k: 0.95 of nbdkit")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
