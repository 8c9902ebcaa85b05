"""What a shape may say: a wrong value is one line that names the field, what was found and what is allowed."""

from typing import Any

import msgspec
import pytest

from lab.faults import AnyDelay, Constant, Empirical, LogNormal, Normal, Shape, Uniform

NAN = float("nan")


@pytest.mark.parametrize(("make", "fields", "line"), [
    (Shape, {"loss": 1.5}, "loss: 1.5, allowed: 0 to 1"),
    (Shape, {"loss": NAN}, "loss: nan, allowed: 0 to 1"),
    (Shape, {"duplicate": -0.1}, "duplicate: -0.1, allowed: 0 to 1"),
    (Shape, {"delay": Constant(1), "reorder": 2}, "reorder: 2, allowed: 0 to 1"),
    (Shape, {"reorder": 0.1}, "reorder: 0.1 without a delay, allowed: 0, for there is nobody to overtake"),
    (Shape, {"bytes_per_s": 0}, "bytes_per_s: 0, allowed: 1 to 1e+12"),
    (Shape, {"queue_bytes": 1500}, "queue_bytes: 1500, allowed: 65,536 to 1.07374e+09"),
    (Shape, {"hold_ms": -1}, "hold_ms: -1, allowed: 0 to 60,000"),
    (Constant, {"ms": -1}, "ms: -1, allowed: 0 to 60,000"),
    (Uniform, {"low_ms": 3, "high_ms": 2}, "high_ms: 2, allowed: 3 to 60,000"),
    (Normal, {"mean_ms": 1, "sd_ms": NAN}, "sd_ms: nan, allowed: 0 to 60,000"),
    (LogNormal, {"median_ms": 1, "sigma": 9}, "sigma: 9, allowed: 0 to 5"),
    (Empirical, {"samples_ms": ()}, "samples_ms: 0 of them, allowed: 1 to 1,000"),
    (Empirical, {"samples_ms": (1.0, 1e9)}, "samples_ms: 1000000000.0, allowed: 0 to 60,000"),
])  # fmt: skip
def test_wrong_values(make: Any, fields: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  the whole line is compared
        make(**fields)
    assert str(raised.value) == line


@pytest.mark.parametrize("delay", [
    None, Constant(2.5), Uniform(1, 2), Normal(3, 0.1), LogNormal(0.2, 0.5, 70), Empirical((1.0, 2.0)),
])  # fmt: skip
def test_a_shape_survives_a_control_record(delay: AnyDelay | None) -> None:
    shape = Shape(delay=delay, loss=0.01, duplicate=0.1, bytes_per_s=1e6)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(shape), type=Shape) == shape
