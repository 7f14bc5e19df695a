#!/usr/bin/env python3
"""An upstream endpoint for hubs in one file of Python's standard library: docs/sync.md, and no more.

It keeps every record of every hub in an SQLite database, in order, once, and answers when they are
on disk. Read it beside docs/sync.md; serve it with

    python3 endpoint.py --listen 127.0.0.1:8443 --ca ca.crt --cert server.crt --key server.key \\
        --database fleet.db

and give a hub an item to run, on any of its phones, with

    python3 endpoint.py --database fleet.db --offer hub-1 maintenance
"""

import argparse
import hashlib
import http.server
import select
import socketserver
import sqlite3
import ssl
import sys
import threading
import time

OK, GAP, FORK, REFUSED = range(4)
OFFER = 1  # the other kinds of commands are in docs/sync.md
AS_IT_IS, MISSING, ENDED = range(3)  # verdicts on what a hub has after a fork
HUB, REQUEST, PROCESS, ITEM, ATTEMPT = 0, 2, 3, 4, 5  # kinds of records
UNFINISHED = (2, 4, 5, 6, 7)  # rows of the status table that are not the end of a process
EPOCH_MAX = (1 << 23) - 1
EPOCH = 1  # of this upstream: to be raised when its database was restored
TTL_MS = 900000
PUSH_BYTES_MAX = 1 << 20
HOLD_MAX_MS = 60000
NOTHING = bytes(8)  # the chain hash before the first group


# ---- CBOR, as much of it as the messages have (RFC 8949) ----

class Malformed(Exception):
    pass


def read(data, at=0, depth=0):
    """One item and where it ends."""
    try:
        major, info = data[at] >> 5, data[at] & 31
    except IndexError:
        raise Malformed("cut off") from None
    at += 1
    if major == 7 and info in (20, 21, 22):
        return {20: False, 21: True, 22: None}[info], at
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    if info > 27 or major not in (0, 1, 2, 3, 4) or at + size > len(data) or depth > 8:
        raise Malformed("no item of a message")
    number = int.from_bytes(data[at:at + size], "big") if size else info
    at += size
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if number > len(data) - at:
        raise Malformed("longer than the message")
    if major in (2, 3):
        raw = data[at:at + number]
        try:
            return (raw if major == 2 else raw.decode()), at + number
        except UnicodeDecodeError:
            raise Malformed("a text that is none") from None
    items = []
    for _ in range(number):
        item, at = read(data, at, depth + 1)
        items.append(item)
    return items, at


