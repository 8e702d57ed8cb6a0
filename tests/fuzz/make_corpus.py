#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The named inputs of the corpora: what other servers fell over (reliability.md's table of NBD's CVEs), and one good
session each, so that a fuzzer begins where it gets interesting.

    tests/fuzz/make_corpus.py            writes them to tests/fuzz/corpus/TARGET/NAME
    tests/fuzz/make_corpus.py --check    are they in the tree as this script makes them?

A named input has a '-' in its name. All others are what fuzzers found (tools/fuzz --merge), by hash.
"""
import itertools
import json
import pathlib
import struct
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "corpus"
INPUTS = {}


def add(target, name, data):
    assert "-" in name and (target, name) not in INPUTS, name
    INPUTS[(target, name)] = bytes(data)


# --- NBD handshake: the actions of fuzz_nbd_handshake.c -----------------------------------------------------------

EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META = 1, 2, 3, 5, 6, 7, 8, 9, 10
ALL_OPTIONS = (EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META)
A_OPTION, A_FLAGS, A_RAW, A_CLAIM, A_PAUSE, A_DEAF, A_CLIENT, A_CLOSE, A_REQUEST, A_REPEAT, A_CROWD = range(11)
SLOWLY = 0x80


def option(number, data=b"", how=0):
    return struct.pack(">BBH", A_OPTION | how, number, len(data)) + data


def claim(number, length, data=b""):
    return struct.pack(">BBIB", A_CLAIM, number, length, len(data)) + data


def raw(data, how=0):
    return struct.pack(">BH", A_RAW | how, len(data)) + data


def repeat(number, times, data=b""):
    return struct.pack(">BBBB", A_REPEAT, number, times, len(data)) + data


def flags(value=3, how=0):
    return bytes([A_FLAGS | how, value])


def client(number):
    return bytes([A_CLIENT, number])


CLOSE, DEAF, REQUEST = bytes([A_CLOSE]), bytes([A_DEAF]), bytes([A_REQUEST])


def pause(tenths):
    return bytes([A_PAUSE, tenths])


def named(name):
    return struct.pack(">I", len(name)) + name


def info(name=b"disk", infos=(), count=None):
    return named(name) + struct.pack(">H", len(infos) if count is None else count) \
        + b"".join(struct.pack(">H", number) for number in infos)


def meta(name=b"disk", queries=(b"base:allocation",), count=None):
    return named(name) + struct.pack(">I", len(queries) if count is None else count) + b"".join(map(named, queries))


def data_of(number):
    """Well-formed data of an option."""
    return {EXPORT_NAME: b"disk", INFO: info(infos=(0, 1, 2, 3)), GO: info(), LIST_META: meta(),
            SET_META: meta()}.get(number, b"")


def header(number, length):
    return struct.pack(">8sII", b"IHAVEOPT", number, length)


def handshakes():
    target = "nbd_handshake"
    whole = struct.pack(">I", 3) + header(STRUCTURED, 0) + header(SET_META, len(meta())) + meta() \
        + header(GO, len(info())) + info()

    add(target, "good-go", flags() + option(STRUCTURED) + option(SET_META, meta()) + option(LIST)
        + option(INFO, info(infos=(0, 1, 2, 3))) + option(GO, info(infos=(3,))) + REQUEST)
    add(target, "good-export-name", flags() + option(LIST) + option(EXPORT_NAME, b"snapshot") + REQUEST)
    add(target, "good-byte-by-byte", flags(3, SLOWLY) + option(STRUCTURED, how=SLOWLY) + option(GO, info(), SLOWLY))
    add(target, "good-abort", flags() + option(ABORT))

    for part, lengths in (("early", range(0, 48)), ("late", range(48, len(whole) + 1))):
        add(target, f"cve-2013-7441-close-after-each-byte-{part}",
            b"".join(raw(whole[:length]) + CLOSE + client(0) for length in lengths))
    add(target, "cve-2013-7441-unknown-export",
        b"".join(client(0) + flags() + option(number, data) + CLOSE for number, data in
                 ((EXPORT_NAME, b"nobody"), (GO, info(b"nobody")), (INFO, info(b"nobody")),
                  (LIST_META, meta(b"nobody")), (EXPORT_NAME, b""), (GO, info(b"")))))
    for length in (0, 4096, 4097, 1 << 31, 0xffffffff):
        add(target, f"cve-2022-26495-name-length-{length:x}",
            b"".join(client(0) + flags() + option(STRUCTURED) + option(number, struct.pack(">I", length) + rest) + CLOSE
                     for number in (INFO, GO, LIST_META, SET_META) for rest in (b"", b"disk", bytes(6))))
    add(target, "cve-2022-26496-name-longer-than-option",
        flags() + option(STRUCTURED) + b"".join(option(number, struct.pack(">I", length) + b"disk" + bytes(2))
                                                for number in (INFO, GO, LIST_META, SET_META)
                                                for length in (5, 6, 7, 8, 100, 0x7fffffff)))
    add(target, "cve-2022-26496-info-count",
        flags() + b"".join(option(number, info(infos=(3,), count=count)) for number in (INFO, GO)
                           for count in (0, 2, 3, 0x7fff, 0x8000, 0x8001, 0xffff)))
    for length in (255, 256, 257, 4096, 4097):
        name = b"n" * length
        add(target, f"cve-2017-15118-name-of-{length}",
            flags() + option(STRUCTURED) + option(INFO, info(name)) + option(GO, info(name))
            + option(LIST_META, meta(name)) + option(SET_META, meta(name)) + option(LIST, name)
            + option(EXPORT_NAME, name))
    for number in ALL_OPTIONS + (4, 0, 99, 255):
        add(target, f"cve-2017-15119-option-of-4-gib-{number}",
            flags() + claim(number, 0xffffffff, b"x" * 64) + raw(b"y" * 2000) + CLOSE
            + client(1) + flags() + claim(number, 65537, b"x") + pause(1)
            + client(2) + flags() + claim(number, 65536, b"x") + pause(1))
    add(target, "cve-2017-7539-abort-in-negotiation",
        b"".join(client(0) + flags() + option(number, data_of(number)) + option(ABORT) + CLOSE
                 for number in (LIST, INFO, STRUCTURED, STARTTLS)) + client(0) + option(ABORT))
    name = b"\xff" * 4096
    add(target, "cve-2020-10761-longest-texts-in-errors",
        flags() + option(STRUCTURED) + option(INFO, info(name)) + option(GO, info(b"%n" * 2048))
        + option(SET_META, meta(name)) + option(SET_META, meta(b"disk", (b"q" * 4096,)))
        + option(LIST_META, meta(b"disk", (b"base:" + b"q" * 4091, b"\r\n\x1b[2J")))
        + option(99, name) + option(EXPORT_NAME, name))
    add(target, "cve-2024-7409-crowd-that-negotiates-while-the-server-stops",
        flags() + bytes([A_CROWD, 200]) + client(1) + flags() + claim(GO, 100, b"x" * 50) + client(2)
        + raw(b"\0\0"))
    add(target, "cve-2024-7409-crowd-that-waits",
        bytes([A_CROWD, 80]) + pause(15) + bytes([A_CROWD, 80]) + client(1) + flags() + option(GO, info()) + REQUEST)
    for group in ((STRUCTURED, SET_META, LIST_META, GO), (STARTTLS, STRUCTURED, SET_META, GO), (LIST, INFO, GO, ABORT),
                  (EXPORT_NAME, STRUCTURED, INFO, SET_META), (SET_META, SET_META, STRUCTURED, EXPORT_NAME),
                  (STARTTLS, LIST, LIST_META, ABORT), (INFO, INFO, GO, GO)):
        add(target, "cve-2019-14851-order-of-options-" + "-".join(map(str, group)),
            b"".join(client(0) + flags() + b"".join(option(number, data_of(number)) for number in order) + CLOSE
                     for order in sorted(set(itertools.permutations(group)))))
    add(target, "cve-2021-3716-plaintext-around-starttls",
        flags() + option(STRUCTURED) + option(SET_META, meta())
        + raw(header(STARTTLS, 0) + header(LIST, 0) + header(GO, len(info())) + info()) + REQUEST
        + client(1) + flags() + option(STARTTLS) + option(STARTTLS) + option(STARTTLS, b"x") + option(LIST))
    add(target, "cve-2019-14850-says-nothing", pause(50) + client(1) + pause(60) + client(2) + flags() + pause(110))
    add(target, "cve-2013-6410-part-of-a-name",
        flags() + b"".join(option(INFO, info(text)) for text in (b"dis", b"disk\0", b"disk1", b"diskdisk", b"isk", b"d",
                                                                 b"snap", b"DISK", b" disk")))
    add(target, "slow-loris-one-byte-a-second",
        b"".join(raw(whole[i:i + 1]) + pause(10) for i in range(14)))
    add(target, "too-many-options", flags() + repeat(LIST, 79) + repeat(99, 10, b"x"))
    add(target, "deaf-and-asks-for-lists", flags() + DEAF + repeat(LIST, 60) + pause(120))
    add(target, "flags-unknown", flags(7) + client(1) + flags(0) + option(EXPORT_NAME, b"disk") + REQUEST
        + client(2) + raw(b"\xff\xff\xff\xff"))
    add(target, "meta-counts",
        flags() + option(STRUCTURED)
        + b"".join(option(number, meta(count=count)) for number in (LIST_META, SET_META)
                   for count in (0, 2, 0x10000, 0x7fffffff, 0xffffffff))
        + option(LIST_META, meta(queries=(b"base:", b"", b"qemu:dirty-bitmap:x", b"base:allocation")))
        + option(SET_META, meta(queries=())) + option(LIST_META, meta(queries=())))


# --- NBD transmission: the actions of fuzz_nbd_transmission.c -----------------------------------------------------

(T_REQUEST, T_WRITE, T_READ, T_BURST, T_FULL, T_RAW, T_PAUSE, T_DEAF, T_REMOVE, T_HOLD, T_FAULT,
 T_TRICKLE) = range(12)
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
MIB = 1 << 20


def request(command, flag, offset, length):
    return struct.pack("<B", T_REQUEST) + struct.pack(">BBHH", command, flag, offset, length)


def full(command, flag, offset, length):
    return struct.pack(">BHHQI", T_FULL, command, flag, offset, length)


def write(offset, length):
    return bytes([T_WRITE, offset, length])


def read(offset, length):
    return bytes([T_READ, offset, length])


def transmissions():
    target = "nbd_transmission"
    every = b"".join(request(command, flag, 8, 16) for command in (WRITE, READ, FLUSH, TRIM, CACHE, ZEROES, STATUS)
                     for flag in (0, 1, 2, 4, 8, 16))
    for settings in (0, 1, 3, 4, 7, 8, 11, 19):
        add(target, f"good-session-{settings}", bytes([settings]) + write(0, 7) + write(8, 200) + read(0, 64) + every
            + read(0, 255))
    for settings in (0, 3):
        add(target, f"cve-2013-6410-lengths-{settings}",
            bytes([settings]) + b"".join(full(command, 0, offset, length)
                                         for command in (READ, TRIM, CACHE, ZEROES, STATUS, FLUSH)
                                         for length in (1 << 31, 0xffffffff, (1 << 25) + 512)
                                         for offset in (0, 512)))
    add(target, "cve-2013-6410-write-of-4-gib", bytes([0]) + full(WRITE, 0, 0, 0xffffffff) + write(0, 8))
    add(target, "cve-2013-6410-write-of-2-gib", bytes([1]) + full(WRITE, 0, 0, 1 << 31) + bytes([T_PAUSE, 200]))
    add(target, "cve-2013-6410-write-of-64-mib", bytes([1]) + full(WRITE, 0, 0, 1 << 26) + bytes([T_PAUSE, 255]))
    statuses = [(offset, length, flag) for flag in (0, 8) for offset, length in
                ((0, 0xffffffff), (0, 0xfffffe00), (MIB - 512, 512), (MIB - 512, 1024), (MIB, 512), (MIB - 512, 0xffffffff),
                 (1, 512), (512, 1), (0, 0), (0, MIB), (0, MIB + 512), ((1 << 64) - 512, 512), ((1 << 64) - 512, 1024),
                 ((1 << 63), 512))]
    for name, settings in (("chunks", 3), ("no-context", 1), ("simple", 0)):
        add(target, f"cve-2025-47711-47712-block-status-{name}",
            bytes([settings]) + write(8, 8) + write(100, 30)
            + b"".join(full(STATUS, flag, offset, length) for offset, length, flag in statuses))
    add(target, "extremes-of-offset",
        bytes([1]) + b"".join(full(command, 0, offset, 512) for command in (READ, TRIM, ZEROES, CACHE)
                              for offset in ((1 << 64) - 512, (1 << 63) - 512, 1 << 63, MIB, MIB - 511, 1 << 32)))
    add(target, "deaf-reader-of-much",
        bytes([17 + 32]) + b"".join(bytes([T_BURST, 28]) + struct.pack(">BBHH", READ, 0, 0, 2048) for _ in range(3))
        + bytes([T_PAUSE, 60, T_DEAF]))
    add(target, "dies-in-payload", bytes([0]) + full(WRITE, 0, 0, 4096) + bytes([T_RAW, 0, 9]) + b"123456789")
    add(target, "trickle-of-single-bytes", bytes([0, T_TRICKLE, 1]) + write(0, 3) + read(0, 3) + write(1, 1))
    add(target, "export-goes-away-under-requests",
        bytes([1, T_HOLD]) + write(0, 20) + read(0, 20) + bytes([T_REMOVE]) + write(3, 3) + bytes([T_HOLD]) + read(0, 1))
    add(target, "disk-fails",
        bytes([3, T_FAULT, 1, 0]) + write(0, 8) + bytes([T_FAULT, 1, 1]) + write(0, 8) + bytes([T_FAULT, 2, 0])
        + request(FLUSH, 0, 0, 0xff00) + write(1, 1) + read(0, 8) + bytes([T_FAULT, 0, 0]) + read(0, 8))
    add(target, "requests-without-magic", bytes([0]) + bytes([T_RAW, 0, 28]) + b"\x25\x60\x95\x14" + bytes(24))
    add(target, "disconnects-with-requests-under-way",
        bytes([0, T_HOLD]) + write(0, 200) + read(0, 200) + request(DISC, 0, 0, 0) + bytes([T_HOLD]))


# --- the parsers --------------------------------------------------------------------------------------------------

def frame(kind, payload=b"", twist=0, channel=0, message=0):
    return struct.pack("<BBHHH", kind, twist, message, channel, len(payload)) + payload


def hello(role=0, site=b"lyon", nonce=7, echo=0, window=4 << 20, protocol=(1, 1), site_id=2, software=b"verso 0"):
    """A HELLO's payload (docs/link.md)."""
    return struct.pack("<HHBBBBQQQII", *protocol, role, len(site), len(software), 0, site_id, nonce, echo, window,
                       0) + site + software


