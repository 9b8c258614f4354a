"""The metrics that the product declares: `shared/ops/metrics.py`, read."""

from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from shared.ops import metrics

_PARTS = {"histogram": ("_bucket", "_count", "_sum")}


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric. A counter's name ends in `_total`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """The names that a query may use, each with its labels."""
        labels = frozenset(self.labels)
        if self.kind != "histogram":
            return {self.name: labels}
        return {
            self.name + part: labels | {"le"} if part == "_bucket" else labels for part in _PARTS["histogram"]
        }


def declared() -> list[Declared]:
    """Every metric of the catalogue, in its order."""
    declarations = []
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            (family,) = value.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            declarations.append(Declared(name, family.type, tuple(value._labelnames), family.documentation))  # noqa: SLF001 - there is no public name for it
    return declarations
