"""The figures of the models under the names that Triton gives them, for dashboards and autoscalers that know those.

Written here and not by Prometheus' library, which gives every counter the suffix `_total`.
"""

from collections.abc import Callable, Iterable, Iterator

from medxgan.server.telemetry.statistics import Counts, Model, Statistics

_US = 1e6

COUNTERS: tuple[tuple[str, str, Callable[[Counts], float]], ...] = (
    ("request_success", "Requests that succeeded.", lambda counts: counts.success.count),
    ("count", "Inferences performed: one for each request that succeeded.", lambda counts: counts.success.count),
    ("exec_count", "Executions performed: one for each request that succeeded.", lambda counts: counts.success.count),
    ("request_duration_us", "Time from request to answer.", lambda counts: _US * counts.success.seconds),
    ("queue_duration_us", "Time that requests waited.", lambda counts: _US * counts.queue.seconds),
    ("compute_input_duration_us", "Time to open images.", lambda counts: _US * counts.compute_input.seconds),
    ("compute_infer_duration_us", "Time to compute.", lambda counts: _US * counts.compute_infer.seconds),
    ("compute_output_duration_us", "Time to make answers.", lambda counts: _US * counts.compute_output.seconds),
)
"""Names behind `nv_inference_`, what they count, and where it stands. Times are of requests that succeeded."""

Samples = Iterable[tuple[dict[str, str], float]]


def triton_figures(statistics: Statistics) -> str:
    """All figures, in the text form of Prometheus.

    Every request is one image, whichever service took it. Of the reasons of failures, REJECTED are requests that there
    was no room or no time for, CANCELED those whose callers left, BACKEND errors that nobody foresaw, OTHER requests
    that were wrong.
    """
    known, pending = statistics.all(), statistics.pending()
    families = [
        _family(name, "counter", text, [(_labels(model), value(counts)) for model, counts in known])
        for name, text, value in COUNTERS
    ]
    failures = [
        (_labels(model) | {"reason": reason.value}, duration.count)
        for model, counts in known
        for reason, duration in counts.failures.items()
    ]
    waiting = [(_labels(model), pending.get(model, 0)) for model, _ in known]
    families.append(_family("request_failure", "counter", "Requests that failed, by reason.", failures))
    families.append(_family("pending_request_count", "gauge", "Requests whose compute has not begun.", waiting))
    return "".join(line for family in families for line in family)


def _labels(model: Model) -> dict[str, str]:
    # Names and versions of bundles, which have no character that would have to be escaped.
    return {"model": model[0], "version": model[1]}


def _family(name: str, kind: str, text: str, samples: Samples) -> Iterator[str]:
    name = f"nv_inference_{name}"
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        stated = ",".join(f'{label}="{each}"' for label, each in labels.items())
        yield f"{name}{{{stated}}} {value:.0f}\n"
