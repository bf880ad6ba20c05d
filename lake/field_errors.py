"""What a rejected record reports: one error for each field that breaks a rule."""

from msgspec import Struct

VALIDATION_ERROR, INVALID_JSON = "VALIDATION_ERROR", "INVALID_JSON"
UNKNOWN_PRODUCT, UNKNOWN_PROJECT = "UNKNOWN_PRODUCT", "UNKNOWN_PROJECT"
MAX_ERRORS = 100


class FieldError(Struct, frozen=True, gc=False):
    """One broken rule: its code, the field's JSON pointer, and a message with field and rule."""

    code: str
    pointer: str
    message: str
