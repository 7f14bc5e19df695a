"""Reads a hub's store file in Python, from docs/store.md: its groups in order, every CRC checked.

It shares no code with the store, so that the format is read by two independent readers.
"""

import struct

HEADER, FRAME, RECORD, TAIL, COPY_LEAD, ALIGN = 128, 8, 16, 12, 8, 16
GROUP, COPY = 1, 2

_TABLE = []
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _TABLE.append(_crc)


def crc32c(crc, data):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def number(data, at, size):
    return int.from_bytes(data[at:at + size], "little")


class Block:
    """A block in use: its header's fields."""

    def __init__(self, data, start):
        head = data[start:start + HEADER]
        self.start = start
        self.id = head[8:24]
        self.epoch = number(head, 24, 4)
        self.bytes = number(head, 28, 4)
        self.count = number(head, 32, 4)
        self.unit = number(head, 36, 4)
        self.sequence = number(head, 48, 8)
        self.oldest = number(head, 56, 8)
        self.nonce = head[76:80]
        self.next_seq = number(head, 80, 8)
        self.chain = head[88:96]
        self.acked = number(head, 96, 8)
        self.is_good = head[:4] == b"HUBD" and number(head, 124, 4) == crc32c(0, head[:124])
        self.salt = crc32c(0, self.id + struct.pack("<Q", self.sequence) + self.nonce)

    def crc(self, offset, data):
        return crc32c(self.salt, struct.pack("<I", offset) + data)


class Group:
    """A commit group: the number of its first record, its records' bodies, its chain hash."""

    def __init__(self, first_seq, bodies, chain):
        self.first_seq = first_seq
        self.bodies = bodies
        self.chain = chain


def _bodies(block, frame, offset, end):
    """The bodies of a group's frame; None when one is damaged."""
    at = FRAME
    bodies = []
    while at < end:
        size = number(frame, at + 8, 2)
        crc = block.crc(offset + at, frame[at:at + 10])
        body = frame[at + RECORD:at + RECORD + size]
        if (number(frame, at + 10, 2) != crc & 0xFFFF
                or number(frame, at + 12, 4) != crc32c(crc, body)):
            return None
        bodies.append(bytes(body))
        at += RECORD + size
    return bodies


def _groups_of(data, block):
    """The groups of one block, up to the first frame that is not valid."""
    unit = max(block.unit, ALIGN)
    padded = lambda size: (size + unit - 1) // unit * unit
    offset, seq = padded(HEADER), block.next_seq
    while offset + FRAME <= block.bytes:
        head = data[block.start + offset:block.start + offset + FRAME]
        size, kind = number(head, 0, 3), head[3]
        if (kind not in (GROUP, COPY) or FRAME + size > block.bytes - offset
                or number(head, 6, 2) != block.crc(offset, head[:6]) & 0xFFFF):
            return
        frame = data[block.start + offset:block.start + offset + FRAME + size]
        if kind == GROUP:
            end = FRAME + size - TAIL
            chain = bytes(frame[end:end + 8])
            bodies = _bodies(block, frame, offset, end)
            if bodies is None or number(frame, end + 8, 4) != block.crc(offset + end, chain):
                return
            yield Group(seq, bodies, chain)
            seq += len(bodies)
        offset += padded(FRAME + size)


def read_groups(path):
    """(store id, epoch, groups in order) of every group that is still in the file."""
    with open(path, "rb") as file:
        data = file.read()
    first = Block(data, 0)
    size = first.bytes if first.is_good else 131072
    blocks = [Block(data, start) for start in range(0, len(data), size)]
    blocks = sorted((b for b in blocks if b.is_good), key=lambda block: block.sequence)
    blocks = [b for b in blocks if b.sequence >= blocks[-1].oldest]
    groups = [group for block in blocks for group in _groups_of(data, block)]
    return blocks[-1].id, blocks[-1].epoch, groups
