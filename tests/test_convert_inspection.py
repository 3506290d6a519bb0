from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
import trapfiles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ggml_magic.convert import inspection
from ggml_magic.convert.inspection import inspect
from ggml_magic.convert.static import StaticReport

pytestmark = pytest.mark.real  # TensorFlow is imported


@pytest.fixture(scope="module")
def plain() -> bytes:
    return trapfiles.wide(dynamic=False).content


@pytest.fixture(scope="module")
def int8() -> bytes:
    return trapfiles.ten_rows_int8().content


@pytest.fixture(scope="module")
def dynamic() -> bytes:
    return trapfiles.wide(dynamic=True).content


def report(content: bytes) -> StaticReport:
    found = inspect(content)
    # it goes to the parent as JSON
    return StaticReport.from_dict(json.loads(json.dumps(found)))


def test_a_float_file(plain: bytes) -> None:
    found = report(plain)
    assert found.size == len(plain) and len(found.sha256) == 64
    assert [str(operator) for operator in found.operators] == [
        "FULLY_CONNECTED v1 ×3",
        "LOGISTIC v1",
    ]
    assert found.min_runtime_version == "1.14.0" and found.flex == ()
    assert [tensor.shape for tensor in found.inputs] == [(-1, 3)]
    assert [tensor.shape for tensor in found.outputs] == [(-1, 1)]
    assert found.quantised_share == 0 and found.input_range is None
    # three layers' kernels and biases, and little else
    floats = 3 * 256 + 256 + 256 * 256 + 256 + 256 + 1
    assert 4 * floats <= found.weight_bytes < 4 * floats + 100
    assert found.tensor_count == 11 and not found.understated and not found.unset_variables


def test_weights_by_channel_keep_the_number_of_their_scales(dynamic: bytes) -> None:
    found = report(dynamic)
    (weight,) = (tensor for tensor in found.tensors if tensor.role == "weight")
    assert (weight.dtype, weight.scales, weight.axis) == ("int8", 256, 0)
    assert weight.scale is None and weight.zero_point is None
    assert found.operators[0].version == 12 and found.min_runtime_version == "2.17.0"
    assert 0.9 < found.quantised_share < 0.95
    assert not found.understated


def test_a_version_that_was_not_raised_is_seen() -> None:
    found = report(trapfiles.unraised().content)
    assert found.operators[0].version == 1 and found.min_runtime_version == "1.14.0"
    (each,) = found.understated
    assert (each.name, each.version, each.needs) == ("FULLY_CONNECTED", 1, 12)


def test_what_a_quantised_input_can_express(int8: bytes) -> None:
    found = report(int8)
    rows = trapfiles.standard(trapfiles.weather()[: trapfiles.TEN])
    assert found.input_range is not None and found.input_step is not None
    low, high = found.input_range
    # calibrated on these very rows: it reaches from the least to the most of them
    assert abs(low - rows.min()) < 0.02 and abs(high - rows.max()) < 0.02
    assert found.input_step == pytest.approx((high - low) / 255)
    assert found.range_behind == ()


def test_a_scaler_in_float_stands_before_the_quantised_input(int8: bytes) -> None:
    scaled = trapfiles.edited(int8, _put_before_the_input)
    found = report(scaled)
    assert found.range_behind == ("MUL",)
    assert found.input_range == report(int8).input_range


def _put_before_the_input(model: Any) -> None:
    """A multiplication between the input and its QUANTIZE, as a split file has it."""
    parts = trapfiles.schema()
    graph = model.subgraphs[0]
    code = parts.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = parts.BuiltinOperator.MUL
    code.version = 1
    model.operatorCodes.append(code)
    given_rows = graph.tensors[graph.inputs[0]]
    scaled = parts.TensorT()
    scaled.name, scaled.shape, scaled.type = "scaled", given_rows.shape, given_rows.type
    graph.tensors.append(scaled)
    (quantize,) = (o for o in graph.operators if graph.inputs[0] in o.inputs)
    quantize.inputs = [len(graph.tensors) - 1]
    multiply = parts.OperatorT()
    multiply.opcodeIndex = len(model.operatorCodes) - 1
    multiply.inputs = [graph.inputs[0], graph.inputs[0]]
    multiply.outputs = [len(graph.tensors) - 1]
    graph.operators.insert(0, multiply)


