"""What a form gives, where its way back leads, and which token fits."""

import pytest
from fastapi import Request

from shared.pages.forms import Form, came_from_here, token_for
from shared.pages.sign_in import local_path


class TestWayBack:
    @pytest.mark.parametrize("path", ["/inbox", "/inbox/0193-a?view=mine&q=a%20b", "/"])
    def test_a_path_of_ours_is_kept(self, path: str) -> None:
        assert local_path(path, "/home") == path

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "inbox",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/inbox\\..\\evil",
            "https://evil.example/inbox",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            " /inbox",
            "/in box",
            "/inbox\0",
            "/login?next=/login",
            "/logout",
            "/" + "x" * 3000,
        ],
    )
    def test_anything_else_is_not(self, path: str) -> None:
        assert local_path(path, "/home") == "/home"


class TestForm:
    def test_a_text_comes_without_space_around_it_and_with_plain_line_ends(self) -> None:
        assert Form({"note": ["  one\r\ntwo\r "]}).text("note") == "one\ntwo"

    def test_what_was_not_sent_is_empty(self) -> None:
        form = Form({})
        assert (form.text("note"), form.raw("note"), form.all("case"), form.ticked("on")) == (
            "",
            "",
            [],
            False,
        )
        assert form.errors == {}

    def test_mistakes_are_noted_at_their_fields_the_first_of_each(self) -> None:
        form = Form({"note": ["x" * 11], "name": [" "], "days": ["-1"], "nul": ["a\0b"]})
        form.text("note", longest=10)
        form.refuse("note", "Something else.")
        form.text("name", needed="Enter your name.")
        form.text("nul")
        assert form.whole("days", least=1, most=90) is None
        assert form.errors == {
            "note": "At most 10 characters; this has 11.",
            "name": "Enter your name.",
            "days": "A whole number from 1 to 90.",
            "nul": "It holds a character that cannot be stored.",
        }

    def test_repeated_fields_are_all_there(self) -> None:
        assert Form({"case": ["1", "2"]}).all("case") == ["1", "2"]

    @pytest.mark.parametrize("sent", ["²", "1e3", "٣", "9" * 21])
    def test_only_plain_digits_are_a_number(self, sent: str) -> None:
        form = Form({"days": [sent]})
        assert form.whole("days", least=1, most=90) is None
        assert "days" in form.errors


def test_a_token_belongs_to_one_session_and_one_installation() -> None:
    assert token_for(b"k" * 32, "a") == token_for(b"k" * 32, "a")
    assert token_for(b"k" * 32, "a") != token_for(b"k" * 32, "b")
    assert token_for(b"k" * 32, "a") != token_for(b"l" * 32, "a")
    assert len(token_for(b"k" * 32, "a")) == 32


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://shop.example:8443"}, True),
        ({"origin": "https://shop.example"}, False),
        ({"origin": "https://shop.example:8443.evil.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_where_a_form_came_from(headers: dict[str, str], ours: bool) -> None:
    sent = {"host": "shop.example:8443", **headers}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    assert came_from_here(Request({"type": "http", "headers": raw})) is ours
