"""The file of tokens: who is let in, who is not any more, and which files are not believed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from pathlib import Path

import pytest

from vpt_plugin.errors import TokenFileError
from vpt_plugin.store.tokens import ROLES, TokenFile

# SHA-256 of the three letters abc (FIPS 180-2, appendix B.1).
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")


def written(folder: Path, text: str) -> TokenFile:
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(0o600)
    return TokenFile(path)


def test_a_token_opens_with_the_name_and_role_it_was_made_for(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens")
    token = file.add("alice", "annotator")
    other = file.add("bob@site.org", "admin")
    assert file.find(token) == ("alice", "annotator")
    assert file.find(other) == ("bob@site.org", "admin")
    assert file.people() == [("alice", "annotator"), ("bob@site.org", "admin")]


def test_a_line_holds_the_sha256_of_the_token(tmp_path: Path) -> None:
    assert written(tmp_path, f"alice user {ABC}\n").find("abc") == ("alice", "user")


@pytest.mark.parametrize("wrong", ["", "ab", "abcd", "ABC", " abc", "abc ", ABC, "\ud800", "ä" * 10_000])
def test_what_is_no_token_opens_nothing(tmp_path: Path, wrong: str) -> None:
    assert written(tmp_path, f"alice user {ABC}\n").find(wrong) is None


def test_every_token_is_new_has_256_bits_and_is_not_in_the_file(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens")
    tokens = {file.add(f"p{number}", "user") for number in range(20)}
    assert len(tokens) == 20
    text = file.path.read_text()
    for token in tokens:
        # 43 characters of 6 bits each: 258, of which 256 count.
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
        assert token not in text
        assert hashlib.sha256(token.encode()).hexdigest() in text


def test_a_removed_token_opens_nothing_though_the_server_still_runs(tmp_path: Path) -> None:
    file, command_line = TokenFile(tmp_path / "tokens"), TokenFile(tmp_path / "tokens")
    token = command_line.add("alice", "annotator")
    assert file.find(token) == ("alice", "annotator")
    command_line.remove("alice")
    assert file.find(token) is None
    assert command_line.add("alice", "admin") != token


def test_a_line_changed_within_the_same_tick_of_the_clock_counts_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, f"alice user {ABC}\n")
    before = file.path.stat()
    assert file.find("abc") == ("alice", "user")
    with file.path.open("r+") as same:
        same.write("clara")
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.path.stat().st_size == before.st_size
    assert file.find("abc") == ("clara", "user")


def test_comments_and_other_lines_stay_when_one_is_added_or_removed(tmp_path: Path) -> None:
    file = written(tmp_path, f"# the reading room\n\nalice user {ABC}  \n  # below\n")
    file.add("bob", "admin")
    file.remove("alice")
    first, second, third, bob = file.path.read_text().splitlines()
    assert (first, second, third) == ("# the reading room", "", "  # below")
    assert bob.startswith("bob admin ")


@posix
def test_only_its_owner_reads_the_file_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        TokenFile(tmp_path / "tokens").add("alice", "user")
    finally:
        os.umask(before)
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


@posix
def test_who_could_read_the_file_can_read_it_after_a_change(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    file.path.chmod(0o640)
    file.add("alice", "user")
    assert file.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_root_does_not_take_the_file_from_the_server(tmp_path: Path) -> None:
    server = 12345
    file = written(tmp_path, "")
    os.chown(file.path, server, server)
    file.add("alice", "user")
    file.remove("alice")
    assert (file.path.stat().st_uid, file.path.stat().st_gid) == (server, server)
    # A new file is whose the folder is.
    (tmp_path / "new").mkdir()
    os.chown(tmp_path / "new", server, server)
    new = TokenFile(tmp_path / "new" / "tokens")
    new.add("alice", "user")
    status = new.path.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (server, 0o600)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_who_may_not_give_the_file_back_leaves_it_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, user: int, group: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    file = written(tmp_path, "")
    os.chown(file.path, 12345, 12345)
    file.path.chmod(0o640)
    monkeypatch.setattr(os, "chown", refuse)
    token = file.add("alice", "user")
    assert file.find(token) == ("alice", "user")
    assert file.path.stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, f"alice user {ABC}\n")
    file.path.chmod(mode)
    with pytest.raises(TokenFileError, match=r"tokens: others than its owner may write it. chmod 600 "):
        file.find("abc")


@posix
def test_a_file_in_a_folder_that_anybody_may_write_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    file = written(folder, f"alice user {ABC}\n")
    folder.chmod(0o777)
    with pytest.raises(TokenFileError, match="anybody may write its folder"):
        file.find("abc")
    # As /tmp is: there nobody may replace another's file.
    folder.chmod(0o1777)
    assert file.find("abc") == ("alice", "user")


GOOD = f"alice user {ABC}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alice user\n", "line 1: has 2 words instead of three"),
        (f"# x\n\nalice  user {ABC} x\n", "line 3: has 4 words instead of three"),
        (f"-a user {ABC}\n", "line 1: begins with what cannot be a name"),
        (f"../a user {ABC}\n", "line 1: begins with what cannot be a name"),
        (f"älice user {ABC}\n", "line 1: begins with what cannot be a name"),
        (f"{'a' * 65} user {ABC}\n", "line 1: begins with what cannot be a name"),
        (f"alice root {ABC}\n", "line 1: has an unknown role, choose from user, annotator, reviewer, admin"),
        (f"alice user {ABC[:-1]}\n", "line 1: does not end in a SHA-256"),
        (f"alice user {ABC.upper()}\n", "line 1: does not end in a SHA-256"),
        (GOOD + f"alice admin {'0' * 64}\n", "line 2: repeats the name or the token of line 1"),
        (GOOD + f"Alice admin {'0' * 64}\n", "line 2: repeats the name or the token of line 1"),
        (GOOD + f"bob admin {ABC}\n", "line 2: repeats the name or the token of line 1"),
    ],
)
def test_a_wrong_line_is_told_with_file_and_line_and_nobody_gets_in(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = written(tmp_path, text)
    for ask in (file.people, lambda: file.find("abc"), lambda: file.add("bob", "user")):
        with pytest.raises(TokenFileError) as caught:
            ask()
        assert str(caught.value).startswith(f"{file.path}, {problem}")
    assert file.path.read_text() == text


def test_an_error_does_not_tell_what_a_line_holds_since_it_may_be_a_token(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError) as caught:
        written(tmp_path, "alice user my-secret-token\n").people()
    assert "my-secret-token" not in str(caught.value)


def test_a_file_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    file.path.write_bytes(b"\xff\xfe")
    with pytest.raises(TokenFileError, match="is not a text file in UTF-8"):
        file.people()
    file.path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(TokenFileError, match="is larger than 1 MiB"):
        file.people()


def test_a_missing_file_is_told_with_the_way_to_make_it(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "none")
    with pytest.raises(TokenFileError) as caught:
        file.find("abc")
    assert str(caught.value) == (
        f"{file.path}: there is no such file of tokens. "
        f"Make it: vpt tokens add NAME --role annotator --file {file.path}"
    )


@pytest.mark.parametrize("name", ["", "a b", "a\n", "#a", ".a", "a/b", "a" * 65, "é"])
def test_a_name_that_would_spoil_the_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TokenFileError, match="cannot be a name here"):
        TokenFile(tmp_path / "tokens").add(name, "user")
    assert not list(tmp_path.iterdir())


def test_an_unknown_role_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="unknown role 'boss'; choose from user, annotator, reviewer, a"):
        TokenFile(tmp_path / "tokens").add("alice", "boss")
    assert ROLES == ("user", "annotator", "reviewer", "admin")


def test_a_name_has_one_token(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens")
    token = file.add("alice", "user")
    with pytest.raises(TokenFileError, match=r"Alice has a token already\. Remove it first"):
        file.add("Alice", "admin")
    assert file.find(token) == ("alice", "user")


def test_removing_who_is_not_there_tells_who_is(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    with pytest.raises(TokenFileError, match="'bob' has no token; these have one: alice"):
        file.remove("bob")


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="cannot be written"):
        TokenFile(tmp_path / "no folder" / "tokens").add("alice", "user")
    assert not list(tmp_path.iterdir())


def test_who_reads_while_another_writes_finds_the_old_or_the_new_file_never_half_of_one(
    tmp_path: Path,
) -> None:
    file = TokenFile(tmp_path / "tokens")
    token = file.add("alice", "user")
    done = threading.Event()
    found = []

    def read() -> None:
        while not done.is_set():
            found.append(TokenFile(file.path).find(token))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(30):
            file.add(f"p{number}", "user")
            file.remove(f"p{number}")
    finally:
        done.set()
        reader.join()
    assert found
    assert set(found) == {("alice", "user")}
