"""A hub as upstream sees it, in Python: a little CBOR, records, commit groups, pushes over mutual TLS.

It shares no code with the programs, so that both sides of the wire format are written twice.
"""

import hashlib
import http.client
import re
import socket
import ssl

VERSION = 1
OK, GAP, FORK, REFUSED = range(4)
HUB, PHONE, REQUEST, PROCESS, ITEM, ATTEMPT, KEY, ANSWER = range(8)
EVENTS = ("accepted planned due leased started returned succeeded failed retry_scheduled "
          "stop_requested suspended resumed settled cancel_requested cancelled finished retried "
          "withdrawn booted clock_set phone_state evicted attempt_ended step counters "
          "first_device gave_up answered granted reconciled").split()
READY, LEASED, RUNNING, COMPLETED = 1, 2, 3, 6  # of an item
QUEUED, EXECUTING, CLAIMED, PLANNED, DONE = 2, 4, 5, 7, 9  # rows of a process
WALL_MS = 1700000000000
ZERO_CHAIN = bytes(8)


def head(major, argument):
    for limit, info, size in ((24, None, 0), (1 << 8, 24, 1), (1 << 16, 25, 2), (1 << 32, 26, 4)):
        if argument < limit:
            first = argument if info is None else info
            return bytes([major << 5 | first]) + (argument.to_bytes(size, "big") if size else b"")
    return bytes([major << 5 | 27]) + argument.to_bytes(8, "big")


def encode(value):
    """Deterministic CBOR of None, bool, int, bytes, str and lists of them."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return head(3, len(raw)) + raw
    return head(4, len(value)) + b"".join(encode(one) for one in value)


def decode(data, at=0):
    """One item and where it ends."""
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return {20: False, 21: True, 22: None}[info], at
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    argument = int.from_bytes(data[at:at + size], "big") if size else info
    at += size
    if major == 0:
        return argument, at
    if major == 1:
        return -1 - argument, at
    if major in (2, 3):
        raw = bytes(data[at:at + argument])
        return (raw if major == 2 else raw.decode()), at + argument
    assert major == 4, "an item that no message has"
    items = []
    for _ in range(argument):
        item, at = decode(data, at)
        items.append(item)
    return items, at


def when(mono_ms, boot=1):
    return [boot, mono_ms, 2, WALL_MS + mono_ms]


def record(kind, path, revision, event, status, mono_ms, image):
    return encode([kind, path, revision, EVENTS.index(event), status, when(mono_ms), image])


class Store:
    """A hub's log: groups with their chain hashes."""

    def __init__(self, store_id=b"\x11" * 16, epoch=1):
        self.store_id, self.epoch = store_id, epoch
        self.groups = []  # (first_seq, chain, [record])
        self.chain, self.head_seq = ZERO_CHAIN, 0

    def append(self, *records):
        self.chain = hashlib.sha256(self.chain + b"".join(records)).digest()[:8]
        self.groups.append((self.head_seq + 1, self.chain, list(records)))
        self.head_seq += len(records)

    def chain_at(self, seq):
        if seq == 0:
            return ZERO_CHAIN
        return next(c for first, c, records in self.groups if first + len(records) - 1 == seq)

    def behind(self, seq, count=None):
        groups = [group for group in self.groups if group[0] > seq]
        return groups if count is None else groups[:count]


class Reply:
    def __init__(self, status, body):
        self.status = status
        fields, end = decode(body)
        assert end == len(body) and fields[0] == VERSION, body
        self.result, self.text = fields[1], fields[2]
        self.cursor, self.chain = fields[3]
        self.server_ms, self.push_bytes_max, self.retry_after_ms, self.commands = fields[4:8]
        self.upstream_epoch, self.grants, self.epoch, self.verdicts = (fields[8:12]
                                                                       or (0, [], 0, None))


def message(store, cursor, groups, **changed):
    """The bytes of a push."""
    first = groups[0][0] if groups else cursor + 1
    fields = {
        "version": VERSION, "hello": False, "store_id": store.store_id, "epoch": store.epoch,
        "now": when(999), "cursor": [cursor, store.chain_at(cursor)], "capacity": 100,
        "phones": 1, "command": 0, "first_seq": first,
        "groups": [[chain, records] for _, chain, records in groups]}
    fields.update(changed)
    return encode(list(fields.values()))


