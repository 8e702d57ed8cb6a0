# SPDX-License-Identifier: Apache-2.0
"""The file through which a daemon, built with -Dstep_hooks=true, is told at which named step to die (src/base/step.h)."""
import mmap
import os
import struct

STEP_STATUS = 97  # what it ends with


class StepOrder:
    """For a daemon that starts with VERSO_STEP_FILE set to `path`."""

    def __init__(self, site):
        path = site.folder / "step"
        path.write_bytes(bytes(64))
        self.path = str(path)
        handle = os.open(path, os.O_RDWR)
        self.memory = mmap.mmap(handle, 64)
        os.close(handle)

    def arm(self, step, count):
        self.memory[:] = struct.pack("<I60s", 0, step.encode())
        self.memory[:4] = struct.pack("<I", count)

    def disarm(self):
        """True: it had been hit."""
        left = struct.unpack("<I", self.memory[:4])[0]
        self.memory[:4] = bytes(4)
        return left == 0


def has_hooks(build):
    """Does the daemon of this build know steps?"""
    return b"VERSO_STEP_FILE" in (build / "versod").read_bytes()
