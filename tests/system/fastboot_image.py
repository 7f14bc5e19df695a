"""Images for flashing: plain and sparse ones, and what a partition then holds."""

import hashlib
import random
import struct

BLOCK = 4096


def plain(size, seed=1):
    return random.Random(seed).randbytes(size)


def sparse(chunks, block=BLOCK):
    """The image of chunks (kind, blocks, content), and what it makes of an empty partition."""
    kinds = {"raw": 0xcac1, "fill": 0xcac2, "skip": 0xcac3, "crc": 0xcac4}
    body, whole = b"", b""
    for kind, blocks, content in chunks:
        body += struct.pack("<HHII", kinds[kind], 0, blocks, 12 + len(content)) + content
        if kind == "raw":
            whole += content
        elif kind == "fill":
            whole += content * (blocks * block // 4)
        elif kind == "skip":
            whole += bytes(blocks * block)
    total = sum(chunk[1] for chunk in chunks)
    head = struct.pack("<IHHHHIIII", 0xed26ff3a, 1, 0, 28, 12, block, total, len(chunks), 0)
    return head + body, whole


def large_sparse(raw_blocks, seed=2):
    """Raw, fill, skip and raw again."""
    first = plain(raw_blocks * BLOCK, seed)
    second = plain(raw_blocks * BLOCK, seed + 1)
    return sparse([("raw", raw_blocks, first), ("fill", 300, b"\x11\x22\x33\x44"),
                   ("skip", 500, b""), ("raw", raw_blocks, second), ("skip", 9, b"")])


def manifest(images, **keys):
    """Text of a manifest; `images` are (partition, file name, content, more lines)."""
    text = "[flash]\n" + "".join("%s = %s\n" % item for item in keys.items())
    for partition, name, content, more in images:
        text += "[image.%s]\nfile = %s\nbytes = %d\nsha256 = %s\n%s" % (
            partition, name, len(content), hashlib.sha256(content).hexdigest(), more)
    return text
