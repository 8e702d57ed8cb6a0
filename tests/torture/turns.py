# SPDX-License-Identifier: Apache-2.0
"""A group that goes to and fro between two sites: which one writes at present, and the operator's moves."""
from lab import Failure, Skip, wait_until

try:
    import nbd
except ImportError:
    nbd = None

PIECE = 1 << 20


def need_nbd():
    if nbd is None:
        raise Skip("python3-libnbd is missing")


def open_export(site, export):
    handle = nbd.NBD()
    handle.connect_uri(site.uri(export))
    return handle


def read_export(site, export):
    """All bytes of an export, as a client reads them."""
    handle = open_export(site, export)
    try:
        size = handle.get_size()
        return b"".join(bytes(handle.pread(min(PIECE, size - at), at)) for at in range(0, size, PIECE))
    finally:
        handle.shutdown()


class Turns:
    """`source` is where hosts write, `target` the other site; each disk is a pair (disk there, disk here)."""

    def __init__(self, lab, group, disks):
        self.lab, self.group = lab, group
        self.disks = disks  # {site name: [disk ids]}
        self.source, self.target = lab.paris, lab.lyon

    @classmethod
    def make(cls, lab, count, size, devices=None):
        """`devices`: {site name: [block devices]} where a site's disks shall be those."""
        group, sources, targets = lab.group(count, size, devices=devices)
        return cls(lab, group, {"paris": sources, "lyon": targets})

    def of(self, site):
        return self.disks[site.name]

    def images(self, site):
        return [read_export(site, disk) for disk in self.of(site)]

    def start(self):
        self.source.verso("group", "start", self.group, "-q", "--timeout", "60")

    def wait_point(self):
        """A recovery point that holds all that is acknowledged now."""
        self.source.verso("wait", self.group, "--for", "recovery-point", "--timeout", "60", "-q")

    def wait_role(self, site, role):
        wait_until(lambda: (site.status(self.group) or {}).get("Role") == role,
                   f"{site.name} is {role}; {site.status(self.group)}", timeout=60)

    def detach(self, site):
        """Whatever is attached there."""
        for disk in self.of(site):
            if site.api_call("DescribeDiskAccess", DiskId=disk)["Disk"]["IsAttached"]:
                site.verso("disk", "detach", disk)

    def attach(self, site):
        for disk in self.of(site):
            site.verso("disk", "attach", disk, "--instance", "i-lab", "-q")
        for disk in self.of(site):
            site.wait_export(disk, timeout=60)

    def failover(self):
        """The target is writable and exported at its newest point; the source is whatever it is."""
        self.target.verso("group", "failover", self.group, "-q", "--timeout", "60")
        self.attach(self.target)

    def wait_link(self):
        """Each site hears the other one."""
        for site in (self.source, self.target):
            wait_until(lambda site=site: site.api_call("DescribeVersoStatus")["Peers"][0]["IsUp"],
                       f"{site.name} hears its peer", timeout=60)

    def reprotect(self, reverse):
        """After failover(): the direction is settled, nothing runs; with reverse the sites change their parts."""
        self.wait_role(self.source, "fenced")
        self.detach(self.source)
        if reverse:
            self.target.verso_when_heard("group", "reprotect", self.group, "-q", "--timeout", "60")
            self.source, self.target = self.target, self.source
        else:
            self.detach(self.target)
            self.target.verso_when_heard("group", "cancel-failover", self.group, "-q", "--timeout", "60")
            self.wait_role(self.source, "source")
            self.attach(self.source)
        self.wait_role(self.target, "target")

    def snapshots(self, site, disk):
        return site.api_call("DescribeDiskAccess", DiskId=disk)["Disk"]["Snapshots"]

    def delete_snapshots(self):
        for site in (self.lab.paris, self.lab.lyon):
            for disk in self.of(site):
                for snapshot in self.snapshots(site, disk):
                    site.api_call("DeleteDiskSnapshot", SnapshotId=snapshot["SnapshotId"])


def demand(condition, text):
    if not condition:
        raise Failure(text)
