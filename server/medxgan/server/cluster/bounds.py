"""What of the settings Ray can't do."""

from typing import Any


def beyond_ray(settings: dict[str, Any]) -> str:
    """What is expected of the settings, so far as they are right, where Ray can't do it; empty: nothing else."""
    host, _, port = str(settings.get("address", "[::]:1")).rpartition(":")
    if host not in ("0.0.0.0", "[::]") or int(port) == 0:  # noqa: S104 - compared, not bound
        return "an address 0.0.0.0:PORT or [::]:PORT with a port above 0: Ray's proxy listens on all addresses"
    for name, reason in (
        ("tls_certificate", "Ray's proxy speaks plaintext; TLS ends before it, or in a mesh"),
        ("telemetry", "replicas on one machine would share the port; Ray has figures of its own"),
        ("audit", "replicas would write to one file"),
    ):
        if settings.get(name):
            return f"no {name}: {reason}"
    if settings.get("model_control") == "explicit":
        return "no model_control explicit: a call would reach one replica of several"
    if settings.get("devices") != "0":
        return "no devices: Ray gives a replica its own, see ray_gpus"
    if settings.get("provider") in ("cuda", "tensorrt") and not settings.get("ray_gpus"):
        return f"ray_gpus for the provider {settings['provider']}"
    if settings.get("ray_models") and settings.get("model_control") == "poll":
        return "no model_control poll together with ray_models"
    return ""
