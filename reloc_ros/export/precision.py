"""Recipes of arithmetic, written into the ONNX graph as casts: what a strongly typed engine then computes.

Only what is heavy and forgiving computes with 16 bits. Layer normalization, softmax, reductions, residual sums, the
output heads, and whatever comes straight from a float input (rays, the state of a state space model) stay float32:
half a unit of float16 is 0.03 degrees on a ray, and a state gathers such errors frame after frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from reloc_ros.errors import ExportError

METADATA_KEY = "reloc_precision"

_LEARNED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# What may stay in the narrow type between two learned layers: pointwise, or moving values about.
_POINTWISE = frozenset(
    [
        "Add",
        "Clip",
        "Div",
        "Elu",
        "Erf",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mul",
        "Neg",
        "PRelu",
        "Relu",
        "Sigmoid",
        "Sub",
        "Tanh",
    ]
)
_MOVING = frozenset(
    [
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)
_MAX_FLOAT16 = 65504.0
# Above this protobuf has no room; weights go to a file of their own.
_MAX_INLINE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a graph computes.

    Args:
        narrow: ONNX type of the narrow values; None leaves all float32.
        keeps: operators besides the learned ones that stay narrow between them.
        attention: whether products of two activations are narrow, too.
    """

    narrow: int | None = None
    keeps: frozenset[str] = frozenset()
    attention: bool = False


# In the order of trust, the fastest first.
RECIPES: dict[str, Recipe] = {
    "fp16": Recipe(narrow=TensorProto.FLOAT16, keeps=_POINTWISE | _MOVING, attention=True),
    "bf16": Recipe(narrow=TensorProto.BFLOAT16, keeps=_POINTWISE | _MOVING, attention=True),
    "mixed": Recipe(narrow=TensorProto.FLOAT16),
    "fp32": Recipe(),
}


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a recipe did: layers that learned something, narrow and kept, by the names of their nodes."""

    precision: str
    narrow: tuple[str, ...]
    kept: tuple[str, ...]


def write_with_precision(source: Path, target: Path, precision: str) -> Applied:
    """Write a graph that computes by a recipe.

    Args:
        source: ONNX file in float32.
        target: file to write.
        precision: key of `RECIPES`.

    Raises:
        ExportError: unknown recipe, or a graph that cannot be read or is no float32 one.
    """
    if precision not in RECIPES:
        raise ExportError(f"precision is {precision!r}, choose one of {', '.join(RECIPES)}")
    try:
        model = onnx.load(source)
        model = shape_inference.infer_shapes(model, check_type=False, strict_mode=False)
    except Exception as error:  # onnx raises protobuf's and its own unrelated classes
        raise ExportError(f"{source} cannot be read as ONNX ({error}); export the bundle again") from error
    if model.functions:
        raise ExportError(
            f"{source} has {len(model.functions)} local functions; export the bundle again with them inlined"
        )
    applied = _Conversion(model, RECIPES[precision]).run(precision)
    helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, METADATA_KEY: precision})
    external = model.ByteSize() > _MAX_INLINE_BYTES
    onnx.save(model, target, save_as_external_data=external, location=f"{target.name}.data" if external else None)
    return applied


def learned_layers(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return a graph's learned layers: those that forgive coarse arithmetic, and those that must stay exact.

    Delicate are the heads and whatever takes float inputs as they come. Layers without a name are given one.
    """
    graph = onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    exact, heads = _straight_from_float_inputs(graph, _types(graph), constants), _heads(graph)
    forgiving: list[onnx.NodeProto] = []
    delicate: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        if node.op_type in _LEARNED and constants & set(node.input):
            node.name = node.name or f"{node.op_type}_{index}"
            is_delicate = index in heads or bool(exact & set(node.input))
            (delicate if is_delicate else forgiving).append(node)
    return forgiving, delicate


def external_files(model: Path) -> set[str]:
    """Return the names of the files that hold weights of an ONNX file, besides itself.

    Raises:
        ExportError: it cannot be read.
    """
    try:
        graph = onnx.load(model, load_external_data=False).graph
    except Exception as error:  # protobuf's own classes
        raise ExportError(f"{model} cannot be read as ONNX ({error}); export the bundle again") from error
    return {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}


