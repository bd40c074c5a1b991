"""The one DICOM file in an answer of WADO-RS, byte for byte as the archive sent it."""

from __future__ import annotations

from email.message import Message

from vpt_plugin.errors import ArchiveError


def dicom_file_of(content_type: str, body: bytes) -> bytes:
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
        return body
    boundary = header.get_param("boundary")
    if kind != "multipart/related" or not isinstance(boundary, str) or not boundary:
        raise ArchiveError(f"the answer is {kind}, no DICOM file.")
    # Before the first boundary there may be nothing at all, and of the line break, too (RFC 2046, 5.1.1).
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise ArchiveError("the answer is cut short.")
    if len(parts) > 3:
        raise ArchiveError(f"the answer holds {len(parts) - 2} files instead of one.")
    _, separator, content = parts[1].partition(b"\r\n\r\n")
    if not separator:
        raise ArchiveError("the answer is cut short.")
    return content
