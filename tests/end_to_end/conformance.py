"""The cases that both servers are asked, what they answer, and where that differs."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import tritonclient.grpc as triton
from tests.end_to_end.triton_calls import (
    MODEL,
    OUTPUTS,
    Target,
    configured,
    counted,
    details,
    error_amid_stream,
    film,
    is_last,
    levels,
    names_of,
    outputs,
    progress_of,
    region_is_listed,
    shared_image_and_map,
    status,
    stream_of_one,
    streamed,
)


@dataclass(frozen=True)
class Difference:
    """What the two answer differently.

    Attributes:
        medxgan: the outcome of our server.
        triton: that of Triton.
        reason: in a sentence, which docs/portability.md has too.
    """

    medxgan: object
    triton: object
    reason: str


Case = Callable[[triton.InferenceServerClient, Target], object]

CASES: dict[str, tuple[Case, object]] = {
    # Health.
    "server is live": (lambda c, t: c.is_server_live(), True),
    "server is ready": (lambda c, t: c.is_server_ready(), True),
    "model is ready": (lambda c, t: c.is_model_ready(MODEL), True),
    "version is ready": (lambda c, t: c.is_model_ready(MODEL, "3"), True),
    "absent version is ready": (lambda c, t: c.is_model_ready(MODEL, "9"), False),
    "absent model is ready": (lambda c, t: c.is_model_ready("absent"), False),
    # Metadata and configuration.
    "server's name": (lambda c, t: c.get_server_metadata().name, None),
    "extensions": (
        lambda c, t: {"parameters", "statistics", "system_shared_memory"} <= {*c.get_server_metadata().extensions},
        True,
    ),
    "model's versions": (lambda c, t: list(c.get_model_metadata(MODEL).versions), ["3"]),
    "model's platform": (lambda c, t: c.get_model_metadata(MODEL).platform, None),
    "inputs": (
        lambda c, t: [(each.name, each.datatype, list(each.shape)) for each in c.get_model_metadata(MODEL).inputs],
        [("image", "BYTES", [1])],
    ),
    "outputs": (lambda c, t: {each.name for each in c.get_model_metadata(MODEL).outputs}, OUTPUTS),
    "shape of a map": (
        lambda c, t: [list(each.shape) for each in c.get_model_metadata(MODEL).outputs if each.name == "difference"],
        [[32, 32]],
    ),
    "outputs of one map's model": (
        lambda c, t: c.get_model_metadata(f"{MODEL}.grad_cam").outputs[0].name,
        "grad_cam",
    ),
    "metadata of an absent model": (lambda c, t: status(lambda: c.get_model_metadata("absent")), "NOT_FOUND"),
    "metadata of an absent version": (lambda c, t: status(lambda: c.get_model_metadata(MODEL, "9")), "NOT_FOUND"),
    "configuration's outputs": (lambda c, t: {each.name for each in configured(c).output}, OUTPUTS),
    "batches": (lambda c, t: configured(c).max_batch_size, 0),
    "backend": (lambda c, t: configured(c).backend, None),
    "is decoupled": (lambda c, t: configured(c).model_transaction_policy.decoupled, None),
    "streaming model is decoupled": (
        lambda c, t: c.get_model_config(t.streaming).config.model_transaction_policy.decoupled,
        True,
    ),
    "parameters of the configuration": (
        lambda c, t: "steps" in str(configured(c).parameters["request_parameters"]),
        True,
    ),
    "levels of priority": (lambda c, t: configured(c).dynamic_batching.priority_levels, None),
    # Inference.
    "outputs of an inference": (lambda c, t: names_of(c.infer(MODEL, film(), parameters={"steps": 1})), OUTPUTS),
    "outputs that are asked for": (
        lambda c, t: names_of(c.infer(MODEL, film(), outputs=outputs("score", "difference"), parameters={"steps": 1})),
        {"score", "difference"},
    ),
    "who answered": (
        lambda c, t: [
            getattr(c.infer(MODEL, film(), request_id="7", parameters={"steps": 1}).get_response(), name)
            for name in ("id", "model_name", "model_version")
        ],
        ["7", MODEL, "3"],
    ),
    "a version by name": (lambda c, t: status(lambda: c.infer(MODEL, film(), "3", parameters={"steps": 1})), "OK"),
    "types": (
        lambda c, t: [
            c.infer(MODEL, film(), parameters={"steps": 1}).as_numpy(name).dtype.kind
            for name in ("difference", "score", "positive", "verdict", "reasons")
        ],
        ["f", "f", "b", "O", "O"],
    ),
    "whole number as parameter": (
        lambda c, t: details(c.infer(MODEL, film(), parameters={"steps": 3}))["outcome"]["steps_taken"],
        3,
    ),
    "float as parameter": (
        lambda c, t: details(c.infer(MODEL, film(), parameters={"steps": 1, "learning_rate": 0.25}))["settings"][
            "inversion"
        ]["learning_rate"],
        0.25,
    ),
    "text as parameter": (
        lambda c, t: details(c.infer(MODEL, film(), parameters={"steps": 1, "solver": "lbfgs"}))["settings"][
            "inversion"
        ]["solver"],
        "SOLVER_LBFGS",
    ),
    "priority": (lambda c, t: status(lambda: c.infer(MODEL, film(), priority=1, parameters={"steps": 1})), "OK"),
    "model of one map": (
        lambda c, t: c.infer(f"{MODEL}.grad_cam", film()).as_numpy("grad_cam").shape,
        (32, 32),
    ),
    "levels instead of a file": (lambda c, t: status(lambda: c.infer(MODEL, levels(), parameters={"steps": 1})), None),
    "plain call of a decoupled model": (
        lambda c, t: status(lambda: c.infer(t.streaming, film(), parameters={"steps": 1})),
        None,
    ),
    # Errors.
    "no image": (lambda c, t: status(lambda: c.infer(MODEL, film(b"none"))), "INVALID_ARGUMENT"),
    "unknown parameter": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), parameters={"pace": 1})),
        "INVALID_ARGUMENT",
    ),
    "parameter out of range": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), parameters={"steps": 0})),
        "INVALID_ARGUMENT",
    ),
    "parameter of another type": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), parameters={"steps": "3"})),
        "INVALID_ARGUMENT",
    ),
    "unknown input": (lambda c, t: status(lambda: c.infer(MODEL, film(name="film"))), "INVALID_ARGUMENT"),
    "no input": (lambda c, t: status(lambda: c.infer(MODEL, [])), "INVALID_ARGUMENT"),
    "unknown output": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), outputs=outputs("absent"))),
        "INVALID_ARGUMENT",
    ),
    "absent model": (lambda c, t: status(lambda: c.infer("absent", film())), "NOT_FOUND"),
    "absent version": (lambda c, t: status(lambda: c.infer(MODEL, film(), "9")), "NOT_FOUND"),
    "time that the request gives": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), timeout=1, parameters={"steps": 2000})),
        None,
    ),
    "time that the client gives": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), client_timeout=0.05, parameters={"steps": 2000})),
        "DEADLINE_EXCEEDED",
    ),
    # Streams.
    "progress": (progress_of, [5, 10, 15, 20]),
    "progress comes as tensors": (
        lambda c, t: bool(names_of(stream_of_one(c, t)[0])),
        None,
    ),
    "the last response of a stream": (
        lambda c, t: [(is_last(each), names_of(each) >= OUTPUTS) for each in stream_of_one(c, t)[-2:]],
        [(False, False), (True, True)],
    ),
    "empty last response": (
        lambda c, t: [
            (is_last(each), bool(names_of(each))) for each in stream_of_one(c, t, enable_empty_final_response=True)[-1:]
        ],
        None,
    ),
    "ids in a stream": (lambda c, t: {each.get_response().id for each in stream_of_one(c, t)}, {"one"}),
    "stream of a model without progress": (
        lambda c, t: [
            (is_last(each), names_of(each))
            for each in streamed(
                c, {"model_name": f"{MODEL}.grad_cam", "inputs": film(), "outputs": outputs("grad_cam")}
            )
        ],
        [(True, {"grad_cam"})],
    ),
    "an error amid a stream": (error_amid_stream, ["an error", "first", "last"]),
    # Statistics.
    "successes that are counted": (
        lambda c, t: counted(c, "success", lambda: c.infer(MODEL, film(), parameters={"steps": 1})),
        1,
    ),
    "failures that are counted": (lambda c, t: counted(c, "fail", lambda: c.infer(MODEL, film(b"none"))), None),
    "statistics of an absent model": (lambda c, t: status(lambda: c.get_inference_statistics("absent")), None),
    # Repository.
    "index": (
        lambda c, t: (
            {(each.name, each.version, each.state) for each in c.get_model_repository_index().models}
            >= {(MODEL, "3", "READY"), (f"{MODEL}.grad_cam", "3", "READY"), (t.streaming, "3", "READY")}
        ),
        True,
    ),
    "loading": (lambda c, t: status(lambda: c.load_model(MODEL)), None),
    "unloading": (lambda c, t: status(lambda: c.unload_model(MODEL)), None),
    # Shared memory.
    "an image and a map in shared memory": (lambda c, t: shared_image_and_map(c), True),
    "regions": (lambda c, t: region_is_listed(c), True),
    "status of an absent region": (
        lambda c, t: status(lambda: c.get_system_shared_memory_status("absent")),
        "NOT_FOUND",
    ),
    "unregistering an absent region": (lambda c, t: status(lambda: c.unregister_system_shared_memory("absent")), "OK"),
    "registering an absent object": (
        lambda c, t: status(lambda: c.register_system_shared_memory("absent", f"/{uuid.uuid4().hex}", 64)),
        None,
    ),
    "CUDA's regions": (lambda c, t: len(c.get_cuda_shared_memory_status().regions), 0),
    "unregistering CUDA's regions": (lambda c, t: status(c.unregister_cuda_shared_memory), "OK"),
    "registering a CUDA region": (
        lambda c, t: status(lambda: c.register_cuda_shared_memory("absent", b"x" * 64, 0, 64)),
        None,
    ),
    # Traces and the log.
    "traces": (lambda c, t: list(c.get_trace_settings().settings["trace_level"].value), ["OFF"]),
    "setting traces": (
        lambda c, t: status(lambda: c.update_trace_settings(settings={"trace_rate": "500"})),
        None,
    ),
    "traces of an absent model": (lambda c, t: status(lambda: c.get_trace_settings("absent")), None),
    "what is logged": (lambda c, t: c.get_log_settings().settings["log_error"].bool_param, True),
    "setting the log": (lambda c, t: status(lambda: c.update_log_settings({"log_verbose_level": 0})), None),
}
"""What is asked, and what both answer; None where they differ."""

_BACKEND = "In Triton, medxgan is behind its Python backend, and Triton says what it itself is."
_LOADED = "Each where it is told so: ours by --model-control explicit, Triton by --model-control-mode=explicit."
_SET = "Ours is set when it starts: the log by --log-level and --log-format, traces by --traces-endpoint."
_CODES = "The same refusal under another code."

DIFFERENCES = {
    "server's name": Difference("medxgan", "triton", _BACKEND),
    "model's platform": Difference("medxgan", "python", _BACKEND),
    "backend": Difference("medxgan", "python", _BACKEND),
    "is decoupled": Difference(
        True, False, "Triton answers a decoupled model in streams alone; so NAME is not, and NAME.progress is."
    ),
    "plain call of a decoupled model": Difference(
        "OK",
        "UNIMPLEMENTED",
        "Triton answers a decoupled model in streams alone; so NAME is not, and NAME.progress is.",
    ),
    "levels of priority": Difference(
        2, 0, "Triton orders its own queue, which is always empty here, and tells its backends of no priority."
    ),
    "levels instead of a file": Difference(
        "OK", "INVALID_ARGUMENT", "Triton takes the one type that is stated: a file. A TIFF holds levels of any type."
    ),
    "time that the request gives": Difference("DEADLINE_EXCEEDED", "UNAVAILABLE", _CODES),
    "progress comes as tensors": Difference(
        False, True, "Parameters of responses are not in every Triton; there, progress comes as tensors."
    ),
    "empty last response": Difference(
        [(True, False)], [(True, True)], "In Triton the result itself is the last response, and says so."
    ),
    "failures that are counted": Difference(
        1, 0, "Triton's Python backend counts a request as a success once it has been handed over."
    ),
    "statistics of an absent model": Difference("NOT_FOUND", "INVALID_ARGUMENT", _CODES),
    "loading": Difference("UNIMPLEMENTED", "UNAVAILABLE", _LOADED),
    "unloading": Difference("UNIMPLEMENTED", "UNAVAILABLE", _LOADED),
    "registering an absent object": Difference("INVALID_ARGUMENT", "INTERNAL", _CODES),
    "registering a CUDA region": Difference(
        "UNIMPLEMENTED", "INVALID_ARGUMENT", "Ours takes no CUDA shared memory; Triton none that is not one."
    ),
    "setting traces": Difference("UNIMPLEMENTED", "OK", _SET),
    "traces of an absent model": Difference("NOT_FOUND", "INVALID_ARGUMENT", _CODES),
    "setting the log": Difference("UNIMPLEMENTED", "OK", _SET),
}
"""By case. The table in docs/portability.md has the same."""
