"""Triton's extensions of the protocol, as its own client asks for them: shared memory, statistics, those not done."""

import uuid
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.end_to_end.conftest import Asking
from tests.end_to_end.explaining import SIZE, png
from tests.end_to_end.triton_films import LEVELS, film, refused
from tritonclient.utils import InferenceServerException, serialize_byte_tensor, shared_memory


def test_tensors_in_shared_memory(triton_client: triton.InferenceServerClient) -> None:
    expected = triton_client.infer("tiny.grad_cam", [film(LEVELS)])
    size = expected.as_numpy("grad_cam").nbytes
    levels = shared_memory.create_shared_memory_region("levels", f"/medxgan-{uuid.uuid4().hex}", LEVELS.nbytes)
    key = f"medxgan-{uuid.uuid4().hex}"
    answers = shared_memory.create_shared_memory_region("answers", key, size + 64)
    try:
        shared_memory.set_shared_memory_region(levels, [LEVELS])
        triton_client.register_system_shared_memory("levels", levels._shm_key, LEVELS.nbytes)
        triton_client.register_system_shared_memory("answers", key, size + 64)
        status = triton_client.get_system_shared_memory_status()
        assert status.regions["answers"].byte_size == size + 64
        image = triton.InferInput("image", list(LEVELS.shape), "UINT8")
        image.set_shared_memory("levels", LEVELS.nbytes)
        cam, score = triton.InferRequestedOutput("grad_cam"), triton.InferRequestedOutput("score")
        cam.set_shared_memory("answers", size, offset=64)
        result = triton_client.infer("tiny.grad_cam", [image], outputs=[cam, score])
        assert result.as_numpy("score") == expected.as_numpy("score")
        placed = shared_memory.get_contents_as_numpy(answers, np.float32, [SIZE, SIZE], offset=64)
        np.testing.assert_array_equal(placed, expected.as_numpy("grad_cam"))
        stated = result.get_output("grad_cam").parameters
        assert stated["shared_memory_region"].string_param == "answers"
        assert stated["shared_memory_byte_size"].int64_param == size
        cam.set_shared_memory("answers", size - 1)
        got = refused(triton_client, "tiny.grad_cam", inputs=[image], outputs=[cam], parameters=None)
        assert got == (
            "INVALID_ARGUMENT",
            f"outputs.grad_cam.shared_memory_byte_size: expected {size} or more for this output, got {size - 1}",
        )
        triton_client.unregister_system_shared_memory("levels")
        got = refused(triton_client, "tiny.grad_cam", inputs=[image], parameters=None)
        assert got == ("NOT_FOUND", "no region levels of system shared memory is registered")
        triton_client.unregister_system_shared_memory()
        assert not triton_client.get_system_shared_memory_status().regions
    finally:
        for region in (levels, answers):
            shared_memory.destroy_shared_memory_region(region)


def test_a_file_in_shared_memory(triton_client: triton.InferenceServerClient) -> None:
    content = serialize_byte_tensor(np.array([png(LEVELS)], np.object_))
    size = len(content.item())
    region = shared_memory.create_shared_memory_region("file", f"/medxgan-{uuid.uuid4().hex}", size)
    try:
        shared_memory.set_shared_memory_region(region, [content])
        triton_client.register_system_shared_memory("file", region._shm_key, size)
        image = triton.InferInput("image", [1], "BYTES")
        image.set_shared_memory("file", size)
        placed = triton_client.infer("tiny.grad_cam", [image]).as_numpy("score")
        assert placed == triton_client.infer("tiny.grad_cam", [film(png(LEVELS))]).as_numpy("score")
    finally:
        triton_client.unregister_system_shared_memory("file")
        shared_memory.destroy_shared_memory_region(region)


def test_shared_memory_is_refused_where_the_setting_says_so(models: Path, asking: Asking) -> None:
    with asking(models, shared_memory="off") as (client, _):
        assert "system_shared_memory" not in client.get_server_metadata().extensions
        with pytest.raises(InferenceServerException, match="takes no shared memory"):
            client.register_system_shared_memory("region", "/object", 64)
        client.unregister_system_shared_memory()


def test_what_the_server_does_not_do_it_says(triton_client: triton.InferenceServerClient) -> None:
    def refusal(call: str, *arguments: object) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as error:
            getattr(triton_client, call)(*arguments)
        return error.value.status().removeprefix("StatusCode."), error.value.message()

    status, text = refusal("register_cuda_shared_memory", "region", b"aGFuZGxl", 0, 64)
    assert (status, text.partition(":")[0]) == ("UNIMPLEMENTED", "this server takes no CUDA shared memory")
    assert not triton_client.get_cuda_shared_memory_status().regions
    triton_client.unregister_cuda_shared_memory()
    assert triton_client.get_trace_settings().settings["trace_level"].value == ["OFF"]
    assert refusal("update_trace_settings", None, {"trace_level": ["TIMESTAMPS"]})[0] == "UNIMPLEMENTED"
    assert triton_client.get_log_settings().settings["log_error"].bool_param
    assert refusal("update_log_settings", {"log_verbose_level": 1})[0] == "UNIMPLEMENTED"


def test_what_was_done_is_counted(models: Path, asking: Asking) -> None:
    with asking(models) as (client, _):
        for _ in range(2):
            client.infer("tiny", [film(LEVELS)], parameters={"steps": 5})
        refused(client, parameters={"stpes": 1})
        (said,) = client.get_inference_statistics("tiny").model_stats
        stats = said.inference_stats
        assert (said.inference_count, stats.success.count, stats.fail.count) == (2, 2, 1)
        parts = stats.queue.ns + stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns
        assert 0 < parts <= stats.success.ns
        assert stats.compute_infer.ns > 0
        every = client.get_inference_statistics().model_stats
        assert {each.name: each.inference_count for each in every}["tiny.grad_cam"] == 0