class _Conversion:
    """One pass over a graph's nodes in order; casts are put where a value is first wanted in its other type."""

    def __init__(self, model: onnx.ModelProto, recipe: Recipe) -> None:
        self._graph = model.graph
        self._recipe = recipe
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        self._types = _types(self._graph)
        self._exact = _straight_from_float_inputs(self._graph, self._types, self._constants)
        self._heads = _heads(self._graph)
        self._narrow_names: dict[str, str] = {}  # of float32 values that exist in the narrow type
        self._only_narrow: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []

    def run(self, precision: str) -> Applied:
        """Rewrite the graph and say what became of its learned layers."""
        narrow: list[str] = []
        kept: list[str] = []
        for index, node in enumerate(self._graph.node):
            chosen = self._recipe.narrow is not None and self._is_narrow(index, node)
            if node.op_type in _LEARNED:
                (narrow if chosen else kept).append(node.name or node.output[0])
            (self._add_narrow if chosen else self._add_wide)(node)
        self._widen(output.name for output in self._graph.output)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        # Stale where a value now has another type; whoever reads the file infers them again.
        del self._graph.value_info[:]
        self._drop_unused_constants()
        return Applied(precision=precision, narrow=tuple(narrow), kept=tuple(kept))

    def _is_narrow(self, index: int, node: onnx.NodeProto) -> bool:
        floats = [name for name in node.input if self._types.get(name) == TensorProto.FLOAT]
        activations = [name for name in floats if name not in self._constants]
        if any(self._types.get(name) is None for name in (*node.input, *node.output) if name):
            return False
        if index in self._heads or self._exact & set(activations) or not self._constants_fit(floats):
            return False
        if node.op_type in _LEARNED:
            return len(activations) == 1 or self._recipe.attention
        if node.op_type not in self._recipe.keeps or not activations or not set(activations) <= self._only_narrow:
            return False
        is_residual = node.op_type in {"Add", "Sub"} and len(activations) > 1
        return not is_residual

    def _constants_fit(self, names: Iterable[str]) -> bool:
        if self._recipe.narrow != TensorProto.FLOAT16:
            return True
        arrays = [numpy_helper.to_array(self._constants[name]) for name in names if name in self._constants]
        return all(np.abs(array).max(initial=0.0) <= _MAX_FLOAT16 for array in arrays)

    def _add_narrow(self, node: onnx.NodeProto) -> None:
        for position, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                node.input[position] = self._narrowed(name)
        for position, name in enumerate(node.output):
            if self._types.get(name) == TensorProto.FLOAT:
                node.output[position] = self._narrow_names[name] = f"{name}_narrow"
                self._only_narrow.add(name)
        self._nodes.append(node)

    def _add_wide(self, node: onnx.NodeProto) -> None:
        self._widen(_all_inputs(node))
        self._nodes.append(node)

    def _narrowed(self, name: str) -> str:
        """Return the name of a float32 value in the narrow type, which is made if it does not exist yet."""
        if name not in self._narrow_names:
            other = self._narrow_names[name] = f"{name}_narrow"
            if name in self._constants:
                dtype = helper.tensor_dtype_to_np_dtype(self._recipe.narrow)
                array = numpy_helper.to_array(self._constants[name]).astype(dtype)
                self._graph.initializer.append(numpy_helper.from_array(array, other))
            else:
                self._nodes.append(helper.make_node("Cast", [name], [other], f"{other}_cast", to=self._recipe.narrow))
        return self._narrow_names[name]

    def _widen(self, names: Iterable[str]) -> None:
        """Make values exist in float32 under their own names."""
        for name in names:
            if name in self._only_narrow:
                self._only_narrow.remove(name)
                narrow = self._narrow_names[name]
                self._nodes.append(helper.make_node("Cast", [narrow], [name], f"{name}_cast", to=TensorProto.FLOAT))

    def _drop_unused_constants(self) -> None:
        used = {name for node in self._graph.node for name in _all_inputs(node)}
        # What never changes may be an output as it is: that a sequence has begun, for one.
        used |= {output.name for output in self._graph.output}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the element type of each value by name."""
    described = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in described}
    return {**types, **{tensor.name: tensor.data_type for tensor in graph.initializer}}


def _straight_from_float_inputs(graph: onnx.GraphProto, types: dict[str, int], constants: Iterable[str]) -> set[str]:
    """Return the float values that come from a float input with no learned layer in between."""
    known = set(constants)
    reached = {
        value.name for value in graph.input if value.name not in known and types[value.name] == TensorProto.FLOAT
    }
    for node in graph.node:
        inputs = _all_inputs(node)
        mixes = node.op_type in _LEARNED and any(name in known for name in inputs)
        if not mixes and reached & set(inputs):
            reached |= set(node.output)
    return reached


def _heads(graph: onnx.GraphProto) -> set[int]:
    """Return the indices of nodes from which an output is reached with no learned one in between, learned ones too."""
    wanted = {value.name for value in graph.output}
    heads = set()
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if wanted & set(node.output):
            heads.add(index)
            if node.op_type not in _LEARNED:
                wanted |= set(_all_inputs(node))
    return heads


def _all_inputs(node: onnx.NodeProto) -> list[str]:
    """Return what a node reads, by its branches and loops too."""
    return [name for name in node.input if name] + _inner_inputs(node)


def _inner_inputs(node: onnx.NodeProto) -> list[str]:
    graphs = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    inner = [name for graph in graphs for child in graph.node for name in _all_inputs(child)]
    return inner + [value.name for graph in graphs for value in graph.output]
