# SPDX-License-Identifier: Apache-2.0
"""Undoing what a run of the tortures did to this machine, also when it was killed.

Every run has one folder, /tmp/verso-torture-XXXXXXXX (or below --base), which says who owns it. All its processes carry the
folder in their environment (VERSO_TORTURE), all its mounts lie below it, all its loop devices show a file below it, and its
network namespaces are named in the file `namespaces` there. So nothing that belongs to anybody else is ever touched.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

PREFIX = "verso-torture-"
MARK = "VERSO_TORTURE"


def start_time(pid):
    """When a process began, in the kernel's ticks: with the pid it names one process for ever. None: it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]


def claim(base=None):
    """Makes the folder of this run and marks this process and all its children with it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
    (folder / "owner").write_text(f"{os.getpid()} {start_time(os.getpid())}\n")
    os.environ[MARK] = str(folder)
    return folder


def is_dead(folder):
    try:
        pid, began = (folder / "owner").read_text().split()
    except (OSError, ValueError):
        # Between mkdtemp() and the writing of `owner` a run is alive without a name.
        return time.time() - folder.stat().st_mtime > 60
    return start_time(pid) != began


def processes(folder):
    """Pids of everything that carries the folder, but for this process."""
    mark = f"{MARK}={folder}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in pathlib.Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    yield int(entry)


def remove_clock(pid):
    """The memory that libfaketime shares, of a process that has ended: it stays when that was killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        pathlib.Path("/dev/shm", name).unlink(missing_ok=True)


def mounts(folder):
    """Mount points below the folder, the deepest first."""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")
        if point.startswith(f"{folder}/"):
            found.append(point)
    return sorted(found, key=lambda point: point.count("/"), reverse=True)


def loops(folder):
    """Loop devices whose file lies below the folder."""
    done = subprocess.run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"], capture_output=True, text=True)
    devices = json.loads(done.stdout).get("loopdevices", []) if done.stdout.strip() else []
    return [device["name"] for device in devices if (device.get("back-file") or "").startswith(f"{folder}/")]


def sweep(folder, keep_files=False):
    """Ends, unmounts, detaches and removes all that belongs to the folder's run. Can be repeated."""
    folder = pathlib.Path(folder)
    devices = loops(folder)
    for _ in range(5):
        for pid in processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            remove_clock(pid)
        for point in mounts(folder):
            subprocess.run(["umount", "--lazy", point], capture_output=True)
        if not mounts(folder) and not any(processes(folder)):
            break
        time.sleep(0.1)
    for device in {*devices, *loops(folder)}:
        subprocess.run(["losetup", "--detach", device], capture_output=True)
    with contextlib.suppress(OSError):
        for name in (folder / "namespaces").read_text().split():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    if not keep_files and not mounts(folder):
        shutil.rmtree(folder, ignore_errors=True)


def sweep_dead(base=None):
    """Removes what runs left behind that were killed, with this --base, without, or in memory; returns how many."""
    places = {pathlib.Path(place).resolve() for place in (base, tempfile.gettempdir(), "/dev/shm") if place}
    dead = [folder for place in places for folder in place.glob(f"{PREFIX}*") if folder.is_dir() and is_dead(folder)]
    for folder in dead:
        sweep(folder.resolve())
    return len(dead)
