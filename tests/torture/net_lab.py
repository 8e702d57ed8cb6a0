# SPDX-License-Identifier: Apache-2.0
"""Two sites, each in a network namespace of its own with a cable between them that can be cut, narrowed, made lossy or
black. Nothing outside these namespaces is touched. NBD and API go over unix sockets, which namespaces do not part."""
import os
import subprocess

from lab import Lab, Skip, need, run

DEVICE = "cable"
ADDRESSES = ("10.213.7.1", "10.213.7.2")


class NetLab(Lab):
    def __init__(self, *words, **options):
        need("ip", "nft", "tc")
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        super().__init__(*words, **options)
        mark = os.path.basename(self.folder)[-8:]
        self.namespaces = [f"verso-{mark}-{site.name}" for site in (self.paris, self.lyon)]
        try:
            self.make_namespaces()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def make_namespaces(self):
        # sweep.py removes what is named here, should this process be killed.
        with open(self.folder.parent / "namespaces", "a", encoding="ascii") as names:
            names.write("".join(f"{name}\n" for name in self.namespaces))
        for name in self.namespaces:
            run("ip", "netns", "add", name)
            self.defer(lambda name=name: subprocess.run(["ip", "netns", "delete", name], capture_output=True))
        run("ip", "-n", self.namespaces[0], "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE,
            "netns", self.namespaces[1])
        for site, name, address in zip((self.paris, self.lyon), self.namespaces, ADDRESSES):
            run("ip", "-n", name, "address", "add", f"{address}/30", "dev", DEVICE)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", DEVICE, "up")
            site.wrapper = ["ip", "netns", "exec", name]
            site.link_address = address
        self.paris.peer_address = f"{ADDRESSES[1]}:{self.lyon.link_port}"
        self.lyon.peer_address = f"{ADDRESSES[0]}:{self.paris.link_port}"
        self.configure()

    def cut(self):
        """The cable is out: both kernels know."""
        run("ip", "-n", self.namespaces[0], "link", "set", DEVICE, "down")

    def plug(self):
        run("ip", "-n", self.namespaces[0], "link", "set", DEVICE, "up")

    def throttle(self, kilobits):
        for name in self.namespaces:
            run("tc", "-n", name, "qdisc", "replace", "dev", DEVICE, "root", "tbf", "rate", f"{kilobits}kbit",
                "burst", "32kb", "latency", "400ms")

    def lose(self, percent):
        """Drops so many of the packets that arrive, at both ends; 100: a black hole, and nobody is told."""
        rule = "drop" if percent == 100 else f"numgen random mod 100 < {percent} drop"
        text = (f"table ip torture {{\n chain in {{\n  type filter hook input priority 0; policy accept;\n"
                f"  iifname \"{DEVICE}\" {rule}\n }}\n}}\n")
        for name in self.namespaces:
            run("ip", "netns", "exec", name, "nft", "-f", "-", input=text)

    def heal(self):
        """The cable as it was at first."""
        self.plug()
        for name in self.namespaces:
            subprocess.run(["tc", "-n", name, "qdisc", "delete", "dev", DEVICE, "root"], capture_output=True)
            subprocess.run(["ip", "netns", "exec", name, "nft", "flush", "ruleset"], capture_output=True)
