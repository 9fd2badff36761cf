"""Before every request: who calls, whether it may, and how much of it."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import grpc

from medxgan.server.errors import BusyError, MedxganError
from medxgan.server.identity.authentication import Authentication, authorize
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.identity.roles import STREAMS_OF_REQUESTS, role_of
from medxgan.server.log import get_logger
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.wire.callers import caller_of, counted_as, known_as
from medxgan.server.wire.refusals import RefusalLog
from medxgan.server.wire.status import abort, status_code

_log = get_logger(__name__)

Behaviour = Callable[[Any, grpc.aio.ServicerContext], Any]

_KINDS: dict[tuple[bool, bool], tuple[str, Callable[..., grpc.RpcMethodHandler]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""By whether requests and responses are streams: where a handler has its behaviour, and what makes a handler of one."""


class Access:
    """Says who calls and whether it may, and counts its requests.

    Args:
        authentication: finds out who calls; None: anybody may call, and is told from others by the address.
        limits: of each caller.
        metrics: counts what is refused.
        refusals: has the log lines of those who ask for too much.
    """

    def __init__(
        self, authentication: Authentication | None, limits: CallerLimits, metrics: Metrics, refusals: RefusalLog
    ) -> None:
        self._authentication = authentication
        self._limits = limits
        self._metrics = metrics
        self._refusals = refusals

    async def known(self, method: str, context: grpc.aio.ServicerContext, admitted: ExitStack) -> None:
        """Find out who calls, by what proves it now, and whether it may.

        Args:
            method: as the table of roles names it.
            context: of the call.
            admitted: for as long as it is open the call is known to come from whom it comes.

        Raises:
            UnauthenticatedError: from nobody that the server knows.
            IssuerAwayError: that can't be said at the moment.
            ForbiddenError: it may not.
        """
        if self._authentication is not None:
            identity = await self._authentication.identity(context.invocation_metadata() or (), context.auth_context())
            admitted.enter_context(known_as(identity.name))
            authorize(identity, method)

    def request(self, context: grpc.aio.ServicerContext) -> AbstractContextManager[None]:
        """One request of who calls, while it is answered.

        Raises:
            BusyError: the caller has, or had, too many.
        """
        return self._limits.request(counted_as(caller_of(context)))

    def refused(self, method: str, context: grpc.aio.ServicerContext, error: MedxganError) -> None:
        """Count and log a call, or a request of a stream, that is refused before it is a request."""
        code = status_code(type(error)).name
        self._metrics.turned_away(method.rpartition("/")[2], code, type(error).__name__)
        caller = caller_of(context)
        if isinstance(error, BusyError):
            self._refusals.write(counted_as(caller), "refused", method=method, code=code, caller=caller)
        else:
            _log.info("refused", method=method, code=code, caller=caller)


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets those methods of all services through that the caller may call. The outermost interceptor.

    A stream of requests is no request: whoever answers it asks `access` before each of them.

    Args:
        access: says who calls and whether it may.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._handlers: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Called by gRPC for every request, before its message has come."""
        method = handler_call_details.method
        if (known := self._handlers.get(method)) is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or role_of(method) is None:
            return handler
        name, make = _KINDS[handler.request_streaming, handler.response_streaming]
        # What the interceptors inside make of a method is the same for every call of it.
        self._handlers[method] = guarded = make(
            self._guarded(method, getattr(handler, name)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return guarded

    def _guarded(self, method: str, behaviour: Behaviour) -> Behaviour:
        async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
            with ExitStack() as admitted:
                try:
                    await self._access.known(method, context, admitted)
                    if method not in STREAMS_OF_REQUESTS:
                        admitted.enter_context(self._access.request(context))
                except MedxganError as error:
                    self._access.refused(method, context, error)
                    await abort(context, error)
                    return None
                return await _answered(behaviour(request, context), context)

        return answer


async def _answered(answer: Any, context: grpc.aio.ServicerContext) -> Any:
    """What a behaviour of either style gives: one that streams writes to its context, or yields."""
    if not inspect.isasyncgen(answer):
        return await answer
    async for message in answer:
        await context.write(message)
    return None