class Link:
    """One connection of a hub."""

    def __init__(self, port, certs, name, seconds=20):
        context = ssl.create_default_context(cafile=certs + "/ca.crt")
        if name:
            context.load_cert_chain(certs + "/%s.crt" % name, certs + "/%s.key" % name)
        self.http = http.client.HTTPSConnection("127.0.0.1", port, timeout=seconds,
                                                context=context)

    def post(self, body, path="/sync", content_type="application/cbor"):
        self.http.request("POST", path, body, {"Content-Type": content_type})
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def push(self, store, cursor, groups, **changed):
        return Reply(*self.post(message(store, cursor, groups, **changed)))

    def close(self):
        self.http.close()


def poll(store, cursor, wait_ms, **changed):
    """The bytes of an empty push that may be held."""
    fields, _ = decode(message(store, cursor, [], **changed))
    return encode(fields[:11] + [None, wait_ms, 0, 0, None])


class PipelinedLink:
    """A connection on which pushes are sent and answers read apart."""

    def __init__(self, port, certs, name, seconds=20):
        context = ssl.create_default_context(cafile=certs + "/ca.crt")
        context.load_cert_chain(certs + "/%s.crt" % name, certs + "/%s.key" % name)
        plain = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.data = b""

    def send(self, *bodies):
        self.stream.sendall(b"".join(
            b"POST /sync HTTP/1.1\r\nHost: upstream\r\nContent-Type: application/cbor\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies))

    def receive(self):
        """The next answer."""
        head, body = self.data.split(b"\r\n\r\n", 1) if b"\r\n\r\n" in self.data else (None, b"")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1]) if head else 1
        if len(body) < length:
            piece = self.stream.recv(65536)
            if not piece:
                raise ConnectionError("no answer before the end")
            self.data += piece
            return self.receive()
        self.data = body[length:]
        return Reply(int(head.split()[1]), body[:length])

    def is_silent(self, seconds):
        """Nothing comes for so long."""
        self.stream.settimeout(seconds)
        try:
            self.data += self.stream.recv(65536)
            return False
        except TimeoutError:
            return True
        finally:
            self.stream.settimeout(20)

    def close(self):
        self.stream.close()


# ---- what a hub records ----

def hub_booted(boot_offset_ms=WALL_MS):
    return record(HUB, [], 1, "booted", 0, 1, [
        "hub-1", b"\x22" * 16, 1, 1, 0, 0, 1, 0, 0, [[1, boot_offset_ms]]])


def phone(number, serial, revision=1, state=5):
    return record(PHONE, [number], revision, "phone_state", 0, 2,
                  [state, serial, "tcp:127.0.0.1:5555", "SimPhone", ""])


def request(number, request_id="r-1", process_type="maintenance"):
    return record(REQUEST, [number], 1, "accepted", QUEUED, 10, [
        process_type, request_id, "ops", "", '{"phone_id":"SIM001"}', '{"steps":[]}', "", "{}",
        "[]", "", "", b"", b"", 0, 0, 5, 0, 0])


def process(number, revision, event, status, mono_ms, finished=None):
    return record(PROCESS, [number], revision, event, status, mono_ms, [
        1, 1 if revision > 1 else 0, 1, when(10), when(11), None, None, finished])


def item(number, revision, event, status, mono_ms, state, attempt=0):
    leased = state in (LEASED, RUNNING)
    return record(ITEM, [number, 1], revision, event, status, mono_ms, [
        state, 0, 0, 0, False, 1, attempt, 0, 0, 0, 0, 0, 1, 1 if leased else 0,
        1 << 40 | number, 0, when(13) if attempt else None, None])


def attempt_step(number, revision, mono_ms, percent):
    return record(ATTEMPT, [number, 1, 1], revision, "step", EXECUTING, mono_ms, [
        4, 0, 1, percent, None, "SIM001", "", "", "battery", "", '{"level":80}', when(13), None])


def attempt_ended(number, revision, status, mono_ms):
    return record(ATTEMPT, [number, 1, 1], revision, "attempt_ended", status, mono_ms, [
        0, 0, 4, 100, 0, "SIM001", "", "all is well", "health", "", '{"health":"good"}', when(13),
        when(mono_ms)])


def life(number, request_id=None):
    """A process from acceptance to completion, as commit groups."""
    return [
        [request(number, request_id or "r-%d" % number),
         process(number, 2, "planned", PLANNED, 11),
         item(number, 3, "planned", PLANNED, 11, READY)],
        [item(number, 4, "leased", CLAIMED, 12, LEASED)],
        [item(number, 5, "started", EXECUTING, 13, RUNNING, 1)],
        [attempt_ended(number, 6, EXECUTING, 20),
         item(number, 7, "succeeded", DONE, 20, COMPLETED, 1),
         process(number, 8, "finished", DONE, 20, when(20))],
    ]
