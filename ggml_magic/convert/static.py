"""What a ``.tflite`` file says of itself, and which runtimes claim to load it.

Hints, never proof (DESIGN, rule 4): a file can promise an old runtime and answer wrongly there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

from packaging.version import InvalidVersion, Version

from ggml_magic.presentation import Card, Presented, size

CLAIMS, DOES_NOT, MISREADS, DOES_NOT_SAY = (
    "claims to load",
    "does not load",
    "answers wrongly",
    "does not say",
)
CAUTION = "These are hints: only a run in the runtime itself proves it (%ggml validate)."
SHOWN_OPERATORS = 8
SHOWN_ENDS = 4  # inputs, and outputs
SHORT_SHA = 12
ROWS_AND_FEATURES = 2  # dimensions


@dataclass(frozen=True)
class KnownRuntime:
    """A runtime that devices have, and the TensorFlow version whose files it was made for.

    ``column`` is its place in ``REGISTERED``; None where its operators were not measured.
    """

    name: str
    version: str
    level: str
    column: int | None


# 2.3.0 registers all that TensorFlow 2.21 does, 1.4.0 less than that (measured); that 1.4.0 is of
# TensorFlow 2.20's level is inferred. tflite-runtime has TensorFlow's own numbers.
# 2.5.0 is what the public component variant.TensorFlowLite installs (GREENGRASS 6).
KNOWN = (
    KnownRuntime("ai-edge-litert", "2.3.0", "2.21.0", 2),
    KnownRuntime("ai-edge-litert", "1.4.0", "2.20.0", 1),
    KnownRuntime("tflite-runtime", "2.14.0", "2.14.0", 0),
    KnownRuntime("tflite-runtime", "2.5.0", "2.5.0", None),
)
# The highest version of each operator that tflite-runtime 2.14.0, ai-edge-litert 1.4.0 and 2.3.0
# register; 0: not at all. Measured by giving each runtime a file of one operator in each version;
# tests/test_convert_static.py measures the default runtime's column anew.
REGISTERED: Mapping[tuple[int, int, int], str] = {
    (0, 1, 1): """DILATE REDUCE_WINDOW STABLEHLO_ADD STABLEHLO_AND STABLEHLO_CASE
        STABLEHLO_COMPOSITE STABLEHLO_GATHER STABLEHLO_MAXIMUM STABLEHLO_MINIMUM
        STABLEHLO_MULTIPLY STABLEHLO_PAD STABLEHLO_REDUCE_WINDOW STABLEHLO_RNG_BIT_GENERATOR
        STABLEHLO_SCATTER STABLEHLO_SHIFT_LEFT""",
    (1, 1, 1): """ADD_N ASSIGN_VARIABLE ATAN2 BITCAST BITWISE_XOR BROADCAST_ARGS BUCKETIZE
        CALL_ONCE CEIL COMPLEX_ABS CONV_3D CONV_3D_TRANSPOSE CUMSUM DENSIFY ELU
        EMBEDDING_LOOKUP_SPARSE EXPAND_DIMS FLOOR HARD_SWISH HASHTABLE HASHTABLE_FIND
        HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE IF IMAG L2_POOL_2D
        LOCAL_RESPONSE_NORMALIZATION LOGICAL_AND LOGICAL_NOT LOGICAL_OR LSH_PROJECTION
        MATRIX_DIAG MATRIX_SET_DIAG MULTINOMIAL NEG NON_MAX_SUPPRESSION_V4
        NON_MAX_SUPPRESSION_V5 ONE_HOT POW PRELU RANDOM_STANDARD_NORMAL RANDOM_UNIFORM RANK
        READ_VARIABLE REAL REDUCE_ALL REDUCE_ANY RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
        REVERSE_SEQUENCE RFFT2D RIGHT_SHIFT ROUND SCATTER_ND SEGMENT_SUM SHAPE SKIP_GRAM
        SQUARE UNIQUE UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD
        UNSORTED_SEGMENT_SUM VAR_HANDLE WHILE ZEROS_LIKE""",
    (1, 1, 2): "COS SIN SQRT",
    (1, 2, 2): "LOG",
    (1, 4, 6): "DYNAMIC_UPDATE_SLICE",
    (2, 2, 2): """DEPTH_TO_SPACE DIV EXP FAKE_QUANT FLOOR_MOD GREATER L2_NORMALIZATION
        LEAKY_RELU LESS_EQUAL LOG_SOFTMAX RANGE REDUCE_PROD SELECT_V2 SIGN SPACE_TO_DEPTH
        SQUARED_DIFFERENCE SQUEEZE SUM WHERE""",
    (2, 2, 3): "GELU SPLIT_V",
    (2, 3, 3): "RSQRT",
    (3, 3, 3): """ARG_MAX ARG_MIN AVERAGE_POOL_2D BIDIRECTIONAL_SEQUENCE_LSTM
        BIDIRECTIONAL_SEQUENCE_RNN FLOOR_DIV GREATER_EQUAL LESS LOGISTIC MAX_POOL_2D MEAN
        MIRROR_PAD REDUCE_MAX REDUCE_MIN RELU RELU6 RNN SPARSE_TO_DENSE TANH TILE TOPK_V2
        UNIDIRECTIONAL_SEQUENCE_RNN""",
    (3, 3, 4): "BROADCAST_TO NOT_EQUAL REVERSE_V2 SOFTMAX",
    (3, 3, 6): "QUANTIZE",
    (3, 4, 5): "EMBEDDING_LOOKUP",
    (4, 4, 4): """BATCH_MATMUL BATCH_TO_SPACE_ND LSTM MAXIMUM MINIMUM RESIZE_BILINEAR
        RESIZE_NEAREST_NEIGHBOR SELECT SPACE_TO_BATCH_ND SVDF UNIDIRECTIONAL_SEQUENCE_LSTM""",
    (4, 4, 5): "EQUAL FILL PACK SPLIT",
    (4, 4, 6): "PAD PADV2 UNPACK",
    (4, 4, 7): "CONCATENATION",
    (4, 5, 5): "TRANSPOSE_CONV",
    (4, 5, 6): "GATHER_ND",
    (5, 5, 5): "ABS SUB",
    (5, 5, 6): "ADD",
    (5, 6, 9): "DEQUANTIZE",
    (5, 7, 9): "CAST",
    (6, 6, 8): "SLICE",
    (6, 7, 8): "GATHER",
    (6, 7, 9): "TRANSPOSE",
    (7, 7, 7): "DEPTHWISE_CONV_2D",
    (7, 7, 8): "MUL",
    (7, 8, 8): "CONV_2D",
    (8, 8, 8): "STRIDED_SLICE",
    (10, 13, 14): "FULLY_CONNECTED",
}
# in each of the three (measured likewise)
CUSTOM_OF_ALL = frozenset(
    {"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"}
)


@dataclass(frozen=True)
class Operator:
    """A kind of operator: how often the file has it; 0 times is named, but not used."""

    name: str
    version: int
    count: int
    custom: bool

    def __str__(self) -> str:
        times = "" if self.count == 1 else f" ×{self.count:,}"
        return f"{self.name} v{self.version}{times}"


@dataclass(frozen=True)
class Tensor:
    """A tensor: -1 in ``shape`` is any number, ``role`` input, output, weight or activation.

    A value is ``scale`` times (stored - ``zero_point``). Quantised by channel, it has that many
    ``scales`` along ``axis``, and no one scale; not quantised, it has 0.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    scales: int
    axis: int | None

    def __str__(self) -> str:
        sizes = ", ".join("any" if n < 0 else str(n) for n in self.shape)
        comma = "," if len(self.shape) == 1 else ""
        return f"{self.name} ({sizes}{comma}) {self.dtype}"


