"""The body of `POST /v1/erasures`, with the example of the documentation."""

from typing import Annotated, Any, Required

from pydantic import TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator, with_config
from typing_extensions import TypedDict

from services.collector.bodies import STRICT, Email, Id


def _as_given(given: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Checked, and left as it came: older releases made other references of it (`customer_refs`)."""
    check(given)
    return given


@with_config(STRICT)
class ErasedIn(TypedDict, total=False):
    """An id, an e-mail or both: what was sent under either is erased."""

    id: Annotated[Id, WrapValidator(_as_given)] | None
    email: Annotated[Email, WrapValidator(_as_given)] | None


@with_config(STRICT)
class ErasureIn(TypedDict, total=False):
    """The body of `POST /v1/erasures`: whom to forget."""

    customer: Required[ErasedIn]


ERASURE: TypeAdapter[ErasureIn] = TypeAdapter(ErasureIn)

ERASURE_EXAMPLE: dict[str, Any] = {"customer": {"id": "c-1", "email": "ada@example.com"}}
