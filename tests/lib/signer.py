# SPDX-License-Identifier: Apache-2.0
"""Signed requests (ACS3-HMAC-SHA256), for tests that speak HTTP themselves."""
import datetime
import hashlib
import hmac
import re
import urllib.parse
import uuid


class Signer:
    def __init__(self, site):
        """A new root key of a site that runs."""
        text = site.verso("key", "create", "--root", "-q")
        self.key, self.secret = re.fullmatch(r"AccessKeyId\s+(\S+)\nAccessKeySecret\s+(\S+)", text).groups()

    def get(self, action, version="2021-07-30", **parameters):
        """The bytes of a request."""
        query = "&".join(f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(str(value), safe='-_.~')}"
                         for name, value in sorted(parameters.items()))
        digest = hashlib.sha256(b"").hexdigest()
        now = datetime.datetime.now(datetime.timezone.utc)
        fields = {"host": "x", "x-acs-action": action, "x-acs-content-sha256": digest,
                  "x-acs-date": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "x-acs-signature-nonce": uuid.uuid4().hex,
                  "x-acs-version": version}
        names = ";".join(sorted(fields))
        canonical = "\n".join(["GET", "/", query, *(f"{name}:{fields[name]}" for name in sorted(fields)), "", names, digest])
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        fields["Authorization"] = f"ACS3-HMAC-SHA256 Credential={self.key},SignedHeaders={names},Signature={signature}"
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"GET /?{query} HTTP/1.1\r\n{head}\r\n".encode()
