from __future__ import annotations

import re

import nodesemver
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_magic.component import versions
from ggml_magic.errors import PackagingError

NUMBERS = st.integers(0, 999_999)
VERSIONS = st.builds("{}.{}.{}".format, NUMBERS, NUMBERS, NUMBERS)
CONTENTS = st.sampled_from(["a", "b", "c", ""])
TAKEN = st.dictionaries(VERSIONS, CONTENTS, max_size=6)


@settings(deadline=None)
@given(TAKEN)
def test_new_content_gets_a_version_above_all_others(taken: dict[str, str]) -> None:
    chosen = versions.choose("new", taken, None)
    assert versions.fault(chosen) is None and chosen not in taken
    assert all(nodesemver.gt(chosen, version, False) for version in taken)


@settings(deadline=None)
@given(TAKEN, VERSIONS)
def test_the_same_content_keeps_its_version(taken: dict[str, str], version: str) -> None:
    taken = {**taken, version: "mine"}
    assert versions.choose("mine", taken, None) == version


@settings(deadline=None)
@given(TAKEN)
def test_choosing_twice_is_choosing_once(taken: dict[str, str]) -> None:
    chosen = versions.choose("new", taken, None)
    assert versions.choose("new", {**taken, chosen: "new"}, None) == chosen


@settings(deadline=None)
@given(VERSIONS)
def test_the_next_is_the_lowest_that_greengrass_takes(version: str) -> None:
    if version == "999999.999999.999999":
        return
    following = versions.after(version)
    assert nodesemver.gt(following, version, False) and versions.fault(following) is None


def test_the_first_version_and_the_one_after() -> None:
    assert versions.choose("a", {}, None) == "1.0.0"
    assert versions.choose("b", {"1.0.0": "a", "1.0.10": "c", "1.0.9": "d"}, None) == "1.0.11"
    assert versions.after("1.0.999999") == "1.1.0"
    assert versions.after("2.0.0-rc.1") == "2.0.1"
    with pytest.raises(PackagingError, match="no version after"):
        versions.after("999999.999999.999999")


def test_a_published_version_of_unknown_content_is_never_ours() -> None:
    assert versions.choose("a", {"1.0.0": ""}, None) == "1.0.1"


def test_a_wanted_version_is_used_or_refused() -> None:
    assert versions.choose("a", {"1.0.0": "b"}, "3.0.0") == "3.0.0"
    assert versions.choose("a", {"1.0.0": "a"}, "1.0.0") == "1.0.0"
    with pytest.raises(PackagingError, match=re.compile(r"1\.0\.0 is taken.*1\.0\.1", re.S)):
        versions.choose("a", {"1.0.0": "b"}, "1.0.0")


@pytest.mark.parametrize(
    "version", ["1", "1.0", "01.0.0", "1.0.0.0", "v1.0.0", "1.0.1000000", "1.0.0-" + "a" * 60, ""]
)
def test_what_greengrass_refuses_is_refused_here(version: str) -> None:
    assert versions.fault(version)
    with pytest.raises(PackagingError, match="cannot be a version"):
        versions.choose("a", {}, version)


@pytest.mark.parametrize("version", ["0.0.0", "1.0.0-rc.1", "1.0.0+build.5", "999999.0.0"])
def test_what_greengrass_takes_is_taken(version: str) -> None:
    assert versions.fault(version) is None
