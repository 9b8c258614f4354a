"""Names, roles, addresses and passwords of people."""

from itertools import pairwise

import pytest

from shared.access.passwords import PasswordUnfit, check_fit
from shared.access.people import initials
from shared.access.roles import ROLES, reaches, role_of
from shared.access.users import checked_email


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Ines Moreau", "IM"),
        ("Maria-Magdalena van der Westhuizen", "MW"),
        ("ines@shop.example", "I"),
        ("ليلى حداد", "لح"),
        ("Élodie", "É"),
        ("<b>", "?"),
        ("", "?"),
    ],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_each_role_may_all_that_the_one_before_may() -> None:
    for lower, higher in pairwise(ROLES):
        assert reaches(higher, lower)
        assert not reaches(lower, higher)
    with pytest.raises(ValueError, match="agent, manager, admin"):
        role_of("owner")


@pytest.mark.parametrize("given", ["ines@shop.example", "  INES@Shop.Example "])
def test_addresses_compare_without_case(given: str) -> None:
    assert checked_email(given) == "ines@shop.example"


@pytest.mark.parametrize(
    "given", ["", "ines", "ines@", "a b@c.example", "a@b@c", "a@b\r\nBcc: c", "x" * 250 + "@a.b"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        checked_email(given)


@pytest.mark.parametrize("password", ["seven green boats", "пароль из слов", "x9$kLm2!qz"])
def test_any_long_password_is_taken(password: str) -> None:
    check_fit(password, email="ines@shop.example")


@pytest.mark.parametrize("password", ["", "ninechars", "aaaaaaaaaaab", "INES@shop.example", "y" * 201])
def test_a_short_or_guessable_one_is_not(password: str) -> None:
    with pytest.raises(PasswordUnfit):
        check_fit(password, email="ines@shop.example")


@pytest.mark.parametrize("password", ["password123", "Password123", "1234567890", "QWERTYUIOP", "iloveyou12"])
def test_one_that_many_people_have_is_not(password: str) -> None:
    with pytest.raises(PasswordUnfit, match="Many people"):
        check_fit(password)


@pytest.mark.parametrize(
    "password",
    ["InesMoreau1", "moreau-1987-", "closeloop2026!", "harbour.goods", "2026harbour!!", "ines.shop.77"],
)
def test_the_name_of_the_person_or_the_store_is_not(password: str) -> None:
    with pytest.raises(PasswordUnfit):
        check_fit(password, email="ines.shop@mail.example", names=["Ines Moreau", "Harbour Goods"])
