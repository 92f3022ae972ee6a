"""Digests: the same for the same content, different for any difference."""

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tightship.storage import FileDigest, file_digest, folder_digest
from tightship.storage.digests import same_digest

FILES = st.lists(
    st.builds(
        FileDigest, st.text(max_size=5), st.sampled_from(["a" * 64, "b" * 64]), st.integers(0, 9)
    ),
    unique_by=lambda file: file.path,
    max_size=5,
)


@given(FILES, st.randoms())
def test_the_order_of_a_listing_does_not_count(files: list[FileDigest], random: object) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert folder_digest(files) == folder_digest(shuffled)


@given(FILES, FILES)
def test_different_folders_have_different_digests(
    left: list[FileDigest], right: list[FileDigest]
) -> None:
    assert (folder_digest(left) == folder_digest(right)) == (sorted(left) == sorted(right))


def test_the_form_is_fixed() -> None:
    files = [FileDigest("b", "2" * 64, 2), FileDigest("a", "1" * 64, 1)]
    text = f'[["a","{"1" * 64}",1],["b","{"2" * 64}",2]]'
    assert folder_digest(files) == hashlib.sha256(text.encode()).hexdigest()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x") == FileDigest("x", hashlib.sha256(b"abc").hexdigest(), 3)


def test_prefix_and_case_of_a_digest_make_no_difference() -> None:
    assert same_digest("sha256:" + "AB" * 32, "ab" * 32)
    assert not same_digest("ab" * 32, "ac" * 32)
