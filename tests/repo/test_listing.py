"""Whatever a remote's listing says: a name that passes lies below its folder, and what DVC writes passes."""

import hashlib
import json
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from r2i.repo.listing import fault_of_listing, fault_of_output, is_inside

ODD = st.text(st.sampled_from("./\\ab~: \0\n"), max_size=12)


@settings(max_examples=500, deadline=None)
@given(ODD | st.text(max_size=60))
def test_a_name_that_passes_lies_below_its_folder(name: str) -> None:
    if is_inside(name):
        place = os.path.normpath(Path("/folder") / name)
        assert place.startswith("/folder/") and place == f"/folder/{name}"


@settings(max_examples=300, deadline=None)
@given(ODD | st.text(max_size=60))
def test_an_output_that_passes_lies_in_the_repository(name: str) -> None:
    if "://" not in name and fault_of_output(name, "0" * 32) == "":
        place = os.path.normpath(Path("/repository") / name)
        assert place.startswith("/repository/")  # and is not all of it


PLAIN = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\:"), min_size=1, max_size=30
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PLAIN.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4), max_size=5))
def test_what_dvc_lists_of_a_folder_passes(parts: list[list[str]]) -> None:
    from dvc_data.hashfile.tree import Tree

    names = {"/".join(one) for one in parts if not {".git", ".dvc"} & {part.casefold() for part in one}}
    data = Tree.from_list([{"relpath": name, "md5": "0" * 32} for name in names]).as_bytes()
    assert fault_of_listing(data, hashlib.md5(data, usedforsecurity=False).hexdigest()) == ""
    assert fault_of_listing(data + b" ", hashlib.md5(data, usedforsecurity=False).hexdigest()) != ""
    assert len(json.loads(data)) == len(names)
