"""
The messages of the Open Inference Protocol over gRPC, made when they are asked for.

Made here, and not generated: generated code demands at least the version of protobuf that it was made for, and ends
with the next but one. They are in a pool of their own, so that no library that knows the same names collides.
"""

from __future__ import annotations

from typing import Any

SERVICE = "inference.GRPCInferenceService"

_PARAMETERS = "map InferParameter parameters"
_TENSOR = ("1 string name", "2 string datatype", "3 *int64 shape")
_MODEL = ("1 string name", "2 string version")
_ASKED = ("1 string model_name", "2 string model_version", "3 string id", f"4 {_PARAMETERS}")
_MESSAGES: dict[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": _MODEL,
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*_MODEL, "3 *string extensions"),
    "ModelMetadataRequest": _MODEL,
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelMetadataResponse": (
        "1 string name",
        "2 *string versions",
        "3 string platform",
        "4 *ModelMetadataResponse.TensorMetadata inputs",
        "5 *ModelMetadataResponse.TensorMetadata outputs",
    ),
    "InferParameter": (
        "1 |bool bool_param",
        "2 |int64 int64_param",
        "3 |string string_param",
        "4 |double double_param",
        "5 |uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 *bool bool_contents",
        "2 *int32 int_contents",
        "3 *int64 int64_contents",
        "4 *uint32 uint_contents",
        "5 *uint64 uint64_contents",
        "6 *float fp32_contents",
        "7 *double fp64_contents",
        "8 *bytes bytes_contents",
    ),
    "ModelInferRequest.InferInputTensor": (*_TENSOR, f"4 {_PARAMETERS}", "5 InferTensorContents contents"),
    "ModelInferRequest.InferRequestedOutputTensor": ("1 string name", f"2 {_PARAMETERS}"),
    "ModelInferRequest": (
        *_ASKED,
        "5 *ModelInferRequest.InferInputTensor inputs",
        "6 *ModelInferRequest.InferRequestedOutputTensor outputs",
        "7 *bytes raw_input_contents",
    ),
    "ModelInferResponse.InferOutputTensor": (*_TENSOR, f"4 {_PARAMETERS}", "5 InferTensorContents contents"),
    "ModelInferResponse": (
        *_ASKED,
        "5 *ModelInferResponse.InferOutputTensor outputs",
        "6 *bytes raw_output_contents",
    ),
}
"""Fields by message: number, type (`*`: repeated, `|`: one of several, `map`: by name) and name."""


def messages() -> dict[str, Any]:
    """Return the classes of the messages by name, as `ModelInferRequest`."""
    from google.protobuf import (  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  # only if gRPC is on
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package="inference", syntax="proto3")
    described: dict[str, Any] = {}
    for name, fields in sorted(_MESSAGES.items()):  # what is around another comes first
        around, _, own = name.rpartition(".")
        message = described[around].nested_type.add() if around else file.message_type.add()
        message.name, described[name] = own, message
        for field in fields:
            _add(message, name, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call,unused-ignore]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))  # type: ignore[no-untyped-call,unused-ignore]
        for name in _MESSAGES
    }


def _add(message: Any, within: str, line: str) -> None:
    number, *kinds, name = line.split()
    kind, field = kinds[-1], message.field.add(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if kind[0] == "*" or len(kinds) > 1 else field.LABEL_OPTIONAL
    if kind[0] == "|":
        field.oneof_index = 0
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
    kind = kind.lstrip("*|")
    if len(kinds) > 1:  # a map is a repeated message of keys and values
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "", "1 string key")
        _add(entry, "", f"2 {kind} value")
        kind = f"{within}.{entry.name}"
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".inference.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
