"""What a power cut leaves of the operation that it interrupts, in the flash image of a board: the models of
hal/sim/sim_flash.h, written a second time, for a program, an erase and the header of a block just erased.

Only what nobody was told of may be torn. A cell between two states reads differently from start to start here, and
not from read to read: the emulator reads a file. That within one start nothing is built on what reads differently is for the
simulator to show (docs/store.md, "How it is proven")."""

import board_rig
import store_reader

SECTOR, ERASED, PAGE = board_rig.SECTOR, 0xff, 256
MODELS = ("nothing", "whole", "prefix", "suffix", "one bit", "all but one", "random", "disturb", "metastable")
WEAK_MAX = 4  # cells of one torn operation
AGED = 40  # sequence of the only block in use in an aged chip


def random_bits(dice, size):
    return int.from_bytes(dice.randbytes(size), "little")


def tear(old, wanted, model, dice):
    """The bytes when only part of what was to change has changed."""
    size = len(old)
    if model in ("prefix", "suffix"):
        cut = dice.randrange(size + 1)
        return wanted[:cut] + old[cut:] if model == "prefix" else old[:cut] + wanted[cut:]
    if model == "disturb":
        return disturb(old, wanted, dice)
    if model == "metastable":
        return dice.choice((old, wanted))
    before, after = int.from_bytes(old, "little"), int.from_bytes(wanted, "little")
    changing = before ^ after
    if model == "nothing" or changing == 0:
        chosen = 0
    elif model == "random":
        chosen = changing & random_bits(dice, size)
    else:
        places = [place for place in range(size) if old[place] != wanted[place]]
        place = dice.choice(places)
        bits = [bit for bit in range(8) if (old[place] ^ wanted[place]) >> bit & 1]
        bit = 1 << (8 * place + dice.choice(bits))
        chosen = {"whole": changing, "one bit": bit, "all but one": changing ^ bit}[model]
    return (before ^ chosen).to_bytes(size, "little")


def disturb(old, wanted, dice):
    """The page in which the power went has lost bits of what was in it before the cut."""
    cut = dice.randrange(len(old) + 1)
    page = cut // PAGE * PAGE
    lost = bytes(byte & (dice.getrandbits(8) | dice.getrandbits(8)) for byte in wanted[page:cut])
    end = min(page + PAGE, len(old))
    return wanted[:page] + lost + tear(old[cut:end], wanted[cut:end], "random", dice) + old[end:]


