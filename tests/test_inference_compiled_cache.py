"""The folder of compiled networks: what cannot be trusted is made again, and it stays small."""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.inference.engines.compiled_cache import CompiledCache

FACTS = {"network": "tiny", "clip": [8, 96, 96]}
FILES = {"compiled.blob": bytes(range(256)), "expected.json": b"[[0.5]]"}


def entry(cache: CompiledCache) -> Path:
    (place,) = (each for each in cache.folder.iterdir() if not each.name.startswith("."))
    return place


def test_what_was_kept_comes_back_for_the_same_facts_only(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path / "not" / "there")
    assert not cache.has(FACTS)
    assert cache.load(FACTS) is None
    cache.store(FACTS, FILES)
    assert cache.has(FACTS)
    assert cache.load(FACTS) == FILES
    assert cache.load(FACTS | {"clip": [16, 96, 96]}) is None


@given(st.sampled_from(["compiled.blob", "expected.json", "facts.json"]), st.data())
def test_no_damaged_byte_ever_comes_back(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = CompiledCache(Path(folder))
        cache.store(FACTS, FILES)
        file = entry(cache) / name
        content = bytearray(file.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        # One byte of the facts may be a blank between two of them.
        loaded = cache.load(FACTS)
        assert loaded is None or (name == "facts.json" and loaded == FILES)
        assert cache.has(FACTS) == (loaded is not None)


@pytest.mark.parametrize("name", ["compiled.blob", "expected.json", "facts.json"])
def test_an_entry_that_lacks_a_file_is_made_again(name: str, tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    cache.store(FACTS, FILES)
    (entry(cache) / name).unlink()
    assert cache.load(FACTS) is None
    cache.store(FACTS, FILES)
    assert cache.load(FACTS) == FILES


def test_another_networks_entry_under_this_name_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, others = CompiledCache(tmp_path / "ours"), CompiledCache(tmp_path / "others")
    cache.store(FACTS, FILES)
    others.store(FACTS | {"network": "penet"}, FILES)
    place = entry(cache)
    for file in entry(others).iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    assert cache.load(FACTS) is None
    assert "damaged or another's" in caplog.text


def test_what_was_used_the_longest_ago_leaves_first(tmp_path: Path) -> None:
    facts = [FACTS | {"number": number} for number in range(3)]
    CompiledCache(tmp_path).store(facts[0], FILES)
    size = sum(file.stat().st_size for file in tmp_path.glob("*/*"))
    cache = CompiledCache(tmp_path, max_bytes=2 * size)
    cache.store(facts[1], FILES)
    for place in tmp_path.iterdir():
        os.utime(place, (0, 0))
    assert cache.load(facts[0]) == FILES
    cache.store(facts[2], FILES)
    assert [cache.has(each) for each in facts] == [True, False, True]


def test_what_another_process_is_making_is_neither_counted_nor_removed(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    cache.store(FACTS, FILES)
    unfinished = tmp_path / ".unfinished-of-another"
    entry(cache).rename(unfinished)  # with facts.json, just before it gets its name
    os.utime(unfinished)
    size = sum(file.stat().st_size for file in unfinished.iterdir())
    # Were it counted, there would be no room for both of these, and the older one would go.
    roomy = CompiledCache(tmp_path, max_bytes=2 * size + size // 2)
    for number in range(2):
        roomy.store(FACTS | {"number": number}, FILES)
        os.utime(unfinished)
    assert [roomy.has(FACTS | {"number": number}) for number in range(2)] == [True, True]
    os.utime(unfinished, (time.time() - 60,) * 2)
    small = CompiledCache(tmp_path, max_bytes=1)
    small.store(FACTS, FILES)
    assert unfinished.is_dir()


def test_an_entry_that_was_removed_may_be_stored_anew(tmp_path: Path) -> None:
    cache, newer = CompiledCache(tmp_path), FILES | {"expected.json": b"[[0.7]]"}
    cache.remove(FACTS)
    cache.store(FACTS, FILES)
    cache.store(FACTS, newer)
    assert cache.load(FACTS) == FILES
    cache.remove(FACTS)
    cache.store(FACTS, newer)
    assert cache.load(FACTS) == newer


def test_of_several_that_miss_an_entry_one_makes_it(tmp_path: Path) -> None:
    made: list[int] = []

    def load_or_make(number: int) -> dict[str, bytes] | None:
        cache = CompiledCache(tmp_path)
        with cache.making(FACTS):
            if cache.load(FACTS) is None:
                made.append(number)
                cache.store(FACTS, FILES)
        return cache.load(FACTS)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(load_or_make, range(4))) == [FILES] * 4
    assert len(made) == 1


def test_without_a_lock_an_entry_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    with CompiledCache(taken).making(FACTS):
        pass
    cache = CompiledCache(tmp_path / "held")
    monkeypatch.setattr("vpt_plugin.inference.engines.compiled_cache._PATIENCE_SECONDS", 0.0)
    with cache.making(FACTS), cache.making(FACTS):
        cache.store(FACTS, FILES)
    assert cache.load(FACTS) == FILES


def test_the_newest_stays_even_where_it_alone_is_too_large(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path, max_bytes=1)
    cache.store(FACTS, FILES)
    assert cache.load(FACTS) == FILES


def test_several_that_store_and_read_at_once_all_get_whole_files(tmp_path: Path) -> None:
    def both(_: int) -> dict[str, bytes] | None:
        cache = CompiledCache(tmp_path)
        cache.store(FACTS, FILES)
        return cache.load(FACTS)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(both, range(40))) == [FILES] * 40
    assert [each.name for each in tmp_path.iterdir()] == [entry(CompiledCache(tmp_path)).name]


def test_a_full_disk_is_told_in_words_and_nothing_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    cache = CompiledCache(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        cache.store(FACTS, FILES)
    assert "No space left on device" in caplog.text
    assert not list(tmp_path.iterdir())
    assert cache.load(FACTS) is None
