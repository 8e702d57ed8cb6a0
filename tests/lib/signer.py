# SPDX-License-Identifier: Apache-2.0
"""Signed requests as bytes, for tests that speak HTTP themselves."""
import re

from signed import EBS, canonical, v3_headers


class Signer:
    def __init__(self, site):
        """A new root key of a site that runs."""
        text = site.verso("key", "create", "--root", "-q")
        self.key, self.secret = re.fullmatch(r"AccessKeyId\s+(\S+)\nAccessKeySecret\s+(\S+)", text).groups()

    def get(self, action, version=EBS, **parameters):
        """The bytes of a request."""
        query = canonical(parameters)
        fields = v3_headers("GET", "x", self.key, self.secret, action, version, query)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"GET /?{query} HTTP/1.1\r\n{head}\r\n".encode()