def frames():
    add("link_frame", "good-frames", b"\0" + frame(1, hello()) + frame(3, bytes(8)) + frame(6, b"pg-0", channel=1)
        + frame(9, b"data" * 40, channel=1, message=2) + frame(7, struct.pack("<I", 160), channel=1) + frame(4, bytes(8)))
    add("link_frame", "refuse-with-text", b"\x08" + frame(2, struct.pack("<HH", 1, 5) + b"no\r\n!"))
    add("link_frame", "longest-frame", b"\x06" + frame(9, b"x" * 65535, channel=1, message=2) * 2)
    for twist in range(1, 6):
        add("link_frame", f"twisted-{twist}", b"\x18" + frame(4, bytes(8)) + frame(4, bytes(8), twist) + frame(4, bytes(8)))


# --- signed requests: fuzz_canonical.c, fuzz_door.c (flags, twists, then the text of fuzz_draft.h) ------------------

CAPTURES = FOLDER.parent.parent / "unit" / "access" / "captures"
UNIX, PLAIN, TLS, BY_V1, BY_V3, REMOTE, ALLOW = 0, 1, 2, 4, 8, 16, 32


def draft(raw):
    """A capture as the text of fuzz_draft.h: names in lower case, the body without chunks."""
    head, body = raw.split(b"\r\n\r\n", 1)
    lines = head.split(b"\r\n")
    method, target, _ = lines[0].split(b" ")
    fields = [(name.lower(), value) for name, value in (line.split(b": ", 1) for line in lines[1:])]
    if (b"transfer-encoding", b"chunked") in fields:
        body = body.split(b"\r\n")[1]
    return method + b" " + target.partition(b"?")[2] + b"\n" \
        + b"".join(name + b": " + value + b"\n" for name, value in fields) + b"\n" + body


