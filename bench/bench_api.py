#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The control API beside what it stands on, in one run on this machine. bench/README.md says how each figure is taken."""
import argparse
import math
import os
import pathlib
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from lab import Lab  # noqa: E402

CLIENTS, MANY, FEW, PAGE, GROUPS = 32, 10000, 100, 10, 32
LOAD_READS, LOAD_WRITES = 200, 50  # a second, beside the busy disk
TURN_MS, SAMPLE_MS, SETTLE_MS = 500, 50, 260  # what is recorded of calls is written within 250 ms


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill(path, site, region, zone, pairs):
    """Pairs and groups with a site that is not there: nothing is sent anywhere."""
    database = sqlite3.connect(path, isolation_level=None)
    shared = {"production_site": site, "production_region": region, "production_zone": zone, "backup_site": "far",
              "backup_region": "cn-far", "backup_zone": "cn-far-a", "status": "created", "rpo_s": 900, "term": 1, "version": 1,
              "stream_serial": 1, "created_s": 1795000000}
    database.execute("BEGIN")
    for table, prefix, count in (("groups_", "pg-bench", GROUPS), ("pairs", "pair-bench", pairs)):
        columns = [(name, kind) for _, name, kind, *_ in database.execute(f"PRAGMA table_info({table})")]
        for i in range(count):
            row = {name: "" if kind == "TEXT" else 0 for name, kind in columns}
            row.update({name: value for name, value in shared.items() if name in row}, id=f"{prefix}{i}", name=f"bench {i}")
            if table == "pairs":
                row.update(group_id=None, production_disk=f"d-bench{i}", backup_disk=f"d-far{i}", size_bytes=4096,
                           charge_type="POSTPAY")
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    database.execute("COMMIT")
    database.close()


