#!/usr/bin/env python3
"""A second terminal, written from docs/protocol.md and docs/tap-format.md alone and in another language: what a maker who
does not link libqfval would write. With a fault it breaks one rule, which the conformance host must find.
usage: double.py PORT DEVICE TERMINAL CERT CA SPOOL [FAULT]"""
import hashlib, json, os, socket, ssl, struct, sys, time

port, device, terminal, cert, ca, spool_path = sys.argv[1:7]
fault = sys.argv[7] if len(sys.argv) > 7 else "none"
HELLO, WELCOME, BATCH, RECEIPT, REFUSE, GET, PART, PING, PONG, BUSY = range(1, 11)


def pack(v):
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        for limit, head, form in ((1 << 7, None, ">B"), (1 << 8, b"\xcc", ">B"), (1 << 16, b"\xcd", ">H"), (1 << 32, b"\xce", ">I"), (1 << 64, b"\xcf", ">Q")):
            if 0 <= v < limit:
                return (head or b"") + struct.pack(form, v)
        return b"\xd3" + struct.pack(">q", v)
    if isinstance(v, str):
        v = v.encode()
        return (bytes([0xa0 | len(v)]) if len(v) < 32 else b"\xd9" + bytes([len(v)])) + v
    if isinstance(v, bytes):
        return (b"\xc4" + bytes([len(v)]) if len(v) < 256 else b"\xc5" + struct.pack(">H", len(v))) + v
    head = bytes([0x90 | len(v)]) if len(v) < 16 else b"\xdc" + struct.pack(">H", len(v))
    return head + b"".join(pack(e) for e in v)


def unpack(p, at=0):
    b = p[at]
    sized = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
    if b < 0x80:
        return b, at + 1
    if b in sized:
        n = struct.calcsize(sized[b])
        return struct.unpack(sized[b], p[at + 1:at + 1 + n])[0], at + 1 + n
    if b in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[b], at + 1
    if b >= 0xe0:
        return b - 256, at + 1
    if b & 0xe0 == 0xa0:
        return p[at + 1:at + 1 + (b & 31)].decode(), at + 1 + (b & 31)
    if b in (0xd9, 0xc4, 0xc5, 0xc6):
        width = {0xd9: 1, 0xc4: 1, 0xc5: 2, 0xc6: 4}[b]
        n = int.from_bytes(p[at + 1:at + 1 + width], "big")
        body = p[at + 1 + width:at + 1 + width + n]
        return (body.decode() if b == 0xd9 else body), at + 1 + width + n
    if b & 0xf0 == 0x90 or b == 0xdc:
        n, at = (b & 15, at + 1) if b != 0xdc else (int.from_bytes(p[at + 1:at + 3], "big"), at + 3)
        out = []
        for _ in range(n):
            v, at = unpack(p, at)
            out.append(v)
        return out, at
    raise ValueError("type %02x" % b)


def record(serial, ms):
    """A sign-on: version 1, kind 16, no medium, no card."""
    t = bytes.fromhex("000000000000" if fault == "stranger" else terminal)
    return pack([1, 16, 0, 0, bytes(10), bytes(4), 0, 0, 0, 0, 0, 0, 0, 0, 0, t, serial, t, 0, 0, 0, bytes(4), bytes(4), ms, 101, "1", 0, "T1",
                 0, 0, 7, 0, 0, 0, bytes(6), 0, bytes.fromhex("12184280"), 0x4280, 0, 0, 0, 0, 0, 0, bytes(8), b"", ""])