def door(flags, text, *twists):
    """`twists`: (0 query, 1 body, 2 heads; where; what to)."""
    return bytes([flags, len(twists)]) + b"".join(struct.pack("<BHB", *twist) for twist in twists) + text


def signatures():
    for path in sorted(CAPTURES.glob("*.http")):
        text = draft(path.read_bytes())
        add("canonical", f"capture-{path.stem}", text)
        for name, where in (("unix", UNIX), ("plain", PLAIN), ("tls", TLS)):
            add("door", f"capture-{path.stem}-{name}", door(where, text))
    hostile = b"a=b%26c&Empty=&Bare&=x&%C3%A9=%c3%a9&Z=*~!'()+%2B%2b/&z=%7e%7E&A-b=1&A.b=2"
    for name, query in (("hostile", hostile), ("twice-alike", b"a=1&a=%31"), ("twice-not-alike", b"a=1&a=2"), ("broken", b"a=%&b=%4"),
                        ("nul", b"a=%00"), ("many", b"&".join(b"k%d=v" % i for i in range(260))), ("no-utf8", b"a=%ff")):
        add("canonical", f"query-{name}", b"POST " + query + b"\nhost: h\nauthorization: ACS3-HMAC-SHA256 Credential=k,SignedHeaders=host,"
            b"Signature=s\n\n")
        add("canonical", f"body-{name}", b"POST x=1\nhost: h\ncontent-type: f\n\n" + query)
    for name, value in (("unsorted", b"A Credential=k,SignedHeaders=b;a,Signature=s"), ("empty-name", b"A Credential=k,SignedHeaders=a;;b,Signature=s"),
                        ("no-key", b"A Credential=,SignedHeaders=a,Signature=s"), ("spaces", b"A  Credential=k,  SignedHeaders=a,Signature=s"),
                        ("many-names", b"A Credential=k,SignedHeaders=" + b";".join(b"n%02d" % i for i in range(70)) + b",Signature=s"),
                        ("long-key", b"A Credential=" + b"k" * 200 + b",SignedHeaders=a,Signature=s")):
        add("canonical", f"authorization-{name}", b"GET \na: 1\na: 2\nb: 3\nauthorization: " + value + b"\n\n")
    names = b"x-acs-action: DescribeDisks\nx-acs-version: 2014-05-26\n"
    v1 = b"POST Action=DescribeDisks&Version=2014-05-26&Format=json&RegionId=eu&Name=" + hostile + b"\n" + names + b"\nDiskIds=%5B%5D"
    v3 = b"POST RegionId=eu&Name=" + hostile + b"\n" + names + b"content-type: application/x-www-form-urlencoded\n\nDiskIds=%5B%5D"
    for name, where in (("unix", UNIX), ("loopback", PLAIN), ("tls", TLS | REMOTE), ("remote", PLAIN | REMOTE), ("allowed", PLAIN | REMOTE | ALLOW)):
        add("door", f"good-v1-{name}", door(where | BY_V1, v1))
        add("door", f"good-v3-{name}", door(where | BY_V3, v3))
        add("door", f"none-{name}", door(where, v1))
    for part in range(3):
        for where in (0, 9, 30, 60):
            add("door", f"twist-v1-{part}-{where}", door(TLS | BY_V1, v1, (part, where, ord("x"))))
            add("door", f"twist-v3-{part}-{where}", door(TLS | BY_V3, v3, (part, where, ord("x"))))
    add("door", "twist-same-meaning", door(TLS | BY_V3, b"POST a=+b\n" + names + b"\n", (0, 2, ord("+"))))
    add("door", "bearer-token", door(TLS, b"GET SignatureType=BEARERTOKEN&BearerToken=x&Action=DescribeDisks&Version=2014-05-26\n\n"))
    add("door", "sts-token", door(TLS | BY_V3, b"GET \nx-acs-security-token: t\n" + names + b"\n"))
    add("door", "unknown-version", door(TLS | BY_V1, b"GET Action=A&Version=2017-12-14\n\n"))
    add("door", "field-twice", door(TLS | BY_V3, b"GET \nx-acs-action: DescribeDisks\nx-acs-action: DeleteDisk\nx-acs-version: 2014-05-26\n\n"))