def write(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    def head(major, number):
        if number < 24:
            return bytes([major << 5 | number])
        size = next(s for s in (1, 2, 4, 8) if number < 1 << 8 * s)
        return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + number.to_bytes(size, "big")
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(write(one) for one in value)


# ---- a push ----

def is_number(value, least, most=(1 << 63) - 1):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_chain(value):
    return isinstance(value, bytes) and len(value) == 8


def is_inventory(value):
    """Nothing, the wish for a new epoch, or a page."""
    if value is None or value is True:
        return True
    return (isinstance(value, list) and len(value) >= 3 and is_number(value[0], 1)
            and isinstance(value[2], list) and len(value[2]) <= 32
            and all(isinstance(row, list) and len(row) >= 5 and is_chain(row[4])
                    and all(is_number(field, 0) for field in row[:4]) for row in value[2]))


class Push:
    """A push that is sound in itself."""

    def __init__(self, body):
        fields, end = read(body)
        if end != len(body) or not isinstance(fields, list) or len(fields) < 11 or fields[0] != 1:
            raise Malformed("not a push of version 1")
        (self.store_id, self.epoch, _now, believed, _capacity, _phones, command, self.first_seq,
         self.groups) = fields[2:11]
        gap = fields[11] if len(fields) > 11 else None
        if not (isinstance(self.store_id, bytes) and len(self.store_id) == 16
                and is_number(self.epoch, 1, (1 << 32) - 1) and is_number(self.first_seq, 1)
                and isinstance(believed, list) and len(believed) == 2
                and is_number(believed[0], 0) and is_chain(believed[1])
                and isinstance(self.groups, list)):
            raise Malformed("a field of another type")
        self.cursor, self.chain = believed
        self.is_hello = fields[1]
        self.wait_ms = fields[12] if len(fields) > 12 else 0
        self.command = command if len(fields) > 13 and fields[13] == EPOCH else 0
        if not is_number(self.wait_ms, 0, (1 << 32) - 1) or not is_number(command, 0):
            raise Malformed("a field of another type")
        for group in self.groups:
            if not (isinstance(group, list) and len(group) == 2 and is_chain(group[0])
                    and isinstance(group[1], list) and group[1]
                    and all(isinstance(record, bytes) for record in group[1])):
                raise Malformed("a group that is none")
        self.gap = None
        if gap is not None:
            if not (isinstance(gap, list) and len(gap) >= 3 and is_number(gap[0], 1)
                    and is_number(gap[1], gap[0]) and is_chain(gap[2])):
                raise Malformed("a gap that is none")
            self.gap = gap
        self.inventory = fields[15] if len(fields) > 15 else None
        if not is_inventory(self.inventory):
            raise Malformed("an inventory that is none")


# ---- records, as much of them as a fork needs (records.cddl) ----

def digest(record):
    return hashlib.sha256(record).digest()[:8]


def is_told(body, epoch):
    """Whether it is the hub's own record, and says that this epoch's inventory was judged."""
    try:
        record = read(body)[0]
        life = record[6][12] if record[0] == HUB and len(record[6]) > 12 else None
        return bool(life) and life[0] == epoch and life[3] is True
    except (Malformed, TypeError, IndexError):
        return False


# ---- what is kept ----

class Fleet:
    def __init__(self, path):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS stores(hub TEXT, id BLOB, epoch INTEGER, cursor INTEGER,
                chain BLOB, PRIMARY KEY(hub, id, epoch));
            CREATE TABLE IF NOT EXISTS epochs(hub TEXT, id BLOB, epoch INTEGER, told INTEGER,
                PRIMARY KEY(hub, epoch));
            CREATE TABLE IF NOT EXISTS records(hub TEXT, id BLOB, epoch INTEGER, seq INTEGER,
                chain BLOB, bytes BLOB, PRIMARY KEY(hub, id, epoch, seq));
            CREATE TABLE IF NOT EXISTS gaps(hub TEXT, id BLOB, epoch INTEGER, first INTEGER,
                last INTEGER, chain BLOB);
            CREATE TABLE IF NOT EXISTS commands(hub TEXT, number INTEGER, bytes BLOB,
                PRIMARY KEY(hub, number));
            CREATE TABLE IF NOT EXISTS grants(hub TEXT, process INTEGER, item INTEGER,
                assignment INTEGER, ttl_ms INTEGER, PRIMARY KEY(process, item));
        """)

    def command(self, hub, kind, *items):
        """The number of a new command; a running endpoint tells it to the hub at once."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            number = 1 + self.db.execute("SELECT coalesce(max(number), 0) FROM commands WHERE "
                                         "hub = ?", (hub,)).fetchone()[0]
            self.db.execute("INSERT INTO commands VALUES(?, ?, ?)",
                            (hub, number, write([number, kind, *items])))
            self.db.execute("COMMIT")
            return number

    def commands(self, hub, after):
        """At most 16 that the hub has not applied; it says how far it is in each push. None while it
        still tells what it has in a new epoch."""
        with self.lock:
            last = self.db.execute("SELECT told FROM epochs WHERE hub = ? ORDER BY epoch DESC "
                                   "LIMIT 1", (hub,)).fetchone()
            if last and not last[0]:
                return []
            return [read(row[0])[0] for row in self.db.execute(
                "SELECT bytes FROM commands WHERE hub = ? AND number > ? ORDER BY number LIMIT 16",
                (hub, after))]

    def grants(self, hub):
        """Those that go on: here, whoever fills the table says which."""
        with self.lock:
            return [list(row) for row in self.db.execute(
                "SELECT process, item, assignment, ttl_ms FROM grants WHERE hub = ?", (hub,))]

    def take(self, hub, push):
        """(result, text, cursor, chain), a new epoch or 0, verdicts or None; everything in one
        transaction, so that it is durable."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                answer, epoch, verdicts = self.judge((hub, push.store_id, push.epoch), push), 0, None
                if answer[0] != OK:
                    self.db.execute("ROLLBACK")
                    self.db.execute("BEGIN IMMEDIATE")
                if answer[0] == FORK:
                    epoch = self.name_epoch(hub, push)
                elif answer[0] == OK and push.inventory:
                    verdicts = self.verdicts((hub, push.store_id, push.epoch), push.inventory)
                self.db.execute("COMMIT")
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            return answer, epoch, verdicts

    # ---- a new epoch ----

    def name_epoch(self, hub, push):
        """For a hub whose history is another; the same one until the hub has taken it on. Two hosts
        with one certificate would fork for ever: upstreamd counts, and refuses them."""
        used = self.db.execute("SELECT coalesce(max(epoch), 0) FROM stores WHERE hub = ?",
                               (hub,)).fetchone()[0]
        named, store_id = self.db.execute("SELECT max(epoch), id FROM epochs WHERE hub = ?",
                                          (hub,)).fetchone()
        least = max(used, push.epoch)
        if (named or 0) > least and store_id == push.store_id:
            return named
        epoch = max(least, named or 0) + 1
        if epoch > EPOCH_MAX:
            return 0  # the hub stops, with an alarm
        self.db.execute("INSERT INTO epochs VALUES(?, ?, ?, 0)", (hub, push.store_id, epoch))
        return epoch

    def images(self, store):
        """What this store has told in earlier epochs: the newest record of each object, by kind and
        path. An endpoint for many processes would keep these in a table of their own."""
        images, last = {}, {}
        for epoch, body in self.db.execute("SELECT epoch, bytes FROM records WHERE hub = ? AND id = ? "
                                           "AND epoch < ? ORDER BY epoch, seq", store):
            try:
                record = read(body)[0]
                kind, path, revision = record[:3]
                key, place = (kind, *path), (epoch, revision)
                is_newer = place > images.get(key, ((0, 0),))[0]
            except (Malformed, TypeError, ValueError):
                continue  # it is kept, whatever it is
            if is_newer:
                images[key] = place, body, record
            if REQUEST <= kind <= ATTEMPT and place > last.get(path[0], ((0, 0),))[0]:
                last[path[0]] = place, body, record
        return images, last

    def verdicts(self, store, page):
        images, last = self.images(store)
        return [page[0], [self.verdict(row, images, last.get(row[0])) for row in page[2]]]

    def verdict(self, row, images, known):
        """What upstream makes of one process that the hub has."""
        process, generation, revision, _status, newest = row[:5]
        if known is None:
            return [process, MISSING, 0]
        (_, told), body, record = known
        request = images.get((REQUEST, process))
        if request and len(row) > 5 and row[5] not in (NOTHING, digest(request[1])):
            return [process, MISSING, told]  # another one, of the same number: ours stays in its epoch
        if revision == told and newest == digest(body):
            return [process, AS_IT_IS]
        image = images.get((PROCESS, process))
        if record[4] in UNFINISHED or image is None or image[2][6][0] < generation:
            return [process, MISSING, told]
        items = [one[2][6] for key, one in images.items() if key[:2] == (ITEM, process)]
        states = bytearray(1 + max([item[11] for item in items if not item[4]], default=-1))
        for item in items:
            if not item[4]:  # superseded by a retry
                states[item[11]] = item[0]
        return [process, ENDED, told, image[2][6][0], image[2][6][2], image[2][6][1], bytes(states)]

    def chain_at(self, store, seq):
        """The chain hash at the end of a group; None: no group ends there."""
        if seq == 0:
            return NOTHING
        for table, column in (("records", "seq"), ("gaps", "last")):
            row = self.db.execute("SELECT chain FROM %s WHERE hub = ? AND id = ? AND epoch = ? "
                                  "AND %s = ? AND chain IS NOT NULL" % (table, column),
                                  (*store, seq)).fetchone()
            if row:
                return row[0]
        return None

    def judge(self, store, push):
        newest = self.db.execute("SELECT max(epoch) FROM stores WHERE hub = ?",
                                 store[:1]).fetchone()[0]
        row = self.db.execute("SELECT cursor, chain FROM stores WHERE hub = ? AND id = ? AND "
                              "epoch = ?", store).fetchone()
        cursor, chain = row or (0, NOTHING)
        if newest is not None and newest > push.epoch:
            return FORK, "a newer epoch of this hub is stored", cursor, chain
        if push.inventory is True:
            return FORK, "the hub says that this is not its history", cursor, chain
        if push.cursor > cursor or self.chain_at(store, push.cursor) != push.chain:
            return FORK, "the hub's cursor is not in this history", cursor, chain
        if push.gap:
            first, last, at_last = push.gap[:3]
            if first > cursor + 1:
                return GAP, "records before the gap are missing", cursor, chain
            if last > cursor:
                self.db.execute("INSERT INTO gaps VALUES(?, ?, ?, ?, ?, ?)",
                                (*store, max(first, cursor + 1), last, at_last))
                cursor, chain = last, at_last
            elif self.chain_at(store, last) != at_last:
                return FORK, "the chain hash at the gap's end differs", cursor, chain
        if push.groups and push.first_seq > cursor + 1:
            return GAP, "records before these are missing", cursor, chain
        return self.store(store, push, cursor, chain)

    def store(self, store, push, cursor, chain):
        before = (cursor, chain)
        seq = push.first_seq - 1
        walked = self.chain_at(store, seq) if push.groups else None
        for claimed, records in push.groups:
            last = seq + len(records)
            if walked is None:
                return (FORK, "the first record begins no group", *before)
            walked = hashlib.sha256(walked + b"".join(records)).digest()[:8]
            if walked != claimed:
                return (FORK, "a chain hash does not follow from its records", *before)
            if seq < cursor:  # stored before: it must be the same
                if self.chain_at(store, last) != walked:
                    return (FORK, "a group differs from the stored one", *before)
            else:
                self.db.executemany("INSERT INTO records VALUES(?, ?, ?, ?, ?, ?)", [
                    (*store, seq + 1 + place, walked if seq + 1 + place == last else None, record)
                    for place, record in enumerate(records)])
                if any(is_told(record, push.epoch) for record in records):
                    self.db.execute("UPDATE epochs SET told = 1 WHERE hub = ? AND epoch = ?",
                                    (store[0], push.epoch))
                cursor, chain = last, walked
            seq = last
        self.db.execute("INSERT OR REPLACE INTO stores VALUES(?, ?, ?, ?, ?)",
                        (*store, cursor, chain))
        return OK, "", cursor, chain


# ---- work ----

def request_image(process_type, request_id, inputs="{}", priority=5, not_before_ms=0, deadline_ms=0):
    """A request as records.cddl has it, with what every program may leave empty."""
    none = b""
    return write([process_type, request_id, "example", "", "{}", inputs, "", "{}", "", "{}", "",
                  none, none, 1, 0, priority, not_before_ms, deadline_ms])


def offer(fleet, hub, process, image, item=1, assignment=1, ttl_ms=TTL_MS, phone="", done=(0, 0, 0, 0)):
    """Gives a hub one item; `done`: attempt, attempts counted, actions done, their digest."""
    return fleet.command(hub, OFFER, process, 1, item, assignment, ttl_ms, image, phone, "", *done)


# ---- HTTP ----

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection a hub, many pushes on it
    rbufsize = 0  # what came behind a push stays where hold() can see it
    fleet = None

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.answer_error(411)
        elif int(length) > PUSH_BYTES_MAX:
            self.close_connection = True
            self.answer_error(413)
        else:
            body = b""
            while len(body) < int(length):
                piece = self.rfile.read(int(length) - len(body))
                if not piece:
                    raise ConnectionError("cut off in a push")
                body += piece
            self.take(body)

    def take(self, body):
        subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
        if self.path != "/sync":
            self.answer_error(404)
        elif self.headers.get("Content-Type") != "application/cbor":
            self.answer_error(415)
        else:
            hub = subject["commonName"]
            try:
                push = Push(body)
                (result, text, cursor, chain), epoch, verdicts = self.fleet.take(hub, push)
            except Malformed as why:
                self.answer(400, [1, REFUSED, str(why), [0, NOTHING]])
                return
            says_nothing = not (push.groups or push.gap or push.is_hello or push.inventory)
            if says_nothing and result == OK and cursor == push.cursor:
                self.hold(hub, push)
            work = (self.fleet.commands(hub, push.command), self.fleet.grants(hub))
            self.answer(200, [1, result, text, [cursor, chain]], *(work if result == OK else ()),
                        epoch=epoch, verdicts=verdicts)

    def hold(self, hub, push):
        """Until there is a command, the hub says something more, or has waited long enough."""
        end = time.monotonic() + min(push.wait_ms, HOLD_MAX_MS) / 1000
        while time.monotonic() < end and not self.fleet.commands(hub, push.command):
            if self.connection.pending() or select.select([self.connection], [], [], 0.05)[0]:
                break

    def answer(self, status, fields, commands=(), grants=(), epoch=0, verdicts=None):
        self.send(status, "application/cbor", write(fields + [
            int(time.time() * 1000), PUSH_BYTES_MAX, 2000 if status != 200 else 0, list(commands),
            EPOCH, list(grants), epoch, verdicts]))

    def answer_error(self, status):
        self.send(status, "text/plain", b"refused\n")

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, context):
        super().__init__(address, Handler)
        self.context = context

    def finish_request(self, request, client_address):
        """The handshake is done in the connection's own thread."""
        request.settimeout(600)
        with self.context.wrap_socket(request, server_side=True) as stream:
            Handler(stream, client_address, self)

    def handle_error(self, request, client_address):
        print("refused %s: %s" % (client_address[0], sys.exc_info()[1]), flush=True)


def main():
    parser = argparse.ArgumentParser(description="An upstream endpoint for hubs, as an example.")
    for name in ("listen", "ca", "cert", "key", "database"):
        parser.add_argument("--" + name, required=name == "database")
    parser.add_argument("--offer", nargs=2, metavar=("HUB", "TYPE"))
    options = parser.parse_args()
    if options.offer:
        process = time.time_ns() // 10_000_000  # numbers have 40 bits
        offer(Fleet(options.database), options.offer[0], process,
              request_image(options.offer[1], "example-%d" % process))
        print("up-%d-%d.1" % (EPOCH, process))
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.cert, options.key)
    context.load_verify_locations(options.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    host, _, port = options.listen.rpartition(":")
    Handler.fleet = Fleet(options.database)
    server = Server((host, int(port)), context)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
