"""Reflection: the descriptors that it tells, and how much a caller may have of it."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from medxgan.server.errors import MedxganError, SlowUploadError
from medxgan.server.wire.callers import caller_of, counted_as
from medxgan.server.wire.ceiling import at_most
from medxgan.server.wire.probes import Deserialize, small_message
from medxgan.server.wire.status import abort
from medxgan.server.wire.uploads import Uploads

PREFIX = "/grpc.reflection."


def pool_of(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """A pool of these files and of all that they import, whichever pools they are of.

    Args:
        files: no two of one name, nor with a symbol of one name.
    """
    pool, added = DescriptorPool(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for imported in file.dependencies:
            add(imported)
        pool.AddSerializedFile(file.serialized_pb)  # type: ignore[no-untyped-call]

    for file in files:
        add(file)
    return pool


class ReflectionInterceptor(grpc.aio.ServerInterceptor):
    """Bounds the streams of reflection: in number, as others are, and each in the size of its messages and in time.

    Args:
        uploads: counts the streams.
        idle_seconds: after which a stream is ended that sends nothing.
        deadline_ceiling: seconds that a stream may last.
    """

    def __init__(self, uploads: Uploads, idle_seconds: float, deadline_ceiling: float) -> None:
        self._uploads = uploads
        self._idle_seconds = idle_seconds
        self._deadline_ceiling = deadline_ceiling

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Called by gRPC for every request, before its message has come."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(PREFIX):
            return handler

        async def answer(messages: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> None:
            try:
                with self._uploads.stream(counted_as(caller_of(context))):
                    async with at_most(self._deadline_ceiling):
                        requests = self._requests(messages, handler.request_deserializer)
                        async for response in handler.stream_stream(requests, context):
                            await context.write(response)
            except MedxganError as error:
                await abort(context, error)

        return grpc.stream_stream_rpc_method_handler(
            answer, request_deserializer=None, response_serializer=handler.response_serializer
        )

    async def _requests(self, messages: AsyncIterable[bytes], deserialize: Deserialize) -> AsyncIterator[Message]:
        stream = aiter(messages)
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    content = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise SlowUploadError(f"the stream sent no request for {self._idle_seconds:g} seconds") from None
            yield small_message(content, deserialize)
