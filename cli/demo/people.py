"""The customers of the demo shop: who they are stays the same for one seed."""

import random
from dataclasses import dataclass
from typing import Any

POPULATION = 1200

_COUNTRIES = {"NL": 40, "DE": 25, "FR": 15, "BE": 12, "GB": 8}
_LOCALES = {"NL": "nl-NL", "DE": "de-DE", "FR": "fr-FR", "BE": "nl-BE", "GB": "en-GB"}
_PRODUCT_LINES = {"shoes": 50, "bags": 30, "coats": 20}
_NAMES = (
    "Anna Bram Clara Daan Emma Finn Greta Hugo Iris Jonas Karim Lotte Marie Noor Omar Paul Quinten Rosa "
    "Sanne Tim Ursula Victor Wanda Yara Zoe Amelie Bas Chloe Dieter Elif",
    "Bakker Visser Jansen Mulder Peeters Maes Dubois Laurent Moreau Schmidt Fischer Weber Koch Wagner "
    "Smith Taylor Evans Yilmaz Haddad Nowak Rossi Silva Berg",
)
_FIRST, _LAST = (names.split() for names in _NAMES)


@dataclass(frozen=True, slots=True)
class Person:
    """`mood` shifts every answer, `spends` every order. `known`: with an id; guests have an e-mail only."""

    number: int
    country: str
    product_line: str
    name: str
    mood: float
    spends: float
    visits: float
    known: bool

    @property
    def language(self) -> str:
        return self.locale[:2]

    @property
    def locale(self) -> str:
        return _LOCALES[self.country]

    @property
    def customer(self) -> dict[str, Any]:
        """As the API takes it."""
        email = f"{self.name.lower().replace(' ', '.')}.{self.number}@customers.example"
        if not self.known:
            return {"email": email}
        return {"id": f"c-{self.number}", "email": email, "name": self.name, "consent": self.number % 5 != 0}


def people(seed: int) -> tuple[Person, ...]:
    """The whole population; a few visit often, most hardly ever."""
    rng = random.Random(f"{seed}/people")
    return tuple(
        Person(
            number=number,
            country=_pick(rng, _COUNTRIES),
            product_line=_pick(rng, _PRODUCT_LINES),
            name=f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
            mood=rng.gauss(0, 0.12),
            spends=rng.lognormvariate(0, 0.5),
            visits=rng.paretovariate(1.3),
            known=rng.random() < 0.93,
        )
        for number in range(1, POPULATION + 1)
    )


def _pick(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