class WeakCells:
    """Cells between two states: at each start they read as they like, until they are erased."""

    def __init__(self, path):
        self.path = path
        self.rows = []  # [place, mask, what is around it as the last start found it]

    def around(self, chip, place):
        """The page of a cell, and the header of its block, which an erase takes as well."""
        found = b""
        for start, size in ((place // SECTOR * SECTOR, 128), (place // PAGE * PAGE, PAGE)):
            chip.seek(start)
            found += chip.read(size)
        return found

    def add(self, at, old, wanted, dice):
        """A few of the bits that were to change; of an erase, half of them in the header."""
        places = [place for place in range(len(old)) if old[place] != wanted[place]]
        heads = [place for place in places if place < 128]
        with open(self.path, "rb") as chip:
            for _ in range(dice.randrange(1, WEAK_MAX + 1) if places else 0):
                place = dice.choice(heads if heads and dice.random() < 0.5 else places)
                bits = [bit for bit in range(8) if (old[place] ^ wanted[place]) >> bit & 1]
                self.rows.append([at + place, 1 << dice.choice(bits), self.around(chip, at + place)])

    def read(self, dice):
        """Another start: says how many cells read as they like, and how many of them otherwise than before."""
        changed = 0
        with open(self.path, "r+b") as chip:
            self.rows = [row for row in self.rows if self.around(chip, row[0]) == row[2]]
            for place, mask, _ in self.rows:
                flips = dice.random() < 0.5
                chip.seek(place)
                byte = chip.read(1)[0]
                chip.seek(place)
                chip.write(bytes([byte ^ mask if flips else byte]))
                changed += flips
            for row in self.rows:
                row[2] = self.around(chip, row[0])
        return len(self.rows), changed


class Chip:
    """The store's part of a board's chip, while the power is off."""

    def __init__(self, path, weak=None):
        self.path, self.weak = path, weak
        with open(path, "rb") as file:
            self.data = file.read(board_rig.STORE)
        self.blocks = [store_reader.Block(self.data, start) for start in range(0, len(self.data), SECTOR)]

    def write(self, at, data):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def tear(self, at, wanted, model, dice, old=None):
        """Tears the program, or the erase, that would have made it `wanted`; `old`: after an erase."""
        old = self.data[at:at + len(wanted)] if old is None else old
        self.write(at, tear(old, wanted, model, dice))
        if model == "metastable":
            self.weak.add(at, old, wanted, dice)

    def newest(self):
        """The newest block that counts: one without a frame is as good as free."""
        good = sorted((block for block in self.blocks if block.is_good), key=lambda one: one.sequence)
        while len(good) > 1 and not store_reader.counts(self.data, good[-1]):
            good.pop()
        return good[-1]

    def free(self):
        """Blocks that are erased before they are used again."""
        newest = self.newest()
        return [block for block in self.blocks
                if not block.is_good or not newest.oldest <= block.sequence <= newest.sequence]


def seal(header):
    return bytes(header[:124]) + store_reader.crc32c(0, header[:124]).to_bytes(4, "little")


def header_of(block, chip, number, sequence, oldest):
    """That of block `number`, as this store would write it behind `block`."""
    raw = bytearray(chip.data[block.start:block.start + 128])
    raw[40:44] = number.to_bytes(4, "little")
    raw[48:56] = sequence.to_bytes(8, "little")
    raw[56:64] = oldest.to_bytes(8, "little")
    return raw


def age(path, dice):
    """Makes a chip with frames in one block only one that is in its second round: what every other block holds
    was given up long ago, and is to be erased. The salt of the block stays: its nonce makes up for
    the new sequence, so that its frames stay valid."""
    chip = Chip(path)
    first = chip.newest()
    assert not any(store_reader.counts(chip.data, block) for block in chip.blocks
                   if block.is_good and block is not first)
    for number, block in enumerate(chip.blocks):
        if block is not first:
            header = seal(header_of(first, chip, number, number + 1, number + 1))
            rest = dice.randbytes(dice.randrange(SECTOR // 2, SECTOR - 256))
            chip.write(number * SECTOR, header + b"\xff" * 128 + rest)
    header = header_of(first, chip, first.start // SECTOR, AGED, AGED)
    before, now = (store_reader.crc32c(0, first.id + number.to_bytes(8, "little"))
                   for number in (first.sequence, AGED))
    nonce = int.from_bytes(first.nonce, "little") ^ before ^ now
    header[76:80] = nonce.to_bytes(4, "little")
    chip.write(first.start, seal(header))
    assert Chip(path).newest().sequence == AGED, "the block has a frame, and its frames are valid still"


def torn_program(chip, promised, dice, model):
    """The newest frame, when its records were promised to nobody, or else one that would have come."""
    block = chip.newest()
    frames = []
    offset = (store_reader.HEADER + block.unit - 1) // block.unit * block.unit
    frame = store_reader.Frame(chip.data, block, offset)
    seq = block.next_seq
    while frame.kind is not None:
        if frame.kind == store_reader.GROUP:
            frame.seq = seq + ((frame.seq - seq) & 0xffff)
            seq = frame.seq + len(frame.bodies)
        frames.append((offset, frame))
        offset = frame.next
        frame = store_reader.Frame(chip.data, block, offset)
    is_tail = bool(frames) and frames[-1][1].kind == store_reader.GROUP and frames[-1][1].seq > promised
    starts_unit = is_tail and frames[-1][0] % block.unit == 0
    if starts_unit:
        begin, end = frames[-1][0], -(-offset // block.unit) * block.unit
        wanted = chip.data[block.start + begin:block.start + end]
    else:
        begin = -(-len(chip.data[block.start:block.start + SECTOR].rstrip(b"\xff")) // block.unit) * block.unit
        wanted = dice.randbytes(block.unit * dice.choice((1, 3)))
        if model == "whole" or begin + len(wanted) > SECTOR:
            return "no program"
    chip.tear(block.start + begin, wanted, model, dice, bytes([ERASED]) * len(wanted))
    return "the newest frame" if starts_unit else "a frame to come"


def torn_erase(chip, dice, model):
    free = chip.free()
    if not free:
        return "no erase"
    chip.tear(dice.choice(free).start, bytes([ERASED]) * SECTOR, model, dice)
    return "an erase"


def torn_header(chip, dice, model):
    """A block just erased, with what there is of its header."""
    newest, free = chip.newest(), chip.free()
    if not free or chip.data[newest.start + 128:newest.start + SECTOR].strip(b"\xff") == b"":
        return "no header"
    block = dice.choice(free)
    header = header_of(newest, chip, block.start // SECTOR, newest.sequence + 1, newest.oldest)
    end = len(chip.data[newest.start:newest.start + SECTOR].rstrip(b"\xff"))
    header[64:68] = newest.sequence.to_bytes(4, "little")
    header[69:72] = (newest.start // SECTOR + 1).to_bytes(3, "little")
    header[72:76] = (-(-end // newest.unit) * newest.unit).to_bytes(4, "little")
    chip.write(block.start, bytes([ERASED]) * SECTOR)
    chip.tear(block.start, seal(header), model, dice, bytes([ERASED]) * 128)
    return "a header"


def tear_last(path, promised, dice, weak, model=None, kind=None):
    """Tears one operation; says which, and how. `model`, `kind`: this one."""
    chip = Chip(path, weak)
    model = model or dice.choice(MODELS)
    kind = kind or dice.choice(("program", "erase", "header"))
    if kind == "program":
        what = torn_program(chip, promised, dice, model)
    elif kind == "erase":
        what = torn_erase(chip, dice, model)
    else:
        what = torn_header(chip, dice, model)
    return "%s: %s" % (what, model)
