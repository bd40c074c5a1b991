"""The one DICOM file in an answer of WADO-RS, byte for byte as the archive sent it."""

from __future__ import annotations

from email.message import Message

from vpt_plugin.errors import ArchiveError


def dicom_file_of(content_type: str, body: bytearray) -> bytes:
    """The file that an answer holds.

    Args:
        content_type: the answer's header of that name.
        body: the answer's body: ``multipart/related`` with one part (DICOM PS3.18, 8.7.2), or the bare file,
            which some archives send.

    Raises:
        ArchiveError: the answer is cut short, or holds something else, or more than one file.
    """
    header = Message()
    header["Content-Type"] = content_type
    kind = header.get_content_type()
    if kind == "application/dicom":
        return bytes(body)
    boundary = header.get_param("boundary")
    if kind != "multipart/related" or not isinstance(boundary, str) or not boundary:
        raise ArchiveError(f"the answer is {kind}, no DICOM file.")
    return _only_part(body, b"\r\n--" + boundary.encode("latin-1"))


def _only_part(body: bytearray, edge: bytes) -> bytes:
    # Searched where it lies, not split: a file may be large. Before the first boundary there may be nothing
    # at all, not even the line break (RFC 2046, 5.1.1).
    at_once = body.startswith(edge[2:])
    edges = body.count(edge) + at_once
    first, last = 0 if at_once else body.find(edge), body.rfind(edge)
    header_end = body.find(b"\r\n\r\n", first, last)
    if edges > 2:
        raise ArchiveError(f"the answer holds {edges - 1} files instead of one.")
    if edges < 2 or header_end < 0 or not body.startswith(b"--", last + len(edge)):
        raise ArchiveError("the answer is cut short.")
    return bytes(memoryview(body)[header_end + 4 : last])
