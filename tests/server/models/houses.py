"""A folder of models that come and go, and what a server has of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.bundle_copies import put_copy

from medxgan.server.engine.replication import Replication
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import AuditError, MedxganError
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.control import Cause, ModelControl
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.models.version_policy import VersionPolicies
from medxgan.v1.explanation_pb2 import ModelSelector

LOADER = ModelLoader(Replication(EngineSettings("cpu", 1)), ModelCapacity(maximum_rows=1))


def engine_threads() -> set[threading.Thread]:
    """Those of all engines in this process."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("engine")}


class House:
    """A folder of copies of one bundle, and what is served of it."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.of_others = engine_threads()
        self.path = folder
        self.source = source
        self.loader = LOADER
        self.policy = "all"

    def put(self, identity: str, limitation: str = "") -> None:
        put_copy(self.source, self.path, identity, limitation)

    def spoil(self, identity: str) -> None:
        """Change a byte that a hash covers."""
        file = self.path / identity / "linear.bin"
        changed = bytearray(file.read_bytes())
        changed[0] ^= 1
        staged = self.path.parent / "changed.bin"  # in one step: the folder may be looked at meanwhile
        staged.write_bytes(changed)
        staged.replace(file)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Running"]:
        folder = ModelFolder(self.path, VersionPolicies.parse(self.policy))
        running = Running(ModelRepository.load(folder, LOADER), folder, self.loader)
        await running.control.start()
        try:
            yield running
        finally:
            await running.control.stop()


class Running:
    """A repository under control, and what was noted of its changes."""

    def __init__(self, repository: ModelRepository, folder: ModelFolder, loader: ModelLoader) -> None:
        self.repository = repository
        self.noted: list[tuple[Cause, str, str]] = []
        self.trail_is_full = False
        self.control = ModelControl(repository, folder, loader, note=self.note)

    async def note(self, cause: Cause, method: str, model: ServedModel) -> None:
        if self.trail_is_full:
            raise AuditError("the audit trail can't be written")
        self.noted.append((cause, method, model.bundle.name))

    def model(self, name: str, version: str = "") -> ServedModel:
        return self.repository.select(ModelSelector(name=name, version=version))

    def limitation(self, name: str, version: str = "") -> str:
        return self.model(name, version).bundle.description.provenance.limitations[0]

    def states(self) -> dict[str, tuple[str, str]]:
        return {f"{each.name}/{each.version}": (each.state, each.reason) for each in self.repository.statuses()}

    async def until(self, identity: str, state: str) -> None:
        async with asyncio.timeout(60):
            while self.states().get(identity, ("",))[0] != state:
                await asyncio.sleep(0.005)


async def refusal(change: Awaitable[None]) -> MedxganError:
    """What a change is refused with."""
    with pytest.raises(MedxganError) as refused:
        await change
    return refused.value
