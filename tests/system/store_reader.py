"""Reads a hub's store file in Python, from docs/store.md: its groups in order, every CRC checked.

It shares no code with the store, so that the format is read by two independent readers.
"""

import struct

HEADER, FRAME = 128, 7
GROUP, MOVED, COPY = 0, 1, 2

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
        self.format = number(head, 4, 2)
        self.previous, self.previous_end = number(head, 64, 4), number(head, 72, 4)
        self.is_merge = head[120] != 0 if len(head) > 120 else False
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


class Frame:
    """The head of a frame, checked; None in `kind`: there is none."""

    def __init__(self, data, block, offset):
        view = data[block.start + offset:block.start + block.bytes]
        word = number(view, 0, 3)
        self.kind = None
        self.is_first, self.is_last, self.is_followed = (bool(word >> bit & 1) for bit in (19, 20, 21))
        kind = word >> 22
        long_head = (4 if kind == MOVED else 0) + (8 if self.is_last and kind != COPY else 0)
        self.head = FRAME + long_head + (2 if long_head else 0)
        self.end = self.head + (word & 0x7FFFF)
        if (len(view) < FRAME or kind > COPY or self.end > len(view) or (kind != COPY and self.end == self.head)
                or number(view, 5, 2) != block.crc(offset, view[:5]) & 0xFFFF):
            return
        rest = view[FRAME:self.head]
        if rest and number(rest, long_head, 2) != block.crc(offset + FRAME, rest[:-2]) & 0xFFFF:
            return
        self.seq = number(view, 3, 2) | (number(rest, 0, 4) << 16 if kind == MOVED else 0)
        self.chain = bytes(rest[-10:-2]) if self.is_last and kind != COPY else None
        self.bodies = _bodies(block, view[:self.end], offset, self.head)
        self.kind = kind if self.bodies is not None else None
        self.next = offset + self.end
        if not self.is_followed:
            self.next = (self.next + block.unit - 1) // block.unit * block.unit


def _bodies(block, frame, offset, at):
    """The bodies of a frame's records; None when one is damaged."""
    bodies = []
    while at < len(frame):
        key, size = number(frame, at, 3), number(frame, at + 3, 2)
        head = 5 + (4 if key >> 22 & 1 else 0) + (6 if key >> 23 else 0)
        crc = block.crc(offset + at, frame[at:at + head])
        body = frame[at + head + 6:at + head + 6 + size]
        if (number(frame, at + head, 2) != crc & 0xFFFF
                or number(frame, at + head + 2, 4) != crc32c(crc, body)):
            return None
        bodies.append(bytes(body))
        at += head + 6 + size
    return bodies


def _frames_of(data, block, end):
    """The frames of groups in one block, up to the first place without a valid one."""
    offset = (HEADER + block.unit - 1) // block.unit * block.unit
    seq = block.next_seq
    while offset < end:
        frame = Frame(data, block, offset)
        if frame.kind is None:
            return
        if frame.kind == GROUP:
            frame.seq = seq + ((frame.seq - seq) & 0xFFFF)
            seq = frame.seq + len(frame.bodies)
        if frame.kind != COPY:
            yield frame
        offset = frame.next


def _log(blocks):
    """Each block in use with the end of its frames, oldest first: headers name the one before."""
    by_sequence = {block.sequence: block for block in blocks}
    block = max(blocks, key=lambda one: one.sequence)
    oldest, end, log = block.oldest, block.bytes, []
    while block is not None and block.sequence >= oldest:
        log.insert(0, (block, end))
        end, block = block.previous_end, by_sequence.get(block.previous)
    return log


def read_groups(path):
    """(store id, epoch, groups in order): the groups up to the newest one without a gap.

    Of groups that upstream has acknowledged some older ones may be there, but not those between.
    A group is whole when its frames, wherever they stand, go on from one to the next up to its
    last; where the cleaner has moved one, the frame it was made of may still be there too."""
    with open(path, "rb") as file:
        data = file.read()
    first = Block(data, 0)
    size = first.bytes if first.is_good else 131072
    blocks = [block for block in (Block(data, start) for start in range(0, len(data), size))
              if block.is_good and block.format == 2]
    newest = max(blocks, key=lambda block: block.sequence)
    while len(blocks) > 1 and not counts(data, newest):
        blocks.remove(newest)
        newest = max(blocks, key=lambda block: block.sequence)
    frames = {frame.seq: frame for block, end in _log(blocks)
              for frame in _frames_of(data, block, end)}
    groups, begin = [], None
    for seq in sorted(frames):
        if begin is None or begin + len(bodies) != seq:
            begin, bodies = seq, []
        bodies = bodies + frames[seq].bodies
        if frames[seq].is_last:
            if groups and groups[-1].first_seq + len(groups[-1].bodies) != begin:
                groups = []
            groups.append(Group(begin, bodies, frames[seq].chain))
            begin = None
    assert not groups or groups[0].first_seq <= newest.acked + 1, "a gap in the hub's log"
    return newest.id, newest.epoch, groups


def counts(data, block):
    """Whether a newest block counts: it has a frame, and one that ends its merge."""
    offset = (HEADER + block.unit - 1) // block.unit * block.unit
    frame = Frame(data, block, offset)
    while frame.kind is not None:
        if not block.is_merge or frame.kind == GROUP or (frame.kind == COPY and frame.is_last):
            return True
        frame = Frame(data, block, frame.next)
    return False
