"""Who comes in, from where, and what every answer carries."""

import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.end_to_end.guarded import guarded as guarded_server
from tests.end_to_end.guarded import identities, known
from tests.web.inside import Upstream, inside
from tests.web.rooms import LOOPBACK, Opening, entered, opened

from medxgan.web.command import known_hosts
from medxgan.web.errors import SignInError
from medxgan.web.guarding import Door
from medxgan.web.sessions import Sessions
from medxgan.web.settings import Limits, RoomSettings


def test_every_answer_keeps_to_itself(room: str) -> None:
    for path in ("/", "/app.js", "/api/session", "/nowhere"):
        headers = httpx.get(f"{room}{path}", timeout=60).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-store" if path.startswith("/api/") else "no-cache")


def test_the_cookie_is_for_this_browser_alone(room: str, opening: Opening) -> None:
    cookie = httpx.post(f"{room}/api/session", timeout=60).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    with opening(secure=True) as url:
        answer = httpx.post(f"{url}/api/session", timeout=60)
        assert answer.headers["set-cookie"].startswith("__Host-medxgan")
        assert "Secure" in answer.headers["set-cookie"]
        assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://elsewhere.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_what_another_site_sends_is_refused(room: str, headers: dict[str, str], allowed: bool) -> None:
    answer = httpx.post(f"{room}/api/session", headers=headers, timeout=60)
    assert answer.status_code == (204 if allowed else 403)
    assert ("set-cookie" in answer.headers) == allowed


@pytest.mark.parametrize("host", ["reading.example", "Reading.Example:8443", "READING.EXAMPLE"])
def test_a_host_s_name_has_no_case(opening: Opening, host: str) -> None:
    with opening(hosts=frozenset({"Reading.Example"})) as url:
        assert httpx.get(f"{url}/api/session", headers={"Host": host}, timeout=60).status_code == 200


def test_a_room_is_known_by_the_address_that_it_listens_at() -> None:
    assert known_hosts("127.0.0.2", []) == {"127.0.0.2", "127.0.0.1", "::1", "localhost"}
    assert {"reading.example", "192.0.2.1", "127.0.0.1"} <= known_hosts("192.0.2.1", ["reading.example"])
    assert known_hosts("192.0.2.1", []) == frozenset()  # by any


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "[", "127.0.0.1:port", ""])
def test_a_name_that_somebody_else_leads_here_is_refused(room: str, host: str) -> None:
    answer = httpx.get(f"{room}/api/session", headers={"Host": host}, timeout=60)
    assert answer.json()["error"]["kind"] == "origin"


@pytest.fixture
def guarded(opening: Opening) -> Iterator[str]:
    with opening(access_token="a-token-of-ours") as url:
        yield url


def test_a_token_is_asked_for(guarded: str) -> None:
    assert httpx.get(f"{guarded}/api/session", timeout=60).json()["asks_for_token"]
    for wrong in ({}, {"token": "another"}, {"token": ""}, {"token": "a-token-of-ours\u00e9"}):
        assert httpx.post(f"{guarded}/api/session", json=wrong, timeout=60).json()["error"]["kind"] == "sign_in"
    half = httpx.post(f"{guarded}/api/session", content=b'{"token": "\\ud800"}', timeout=60)
    assert (half.status_code, half.json()["error"]["field"]) == (422, "token")
    with pytest.raises(SignInError):
        Door(Sessions(Limits()), RoomSettings(access_token="a")).check("\ud800")
    with httpx.Client(base_url=guarded, timeout=60) as reader:
        for path in ("/api/films", "/api/models", "/api/gallery"):
            assert reader.get(path).status_code == 401
        assert reader.post("/api/session", json={"token": "a-token-of-ours"}).status_code == 204
        assert reader.get("/api/films").status_code == 200
        # A wrong token is wrong for who is in already, too; no token leaves them in.
        assert reader.post("/api/session", json={"token": "another"}).status_code == 401
        film = reader.post("/api/samples/0").json()["id"]
        for again in ({"token": "a-token-of-ours"}, {}):
            assert reader.post("/api/session", json=again).status_code == 204
            assert reader.get(f"/api/films/{film}").status_code == 200


