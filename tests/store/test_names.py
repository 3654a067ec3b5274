"""Names: what a store keeps, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dacapo.errors import InvalidName, InvalidRequest
from dacapo.names import LONGEST, RunKey, check_name, check_run_name, find_run, run_key, segment


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "7",
        "_x",
        "run-1.2",
        "jrc_mus-liver_8nm(2)",
        "with space",
        "Köln",
        "実験",
        "a,b=c@d+e~f",
        "x" * LONGEST,
    ],
)
def test_good_names_come_back(name: str):
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "should not be empty"),
        ("a/b", "contains '/'"),
        ("a\\b", "contains"),
        ("..", "should begin with a letter or digit"),
        ("a..b", "stand alone and inside"),
        ("../../etc/passwd", "contains '/'"),
        (".hidden", "begin with a letter"),
        ("$where", r"contains '\$'"),
        ("-rf", "begin with a letter"),
        (" a", "begin with a letter"),
        ("a ", "stand alone and inside"),
        ("a.", "stand alone and inside"),
        ("a  b", "stand alone and inside"),
        ("a:1", "contains ':'"),
        ("a\nb", "contains"),
        ("a\0b", "contains"),
        ("a\u202eb", "contains"),
        ("a%2e%2e", "contains '%'"),
        ("a*", r"contains '\*'"),
        ("a'b", "contains"),
        ("e\u0301", "separate characters"),
        ("x" * (LONGEST + 1), f"longer than {LONGEST} bytes"),
        ("é" * LONGEST, f"longer than {LONGEST} bytes"),
        (None, "should be a text"),
        ({"$ne": None}, "should be a text"),
        (b"a", "should be a text"),
        (3, "should be a text"),
    ],
)
def test_bad_names_are_refused_with_a_reason(name, reason: str):
    with pytest.raises(InvalidName, match=reason):
        check_name(name)


def test_a_refusal_suggests_a_name():
    with pytest.raises(InvalidName, match="choose for example 'etc-passwd'"):
        check_name("../etc/passwd")
    with pytest.raises(InvalidName, match="choose for example 'name'"):
        check_name("//")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_a_name_is_refused_or_harmless(name: str):
    try:
        check_name(name)
    except InvalidName as error:
        assert str(error)
    else:
        assert "/" not in name and "\\" not in name and ".." not in name and ":" not in name
        assert name.isprintable() and name == name.strip() and name[0] not in ".$-"
        assert len(name.encode()) <= LONGEST


def test_runs_cannot_be_called_like_the_folders_of_the_store():
    assert check_run_name("config") == "config"
    for name in ("configs", "Stats"):
        with pytest.raises(InvalidName, match="the name of a folder of the store"):
            check_run_name(name)


def test_a_run_is_told_by_name_and_repetition():
    assert run_key("a") == run_key("a:0") == "a"
    assert run_key("a:12") == run_key("a:012") == "a:12"
    assert run_key(SimpleNamespace(name="a", repetition=0)) == "a"
    assert run_key(SimpleNamespace(name="a", repetition=3)) == "a:3"


@pytest.mark.parametrize(
    "text", ["a:", "a:x", "a:-1", "a:1:2", "a:1.5", ":1", "a: 1", "a:" + "9" * 5000, "a:²"]
)
def test_a_text_that_names_no_repetition_is_refused(text: str):
    with pytest.raises(InvalidName):
        run_key(text)


def test_what_has_no_repetition_is_no_run():
    with pytest.raises(InvalidName, match="as a text or by its config"):
        run_key(SimpleNamespace(name="a"))  # type: ignore[arg-type]


def test_a_bare_name_finds_its_only_repetition():
    stored = ["a:2", "ab", "ab:1", "b:1", "b:2", "c", "c:1"]

    def present(prefix: str) -> list[str]:
        return [key for key in stored if key.startswith(prefix)]

    assert find_run("a", present) == "a:2"
    assert find_run("a:0", present) == "a"
    assert find_run("a:7", present) == "a:7"
    assert find_run("new", present) == "new"
    assert find_run(SimpleNamespace(name="a", repetition=0), present) == "a"
    with pytest.raises(InvalidRequest, match="several repetitions of run b: b:1, b:2; name one"):
        find_run("b", present)
    with pytest.raises(InvalidRequest, match="c:0, c:1"):
        find_run("c", present)


def test_a_key_that_was_found_is_exact():
    # Of ``c`` and ``c:1`` the key of the first is a bare name; it must not be looked up again.
    key = find_run("c:0", lambda prefix: ["c", "c:1"])
    assert key == "c" and isinstance(key, RunKey)
    assert find_run(key, lambda prefix: ["c", "c:1"]) == "c"
    assert type(str(key)) is str


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_segments_are_safe_and_different(one: str, other: str):
    made = segment(one)
    assert "/" not in made and made not in ("", ".", "..") and not made.startswith((".", "~"))
    assert len(made.encode()) <= 120
    assert (segment(other) == made) == (one == other)


def test_segments_stay_readable():
    assert segment("crop 7,x") == "crop 7,x"
    assert segment("..") == "%.."
    assert segment("") == "%"
    assert segment("%") == "%25"
    assert segment("a" * 300) != segment("a" * 301)


LONG = "x" * LONGEST
SHOWN = f"{'x' * LONGEST!r:.80}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (7, "the name should be a text, and is 7"),
        ("", "the name should not be empty"),
        ("a/b", "the name 'a/b' cannot be used: it contains '/'; choose for example 'a-b'"),
        (
            LONG + "x",
            f"the name {SHOWN} cannot be used: it is longer than 200 bytes; choose for example {'x' * 40!r}",
        ),
        (
            "-a",
            "the name '-a' cannot be used: it should begin with a letter or digit; choose for example 'a'",
        ),
        (
            "a.",
            "the name 'a.' cannot be used: dots and spaces should stand alone and inside; "
            "choose for example 'a'",
        ),
        (
            "cafe\u0301",
            "the name 'cafe\u0301' cannot be used: its accents are written as separate characters; "
            "choose for example 'caf'",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_choose(name, message: str):
    with pytest.raises(InvalidName) as refused:
        check_name(name)
    assert str(refused.value) == message


def test_a_refusal_says_what_the_name_is_of():
    with pytest.raises(InvalidName, match=r"^the run name should not be empty$"):
        run_key("")
    with pytest.raises(
        InvalidName, match=r"^the run name 'Stats' is the name of a folder of the store; choose"
    ):
        check_run_name("Stats")
    with pytest.raises(InvalidName, match=r"^'a:x' should read  name  or  name:repetition, such as a:1$"):
        run_key("a:x")


def test_the_longest_repetition_has_nine_digits():
    assert run_key("a:999999999") == "a:999999999"
    with pytest.raises(InvalidName):
        run_key("a:1000000000")


def test_segments_that_mean_something_to_shells_and_systems_are_marked():
    assert segment("~a") == "%~a" and segment(".a") == "%.a"
    assert segment("a~.") == "a~."
    assert segment("\ud800") == "%ED%A0%80"
    assert len(segment("a" * 120)) == 120 and segment("a" * 120) == "a" * 120
    assert segment("a" * 121).startswith("a" * 80 + "%") and len(segment("a" * 121)) == 113