def texts():
    conf = b"""[site]\nname=paris\nregion=eu\nzone=a\ndata=/var/lib/verso\nio=auto\n[api]\nsocket=/run/verso/api.sock
[nbd]\nsocket=/run/verso/nbd.sock\nlisten=127.0.0.1:10809\n[link]\nlisten=0.0.0.0:10909\npsk-file=key
[peer.lyon]\nregion=eu\nzone=b\naddress=10.0.0.2:10909\n[replication]\ninterval=1s\nstash-memory=64M\nstash-disk=4G
journal-max=16GiB\nretain-time=10m\nretain-bytes=1G\nbandwidth=0\non-peer-silent=hold\npeer-wait=30s\n"""
    add("config", "good-whole", conf)
    add("config", "good-least", b"[site]\nname=a\nregion=b\nzone=c\n[nbd]\nsocket=/s\n")
    add("config", "long-line", b"[site]\nname=" + b"a" * 400 + b"\n")
    add("config", "weak-key", conf.replace(b"=key", b"=weak"))
    add("config", "numbers-absurd", conf.replace(b"64M", b"99999999999999999999G").replace(b"=1s", b"=18446744073709551616d"))
    add("form", "good-create", b"\x05\xffRegionId=eu&ZoneId=a&DiskName=one%20disk&Size=20&ClientToken=abc")
    for number_ in range(64):
        add("form", f"operation-{number_}-with-much",
            bytes([number_, 0]) + b"RegionId=eu&ZoneId=a&DiskId=d-1&DestinationDiskId=d-2&ReplicaPairId=pair-1&ReplicaGroupId=pg-1"
            b"&SourceZoneId=a&DestinationRegionId=eu&DestinationZoneId=b&SourceRegionId=eu&Size=20&DiskName=one&PairName=p"
            b"&GroupName=g&Description=text&ClientToken=t&OneShot=TRUE&PageNumber=1&PageSize=10&DiskIds=%5B%22d-1%22%5D"
            b"&InstanceId=i-1&RPO=900&Bandwidth=10240&ReverseReplicate=false&MaxResults=10&NextToken=x&ChargeType=POSTPAY"
            b"&PairIds=pair-1%2Cpair-2&GroupIds=pg-1&Site=paris&Name=n&Path=%2Fdev%2Fsda&PairIds.1=a"
            b"&ResourceType=diskreplicapair&ResourceId.1=pair-1&ResourceId.2=pair-1&Tag.1.Key=k&Tag.1.Value=v&Tag.2.key=l"
            b"&TagKey.1=k&NewSize=3&DiskIds.1=d-1")
    for number_ in range(64):
        add("form", f"operation-{number_}-with-odd-numbers",
            bytes([number_, 0]) + b"RegionId=eu&ResourceType=x&ResourceId.0=a&ResourceId.10000=b&ResourceId.01=c&ResourceId.9999=d"
            b"&Tag.2.Value=v&Tag.7.Key=k&Tag.8.Key=k&TagKey.3=&TagKey.99999999999999999999=x&Tag.1=y&Tag.=z&Tag.1.Scope=s")
    add("form", "ids-as-json", b"\x09\x20Action=DescribeDisks&DiskIds=%5B%22d-1%22%2C%22d-2%22%5D&PageSize=10")
    add("form", "broken-escapes", b"\x01\x04a=%&b=%4&c=%zz&d=%00&e=%ff&f=%c3%a4")
    add("form", "utf8-overlong-and-surrogates", b"\x01\xff" + b"a=%c0%80&b=%ed%a0%80&c=%f4%90%80%80&d=%f0%9f%98%80")
    add("form", "too-many-pairs", b"\x01\xff" + b"&".join(b"k%d=v" % i for i in range(210)))
    post, get = b"POST /?Action=A HTTP/1.1\r\nHost: x\r\n", b"GET /?Action=B&c=d HTTP/1.1\r\nHost: x\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n2;x=\"y\"\r\n&b\r\n0\r\nTrailer: t\r\n\r\n"
    add("http", "good-three", post + b"Content-Length: 3\r\n\r\na=1" + get + b"\r\n" + post + chunks)
    add("http", "good-many", (get + b"x-acs-action: DescribeDisks\r\nX-Empty:\r\nConnection: keep-alive\r\n\r\n") * 20)
    add("http", "good-expect", post + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\na=1")
    add("http", "good-old", b"GET / HTTP/1.0\r\n\r\n")
    add("http", "other-methods", b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naHEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + get + b"\r\n")
    for name_, field in {"both-framings": b"Content-Length: 3\r\n" + chunks, "two-lengths": b"Content-Length: 3\r\n" * 2,
                         "two-codings": b"Transfer-Encoding: chunked\r\n" + chunks, "gzip-coding": b"Transfer-Encoding: gzip, chunked\r\n",
                         "space-colon": b"Content-Length : 3\r\n", "folded-line": b"A: b\r\n c\r\n", "folded-length": b"Content-Length:\r\n 3\r\n",
                         "bare-lf": b"A: b\nContent-Length: 3\r\n", "bare-cr": b"A: b\rContent-Length: 3\r\n",
                         "nul-in-value": b"A: b\0c\r\n", "nul-line": b"\0\r\n", "two-hosts": b"Host: y\r\n",
                         "no-name": b": x\r\n", "no-colon": b"abc\r\n", "plus-length": b"Content-Length: +3\r\n"}.items():
        add("http", f"smuggle-{name_}", post + field + b"\r\na=1" + get + b"\r\n")
    add("http", "noise-tls", bytes.fromhex("160301020001000000"))
    add("http", "noise-lines", b"\r\n\n\0x\r\ngarbage\r\n" + get + b"\r\n")
    add("http", "nul-in-target", b"GET /\0x HTTP/1.1\r\nHost: x\r\n\r\n")
    add("http", "chunk-sizes", post + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\na=1\r\n0\r\n\r\n")
    add("http", "chunk-huge", post + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na=1\r\n0\r\n\r\n")
    add("http", "chunk-lf", post + b"Transfer-Encoding: chunked\r\n\r\n3\na=1\n0;a\nb\r\n\r\n" + get + b"\r\n")
    signatures()
    add("payload", "good-round-trip", b"\x01\x00\x00" + b"abcdefgh" * 64)
    add("payload", "bomb-wants-more", b"\x00\xff\xff" + bytes.fromhex("28b52ffd0458") + bytes(40))
    disk = b'{"id":"d-1","name":"n","description":"","status":"Available","size_bytes":1073741824}'
    add("record_tree", "disk-without-fields", b"\x00" + disk)
    for kind in range(7):
        for name, text in (("nothing", b'{}'), ("id", b'{"id":"x-1","disk_id":"d-1"}'), ("status", b'{"status":"Available"}'),
                           ("long-text", b'{"name":"' + b"n" * 600 + b'","id":"' + b"i" * 300 + b'"}'),
                           ("wrong-types", b'{"id":7,"term":"x","is_acked":0,"size_bytes":1.5,"status":3}'),
                           ("numbers", b'{"term":-1,"size_bytes":9223372036854775807,"version":-9223372036854775808}')):
            add("record_tree", f"whole-{kind}-over-{name}", bytes([0x80 + kind]) + text)
    add("record_tree", "nested-deep", b"\x80" + b"[" * 200)
    add("record_tree", "many-tokens", b"\x80" + b"[" + b"1," * 3000 + b"1]")
    add("record_tree", "name-twice", b'\x86{"id":"a","id":"b"}')
    add("record_tree", "tombstone-whole",
        b'\x06{"id":"d-1","peer":"lyon","term":3,"is_acked":true,"created_s":5,"forgotten":0}')
    add("record_tree", "numbers-too-large", b'\x06{"id":"d-1","peer":"lyon","term":9223372036854775808,"is_acked":1}')


def peer_calls():
    root = {"kind": "local", "user": "root", "key": "", "source": "", "secure": True, "now": 1, "nonce": "", "signed": 0}
    key = {**root, "kind": "root-key", "key": "VERSOK1", "source": "192.0.2.7", "nonce": "n-1", "signed": 76}
    places = {"RegionId": "cn-lyon", "SourceZoneId": "cn-lyon-a", "DestinationRegionId": "cn-paris", "DestinationZoneId": "cn-paris-a"}
    ours = "0123456789abcdef"

    def line(name, **arguments):
        return json.dumps({"v": 1, "call": name, "args": arguments}, separators=(",", ":")).encode()

    def forward(action, version="2021-07-30", caller=None, number=ours, hops=1, **parameters):
        return line("forward", action=action, version=version, parameters=parameters, caller=caller or root, request_id="R-1",
                    number=number, hops=hops)

    def put(name, *lines):
        add("peer_call", name, b"\n".join(lines))

    put("forward-read", forward("DescribeDiskReplicaPairs", RegionId="cn-lyon"))
    put("forward-with-consent", forward("CreateDiskReplicaGroup", **places, ClientToken="t"))
    put("forward-without-consent", forward("CreateDiskReplicaGroup", number=ours[::-1], **places))
    put("forward-twice", *[forward("CreateDisk", "2014-05-26", RegionId="cn-lyon", ZoneId="cn-lyon-a", Size="1")] * 2)
    put("forward-back", forward("StopDiskReplicaPair", hops=2, RegionId="cn-lyon", ReplicaPairId="pair-none"))
    put("forward-signed", forward("CreateDiskReplicaGroup", caller=key, **places))
    put("forward-nonce-used", forward("CreateDiskReplicaGroup", caller={**key, "signed": 77}, **places))
    put("forward-number-short", forward("CreateDiskReplicaGroup", number="1", **places))
    put("forward-bad-callers", *[forward("DescribeDiskReplicaPairs", caller={**key, **more}, RegionId="cn-lyon")
                                 for more in ({"nonce": "n" * 65}, {"nonce": 7}, {"signed": "1"}, {"now": -1}, {"key": ""})])
    put("consent-asked", line("forward.consent", number=ours), line("forward.consent", number=""), line("forward.consent"))
    put("nonces-told", line("nonces.put", items=[{"key": "K", "nonce": "n", "signed": 1}]), line("nonces.put", items=[]), line("nonces.put", items=[7]))
    put("nonces-too-many", line("nonces.put", items=[{"key": "K", "nonce": "n", "signed": 1}] * 65))
    put("drop-halves", line("pair.drop", id="pair-none"), line("pair.drop", id="pg-1"), line("pair.drop"))
    put("other-calls", line("stream.prepare", id="pg-1", serial=1, records=[]), line("reprotect.check", id="pg-1"),
        line("record.delete", id="pair-0123456789abcd", term=1), line("record.put", kind="pair", record={}), line("pair.prepare"))
    put("user-told", line("access.put", items=[{"kind": "user", "record": {
        "id": "anna", "version": 1, "site": "paris", "is_deleted": False, "created_s": 1, "uid": "2", "description": ""}}]))
    put("nonsense-calls", b"", b"{", b"[]", b'{"v":2,"call":"forward","args":{}}', b'{"v":1,"call":"nonsense","args":{}}')


def policies():
    pair = "acs:ebs:eu:1000000000000001:diskreplicapair/pair-1"

    def ask(name, document, action="ebs:StartDiskReplicaPair", resource=pair, source="192.0.2.7"):
        text = document if isinstance(document, str) else json.dumps(document)
        add("policy", name, b"\0".join(part.encode() for part in (action, resource, source, text)))

    def whole(**more):
        return {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "ebs:*", "Resource": "*", **more}]}

    ask("good-all", whole())
    ask("good-lists", whole(Action=["ecs:Describe*", "ebs:St?rt*"], Resource=[pair, "acs:ebs:*:*:diskreplicagroup/*"]))
    ask("good-deny", {"Version": "1", "Statement": [*whole()["Statement"], *whole(Effect="Deny", Resource=pair)["Statement"]]})
    ask("not-action-and-resource", {"Version": "1", "Statement": [{"Effect": "Deny", "NotAction": "ebs:Stop*", "NotResource": "acs:ecs:*:*:*"}]})
    for words, key, values in (("StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike StringNotLike",
                                "ebs:tag/team", ["a", "?*"]),
                               ("NumericEquals NumericNotEquals NumericLessThan NumericLessThanEquals NumericGreaterThan "
                                "NumericGreaterThanEquals", "ecs:tag/size", ["10", "-1.5"]),
                               ("DateEquals DateNotEquals DateLessThan DateLessThanEquals DateGreaterThan DateGreaterThanEquals",
                                "acs:CurrentTime", ["2026-11-22T08:00:00Z", "2024-02-29T23:59:59-08:00"]),
                               ("Bool", "acs:SecureTransport", "true"),
                               ("IpAddress NotIpAddress", "acs:SourceIp", ["192.0.2.0/24", "2001:db8::/33", "::ffff:10.0.0.0/104"])):
        for word in words.split():
            ask(f"condition-{word}", whole(Condition={word: {key: values}}))
    ask("source-v6", whole(Condition={"IpAddress": {"acs:SourceIp": "2001:db8::/32"}}), source="2001:db8::1")
    ask("source-mapped", whole(Condition={"IpAddress": {"acs:SourceIp": "192.0.2.0/24"}}), source="::ffff:192.0.2.7")
    ask("source-none", whole(Condition={"NotIpAddress": {"acs:SourceIp": "192.0.2.0/24"}}), source="")
    ask("deny-by-tag", {"Version": "1", "Statement": [*whole()["Statement"], *whole(
        Effect="Deny", Condition={"StringNotEquals": {"ebs:tag/a": "a"}})["Statement"]]})
    ask("nested-deep", "[" * 3000)
    ask("element-twice", '{"Version":"1","Version":"1","Statement":[]}')
    ask("too-long", whole(Sid="x" * 7000))
    ask("many-values", whole(Action=["a:b"] * 513))
    ask("many-statements", {"Version": "1", "Statement": whole()["Statement"] * 65})
    ask("many-conditions", whole(Condition={"StringLike": {f"ebs:tag/{i}": "*" for i in range(70)}}))
    ask("stars-many", whole(Resource="acs:" + "*a" * 1000 + ":::b"), resource="acs:" + "a" * 900)
    ask("wildcard-utf8", whole(Action="ebs:?"), action="?*\u4e2d?", resource="\u4e2d\u4e2d\u4e2d")
    ask("escapes-in-texts", '{"Version":"1","Statement":[{"Effect":"\\u0041llow","Action":"*","Resource":"acs:\\ud83d\\ude00:::\\u0000"}]}')


def messages():
    target = "stream_message"
    generation = struct.pack("<QQQ", 1, 2, 3)
    add(target, "good-cut", b"\x04" + struct.pack("<Q", 5) + generation + struct.pack("<QQQ", 9, 1, 2))
    add(target, "good-ack", b"\x05" + generation + struct.pack("<Q", 5))
    add(target, "good-current", b"\x07" + struct.pack("<Q", 77))
    for kind in range(1, 20):
        add(target, f"zeros-of-{kind}", bytes([kind]) + bytes(40))


# --- the link: the actions of fuzz_link_session.c -----------------------------------------------------------------

(L_FRAME, L_HELLO, L_READY, L_RAW, L_PAUSE, L_DEAF, L_AGAIN, L_TALK, L_BURST, L_CREDIT, L_CALL, L_GREET,
 L_DROP) = range(13)
HELLO, REFUSE, READY, PING, PONG, OPEN, CREDIT, CONTROL, DATA = range(1, 10)


def link_frame(kind, payload=b"", channel=0, message=0):
    return struct.pack("<BBBBH", L_FRAME, kind, message, channel, len(payload)) + payload


def links():
    target = "link_session"
    opened = link_frame(OPEN, b"pg-0", 1)
    for settings in (2, 3, 6, 10):
        add(target, f"good-session-{settings}",
            bytes([settings]) + opened + link_frame(DATA, b"d" * 100, 1, 2) + link_frame(CONTROL, b"c", 1, 1)
            + link_frame(PING, bytes(8)) + bytes([L_TALK, 2, 0, 4, L_CREDIT, L_TALK, 0, 9, 0, L_PAUSE, 20])
            + bytes([L_CALL, 1, 5, 3]) + b"abc" + bytes([L_TALK, 1, 4, 0, L_CALL, 2, 0, 2]) + b"ok")
    add(target, "greeting-step-by-step", bytes([0, L_HELLO, 1, 0, 0, L_READY, 0]) + opened)
    add(target, "greeting-dialled", bytes([1, L_HELLO, 0, 0, 0]) + opened + link_frame(DATA, b"x", 1))
    for twist, value in ((1, 2), (2, 42), (3, 1), (3, 2), (4, 1), (5, 0), (5, 255), (6, 0), (7, 3), (8, 60)):
        add(target, f"hello-twisted-{twist}-{value}",
            bytes([0, L_HELLO, 1, twist, value, L_READY, 0, L_AGAIN, L_HELLO, 0, twist, value]) + opened)
        add(target, f"hello-answer-twisted-{twist}-{value}", bytes([1, L_HELLO, 0, twist, value, L_READY, 0]) + opened)
    add(target, "frames-before-the-greeting", b"\0" + opened + bytes([L_AGAIN]) + link_frame(DATA, b"x", 1)
        + bytes([L_AGAIN]) + link_frame(READY, bytes(8)))
    add(target, "greeting-on-an-open-link", bytes([2, L_HELLO, 1, 0, 0]) + bytes([L_AGAIN, L_GREET, L_READY, 0]))
    add(target, "refused-with-control-characters", bytes([1]) + link_frame(REFUSE, struct.pack("<HH", 2, 6) + b"a\r\n\x1b[m"))
    add(target, "window-overrun", bytes([2]) + opened + bytes([L_BURST, DATA, 1, 39, 0xff, 0xff]) * 2)
    add(target, "channels-all", bytes([2]) + b"".join(link_frame(OPEN, b"pg-%d" % i, i) for i in (0, 1, 2, 7, 255)) + opened)
    add(target, "credit-too-much", bytes([2]) + opened + link_frame(CREDIT, b"\xff\xff\xff\xff", 1))
    add(target, "pong-to-nothing", bytes([2]) + link_frame(PONG, b"\xff" * 8))
    add(target, "deaf-while-pings-come", bytes([6, L_DEAF]) + opened + bytes([L_BURST, PING, 0, 39, 8, 0]) * 4
        + bytes([L_BURST, CONTROL, 1, 39, 0xff, 0xff]) * 3 + bytes([L_PAUSE, 200]))
    add(target, "calls-answered-twice", bytes([2, L_TALK, 1, 4, 0]) + bytes([L_CALL, 2, 0, 1]) + b"a"
        + bytes([L_CALL, 2, 0, 1]) + b"b" + bytes([L_CALL, 2, 99, 0, L_CALL, 3, 0, 0]))
    add(target, "silence-after-the-greeting", bytes([2, L_PAUSE, 160, L_AGAIN, L_PAUSE, 120]))


# --- streams: the actions of fuzz_stream_session.c ----------------------------------------------------------------

(S_HELLO, S_DATA, S_HOLE, S_CUT, S_ACK, S_NUMBER, S_EMPTY, S_HASHES, S_REPROTECT, S_DIRTY, S_DIRTY_END, S_COMMIT,
 S_REFUSED, S_RAW, S_PAUSE, S_ORDER, S_WRITE, S_AGAIN, S_CREDIT) = range(19)
R_SOURCE, R_TARGET, R_PROMOTED, R_FENCED = range(4)
STARTED, REPROTECTING, REVERSE, WANTS, HAS_POINT = 4, 8, 16, 32, 64
O_START, O_STOP, O_FAILOVER, O_REPROTECT, O_REVERSE, O_ONCE = range(6)


def say(flag, epoch=0, line=0, disks=0):
    return bytes([S_HELLO, flag, epoch, line, disks])


def order(which):
    return bytes([S_ORDER, which])


def streams():
    target = "stream_session"
    wait = bytes([S_PAUSE, 5])
    epoch = bytes([S_DATA, 0, 3, 7, 65, 0, S_DATA, 1, 9, 0, 66, 0, S_HOLE, 0, 30, 3, S_CUT, 0]) + wait
    source = say(R_SOURCE | STARTED | WANTS, 0, 2, 0) + wait + bytes([S_EMPTY, 0])
    target_says = say(R_TARGET | WANTS, 0, 4, 3) + wait + say(R_TARGET, 0, 0, 3) + wait
    add(target, "good-target-takes-epochs", bytes([1]) + source + epoch * 4 + bytes([S_PAUSE, 30]) + epoch)
    add(target, "good-target-first-copy", bytes([1]) + say(R_SOURCE | STARTED, 0, 2, 3) + wait + bytes([S_EMPTY, 0])
        + epoch * 2 + bytes([S_NUMBER, 0, 9]))
    add(target, "good-source-ships", bytes([2]) + bytes([S_WRITE, 0, 4, 20, 7]) + target_says
        + bytes([S_CREDIT, S_ACK, 0]) + wait + bytes([S_WRITE, 1, 4, 20, 8]) + wait + bytes([S_CREDIT, S_ACK, 0, S_PAUSE, 40]))
    life = bytes([S_NUMBER, 252, 0])
    same = bytes([S_HASHES, 1, 0, 31, 0, 0]) + wait
    for twist in (0, 6, 7, 8, 16, 248):
        add(target, f"life-{twist}-of-a-first-copy", bytes([2]) + bytes([S_WRITE, 0, 4, 20, 7]) + target_says + life + wait
            + bytes([S_CREDIT, S_AGAIN]) + target_says + life + same * 3 + bytes([S_CREDIT, S_AGAIN]) + target_says
            + bytes([S_NUMBER, 253, twist]) + wait + same * 2 + bytes([S_CREDIT, S_ACK, 0, S_PAUSE, 40]))
    add(target, "good-failover-and-reprotect", bytes([1]) + source + epoch * 2 + order(O_FAILOVER) + wait
        + bytes([S_WRITE, 0, 0, 9, 9, S_AGAIN]) + say(R_FENCED | WANTS, 0, 1, 0) + wait + order(O_REPROTECT) + wait
        + bytes([S_DIRTY, 0, 0, 0, 3, 4, S_DIRTY_END, 0, 0]) + wait + bytes([S_NUMBER, 2, 0]) + wait + order(O_START))
    add(target, "good-loser-of-a-reprotect", bytes([2]) + bytes([S_WRITE, 0, 0, 9, 9])
        + say(R_PROMOTED | WANTS, 0, 2, 0) + wait + bytes([S_REPROTECT, 1, 5]) + wait + bytes([S_COMMIT, 0, 2]) + wait
        + bytes([S_AGAIN]) + say(R_SOURCE | STARTED, 0, 0, 0) + wait + bytes([S_EMPTY, 0]) + epoch)
    add(target, "both-promoted-then-met", bytes([1]) + source + epoch + order(O_FAILOVER) + wait
        + say(R_PROMOTED | WANTS, 0, 2 + 8, 0) + wait + order(O_REVERSE) + wait + bytes([S_REFUSED, 1, 5]) + order(O_REPROTECT))
    for twist in range(1, 6):
        add(target, f"cut-twisted-{twist}", bytes([1]) + source + epoch[:-4] + bytes([S_CUT, twist]) + wait + epoch)
    for twist in (1, 2, 3, 128, 129):
        add(target, f"data-twisted-{twist}", bytes([1]) + source + bytes([S_DATA, 2, 250, 15, 1, twist, S_CUT, 0]) + wait + epoch)
    for line in (1, 2, 3, 4, 5, 69):
        for role in range(4):
            add(target, f"hello-of-{role}-with-line-{line}",
                bytes([2]) + say(role | WANTS | HAS_POINT, 3, line, 0) + wait + say(role | REPROTECTING, 251, line, 3) + wait)
    add(target, "acks-of-other-epochs", bytes([2]) + bytes([S_WRITE, 0, 4, 20, 7]) + target_says
        + bytes([S_ACK, 1, S_ACK, 2, S_ACK, 5, S_ACK, 253]) + wait + bytes([S_ACK, 0, S_ACK, 0]))
    add(target, "disks-of-other-number-and-size", bytes([2]) + say(R_TARGET | WANTS, 0, 4, 255) + wait
        + bytes([S_AGAIN]) + say(R_TARGET | WANTS, 0, 4, 254))
    add(target, "hashes-and-verdicts-unasked", bytes([3]) + source + bytes([S_HASHES, 0, 0, 0, 200, 1, 0, S_HASHES, 1, 0, 250, 255, 1, 0])
        + wait + bytes([S_HASHES, 1, 1, 0, 1, 255, 1]))
    for kind in range(1, 20):
        add(target, f"noise-of-{kind}", bytes([kind & 1]) + source + bytes([S_RAW, kind, kind >> 1 & 1, 40, 0]) + bytes(40))


# --- files: scripts of fuzz_image.h -------------------------------------------------------------------------------

(E_SET, E_FLIP, E_NUMBER, E_ZERO, E_COPY, E_CUT, E_EXTEND, E_REMOVE, E_RENAME, E_SEAL, E_SEAL_ALL) = range(11)


def place(mark, offset):
    return struct.pack("<BH", mark, offset)


def flip(mark, offset, bit=0):
    return bytes([E_FLIP]) + place(mark, offset) + bytes([bit])


def number(mark, offset, width, kind):
    return bytes([E_NUMBER]) + place(mark, offset) + bytes([width, kind])


def cut(mark, offset):
    return bytes([E_CUT]) + place(mark, offset)


def copy(to, to_offset, source, offset, length):
    return bytes([E_COPY]) + place(to, to_offset) + place(source, offset) + struct.pack("<H", length)


def scripts(target, marks):
    """What every format gets: nothing, each mark hit, cut, copied; checksums forged over each extreme number."""
    add(target, "good-untouched", b"")
    for mark in range(marks):
        add(target, f"flipped-{mark}", flip(mark, 20, 3))
        add(target, f"cut-{mark}", cut(mark, 1))
        add(target, f"misdirected-{mark}", copy(mark, 0, mark + 1, 0, 511))
    add(target, "file-removed", bytes([E_REMOVE, 0]))
    add(target, "file-renamed", bytes([E_RENAME, 0, 3]) + b"9.se")
    add(target, "file-longer", bytes([E_EXTEND, 0, 0, 2, 0xff]))
    for kind in (0, 5, 6, 7, 12):
        add(target, f"forged-numbers-{kind}",
            bytes([E_SEAL_ALL]) + b"".join(number(mark, offset, 3, kind) for mark, offset in ((1, 72), (2, 64), (3, 16))))


def row(table, column, kind, length, data=b""):
    return bytes([table, column, kind, length]) + data


def images():
    scripts("journal", 8)
    scripts("bitfile", 9)
    scripts("layer", 8)
    for folder in range(4):
        for order_ in range(6):
            add("data_folder", f"good-{folder}-order-{order_}", bytes([folder, order_]))
        for mark in range(0, 60, 5):
            add("data_folder", f"folder-{folder}-hit-{mark}", bytes([folder, mark]) + flip(mark, 40, 1) + number(mark + 2, 16, 3, 5))
        for mark in range(1, 60, 12):
            add("data_folder", f"folder-{folder}-forged-{mark}",
                bytes([folder, 2, E_SEAL_ALL]) + b"".join(number(mark + i, 32 + 8 * i, 3, kind) for i, kind in enumerate((5, 7, 10))))
        for index in range(8):
            add("data_folder", f"folder-{folder}-without-file-{index}", bytes([folder, index, E_REMOVE, index]))
    for entry in range(2):  # terms near the end of 64 bits, in the line of both slots of a target's state; then a failover
        at = 32 + 80 + 1 + len("lyon") + 4 + 32 * entry
        for kind in (6, 7, 12):
            add("data_folder", f"term-of-entry-{entry}-{kind}", bytes([0, 2, E_SEAL_ALL]) + number(1, at, 3, kind) + number(11, at, 3, kind))
    add("metadata", "good-untouched", b"\0")
    for mark in range(0, 24, 3):
        add("metadata", f"flipped-{mark}", b"\0" + flip(mark, 3, 2) + flip(mark + 1, 9, 1))
        add("metadata", f"page-zeroed-{mark}", b"\0" + bytes([E_ZERO]) + place(mark, 0) + b"\xff\x0f")
    add("metadata", "page-missing", b"\0" + cut(8, 0))
    add("metadata", "another-program-s-file", b"\0" + number(0, 68, 2, 5))
    add("metadata", "newer-version", b"\0" + number(0, 60, 2, 5))
    for kind in range(5):
        add("metadata", f"rows-of-type-{kind}",
            b"\1" + b"".join(row(table, column, kind, 40, b"\xff\xfe'\"abc;" * 5) for table in range(7) for column in (1, 2)))
    add("metadata", "rows-with-long-texts", b"\1" + b"".join(row(table, 1, 0x80, 255, b"x") for table in range(7)))
    add("metadata", "rows-with-nul-in-text", b"\1" + b"".join(row(table, 1, 0, 4, b"a\0bc") for table in range(7)))
    add("journal", "largest-segment-number", bytes([E_RENAME, 0, 23]) + b"18446744073709551615.seg")
    add("journal", "segments-swapped", bytes([E_RENAME, 0, 4]) + b"9.seg" + bytes([E_RENAME, 1, 4]) + b"1.seg")


def main():
    for make in (handshakes, transmissions, frames, texts, peer_calls, policies, messages, links, streams, images):
        make()
    if "--check" in sys.argv:
        wrong = [f"{target}/{name}" for (target, name), data in INPUTS.items()
                 if not (FOLDER / target / name).exists() or (FOLDER / target / name).read_bytes() != data]
        print("\n".join(f"corpus/{name}: not as make_corpus.py makes it" for name in wrong) or
              f"{len(INPUTS)} named inputs are as made")
        return 1 if wrong else 0
    for (target, name), data in INPUTS.items():
        path = FOLDER / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(INPUTS)} named inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
