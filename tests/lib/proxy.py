#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that misbehaves on command, to stand between two sites.

    proxy = Proxy(target_port)          # listens on proxy.port at once
    proxy.cut()                         # ends all connections and refuses new ones ...
    proxy.heal()                        # ... until now; also ends black_hole, hold_back and throttle
    proxy.black_hole()                  # swallows all bytes, nobody is told
    proxy.hold_back(1)                  # keeps what comes from the target, behind so many pieces more, until heal()
    proxy.throttle(1 << 20)             # bytes a second, each direction; None: no limit
    proxy.flip(0.01)                    # damages one bit of so large a share of the pieces; 0: none
    proxy.flip_at(100000)               # damages one bit once, after so many bytes more
    proxy.drop()                        # ends the connections that are there now, takes new ones
    proxy.close()

As a program, with commands on standard input ("cut", "throttle 1000000", "stats", ...), one answer a line:

    proxy.py [--listen PORT] [--seed N] TARGET-PORT
"""
import argparse
import random
import socket
import sys
import threading
import time

PIECE_BYTES = 65536
PAUSE = 0.05  # seconds between two looks at the settings


class Pair:
    """The two ends of a connection. Shutting down wakes the threads that wait on them; who made it closes."""

    def __init__(self, client, server):
        self.ends = (client, server)

    def shutdown(self):
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Proxy:
    """Its threads end with close(). Counters are for looking at, not for arithmetic."""

    def __init__(self, target_port, port=0, seed=None):
        self.target = ("127.0.0.1", target_port)
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.pairs = set()
        self.is_cut = self.is_black_hole = self.is_closed = False
        self.rate = None
        self.pieces_back = None  # until it holds back
        self.flip_share, self.flip_after = 0.0, None
        self.connections = self.flips = self.bytes_passed = self.bytes_swallowed = 0
        self.listener = self._listen(port)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listener.settimeout(PAUSE)
        return listener

    # --- commands ---

    def cut(self):
        self.is_cut = True
        self.drop()

    def heal(self):
        self.is_cut = self.is_black_hole = False
        self.rate = self.pieces_back = None
        self.flip_share, self.flip_after = 0.0, None

    def black_hole(self):
        self.is_black_hole = True

    def hold_back(self, pieces=0):
        self.pieces_back = pieces

    def throttle(self, rate):
        self.rate = rate

    def flip(self, share):
        self.flip_share = share

    def flip_at(self, after_bytes):
        self.flip_after = after_bytes

    def drop(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            pair.shutdown()

    def close(self):
        self.is_closed = True
        self.thread.join()
        self.listener.close()
        self.drop()

    def stats(self):
        return {"open": len(self.pairs), "connections": self.connections, "flips": self.flips,
                "passed": self.bytes_passed, "swallowed": self.bytes_swallowed}

    # --- what runs in threads ---

    def _accept(self):
        while not self.is_closed:
            try:
                client, _ = self.listener.accept()
            except socket.timeout:
                continue
            if self.is_cut:
                reset(client)
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client):
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            reset(client)
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(client, server)
        with self.lock:
            self.pairs.add(pair)
            self.connections += 1
        if self.is_cut or self.is_closed:
            pair.shutdown()
        other = threading.Thread(target=self._carry, args=(pair, client, server, False), daemon=True)
        other.start()
        self._carry(pair, server, client, True)
        other.join()
        with self.lock:
            self.pairs.remove(pair)
        reset(client)
        reset(server)

    def _hold(self):
        """Returns when the piece may go on: a condition that others set, looked at now and then."""
        while not self.is_closed and not self.is_cut and self.pieces_back is not None:
            if self.pieces_back > 0:
                self.pieces_back -= 1
                return
            time.sleep(PAUSE / 10)

    def _carry(self, pair, source, sink, is_back):
        """Passes bytes on until one end is gone."""
        try:
            while piece := source.recv(self._piece_bytes()):
                if self.is_black_hole:
                    self.bytes_swallowed += len(piece)
                    continue
                piece = self._damage(piece)
                if is_back:
                    self._hold()
                if self.rate:
                    time.sleep(len(piece) / self.rate)
                sink.sendall(piece)
                self.bytes_passed += len(piece)
        except OSError:
            pass  # an end is gone
        pair.shutdown()

    def _piece_bytes(self):
        """A tenth of a second at the limit, so that it takes effect soon."""
        return max(1, min(PIECE_BYTES, int(self.rate / 10))) if self.rate else PIECE_BYTES

    def _damage(self, piece):
        with self.lock:
            place = None
            if self.flip_after is not None:
                if self.flip_after < len(piece):
                    place, self.flip_after = self.flip_after, None
                else:
                    self.flip_after -= len(piece)
            elif self.flip_share and self.random.random() < self.flip_share:
                place = self.random.randrange(len(piece))
            if place is None:
                return piece
            self.flips += 1
            damaged = bytearray(piece)
            damaged[place] ^= 1 << self.random.randrange(8)
            return bytes(damaged)


def reset(end):
    """Closes with RST."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    except OSError:
        pass
    end.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target_port", type=int)
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    proxy = Proxy(options.target_port, options.listen, options.seed)
    commands = {"cut": proxy.cut, "heal": proxy.heal, "black-hole": proxy.black_hole, "drop": proxy.drop,
                "throttle": lambda rate: proxy.throttle(int(rate) or None),
                "hold-back": lambda pieces: proxy.hold_back(int(pieces)),
                "flip": lambda share: proxy.flip(float(share)), "flip-at": lambda after: proxy.flip_at(int(after)),
                "stats": lambda: print(proxy.stats())}
    print(f"listening on {proxy.port}", flush=True)
    for line in sys.stdin:
        words = line.split()
        try:
            commands[words[0]](*words[1:])
            print("ok", flush=True)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            print(f"error: {error!r}", flush=True)
    proxy.close()


if __name__ == "__main__":
    main()