@dataclass(frozen=True)
class Understated:
    """An operator whose version is lower than what its weights need."""

    name: str
    version: int
    needs: int


@dataclass(frozen=True)
class Claim:
    """What the file says of one runtime.

    ``verdict`` is one of ``CLAIMS``, ``DOES_NOT``, ``MISREADS`` and ``DOES_NOT_SAY``.
    """

    runtime: str
    version: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class StaticReport(Presented):
    """What a ``.tflite`` file says of itself; sizes in bytes.

    ``quantised_share`` is of the bytes of the weights. ``input_range`` is what the first quantised
    tensor that the input feeds can express, in steps of ``input_step``; ``range_behind`` names the
    operators before it: with none, range and step are in the input's own units. ``tensors`` are
    the inputs, the outputs and the quantised ones, at most 500 of ``tensor_count``.
    """

    size: int
    sha256: str
    operators: tuple[Operator, ...]
    flex: tuple[str, ...]
    min_runtime_version: str
    tensors: tuple[Tensor, ...]
    tensor_count: int
    weight_bytes: int
    quantised_share: float
    input_range: tuple[float, float] | None
    input_step: float | None
    range_behind: tuple[str, ...]
    signatures: tuple[str, ...]
    understated: tuple[Understated, ...]
    unset_variables: bool

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StaticReport:
        """From what ``inspection.inspect`` found, or what ``to_dict`` gave.

        Raises ``ValueError`` where a field is missing.
        """
        kept = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        if missing := {field.name for field in fields(cls)} - set(kept):
            raise ValueError(f"a static report lacks {', '.join(sorted(missing))}")
        reach = kept["input_range"]
        return cls(
            **{
                **kept,
                "operators": tuple(Operator(**each) for each in kept["operators"]),
                "tensors": tuple(
                    Tensor(**{**each, "shape": tuple(each["shape"])}) for each in kept["tensors"]
                ),
                "understated": tuple(Understated(**each) for each in kept["understated"]),
                "input_range": None if reach is None else (float(reach[0]), float(reach[1])),
                **{name: tuple(kept[name]) for name in ("flex", "range_behind", "signatures")},
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, with ``loads``."""
        return {**asdict(self), "loads": [asdict(claim) for claim in self.loads]}

    @property
    def loads(self) -> tuple[Claim, ...]:
        """What the file says of each runtime that is known to be on devices."""
        return tuple(_claim(self, runtime) for runtime in KNOWN)

    @property
    def flex_needed(self) -> str:
        """A clause on the operators of TensorFlow's own that the file uses; empty if none."""
        return f"{_some(list(self.flex), 2)} need the Flex delegate" if self.flex else ""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that take the rows."""
        return tuple(tensor for tensor in self.tensors if tensor.role == "input")

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors that hold the answers."""
        return tuple(tensor for tensor in self.tensors if tensor.role == "output")

    def doubts(self) -> str:
        """Which known runtimes the file itself says do not load it, or misread it; empty if none.

        Never that it runs: only a run says so.
        """
        found = []
        for verdict in (DOES_NOT, MISREADS):
            named = [f"{c.runtime} {c.version}" for c in self.loads if c.verdict == verdict]
            if named:
                found.append(f"{verdict} in {_listed(named)}")
        return "; ".join(found)

    def card(self) -> Card:
        """The file in a few lines, the runtimes as a table, and what to beware of."""
        rows = tuple((f"{c.runtime} {c.version}", c.verdict, c.reason) for c in self.loads)
        return Card(
            f"TFLite file, {size(self.size)}",
            tuple(self._facts()),
            ("runtime", "the file", "because"),
            rows,
            (*self._warnings(), CAUTION),
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "operators", _some([str(operator) for operator in self.operators], SHOWN_OPERATORS)
        version = self.min_runtime_version
        yield "needs", f"TensorFlow {version} or later" if version else "it does not say"
        yield "inputs", _some([str(tensor) for tensor in self.inputs], SHOWN_ENDS)
        yield "outputs", _some([str(tensor) for tensor in self.outputs], SHOWN_ENDS)
        if self.signatures:
            yield "signatures", _some(list(self.signatures), SHOWN_ENDS)
        share = "none of it" if not self.quantised_share else f"{self.quantised_share:.0%} of it"
        yield "weights", f"{size(self.weight_bytes)}, {share} quantised"
        yield "tensors", f"{self.tensor_count:,}, {self._quantised()}"
        if self.input_range is not None:
            low, high = self.input_range
            behind = f", after {_some(list(self.range_behind), SHOWN_ENDS)}"
            where = behind if self.range_behind else ""
            step = f" in steps of {self.input_step:.3g}" if self.input_step else ""
            yield "input range", f"{low:.4g} to {high:.4g}{step}{where}"
        yield "sha256", self.sha256[:SHORT_SHA]

    def _quantised(self) -> str:
        quantised = [tensor for tensor in self.tensors if tensor.scales]
        by_channel = sum(tensor.scales > 1 for tensor in quantised)
        told = f"{len(quantised):,} quantised" if quantised else "none quantised"
        return f"{told} ({by_channel:,} by channel)" if by_channel else told

    def _warnings(self) -> Iterator[str]:
        for tensor in self.inputs:
            if len(tensor.shape) < ROWS_AND_FEATURES:
                yield (
                    f"The input {tensor} takes one row without a dimension for rows: "
                    "rows of shape (1, F) do not fit."
                )
        for each in self.understated:
            yield (
                f"{each.name} says version {each.version}, but int8 weights by channel need "
                f"version {each.needs}: older runtimes load it and answer wrongly."
            )
        if self.unset_variables:
            yield (
                "It reads variables that nothing sets: answers will be NaN or chance. It was "
                "converted from functions without their variables; %ggml convert does not."
            )


def _claim(report: StaticReport, runtime: KnownRuntime) -> Claim:
    verdict, reason = _said(report, runtime)
    return Claim(runtime.name, runtime.version, verdict, reason)


def _said(report: StaticReport, runtime: KnownRuntime) -> tuple[str, str]:
    if report.flex:
        return DOES_NOT, f"{report.flex_needed}, which it lacks"
    for operator in report.operators:
        if operator.custom and operator.name not in CUSTOM_OF_ALL:
            return DOES_NOT, f"it has no custom operator {operator.name}"
    measured = _measured(runtime)
    whose = "it" if measured is runtime else f"even {measured.name} {measured.version}"
    for operator in report.operators:
        highest = registered(operator.name, measured)
        if not operator.custom and operator.version > highest:
            has = f"up to version {highest}, not {operator.version}" if highest else "not at all"
            return DOES_NOT, f"{whose} has {operator.name} {has}"
    for each in report.understated:
        if each.needs > registered(each.name, measured):
            return MISREADS, f"it believes {each.name} v{each.version}, and has no v{each.needs}"
    return _by_version(report.min_runtime_version, runtime)


def _by_version(needed: str, runtime: KnownRuntime) -> tuple[str, str]:
    try:
        least = Version(needed)
    except InvalidVersion:
        return DOES_NOT_SAY, "the file names no TensorFlow version that it needs"
    if least > Version(runtime.level):
        return DOES_NOT, f"it is of TensorFlow {runtime.level}; the file needs {needed}"
    if runtime.column is None:
        return CLAIMS, f"it is of TensorFlow {runtime.level}; the file needs {needed}"
    return CLAIMS, "it has each operator in the file's version"


def _measured(runtime: KnownRuntime) -> KnownRuntime:
    """The runtime whose operators bound this one's: itself, or the next newer measured one.

    Operators are added and never taken away, so that what a newer one lacks, an older one lacks.
    """
    newer = [
        known
        for known in KNOWN
        if known.column is not None and Version(known.level) >= Version(runtime.level)
    ]
    return runtime if runtime.column is not None else min(newer, key=lambda k: Version(k.level))


def registered(operator: str, runtime: KnownRuntime) -> int:
    """The highest version of a builtin operator that a measured runtime has; 0 for none."""
    versions = _table().get(operator)
    return 0 if versions is None or runtime.column is None else versions[runtime.column]


@cache
def _table() -> Mapping[str, tuple[int, int, int]]:
    return {name: column for column, names in REGISTERED.items() for name in names.split()}


def _listed(texts: list[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def _some(texts: list[str], most: int) -> str:
    """The first few, and how many more."""
    if not texts:
        return "none"
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most:,} more"