def test_no_path_of_the_api_answers_without_a_session(room: str) -> None:
    from medxgan.web import explanation_paths, film_paths, gallery_paths, model_paths

    routes = [route for each in (film_paths, explanation_paths, model_paths, gallery_paths) for route in each.ROUTES]
    for route in routes:
        path = route.path.replace("{number:int}", "0").replace("{", "").replace("}", "")
        for method in (route.methods or set()) - {"HEAD"}:
            assert httpx.request(method, f"{room}{path}").status_code == 401, (method, path)


def test_two_rooms_of_one_host_do_not_share_a_cookie(room: str, opening: Opening) -> None:
    with opening() as other, entered(room) as reader:
        httpx_cookies = dict(reader.cookies)
        assert httpx.get(f"{other}/api/films", cookies=httpx_cookies, timeout=60).status_code == 401
        assert reader.get("/api/films").status_code == 200


def test_readers_sign_in_with_their_own_tokens_of_the_server(tmp_path: Path) -> None:
    token = secrets.token_hex(32)
    file = identities(tmp_path / "identities.toml", known("viewer", tokens=hashlib.sha256(token.encode()).hexdigest()))
    settings = RoomSettings(hosts=LOOPBACK, own_tokens=True)
    with (
        guarded_server(identities=file) as address,
        opened(address, settings) as url,
        httpx.Client(base_url=url, timeout=60) as reader,
        httpx.Client(base_url=url, timeout=60) as other,
    ):
        for wrong in ("", "another", "no token"):
            answer = other.post("/api/session", json={"token": wrong})
            assert (answer.status_code, answer.json()["error"]["kind"]) == (401, "sign_in")
        assert reader.post("/api/session", json={"token": token}).status_code == 204
        # The server answers by what the session's own token may do.
        assert reader.get("/api/models").json() == []
        assert other.get("/api/models").status_code == 401
        assert token not in reader.get("/api/session").text
        assert reader.post("/api/session", json={"token": "another"}).status_code == 401
        assert reader.get("/api/films").status_code == 200
        assert reader.delete("/api/session").status_code == 204
        assert reader.get("/api/models").status_code == 401


def test_who_signs_in_anew_is_another_reader() -> None:
    """With tokens of their own: the session of the one before, its connection and its films are gone."""

    async def signed_in_twice() -> None:
        server = Upstream()
        settings = RoomSettings(hosts=LOOPBACK, own_tokens=True, limits=Limits(sessions=1))
        async with inside(server, settings) as reader:
            assert (await reader.post("/api/session", json={"token": "one"})).status_code == 204
            film = (await reader.post("/api/samples/0")).json()["id"]
            earlier = dict(reader.cookies)
            assert (await reader.post("/api/session")).status_code == 204  # as a page that is opened again
            assert (await reader.get(f"/api/films/{film}")).status_code == 200
            assert (await reader.post("/api/session", json={"token": "another"})).status_code == 204
            assert (await reader.get("/api/films")).json() == []
            assert server.tokens == ["", "one", "another"]
            reader.cookies.clear()
            reader.cookies.update(earlier)
            assert (await reader.get("/api/films")).status_code == 401
        assert server.closed == 2

    asyncio.run(signed_in_twice())


def test_a_connection_is_closed_where_the_room_is_full() -> None:
    async def refused() -> None:
        server = Upstream()
        settings = RoomSettings(hosts=LOOPBACK, own_tokens=True, limits=Limits(sessions=0))
        async with inside(server, settings) as reader:
            for tries in (1, 2):
                told = await reader.post("/api/session", json={"token": "one"})
                assert told.json()["error"]["kind"] == "full"
                assert server.closed == tries

    asyncio.run(refused())
