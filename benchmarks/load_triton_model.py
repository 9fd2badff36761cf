"""The inversion of a bundle in Triton's Python backend: what one would write without medxgan's server.

Triton collects requests into a batch and hands it over; the batch takes all its steps, and nobody joins meanwhile.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Named and called by Triton."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graphs of the bundle."""
        parameters = json.loads(args["model_config"])["parameters"]
        folder = Path(parameters["bundle"]["string_value"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(parameters["threads"]["string_value"])
        description = json.loads((folder / "bundle.json").read_text())
        files = {
            graph["role"].removeprefix("GRAPH_ROLE_"): graph["file"]
            for graph in description["graphs"]
            if graph["file"].endswith(".onnx")
        }
        self._open, self._step, self._close = (
            ort.InferenceSession(folder / files[role], options) for role in ("OPEN", "INVERSION_STEP", "CLOSE")
        )
        self._inversion = description["inversion"]
        self._z1 = description["latent"]["z1_size"]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Explain a batch."""
        films = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy()[0] for request in requests]
        opened = [self._opened(film) for film in films]
        x, z = (np.concatenate([each[name] for each in opened]) for name in ("x", "z"))
        logit = np.concatenate([each["logit"] for each in opened])
        rate = np.full_like(z, self._inversion["default_learning_rate"])
        rate[:, self._z1 :] *= self._inversion.get("pathology_rate", 1)
        rows = len(z)
        state = {
            "z": z,
            "first_moment": np.zeros_like(z),
            "second_moment": np.zeros_like(z),
            "step": np.zeros(rows, np.float32),
        }
        constants = {
            "image": x,
            "target": (1 / (1 + np.exp(-logit))).astype(np.float32),
            "learning_rate": rate,
            "reconstruction_weight": np.full(rows, self._inversion["default_reconstruction_weight"], np.float32),
        }
        asked = [int(pb_utils.get_input_tensor_by_name(request, "steps").as_numpy()[0, 0]) for request in requests]
        names = [f"next_{name}" for name in state]
        # A batch takes as many steps as the longest of its requests: who is in it waits for that.
        for _ in range(max(steps or self._inversion["default_steps"] for steps in asked)):
            state = dict(zip(state, self._step.run(names, state | constants), strict=True))
        pictures = ["reconstruction", "negative_realization"]
        reconstruction, negative = self._close.run(pictures, {"x": x, "z": state["z"]})
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor("reconstruction", reconstruction[row]),
                    pb_utils.Tensor("negative_realization", negative[row]),
                    pb_utils.Tensor("difference", reconstruction[row] - negative[row]),
                ]
            )
            for row in range(rows)
        ]

    def _opened(self, film: np.ndarray) -> dict[str, np.ndarray]:
        names = ["x", "z", "logit"]
        inputs = {
            "image": film.astype(np.float32)[np.newaxis, np.newaxis],
            "inverted": np.zeros(1, np.float32),
            "pixel_aspect": np.ones(1, np.float32),
        }
        return dict(zip(names, self._open.run(names, inputs), strict=True))
