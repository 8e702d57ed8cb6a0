# SPDX-License-Identifier: Apache-2.0
"""Calls of the API over TCP, signed with V3 or V1, by the standard library alone."""
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import urllib.parse
import uuid

EBS, ECS, OWN, STS = "2021-07-30", "2014-05-26", "2026-11-22", "2015-04-01"


def encode(text):
    return urllib.parse.quote(str(text), safe="~")


def canonical(parameters):
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(parameters.items()))


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def v3_headers(method, host, key, secret, action, version, query):
    """The headers of a request to "/" without a body, signed with V3; `query` is canonical."""
    headers = {"host": host, "x-acs-action": action, "x-acs-version": version, "x-acs-date": now(),
               "x-acs-signature-nonce": uuid.uuid4().hex, "x-acs-content-sha256": hashlib.sha256(b"").hexdigest()}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join((method, "/", query, lines, names, headers["x-acs-content-sha256"]))
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders={names},Signature={signature}"
    return headers


class Client:
    """One access key at one address."""

    def __init__(self, port, key, secret, host="127.0.0.1", source=None):
        self.host, self.port, self.key, self.secret, self.source = host, port, key, secret, source

    def send(self, method, target, headers):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30,
                                                source_address=(self.source, 0) if self.source else None)
        try:
            connection.request(method, target, headers=headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def call(self, action, version=EBS, **parameters):
        """Signed with V3; (status, reply)."""
        query = canonical(parameters)
        headers = v3_headers("POST", f"{self.host}:{self.port}", self.key, self.secret, action, version, query)
        headers["accept"] = "application/json"
        return self.send("POST", "/?" + query if query else "/", headers)

    def call_v1(self, action, version=EBS, **parameters):
        """Signed with V1."""
        parameters = {**parameters, "Action": action, "Version": version, "Format": "JSON", "AccessKeyId": self.key,
                      "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": uuid.uuid4().hex,
                      "Timestamp": now()}
        text = "GET&%2F&" + encode(canonical(parameters))
        signature = base64.b64encode(hmac.new((self.secret + "&").encode(), text.encode(), hashlib.sha1).digest()).decode()
        return self.send("GET", "/?" + canonical({**parameters, "Signature": signature}), {})
