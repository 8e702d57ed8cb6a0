# SPDX-License-Identifier: Apache-2.0
"""A host that knows what its disks may hold: blocks of 4 KiB full of one number, and what was said of each write."""
import collections

from turns import demand, open_export, read_export

BLOCK = 4096


class Stamps:
    """`now` is what a block holds, `unflushed` what it may fall back to if the disk forgets what was not synced, `failed` what
    writes left that were answered with an error: old, new, or anything of both."""

    def __init__(self, site, disks, blocks):
        self.site, self.disks, self.blocks = site, disks, blocks
        self.stamp = 0
        self.handles = {}
        self.now = collections.defaultdict(int)
        self.unflushed = collections.defaultdict(set)
        self.failed = set()

    def handle(self, number):
        if number not in self.handles:
            self.handles[number] = open_export(self.site, self.disks[number])
        return self.handles[number]

    def close(self):
        """After the daemon was restarted, or the disk detached."""
        self.handles.clear()

    def write(self, number, block, count=1):
        """Returns 0 or the errno that the server answered."""
        self.stamp += 1
        keys = [(number, one) for one in range(block, block + count)]
        error = self.ask(lambda handle: handle.pwrite(self.stamp.to_bytes(8, "little") * (BLOCK // 8 * count), block * BLOCK),
                         number)
        for key in keys:
            if error:
                self.failed.add(key)
            else:
                self.unflushed[key].add(self.now[key])
                self.failed.discard(key)
                self.now[key] = self.stamp
        return error

    def read(self, number, block):
        return self.ask(lambda handle: handle.pread(BLOCK, block * BLOCK), number)

    def flush(self, number):
        error = self.ask(lambda handle: handle.flush(), number)
        if not error:
            for key in [key for key in self.unflushed if key[0] == number]:
                del self.unflushed[key]
        return error

    def ask(self, question, number):
        import nbd
        try:
            question(self.handle(number))
        except nbd.Error as reason:
            demand(reason.errnum and self.handle(number).aio_is_ready(), f"the connection to disk {number} ended: {reason}")
            return reason.errnum
        return 0

    def write_some(self, rng, count=20, check=True):
        """Writes to all disks; returns the set of errnos (0 is none)."""
        errors = set()
        for _ in range(count):
            size = rng.choice((1, 1, 4, 16))
            errors.add(self.write(rng.randrange(len(self.disks)), rng.randrange(self.blocks - size), size))
        for number in range(len(self.disks)):
            errors.add(self.flush(number))
        if check:
            demand(errors == {0}, f"hosts saw errors: {errors}")
        return errors

    def check(self, forgotten=False):
        """What clients read is what they were told; returns the images. `forgotten`: what was not flushed may be gone,
        and what is there now is what counts from here on."""
        images = [read_export(self.site, disk) for disk in self.disks]
        for number, image in enumerate(images):
            for block in range(self.blocks):
                key = (number, block)
                if key in self.failed:
                    continue
                data = image[block * BLOCK:(block + 1) * BLOCK]
                allowed = {self.now[key]} | (self.unflushed[key] if forgotten else set())
                found = int.from_bytes(data[:8], "little")
                demand(data == data[:8] * (BLOCK // 8), f"{self.site.name} disk {number} block {block} is torn")
                demand(found in allowed, f"{self.site.name} disk {number} block {block} holds {found}, not {allowed}")
                self.now[key] = found
        if forgotten:
            self.unflushed.clear()
        return images
