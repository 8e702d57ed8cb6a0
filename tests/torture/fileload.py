#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files whose every state is known: operation n (create, rewrite in place, delete; each synced before the next begins) follows from the seed
and what operations 1 … n-1 left. So what a file system shows after a crash must be the state after some operation, which the one after it
may have changed in part; everything that was acknowledged before the crash is in it.

Run as a program it is the worker: fileload.py FOLDER PROGRESS SEED FIRST does operations from FIRST on until SIGTERM or an error. PROGRESS
holds two numbers of eight bytes: the operation begun last, and the one done last.
"""
import hashlib
import json
import mmap
import os
import pathlib
import random
import signal
import sys

FILES_MAX = 24


def file_bytes(seed, name, version, size):
    return hashlib.shake_128(f"{seed}:{name}:{version}".encode()).digest(size)


def next_operation(seed, number, state):
    """(kind, name, version, size); `state` is {name: (version, size)} before it."""
    rng = random.Random(f"{seed}:{number}")
    chance = rng.random()
    names = sorted(state)
    if names and (chance < 0.25 or len(names) >= FILES_MAX):
        return "delete", rng.choice(names), number, 0
    if names and chance < 0.5:
        name = rng.choice(names)
        return "rewrite", name, number, state[name][1]
    return "create", f"f{number}", number, rng.choice((1, 100, 4096, 5000, 30_000, rng.randrange(1, 120_000)))


def after(state, operation):
    kind, name, version, size = operation
    state = dict(state)
    if kind == "delete":
        del state[name]
    else:
        state[name] = (version, size)
    return state


class Worker:
    def __init__(self, folder, progress, seed):
        self.folder, self.seed = pathlib.Path(folder), seed
        self.progress = mmap.mmap(os.open(progress, os.O_RDWR), 16)

    def perform(self, operation):
        kind, name, version, size = operation
        path = self.folder / name
        if kind == "delete":
            path.unlink(missing_ok=True)
        else:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                left = memoryview(file_bytes(self.seed, name, version, size))
                while left:
                    left = left[os.write(file, left):]
                os.ftruncate(file, size)
                os.fsync(file)
                # Read again what lies on the disk, not what lies in memory.
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                if os.pread(file, size, 0) != file_bytes(self.seed, name, version, size):
                    raise OSError(f"{name} reads otherwise than it was written")
            finally:
                os.close(file)
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def work(self, state, number, should_stop):
        while not should_stop():
            operation = next_operation(self.seed, number, state)
            self.progress[0:8] = number.to_bytes(8, "little")
            self.perform(operation)
            self.progress[8:16] = number.to_bytes(8, "little")
            state = after(state, operation)
            number += 1


def replay(seed, state, first, last):
    """The states after operations first - 1 … last, given the one after first - 1."""
    states = [state]
    for number in range(first, last + 1):
        states.append(after(states[-1], next_operation(seed, number, states[-1])))
    return states


def difference(folder, seed, state, touched, cache):
    """What contradicts `state` in a folder, but for the file `touched`; None: nothing."""
    there = {path.name for path in folder.iterdir() if path.name != "lost+found"}
    wrong = (there ^ set(state)) - {touched}
    if wrong:
        return f"missing or too many: {sorted(wrong)}"
    for name, (version, size) in state.items():
        if name == touched:
            continue
        if name not in cache:
            cache[name] = (folder / name).read_bytes()
        if cache[name] != file_bytes(seed, name, version, size):
            return f"{name} is not version {version}"
    return None


def find_state(folder, seed, base, low, high):
    """Which operation's end a folder shows: (number, state), number between low - 1 and high; `base` is the state after low - 1. The
    newest that fits. None with the reason of the newest."""
    states = replay(seed, base, low, high + 1)
    cache, reasons = {}, []
    for index in range(high - low + 1, -1, -1):
        number = low - 1 + index
        touched = next_operation(seed, number + 1, states[index])[1]
        reason = difference(folder, seed, states[index], touched, cache)
        if reason is None:
            return number, states[index], None
        reasons.append(f"after {number}: {reason}")
    return None, None, "; ".join(reasons[-3:] + reasons[:2])


def main(words):
    folder, progress, seed, first, state = words
    stopped = []
    signal.signal(signal.SIGTERM, lambda number, stack: stopped.append(1))
    state = {name: tuple(value) for name, value in json.loads(state).items()}
    Worker(folder, progress, int(seed)).work(state, int(first), lambda: bool(stopped))


if __name__ == "__main__":
    main(sys.argv[1:])
