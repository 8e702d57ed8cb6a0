#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NBD against nbdkit and qemu-nbd on this machine, in this run.

One connection over a unix socket, a preallocated file on /dev/shm, fio's nbd engine as the client. Each round runs
every server once for each workload, side by side in time, in turning order; the figures are medians of rounds and
the ratios are medians of the ratios within a round. Only one server runs at a time.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE = 1 << 30
WORKLOADS = (  # name, fio's rw, block size, depth, wanted of nbdkit, wanted of qemu-nbd
    ("4k random write QD32", "randwrite", "4k", 32, 1.0, 2.0),
    ("4k random read QD32", "randread", "4k", 32, 1.0, 2.0),
    ("4k random write QD1", "randwrite", "4k", 1, 1.0, 2.0),
    ("4k random read QD1", "randread", "4k", 1, 1.0, 2.0),
    ("256k seq. write QD8", "write", "256k", 8, 0.95, None),
    ("256k seq. read QD8", "read", "256k", 8, 0.95, None),
)


def serve_verso(options, path, socket):
    command = [options.daemon, "--io", options.io, "--socket", socket, "--file", path, "--size", str(SIZE)]
    return command, f"nbd+unix:///disk?socket={socket}"


def serve_nbdkit(options, path, socket):
    return ["nbdkit", "--foreground", "--unix", socket, "file", path], f"nbd+unix:///?socket={socket}"


def serve_qemu(options, path, socket):
    command = ["qemu-nbd", "--socket", socket, "--format=raw", "--persistent", "--cache=writeback", "--aio=threads", path]
    return command, f"nbd+unix:///?socket={socket}"


SERVERS = {"verso": serve_verso, "nbdkit": serve_nbdkit, "qemu-nbd": serve_qemu}


def measure(options, server, workload, path, folder):
    """One run of one workload on a fresh process of one server; operations a second."""
    socket = os.path.join(folder, f"{server}.sock")
    command, uri = SERVERS[server](options, path, socket)
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not os.path.exists(socket):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench_nbd: {server} does not start: {' '.join(map(str, command))}")
            time.sleep(0.01)
        _, rw, size, depth, _, _ = workload
        done = subprocess.run(
            ["fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={rw}", f"--bs={size}",
             f"--iodepth={depth}", f"--size={SIZE}", "--time_based", f"--runtime={options.seconds}", "--ramp_time=0.3",
             "--randrepeat=0", "--norandommap", "--output-format=json"],
            capture_output=True, text=True, timeout=options.seconds + 60)
        if done.returncode != 0:
            raise SystemExit(f"bench_nbd: fio against {server}: {done.stdout}{done.stderr}")
        job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
        return job["read"]["iops"] + job["write"]["iops"]
    finally:
        process.terminate()
        process.wait(timeout=30)
        if os.path.exists(socket):
            os.unlink(socket)


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
    parser.add_argument("--only", help="workloads whose name contains this text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.daemon = options.build / "tests/lib/nbd_daemon"
    missing = [tool for tool in ("fio", "nbdkit", "qemu-nbd") if not shutil.which(tool)]
    if missing or not options.daemon.exists():
        print(f"bench_nbd: skipped, missing: {' '.join(missing) or options.daemon}")
        return 77
    workloads = [workload for workload in WORKLOADS if not options.only or options.only in workload[0]]

    folder = tempfile.mkdtemp(prefix="verso-bench-", dir="/dev/shm")
    figures = {workload[0]: {server: [] for server in SERVERS} for workload in workloads}
    try:
        path = os.path.join(folder, "disk.raw")
        with open(path, "wb") as file:  # no server pays for the allocation of pages
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        for number in range(options.rounds):
            for workload in workloads:
                order = list(SERVERS)[number % 3:] + list(SERVERS)[:number % 3]
                for server in order:
                    figures[workload[0]][server].append(measure(options, server, workload, path, folder))
    finally:
        shutil.rmtree(folder)
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
    print(f"verso: nbd_daemon --io {options.io} (store, volume and NBD server; replication off)")
    print(f"nbdkit: {version('nbdkit', '--version')}, file plugin, default settings (16 threads, cache=default)")
    print(f"qemu-nbd: {version('qemu-nbd', '--version')}, raw, --cache=writeback --aio=threads (its defaults)")
    print("wanted: 4k: 1.0 of nbdkit and 2.0 of qemu-nbd; 256k: 0.95 of nbdkit")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