class Api:
    """One site with its TCP door, a root key, and the client."""

    def __init__(self, lab, site, pairs):
        self.lab, self.site, self.port = lab, site, free_port()
        site.api_options = {"listen": f"127.0.0.1:{self.port}", "key-rate": 1000000, "connections-per-address": 256,
                            "connections-max": 512}
        lab.configure()
        site.start()
        site.stop()
        fill(site.data / "site.db", site.name, site.region, site.zone, pairs)
        site.start()
        text = site.verso("key", "create", "--root", "-q")
        self.key, self.secret = re.fullmatch(r"AccessKeyId\s+(\S+)\nAccessKeySecret\s+(\S+)", text).groups()

    def command(self, action, query, connections, seconds, rate=0, port=None):
        return [str(self.lab.build / "bench" / "api-load"), "call", str(port or self.port), str(connections), str(seconds), str(rate),
                self.key, self.secret, action, query]

    def load(self, *words, **options):
        """Answers a second."""
        done = subprocess.run(self.command(*words, **options), capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise SystemExit(f"bench_api: {done.stderr}")
        rate, failed, _ = done.stdout.split()
        if int(failed) > 0:
            raise SystemExit(f"bench_api: {failed} calls failed: {done.stderr}")
        return float(rate)


class Bench:
    def __init__(self, lab, seconds, rounds):
        self.lab, self.seconds, self.rounds = lab, seconds, rounds
        self.rows, self.ok = [], True

    def judge(self, what, ours, theirs, ratio, wanted, is_least, unit="a second", span=""):
        good = ratio >= wanted if is_least else ratio <= wanted
        self.ok &= good
        self.rows.append((what, f"{ours:,.0f} {unit}", theirs, f"{ratio:.2f}{span}", f"{'>=' if is_least else '<='} {wanted}",
                          "pass" if good else "FAIL"))

    def in_turn(self, first, second):
        """Medians of both, and of the ratio within a round."""
        pairs = [(first(), second()) for _ in range(self.rounds)]
        return (statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs),
                statistics.median(a / b for a, b in pairs))

    def describe(self, api):
        query = f"GroupIds=pg-bench7&RegionId={api.site.region}"
        body = self.lab.folder / "answer"
        body.write_text(api.site.verso("api", "DescribeDiskReplicaGroups", *query.split("&")))
        port = free_port()
        bare = subprocess.Popen([str(self.lab.build / "bench" / "api-load"), "bare", str(port), str(body)])
        try:
            wait_port(port)
            ours, theirs, ratio = self.in_turn(
                lambda: api.load("DescribeDiskReplicaGroups", query, CLIENTS, self.seconds),
                lambda: api.load("DescribeDiskReplicaGroups", query, CLIENTS, self.seconds, port=port))
        finally:
            bare.kill()
            bare.wait()
        self.judge("signed Describe of one group", ours, f"{theirs:,.0f} bare libmicrohttpd", ratio, 0.25, True)

    def commits(self):
        """SQLite's own rate: one row, one commit, the same settings, the same file system."""
        path = self.lab.folder / "rate.db"
        database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("CREATE TABLE IF NOT EXISTS row (id TEXT PRIMARY KEY, value INTEGER)")
        count, begin = 0, time.monotonic()
        while time.monotonic() - begin < self.seconds:
            database.execute("INSERT INTO row VALUES ('a', ?1) ON CONFLICT (id) DO UPDATE SET value = ?1", (count,))
            count += 1
        rate = count / (time.monotonic() - begin)
        database.close()
        return rate

    def mutate(self, api):
        query = f"ClientToken=bench-{time.monotonic_ns()}-%U&Description=round%U&RegionId={api.site.region}&ReplicaGroupId=pg-bench%N"
        return api.load("ModifyDiskReplicaGroup", query, CLIENTS, self.seconds)

    def mutations(self, api):
        what = f"durable mutations, {CLIENTS} clients"
        ours, theirs, ratio = self.in_turn(lambda: self.mutate(api), self.commits)
        kind = subprocess.run(["stat", "-f", "-c", "%T", self.lab.folder], capture_output=True, text=True, check=True).stdout.strip()
        if kind in ("tmpfs", "ramfs"):
            self.rows.append((what, f"{ours:,.0f} a second", f"{theirs:,.0f} SQLite commits", f"{ratio:.2f}", "",
                              f"not judged: {kind} keeps nothing, so there is no wait to share"))
        else:
            self.judge(what, ours, f"{theirs:,.0f} SQLite commits", ratio, 2, True)

    def pages(self, many, few):
        def page(api):
            return api.load("DescribeDiskReplicaPairs", f"PageNumber=1&PageSize={PAGE}&RegionId={api.site.region}", 4, self.seconds)
        ours, theirs, ratio = self.in_turn(lambda: page(many), lambda: page(few))
        self.judge(f"page of {PAGE} out of {MANY:,} pairs", 1e6 / ours, f"{1e6 / theirs:,.0f} us out of {FEW}", 1 / ratio, 2, False, "us")

    def busy_disk(self, api, other):
        """Turns of half a second, one behind the other: the load goes to the site that has the busy disk, to
        another versod, to nobody."""
        disk = api.site.disk("busy", 256 << 20)
        api.site.attach(disk)
        triples = max(4, round(self.seconds * self.rounds * 3.5))
        seconds = math.ceil(triples * 3 * TURN_MS / 1000)
        self.fio(api.site.uri(disk), 1)  # its blocks are there
        commands = [target.command(action, query.format(target.site.region), 8, seconds + 2, rate=f"{rate}:{TURN_MS}:{turn}:3")
                    for turn, target in enumerate((api, other))
                    for action, query, rate in (("DescribeDiskReplicaGroups", "GroupIds=pg-bench7&RegionId={}", LOAD_READS),
                                                ("ModifyDiskReplicaGroup", "Description=busy%U&RegionId={}&ReplicaGroupId=pg-bench%N", LOAD_WRITES))]
        clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        try:
            turns = self.turns(self.fio(api.site.uri(disk), seconds))
        finally:
            told = [client.communicate(timeout=60)[0].split() for client in clients]
        for line in told:
            if len(line) != 3 or float(line[0]) == 0 or int(line[1]) > 0:
                raise SystemExit("bench_api: calls of the load failed")
        self.judge_turns(turns)

    def judge_turns(self, turns):
        ours, theirs, alone = ([triple[i] for triple in turns] for i in range(3))
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        beyond = max(0, math.floor(len(ratios) / 2 - 0.98 * math.sqrt(len(ratios))))  # 95 % of medians lie between
        low, high = ratios[beyond], ratios[-1 - beyond]
        self.judge(f"busy disk beside {LOAD_READS} reads, {LOAD_WRITES} changes a second", statistics.median(ours),
                   f"{statistics.median(theirs):,.0f} while another versod has them", statistics.median(ratios), 0.9, True, "IOPS",
                   f" ({low:.2f} .. {high:.2f})")
        self.rows.append(("", "", f"{statistics.median(alone):,.0f} while nobody has",
                          f"{statistics.median(a / b for a, b in zip(ours, alone)):.2f}", "", "not judged"))

    def fio(self, uri, seconds):
        """(end of a span of SAMPLE_MS, IOPS in it), both sides of each by the wall clock in milliseconds."""
        log = self.lab.folder / "busy"
        done = subprocess.run(["fio", "--name=busy", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bs=4k", "--iodepth=32",
                               "--time_based", f"--runtime={seconds}", f"--write_iops_log={log}", f"--log_avg_msec={SAMPLE_MS}",
                               "--log_unix_epoch=1"], capture_output=True, text=True, timeout=seconds + 60, cwd=self.lab.folder)
        if done.returncode != 0:
            raise SystemExit(f"bench_api: fio: {done.stderr}")
        lines = (self.lab.folder / "busy_iops.1.log").read_text().splitlines()
        return [tuple(int(word) for word in line.split(",")[:2]) for line in lines]

    @staticmethod
    def turns(samples):
        """The rates of turns 0, 1, 2 that follow each other, of those spans that lie within the second half of a turn."""
        rates = {}
        for end, iops in samples:
            turn = (end - 1) // TURN_MS
            if end - SAMPLE_MS >= turn * TURN_MS + SETTLE_MS:
                rates.setdefault(turn, []).append(iops)
        mean = {turn: statistics.mean(values) for turn, values in rates.items()}
        triples = [[mean.get(turn + i, 0) for i in range(3)] for turn in mean if turn % 3 == 0]
        triples = [triple for triple in triples if min(triple) > 0]
        if len(triples) < 3:
            raise SystemExit("bench_api: fio told too little")
        return triples

    def show(self):
        head = ("what", "ours", "beside", "ratio", "wanted", "")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(len(head))]
        for row in [head, *self.rows]:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def wait_port(port):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit("bench_api: the bare server does not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["VERSO_BUILD"] = str((ROOT / options.build).resolve())
    with Lab() as lab:
        bench = Bench(lab, options.seconds, options.rounds)
        many, few = Api(lab, lab.paris, MANY), Api(lab, lab.lyon, FEW)
        bench.describe(many)
        bench.mutations(many)
        bench.pages(many, few)
        bench.busy_disk(many, few)
    bench.show()
    sys.exit(0 if bench.ok else 1)


if __name__ == "__main__":
    main()
