"""Pages of this machine: who may ask, what a page shows of hostile text, and how errors look."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from r2i.core.errors import R2IError, TableError
from r2i.pages.web.app import make_app, page
from r2i.pages.web.errors import Conflict, NotFound
from r2i.pages.web.serve import bind, host_of, is_loopback, url_of
from r2i.pages.web.text import cut, plain, shown


def _raise(error: Exception) -> None:
    raise error


ERRORS = {"gone": NotFound("no row"), "stale": Conflict("stale"), "table": TableError("no table in data/x", "run `it`"),
          "else": R2IError("cause <b>", "remedy"), "crash": RuntimeError("secret path")}  # fmt: skip


def _fail(request: Request) -> Response:
    raise ERRORS[request.path_params["name"]]


def client(hosts: tuple[str, ...] = (), base: str = "http://127.0.0.1:8710", peer: str = "127.0.0.1") -> TestClient:
    routes = [
        Route("/", lambda request: page(request, "error.html.j2", code=200, cause="fine", remedy="")),
        Route("/save", lambda request: Response("saved"), methods=["POST"]),
        Route("/fail/{name}", _fail),
    ]
    return TestClient(make_app(routes, [], hosts, nav=[("Start", "/")]), base_url=base, client=(peer, 50_000))


@pytest.mark.parametrize("host", ["127.0.0.1:8710", "localhost:9000", "[::1]:8710", "LOCALHOST"])
def test_loopback_names_are_answered(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.7"])
@pytest.mark.parametrize("host", ["127.0.0.1:8710", "localhost", "[::1]:8710"])
def test_another_machine_that_calls_itself_this_one_is_refused(host: str, peer: str) -> None:
    """With --expose: only names that were allowed are answered to others."""
    exposed = client(("lab.example",), peer=peer)
    assert exposed.get("/", headers={"host": host}).status_code == 400
    assert exposed.get("/", headers={"host": host, "x-forwarded-for": "127.0.0.1"}).status_code == 400
    assert exposed.get("/", headers={"host": "lab.example"}).status_code == 200
    assert (
        client(("localhost",), peer=peer).get("/", headers={"host": "localhost:80"}).status_code == 200
    )  # was allowed


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_call_itself_by_any_of_its_names(peer: str) -> None:
    assert client(peer=peer).get("/", headers={"host": "localhost:8710"}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost:80@evil", "", "127.0.0.1:99999999", "0.0.0.0:8710"]
)
def test_other_names_are_refused(host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 400 and "--allow-host" in answer.text


def test_a_name_that_was_allowed_is_answered() -> None:
    assert client(("lab.example",)).get("/", headers={"host": "lab.example:8710"}).status_code == 200


def test_every_answer_forbids_scripts_of_others() -> None:
    for path in ("/", "/nothing", "/fail/crash", "/static/style.css", "/static/nothing"):
        headers = client().get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"origin": "http://127.0.0.1:8710"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),  # another program of this machine
        ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8710"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_forms_of_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    assert client().post("/save", headers=headers, data={"a": "b"}).status_code == status


def test_a_form_that_is_too_long_is_refused() -> None:
    assert client().post("/save", content=b"x" * (2**20 + 1)).status_code == 413
    assert client().post("/save", content=iter([b"x"])).status_code == 413  # chunked: of unknown length


@pytest.mark.parametrize(("name", "status"), [("gone", 404), ("stale", 409), ("table", 409), ("else", 500)])
def test_an_error_is_a_page_with_cause_and_remedy(name: str, status: int) -> None:
    answer = client().get(f"/fail/{name}")
    error = ERRORS[name]
    assert answer.status_code == status and isinstance(error, R2IError)
    assert error.cause.replace("<", "&lt;").replace(">", "&gt;") in answer.text and "<b>" not in answer.text
    assert error.remedy in answer.text


def test_a_defect_shows_no_traceback() -> None:
    answer = client().get("/fail/crash")
    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e%2fapp.py", "/static//etc/passwd", "/static/"])
def test_only_listed_files_are_served(path: str) -> None:
    assert client().get(path).status_code == 404


def test_hidden_characters_are_seen_and_markup_is_text() -> None:
    html = shown("<script>x</script>\0\u202eabc\u200b\x1b[31m")
    assert "<script>" not in html and "&lt;script&gt;" in html
    for seen in ("␀", "U+202E", "U+200B", "␛"):
        assert f">{seen}</span>" in html
    assert "\u202e" not in html and "\0" not in html and 'dir="auto"' in html
    assert plain('"\u202e"', 9) == '"U+202E"'


@pytest.mark.parametrize("char", ["\U000e0041", "\u034f", "\u3164", "\U000e0100", "\U000e01ef"])
def test_tags_blank_letters_and_selectors_are_seen(char: str) -> None:
    name = f"U+{ord(char):04X}"
    assert f">{name}</span>" in shown(f"a{char}b") and f">{name}</span>" in cut(f"a{char}b", 9)
    assert plain(f"a{char}b") == f"a{name}b"


def test_what_emoji_and_lines_are_made_of_stays() -> None:
    text = "👩‍🔬 naïve\n\tπ $x^2$"
    assert text in shown(text)


def test_a_long_text_is_cut_and_opens_in_full() -> None:
    html = shown("a" * 9999 + "z", 100)
    assert html.startswith("<details") and "all 10,000 characters" in html
    assert f">{'a' * 100}…</bdi>" in html and f"{'a' * 9999}z" in html
    assert "z" not in cut("a" * 9999 + "z", 100).removesuffix("</bdi>").partition(">")[2]


def test_text_beyond_all_limits_is_counted() -> None:
    assert "100 characters more" in shown("a" * 200_100, None)


@pytest.mark.parametrize(
    ("host", "named"), [("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::1", "[::1]")]
)
def test_an_address_is_written_as_a_browser_calls_it(host: str, named: str) -> None:
    try:
        listening = bind(host, 0, expose=True)
    except R2IError:
        if ":" in host:
            pytest.skip("no IPv6 here")
        raise
    with listening:
        assert host_of(listening) == named and url_of(listening).startswith(f"http://{named}:")


def test_a_taken_port_and_an_open_address_are_errors() -> None:
    with bind("127.0.0.1", 0) as taken:
        assert url_of(taken).startswith("http://127.0.0.1:")
        with pytest.raises(R2IError, match="--port 0"):
            bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(R2IError, match="--expose"):
        bind("0.0.0.0", 0)
    assert is_loopback("::1") and not is_loopback("lab.example")
