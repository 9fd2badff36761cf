"""Before every request: who calls, whether it may, and how much of it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import grpc

from medxgan.server.errors import DeadlineError, MedxganError
from medxgan.server.identity.authentication import Authentication, authorize
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.identity.roles import STREAMS_OF_REQUESTS, role_of
from medxgan.server.log import get_logger
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.wire.callers import caller_of, known_as
from medxgan.server.wire.status import known_status, status_code, to_wire

_log = get_logger(__name__)

Behaviour = Callable[[Any, grpc.aio.ServicerContext], Any]

_KINDS: dict[tuple[bool, bool], tuple[str, Callable[..., grpc.RpcMethodHandler]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""By whether requests and responses are streams: where a handler has its behaviour, and what makes a handler of one."""


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets those methods of all services through that the caller may call. The outermost interceptor.

    Args:
        authentication: finds out who calls; None: anybody may call, and is told from others by the address.
        limits: of each caller.
        deadline_ceiling: seconds that an answer may take at most, whatever deadline the caller set. A stream of
            requests is not an answer.
        metrics: counts what is refused.
    """

    def __init__(
        self, authentication: Authentication | None, limits: CallerLimits, deadline_ceiling: float, metrics: Metrics
    ) -> None:
        self._authentication = authentication
        self._limits = limits
        self._deadline_ceiling = deadline_ceiling
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Called by gRPC for every request, before its message has come."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or role_of(method) is None:
            return handler
        name, make = _KINDS[handler.request_streaming, handler.response_streaming]
        return make(
            self._guarded(method, getattr(handler, name)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guarded(self, method: str, behaviour: Behaviour) -> Behaviour:
        async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
            with ExitStack() as admitted:
                try:
                    await self._admit(method, context, admitted)
                except MedxganError as error:
                    self._metrics.refused(type(error).__name__)
                    _log.info("refused", method=method, code=status_code(type(error)).name, caller=caller_of(context))
                    await _abort(context, error)
                try:
                    async with asyncio.timeout(None if method in STREAMS_OF_REQUESTS else self._deadline_ceiling):
                        return await _answered(behaviour(request, context), context)
                except TimeoutError:
                    most = f"{self._deadline_ceiling:g} seconds"
                    await _abort(context, DeadlineError(f"the answer took longer than {most}, which is the most here"))

        return answer

    async def _admit(self, method: str, context: grpc.aio.ServicerContext, admitted: ExitStack) -> None:
        if self._authentication is not None:
            identity = await self._authentication.identity(context.invocation_metadata() or (), context.auth_context())
            admitted.enter_context(known_as(identity.name))
            authorize(identity, method)
        admitted.enter_context(self._limits.request(caller_of(context)))


async def _answered(answer: Any, context: grpc.aio.ServicerContext) -> Any:
    """What a behaviour of either style gives: one that streams writes to its context, or yields."""
    if not inspect.isasyncgen(answer):
        return await answer
    async for message in answer:
        await context.write(message)
    return None


async def _abort(context: grpc.aio.ServicerContext, error: MedxganError) -> None:
    status = to_wire(known_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