class Terminal:
    """The spool is one JSON file, replaced whole: records in hex, the next file serial, the batch that is fixed."""

    def __init__(self):
        self.offset, self.max, self.lists, self.back_off, self.refused_at = 0, 4, {}, 0.45, 0
        if os.path.exists(spool_path):
            self.s = json.load(open(spool_path))
        else:
            now = int(time.time() * 1000)
            self.s = {"serial": 1, "records": [record(i, now - 100000 + i).hex() for i in range(30 if fault == "large" else 8)], "batch": None, "versions": {}, "next": 30}
        if "powerless" in fault:
            self.s["batch"] = None
            self.s["serial"] += 1

    def save(self):
        with open(spool_path + ".new", "w") as f:
            json.dump(self.s, f)
            f.flush()
            os.fsync(f.fileno())
        os.rename(spool_path + ".new", spool_path)

    def batch(self):
        if self.s["batch"] is None:
            n = min(9 if fault == "large" else self.max, len(self.s["records"]))
            if n == 0:
                return None
            self.s["batch"] = {"serial": self.s["serial"], "n": n}
            self.save()
        b = self.s["batch"]
        taps = [bytes.fromhex(r) for r in self.s["records"][:b["n"]]]
        digest = hashlib.sha256(b"".join(taps)).digest()
        if fault == "digest":
            digest = bytes(32)
        serials = [unpack(t)[0][16] for t in taps]
        return pack([1, device, b["serial"], serials[0], serials[-1], len(taps), 0, digest, taps])

    def send(self, kind, body):
        self.tls.sendall(struct.pack(">IB", len(body) + 1, kind) + body)

    def send_batch(self):
        body = self.batch()
        self.sent = body is not None
        if body is None:
            return
        self.send(BATCH, body)
        if fault == "babble":
            self.send(PONG, pack([]))
        if fault == "delete-early":
            self.forget()

    def forget(self):
        if fault == "keep":
            self.s["batch"] = None
            self.s["serial"] += 1
        elif self.s["batch"] is not None:
            self.s["records"] = self.s["records"][self.s["batch"]["n"]:]
            self.s["batch"] = None
            self.s["serial"] += 2 if fault == "skip" else 1
            now = int(time.time() * 1000) + (0 if fault == "own-clock" else self.offset)
            for i in range(4):
                self.s["records"].append(record(self.s["next"] + i, now).hex())
            self.s["next"] += 4
        self.save()

    def ask(self, what):
        l = self.lists[what]
        self.send(GET, pack([what, l["version"], len(l["bytes"])]))

    def on_welcome(self, m):
        self.offset, self.max, self.back_off = m[1] - int(time.time() * 1000), m[4], 0.45
        if fault == "later" and len(m) > 7:
            raise ValueError("longer than I know")
        for what, version in (("blacklist", m[2]), ("tariff", m[3])):
            if version and (fault == "greedy" or version != self.s["versions"].get(what)):
                self.lists[what] = {"version": version, "bytes": b""}
                self.ask(what)
        self.send_batch()

    def on_receipt(self, m):
        b = self.s["batch"]
        good = b is not None and m[0] == b["serial"] and len(m[6]) == b["n"]
        if not good and fault != "credulous":
            raise ValueError("a receipt that fits nothing")
        self.forget()
        self.send_batch()

    def on_refuse(self, m):
        self.refused_at = time.time()
        if fault == "reseal":           # the same file serial, other content
            self.s["batch"]["n"] = max(1, self.s["batch"]["n"] - 1)
            self.save()
        if fault == "drop-refused" and not m[3]:
            self.forget()
        self.later = time.time() + (0 if fault == "impatient" else 1 if m[3] else 60)

    def on_part(self, m):
        what, version, offset, total, data = m[:5]
        l = self.lists[what]
        if version != l["version"] and fault != "mixed":
            l.update(version=version, bytes=b"")
            return self.ask(what)
        l["bytes"] += data
        if len(l["bytes"]) < total:
            return self.ask(what)
        # the compiled tariff's own checksum is not public: a whole one names its size and magic, and ends in its text
        if what == "blacklist" or l["bytes"][-1] == 0 or fault == "gullible":
            self.s["versions"][what] = l["version"]
            self.save()

    def frames(self):
        p = b""
        while True:
            while len(p) >= 5:
                n = struct.unpack(">I", p[:4])[0]
                if not 1 <= n <= 262144 or not 1 <= p[4] <= 10:
                    if fault == "stay":
                        p = b""
                        continue
                    raise ValueError("no frame")
                if len(p) < 4 + n:
                    if fault == "whole":
                        raise ValueError("a frame in pieces")
                    break
                yield p[4], unpack(p[5:4 + n])[0]
                p = p[4 + n:]
            if fault == "half" and len(p) > 10 and p[4] == RECEIPT:
                self.forget()
                p = b""
            try:
                self.tls.settimeout(0.05)
                data = self.tls.recv(65536)
            except socket.timeout:
                if self.later and time.time() >= self.later:
                    self.later = 0
                    self.send_batch()
                continue
            if not data:
                return
            p += data

    def talk(self):
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2 if fault == "old" else ssl.TLSVersion.TLSv1_3
        if fault == "blind":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(cert)
        self.later = 0
        with socket.create_connection(("127.0.0.1", int(port))) as plain, context.wrap_socket(plain, server_hostname="localhost") as self.tls:
            name = "somebody-else" if fault == "name" else device
            self.send(HELLO, pack([1, name, bytes.fromhex(terminal), "double 1", int(time.time() * 1000)]))
            for kind, m in self.frames():
                if kind == WELCOME:
                    self.on_welcome(m)
                elif kind == RECEIPT:
                    self.on_receipt(m)
                elif kind == REFUSE:
                    self.on_refuse(m)
                elif kind == PART:
                    self.on_part(m)
                elif kind == BUSY:
                    self.later = time.time() + (0 if fault == "impatient" else m[0] / 1000)
                elif kind != PONG:
                    raise ValueError("out of turn")

    def run(self):
        while True:
            try:
                self.talk()
            except (OSError, ValueError):
                pass
            if fault != "hammer":
                time.sleep(self.back_off)
                self.back_off = min(self.back_off * 2, 5)


Terminal().run()
