"""What the deployment's files say, read once for all of their tests."""

import re
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[3]
DEPLOYMENT = ROOT / "server" / "deployment"
BASE = DEPLOYMENT / "kubernetes" / "base"
GPU = DEPLOYMENT / "kubernetes" / "gpu"
DOCKERFILE = ROOT / "server" / "Dockerfile"


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML text."""
    return [each for each in yaml.safe_load_all(text) if each is not None]


def read(path: Path) -> dict[str, Any]:
    """The one document of a YAML file."""
    (found,) = documents(path.read_text(encoding="utf-8"))
    return found


def named_settings(text: str) -> dict[str, str]:
    """Settings that lines of the form MEDXGAN_NAME=value give."""
    return dict(re.findall(r"^[#\s\w-]*?=?(MEDXGAN_\w+)=(\S*)$", text, re.MULTILINE))


def dockerfile() -> DockerfileParser:
    """The Dockerfile, parsed and never written."""
    return DockerfileParser(path=str(DOCKERFILE), env_replace=False)


def image_environment() -> dict[str, str]:
    """Settings that the image gives."""
    code = "".join(each["content"] for each in dockerfile().structure if each["instruction"] == "ENV")
    return dict(re.findall(r"(MEDXGAN_\w+)=(\S+)", code))