def test_flex_and_custom_operators_by_name() -> None:
    flex = report(trapfiles.flex_lstm())
    assert flex.flex and all(name.startswith("FlexTensorList") for name in flex.flex)
    # of the loop's body nothing is the caller's
    assert len(flex.inputs) == len(flex.outputs) == 1
    assert any(operator.name == "LESS" for operator in flex.operators)  # of the loop's condition
    custom = trapfiles.with_custom(trapfiles.wide(dynamic=False).content, "LOGISTIC", "MyOwn")
    assert [o.name for o in report(custom).operators if o.custom] == ["MyOwn"]


def test_variables_that_nothing_sets_are_seen() -> None:
    assert report(trapfiles.unset_variables().content).unset_variables


def test_an_input_of_one_row_without_a_dimension_for_it() -> None:
    assert report(trapfiles.without_rows()).inputs[0].shape == (3,)


def test_a_file_without_metadata_names_no_version(plain: bytes) -> None:
    assert report(trapfiles.without_metadata(plain)).min_runtime_version == ""


def test_an_operator_that_is_named_and_not_used() -> None:
    (operator,) = report(trapfiles.naming_only(0, 4)).operators
    assert (operator.name, operator.version, operator.count) == ("ADD", 4, 0)
    (unknown,) = report(trapfiles.naming_only(9999, 1)).operators
    assert unknown.name == "BUILTIN_9999"


def test_a_name_is_kept_short_and_readable(plain: bytes) -> None:
    old = report(plain).inputs[0].name
    found = report(trapfiles.renamed(plain, old, "ä" * 5000))
    assert set(found.inputs[0].name) <= {"ä", "\N{REPLACEMENT CHARACTER}"}
    assert len(found.inputs[0].name) <= inspection.LONGEST_TEXT


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\x00" * 64, b"PK\x03\x04" + b"\x00" * 60, b"model: rain\n" * 9]
)
def test_what_is_no_tflite_file_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match="the mark TFL3 is not at its beginning"):
        inspect(content)


def test_a_file_that_was_cut_short_is_told(int8: bytes) -> None:
    # the last bytes may be padding
    for kept in range(8, len(int8) - 16, 7):
        with pytest.raises(ValueError, match="damaged or cut short"):
            inspect(int8[:kept])


def test_an_operator_of_no_tensor_is_told(plain: bytes) -> None:
    def change(model: Any) -> None:
        model.subgraphs[0].operators[0].inputs = [99, 1, 2]

    with pytest.raises(ValueError, match="names a tensor that is not there"):
        inspect(trapfiles.edited(plain, change))


def test_a_scale_that_is_no_number_is_told(int8: bytes) -> None:
    def change(model: Any) -> None:
        scaled = [t for t in model.subgraphs[0].tensors if t.quantization is not None]
        scaled[0].quantization.scale = np.array([np.inf], np.float32)

    with pytest.raises(ValueError, match="scale is not a number"):
        inspect(trapfiles.edited(int8, change))


def test_a_file_without_a_graph_is_told(plain: bytes) -> None:
    def change(model: Any) -> None:
        model.subgraphs = []

    with pytest.raises(ValueError, match="it has no graph"):
        inspect(trapfiles.edited(plain, change))


def test_a_small_file_that_names_endless_tensors_is_refused_at_once(plain: bytes) -> None:
    content = bytearray(plain)
    graph = trapfiles.schema().Model.GetRootAs(content, 0).Subgraphs(0)
    count = graph._tab.Vector(graph._tab.Offset(4)) - 4  # where the number of tensors stands
    assert int.from_bytes(content[count : count + 4], "little") == graph.TensorsLength()
    content[count : count + 4] = (2**31).to_bytes(4, "little")
    started = time.perf_counter()
    with pytest.raises(ValueError, match="more entries than it can hold"):
        inspect(bytes(content))
    assert time.perf_counter() - started < 1


def test_a_file_is_read_only_so_far(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MOST_ENTRIES", 20)
    with pytest.raises(ValueError, match="more entries than it can hold"):
        inspect(plain)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_plain_error_or_a_report(int8: bytes, data: st.DataObject) -> None:
    damaged = bytearray(int8)
    places = st.integers(8, len(int8) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        damaged[place] = value
    kept = data.draw(st.integers(8, len(int8)) | st.just(len(int8)))
    try:
        found = inspect(bytes(damaged[:kept]))
    except ValueError as error:
        assert str(error).startswith((inspection.DAMAGED, "it is no"))
    else:
        assert str(StaticReport.from_dict(found))
