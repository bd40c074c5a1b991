"""Uploads that are weapons: archives that lead outside or grow, headers that point elsewhere or lie."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from attack_range import CANARY, MULTIPART, Range, multipart

# What one upload may cost: the server's limits on unpacked bytes lie above it only for what is honest.
_SECONDS = 30
_GROWTH_MIB = 1500

# A file that is a weapon: its name, and its bytes given the folder of canaries.
Weapon = tuple[str, Callable[[Path], bytes]]


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def unix_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """One header of a tar file that may lie about what follows."""
    info = member(name, kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def slice_bytes(outside: Path) -> bytes:
    return next((outside.parent / "studies" / "p01" / "ct").iterdir()).read_bytes()


SLIPS = (
    "../x.dcm", "a/../../x.dcm", "..\\x.dcm", "a\\..\\..\\x.dcm", "/tmp/x.dcm", "//x/x.dcm", "C:\\x.dcm",
    "C:x.dcm", "\\\\server\\share\\x.dcm", "..", "a/..", "./../x.dcm", "x.dcm\x00../y", "~/x.dcm",
    "a/" * 3000 + "x.dcm", "n" * 60_000, "con/../../x.dcm", "a/./../..//x.dcm", "\u2025/x.dcm", " ../x.dcm",
    "..\u2215x.dcm", "a//" * 50 + "x",
)  # fmt: skip


def slipping(name: str, pack: Callable[..., bytes]) -> Callable[[Path], bytes]:
    """An archive whose one file has this name."""
    entry = name if pack is zipped else member(name)
    return lambda outside: pack((entry, b"slipped out"))


def duplicate_names(outside: Path) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(*(("a.dcm", slice_bytes(outside)) for _ in range(3)))


def link_then_file(outside: Path) -> bytes:
    """A link to a folder outside, then a file that would go through it."""
    link = unix_entry("d", 0o120777)
    return zipped((link, str(outside).encode()), ("d/x.dcm", b"written through a link"))


def file_then_folder(outside: Path) -> bytes:
    return zipped(("a", b"x"), ("a/b", b"x"), ("c/d", b"x"), ("c", b"x"))


def bomb(outside: Path) -> bytes:
    return zipped(*((f"{n}.dcm", bytes(100 << 20)) for n in range(3)))


def nested_bomb(outside: Path) -> bytes:
    inner = zipped(("0.dcm", bytes(50 << 20)))
    return zipped(*((f"{n}.zip", inner) for n in range(50)))


def many_empty_entries(outside: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(30_000):
            archive.writestr(zipfile.ZipInfo(str(n)), b"")
    return out.getvalue()


def lying_sizes(small: bool) -> Callable[[Path], bytes]:
    """The table of contents says another size than the data has."""

    def pack(outside: Path) -> bytes:
        data = bytearray(zipped(("a.dcm", bytes(1 << 20))))
        entry = data.rindex(b"PK\x01\x02")
        struct.pack_into("<I", data, entry + 24, 10 if small else 0xFFFFFFF0)
        return bytes(data)

    return pack


def overlapping_entries(outside: Path) -> bytes:
    """One packed megabyte that 500 entries share."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(bytes(10 << 20)) + packed.flush()
    sizes = struct.pack("<III", zlib.crc32(bytes(10 << 20)), len(data), 10 << 20)
    local = (
        b"PK\x03\x04" + struct.pack("<5H", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", 1, 0) + b"a" + data
    )
    entry = (
        b"PK\x01\x02"
        + struct.pack("<6H", 20, 20, 0, 8, 0, 0)
        + sizes
        + struct.pack("<HHHHHII", 1, 0, 0, 0, 0, 0, 0)
    )
    entries = (entry + b"a") * 500
    return (
        local + entries + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 500, 500, len(entries), len(local), 0)
    )


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def encrypted(outside: Path) -> bytes:
    data = bytearray(zipped(("a.dcm", b"x" * 100)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def other_packing(outside: Path) -> bytes:
    data = bytearray(zipped(("a.dcm", b"x" * 100)))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + offset] = 98
    return bytes(data)


ZIPS: list[Weapon] = [
    *((f"slip{n}.zip", slipping(name, zipped)) for n, name in enumerate(SLIPS)),
    ("to-canary.zip", lambda outside: zipped((str(outside / "canary.txt"), b"overwritten"))),
    ("link.zip", lambda outside: zipped((unix_entry("x.dcm", 0o120777), bytes(outside / "ct.nii.gz")))),
    ("link-then-file.zip", link_then_file),
    ("device.zip", lambda outside: zipped((unix_entry("x.dcm", 0o020666), b""))),
    ("pipe.zip", lambda outside: zipped((unix_entry("x.dcm", 0o010666), b""))),
    ("twice.zip", duplicate_names), ("file-then-folder.zip", file_then_folder), ("bomb.zip", bomb),
    ("nested.zip", nested_bomb), ("many.zip", many_empty_entries),
    ("says-less.zip", lying_sizes(small=True)), ("says-more.zip", lying_sizes(small=False)),
    ("overlapping.zip", overlapping_entries), ("encrypted.zip", encrypted), ("packing98.zip", other_packing),
    ("half.zip", lambda outside: truncated(zipped(("a.dcm", slice_bytes(outside))))),
    ("lzma.zip", lambda outside: zipped(("a", b"x" * 99), packing=zipfile.ZIP_LZMA).replace(b"x", b"y")),
    ("no-files.zip", lambda outside: zipped()),
    ("end-only.zip", lambda outside: b"PK\x05\x06" + b"\xff" * 18),
]  # fmt: skip

LINKS = ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard-link"))


def tar_link(name: str, kind: bytes, target: str) -> Callable[[Path], bytes]:
    """A tar whose one member is a link; ``{outside}`` in its target is the folder of canaries."""
    return lambda outside: tarred((member(name, kind, target.format(outside=outside)), b""))


def tar_through(kind: bytes) -> Callable[[Path], bytes]:
    """A link to outside, then a file that would be written through it."""

    def pack(outside: Path) -> bytes:
        return tarred((member("d", kind, str(outside)), b""), (member("d/x.dcm"), b"written through a link"))

    return pack


def long_name_bomb(outside: Path) -> bytes:
    """A name of 600 MiB, which shrinks to half a megabyte; tarfile keeps a name in memory."""
    length = 600 << 20
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        packed.write(header("././@LongLink", length, tarfile.GNUTYPE_LONGNAME))
        for _ in range(length >> 20):
            packed.write(bytes(1 << 20))
        packed.write(header("x.dcm", 0) + bytes(1024))
    return out.getvalue()


def pax_bomb(outside: Path) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        packed.write(header("pax", 600 << 20, tarfile.XHDTYPE))
        for _ in range(600):
            packed.write(bytes(1 << 20))
    return out.getvalue()


def sparse_giant(outside: Path) -> bytes:
    """512 bytes that claim to be a sparse file of 8 TiB."""
    pax = b"".join(
        b"%d %s\n" % (len(text) + 3, text)
        for text in (b"GNU.sparse.size=8796093022208", b"GNU.sparse.map=0,1", b"GNU.sparse.numblocks=1")
    )
    return (
        header("pax", len(pax), tarfile.XHDTYPE)
        + pax.ljust(512, b"\0")
        + header("x.dcm", 1)
        + b"x".ljust(1536, b"\0")
    )


TARS: list[Weapon] = [
    *((f"slip{n}.tar", slipping(name, tarred)) for n, name in enumerate(SLIPS) if "\x00" not in name),
    ("to-canary.tar", lambda outside: tarred((member(str(outside / "canary.txt")), b"overwritten"))),
    *((f"{words}.tar", tar_link("x.dcm", kind, "{outside}/ct.nii.gz")) for kind, words in LINKS),
    *((f"{words}-up.tar", tar_link("a/x.dcm", kind, "../../../../../etc/passwd")) for kind, words in LINKS),
    *((f"through-{words}.tar", tar_through(kind)) for kind, words in LINKS),
    ("device.tar", lambda outside: tarred((member("x.dcm", tarfile.CHRTYPE), b""))),
    ("pipe.tar", lambda outside: tarred((member("x.dcm", tarfile.FIFOTYPE), b""))),
    ("twice.tar", lambda outside: tarred(*((member("a.dcm"), b"x") for _ in range(3)))),
    ("file-then-folder.tar", lambda outside: tarred((member("a"), b"x"), (member("a/b"), b"x"))),
    ("many.tar.gz", lambda outside: tarred(*((member(str(n)), b"") for n in range(30_000)), mode="w:gz")),
    ("bomb.tar.gz", lambda outside: tarred((member("0.dcm"), bytes(300 << 20)), mode="w:gz")),
    ("bomb.tar.xz", lambda outside: lzma.compress(header("0.dcm", 1 << 40) + bytes(100 << 20), preset=0)),
    ("bomb.tar.bz2", lambda outside: bz2.compress(header("0.dcm", 1 << 40) + bytes(20 << 20), 1)),
    ("long-name.tar.gz", long_name_bomb), ("pax.tar.gz", pax_bomb), ("sparse.tar", sparse_giant),
    ("says-more.tar", lambda outside: header("x.dcm", 1 << 40) + bytes(1024)),
    ("says-less.tar", lambda outside: header("x.dcm", -5) + bytes(1024)),
    ("half.tar.gz", lambda outside: truncated(tarred((member("a.dcm"), slice_bytes(outside)), mode="w:gz"))),
    ("no-files.tar", lambda outside: tarred()), ("nonsense.tar", lambda outside: b"nonsense" * 200),
]  # fmt: skip


def nifti_header(size: tuple[int, int, int], kind: int = 4, bits: int = 16, offset: float = 352.0) -> bytes:
    data = bytearray(352)
    struct.pack_into("<i", data, 0, 348)
    struct.pack_into("<8h", data, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<hh", data, 70, kind, bits)
    struct.pack_into("<8f", data, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<ff", data, 108, offset, 1.0)
    data[344:348] = b"n+1\0"
    return bytes(data)


NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nspace: left-posterior-superior\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: {encoding}\nendian: little\n{more}\n"
)
MHA = (
    "ObjectType = Image\nNDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
    "ElementByteOrderMSB = False\n{more}ElementDataFile = {pointer}\n"
)
COMPRESSED = "CompressedData = True\nCompressedDataSize = 9\n"


def nrrd(sizes: str = "64 64 16", encoding: str = "raw", more: str = "") -> bytes:
    return NRRD.format(sizes=sizes, encoding=encoding, more=more).encode()


def mha(pointer: str, sizes: str = "64 64 16", more: str = "") -> bytes:
    return MHA.format(sizes=sizes, pointer=pointer, more=more).encode()


def nested_sequences(outside: Path) -> bytes:
    """A DICOM file whose sequences lie in each other 3000 deep."""
    start = b"\x08\x00\x40\x11" + b"SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    data = slice_bytes(outside)
    return data[: data.index(b"\x08\x00")] + start * 3000


def deflated_dicom(outside: Path) -> bytes:
    """A DICOM file of 200 kB that inflates to 200 MB."""
    dataset = pydicom.dcmread(io.BytesIO(slice_bytes(outside)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(200 << 20)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


FILES: list[Weapon] = [
    ("elsewhere.nrrd", lambda outside: nrrd(more=f"data file: {outside / 'canary.txt'}\n")),
    ("elsewhere.nhdr", lambda outside: nrrd(more=f"datafile: {outside / 'canary.txt'}\n")),
    ("list.nrrd", lambda outside: nrrd(more=f"data file: LIST\n{outside / 'canary.txt'}\n")),
    ("elsewhere.mha", lambda outside: mha(str(outside / "canary.txt"))),
    ("elsewhere.mhd", lambda outside: mha("../../../../../../etc/passwd", sizes="10 10 4")),
    ("list.mha", lambda outside: mha(f"LIST\n{outside / 'canary.txt'}")),
    ("pattern.mhd", lambda outside: mha(f"{outside}/%s 1 3 1")),
    ("huge.nrrd", lambda outside: nrrd("100000 100000 100000") + bytes(100)),
    ("negative.nrrd", lambda outside: nrrd("-1 64 16") + bytes(100)),
    ("overflow.nrrd", lambda outside: nrrd("4294967296 4294967296 4294967297") + bytes(100)),
    ("huge.mha", lambda outside: mha("LOCAL", "100000 100000 100000") + bytes(100)),
    ("bomb.nrrd", lambda outside: nrrd(encoding="gzip") + gzip.compress(bytes(300 << 20), 1)),
    ("bomb.mha", lambda outside: mha("LOCAL", more=COMPRESSED) + zlib.compress(bytes(100 << 20))),
    ("huge.nii", lambda outside: nifti_header((32767, 32767, 32767))),
    ("negative.nii", lambda outside: nifti_header((-5, 64, 64)) + bytes(1000)),
    ("offset.nii", lambda outside: nifti_header((64, 64, 16), offset=-1e30) + bytes(131072)),
    ("not-a-number.nii", lambda outside: nifti_header((64, 64, 16), offset=float("nan")) + bytes(131072)),
    ("kind.nii", lambda outside: nifti_header((64, 64, 16), kind=32767, bits=-1) + bytes(131072)),
    ("bomb.nii.gz", lambda outside: gzip.compress(nifti_header((64, 64, 16)) + bytes(300 << 20), 1)),
    ("not-gzip.nii.gz", lambda outside: b"\x1f\x8b" + b"\xff" * 100),
    ("hdf5.nii", lambda outside: b"\x89HDF\r\n\x1a\n" + bytes(1000)),
    ("xml.vti", lambda outside: f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{outside}/canary.txt">]><x>&e;</x>'.encode()),
    ("code.npy", lambda outside: b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
    ("code.pt", lambda outside: b"\x80\x04cposix\nsystem\n(X\x02\x00\x00\x00idtR."),
    ("DICOMDIR", lambda outside: slice_bytes(outside)), ("sequences.dcm", nested_sequences),
    ("inflates.dcm", deflated_dicom),
    ("no-preamble.dcm", lambda outside: bytes(128) + b"DICM" + b"\xff" * 500),
    ("canary.nii", lambda outside: CANARY.encode() * 100),
]  # fmt: skip
WEAPONS = [*ZIPS, *TARS, *FILES]


@pytest.fixture(scope="module")
def arsenal() -> dict[str, bytes]:
    """What was packed already; some takes a second."""
    return {}


@pytest.mark.parametrize(("name", "pack"), WEAPONS, ids=[name for name, _ in WEAPONS])
@pytest.mark.parametrize("way", ["infer", "session", "session that is to be unpacked"])
def test_a_file_that_is_a_weapon_is_refused(
    attacked: Range, arsenal: dict[str, bytes], name: str, pack: Callable[[Path], bytes], way: str
) -> None:
    if name not in arsenal:
        arsenal[name] = pack(attacked.outside)
    memory, began = memory_mib(attacked), time.monotonic()
    # An archive's own words may come back to the client, such as a name that leads outside.
    sent = f"{way} {name}, which may name {attacked.outside}/canary.txt"
    answer = attacked.send(*request(attacked, way, name, arsenal[name], sent))
    assert not attacked.problem(answer, sent)
    # 404: no session was opened, so there was none to ask about.
    assert answer.status in (400, 404, 413, 415, 422), answer
    assert time.monotonic() - began < _SECONDS
    assert memory_mib(attacked) - memory < _GROWTH_MIB


def request(attacked: Range, way: str, name: str, data: bytes, sent: str) -> tuple:  # type: ignore[type-arg]
    """The request that makes the server read the file; of a session, the one after its upload."""
    if way == "infer":
        return "POST", "/infer/nodule_tiny", multipart(("file", name, data)), (MULTIPART,)
    unpack = "?uncompress=true" if "unpacked" in way else ""
    opened = attacked.send("PUT", f"/session/{unpack}", multipart(("files", name, data)), (MULTIPART,))
    assert not attacked.problem(opened, sent)
    session_id = opened.json.get("session_id", "00000000-0000-4000-8000-000000000000")
    return "POST", f"/infer/nodule_tiny?session_id={session_id}"


def memory_mib(attacked: Range) -> int:
    """The most memory that the server ever held; only where Linux tells."""
    status = Path(f"/proc/{attacked.pid}/status")
    if not status.exists():
        return 0
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) >> 10
