"""Array annotations with their shapes: `Float[Tensor, "time rows dim"]`.

jaxtyping is a tool of the tests, not a core dependency. Where it is not installed the annotation
is the plain array type; where it is, nothing is checked except under pytest (tests/conftest.py).
"""

from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Float", "Integer", "Shaped"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Integer, Shaped
else:
    try:
        from jaxtyping import Bool, Float, Integer, Shaped
    except ImportError:

        class _Unchecked:
            """`X[Tensor, "shape"]` is `Tensor`."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Integer = Shaped = _Unchecked
