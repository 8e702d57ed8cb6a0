#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The proxy does what it is told."""
import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from proxy import Proxy


def serve_echo(listener):
    def echo(end):
        with end:
            try:
                while piece := end.recv(65536):
                    end.sendall(piece)
            except OSError:
                pass

    while True:
        try:
            end, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=echo, args=(end,), daemon=True).start()


class ProxyTest(unittest.TestCase):
    def setUp(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        threading.Thread(target=serve_echo, args=(self.listener,), daemon=True).start()
        self.proxy = Proxy(self.listener.getsockname()[1], seed=1)
        self.addCleanup(self.proxy.close)

    def connect(self):
        end = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=5)
        self.addCleanup(end.close)
        return end

    def echo(self, end, sent):
        end.sendall(sent)
        got = b""
        while len(got) < len(sent):
            piece = end.recv(65536)
            if not piece:
                break
            got += piece
        return got

    def is_dead(self, end):
        try:
            return self.echo(end, b"x") == b""
        except socket.timeout:
            raise
        except OSError:
            return True

    def is_refused(self):
        try:
            return self.is_dead(self.connect())
        except ConnectionError:
            return True

    def test_passes(self):
        sent = os.urandom(300000)
        self.assertEqual(self.echo(self.connect(), sent), sent)
        self.assertEqual(self.proxy.stats()["passed"], 600000)

    def test_cut_and_heal(self):
        end = self.connect()
        self.assertEqual(self.echo(end, b"x"), b"x")
        self.proxy.cut()
        self.assertTrue(self.is_dead(end))
        self.assertTrue(self.is_refused())
        self.proxy.heal()
        self.assertEqual(self.echo(self.connect(), b"x"), b"x")

    def test_drop(self):
        end = self.connect()
        self.assertEqual(self.echo(end, b"x"), b"x")
        self.proxy.drop()
        self.assertTrue(self.is_dead(end))
        self.assertEqual(self.echo(self.connect(), b"x"), b"x")

    def test_black_hole(self):
        end = self.connect()
        self.assertEqual(self.echo(end, b"x"), b"x")
        self.proxy.black_hole()
        end.settimeout(0.3)
        with self.assertRaises(socket.timeout):
            self.echo(end, b"x")
        self.assertEqual(self.proxy.stats()["swallowed"], 1)

    def test_throttle(self):
        end = self.connect()
        self.proxy.throttle(100000)
        begin = time.monotonic()
        self.assertEqual(len(self.echo(end, bytes(50000))), 50000)
        self.assertGreater(time.monotonic() - begin, 0.4)

    def test_flip(self):
        end = self.connect()
        self.proxy.flip_at(1000)
        got = self.echo(end, bytes(5000))
        self.assertEqual(sum(bin(byte).count("1")
                             for byte in got), 1)
        self.assertEqual(got[:1000], bytes(1000))
        self.assertNotEqual(got[1000], 0)
        self.assertEqual(self.echo(end, bytes(5000)), bytes(5000))
        self.proxy.flip(1.0)
        self.assertNotEqual(self.echo(end, bytes(5000)), bytes(5000))
        self.assertGreater(self.proxy.stats()["flips"], 1)


if __name__ == "__main__":
    unittest.main()
