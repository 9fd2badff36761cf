"""Who may ask: by host, by origin and by session; and the headers that keep a page to itself."""

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medxgan.web.errors import OriginError, RoomError, SignInError, described
from medxgan.web.sessions import Session, Sessions
from medxgan.web.settings import RoomSettings

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """ASGI middleware: refuses foreign hosts and origins before a request is read; adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp, settings: RoomSettings) -> None:
        self._app, self._settings = app, settings
        self._hosts = frozenset(name.lower() for name in settings.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Pages may be kept, if they are asked for again; nothing that is a film's may.
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api/") else "no-cache")
                if self._settings.secure:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except RoomError as error:
            status, told = described(error)
            await JSONResponse({"error": told}, status)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise OriginError("the request names no host that can be read") from error
        if self._hosts and name not in self._hosts:  # `hostname` is in lower case
            # A name that somebody else's DNS leads here.
            raise OriginError("the reading room is not known by this host name: start it with --host-name")
        if method in SAFE_METHODS:
            return
        site = headers.get("sec-fetch-site")
        if site is not None:
            same = site == "same-origin"
        else:
            origin = headers.get("origin")
            same = origin is None or origin.partition("://")[2] == host
        if not same:
            raise OriginError("the request comes from another site")


class Door:
    """Finds and opens sessions by their cookie."""

    def __init__(self, sessions: Sessions, settings: RoomSettings) -> None:
        self._sessions, self._settings = sessions, settings

    def session(self, request: Request) -> Session:
        """The session of a request; raises SignInError where there is none."""
        session = self._sessions.find(self._shown(request))
        if session is None:
            raise SignInError(
                "sign in first" if self._settings.asks_for_token else "the session has ended, and its films are gone"
            )
        return session

    def knows(self, request: Request) -> bool:
        """Whether a request has a session."""
        return self._sessions.find(self._shown(request)) is not None

    def check(self, token: str) -> None:
        """Refuse who shows another token than the room's, where it has one; raises SignInError."""
        expected = self._settings.access_token
        if expected and not hmac.compare_digest(token.encode(errors="surrogatepass"), expected.encode()):
            raise SignInError("this is not the token of this reading room" if token else "sign in with a token")

    def give(self, request: Request, response: Response, session: Session) -> None:
        """Put the cookie of a session into `response`."""
        response.set_cookie(
            self._cookie(request), session.id, path="/", httponly=True, samesite="strict", secure=self._settings.secure
        )

    def end(self, request: Request) -> None:
        """End the session of a request, where it has one."""
        self._sessions.end(self._shown(request))

    def leave(self, request: Request, response: Response) -> None:
        """End the session of a request, and take its cookie back."""
        self.end(request)
        response.delete_cookie(
            self._cookie(request), path="/", httponly=True, samesite="strict", secure=self._settings.secure
        )

    def _cookie(self, request: Request) -> str:
        """The cookie's name: browsers share cookies between the ports of a host, and two rooms may be open there."""
        port = request.url.port
        name = "medxgan" if port is None else f"medxgan-{port}"
        return f"__Host-{name}" if self._settings.secure else name

    def _shown(self, request: Request) -> str:
        return request.cookies.get(self._cookie(request), "")
