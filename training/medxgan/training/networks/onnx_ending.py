"""The softmax or sigmoid that an ONNX file ends in: left out, since an explanation is of the logits before it."""

import onnx

ENDINGS = ("Softmax", "Sigmoid")
"""Operators that make probabilities of logits."""

PASSING = frozenset({"Identity", "Cast", "Squeeze", "Unsqueeze", "Flatten", "Reshape", "Dropout"})
"""Operators that may still follow: they leave the numbers as they are."""

CHOOSING = frozenset({"Gather", "Slice", "Transpose"})
"""Operators that may follow a sigmoid, which is of each number alone; a softmax's columns mean nothing without all."""


def cut_ending(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str | None]:
    """A model whose last softmax or sigmoid hands on what it is given, and which of both it was.

    Bounds that are set to the probabilities go with it. Where there is neither, or what it gives is read by anything
    else, too, it is the model itself.
    """
    nodes = list(model.graph.node)
    readers: dict[str, int] = {}
    for node in nodes:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    makers = {name: index for index, node in enumerate(nodes) for name in node.output}
    if len(model.graph.output) != 1:
        return model, None
    name = model.graph.output[0].name
    passed: list[int] = []
    while name in makers and readers.get(name, 0) <= 1:
        node = nodes[makers[name]]
        if node.op_type in ENDINGS and node.domain in {"", "ai.onnx"}:
            operators = {nodes[index].op_type for index in passed}
            if node.op_type == "Softmax" and operators & CHOOSING:
                break
            cut = onnx.ModelProto()
            cut.CopyFrom(model)
            bounds = [index for index in passed if nodes[index].op_type == "Clip"]
            for index in (makers[name], *bounds):
                left_out = cut.graph.node[index]
                left_out.op_type = "Identity"
                del left_out.attribute[:], left_out.input[1:]
            return cut, node.op_type
        if node.op_type not in PASSING | CHOOSING | {"Clip"}:
            break
        passed.append(makers[name])
        name = node.input[0]
    return model, None
