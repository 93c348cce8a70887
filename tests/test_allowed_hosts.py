"""Text that is not public leaves the machine only for hosts that were approved by name, however a URL is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.errors import InputError, ParamsError
from raddistill.llm_client.allowed_hosts import AllowedHosts, destination_of, is_loopback

GUARDED = [{"phi"}, {"credentialed"}, {"public", "phi"}, {"something new"}]


def check_destination(url: str, sensitivities: set[str], approved: list[str], named: str = "the teacher's URL") -> None:
    AllowedHosts(approved, sensitivities).check(url, named)


@pytest.mark.parametrize("sensitivities", GUARDED)
@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://LOCALHOST/v1",
        "https://127.0.0.1/v1",
        "http://127.8.9.10:1/v1",
        "http://[::1]:8000/v1",
        "http://[0:0:0:0:0:0:0:1]/v1",
        "http://user:secret@localhost:8000/v1",
    ],
)
def test_loopback_needs_no_approval(url: str, sensitivities: set[str]) -> None:
    check_destination(url, sensitivities, [])


@pytest.mark.parametrize("sensitivities", GUARDED)
@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://localhost.evil.com/v1",
        "http://evil.com/localhost",
        "http://localhost@evil.com/v1",
        "http://localhost:8000@evil.com/v1",
        "http://127.0.0.1@evil.com/v1",
        "http://evil.com#@localhost/",
        "http://evil.com?@localhost/",
        "http://foo.localhost/v1",
        "http://localhost./v1",
        "http://notlocalhost/v1",
        "http://0.0.0.0:8000/v1",
        "http://[::]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[fe80::1]/v1",
        "http://10.0.0.1/v1",
        "http://128.0.0.1/v1",
        "http://127.0.0.1.evil.com/v1",
    ],
)
def test_elsewhere_does(url: str, sensitivities: set[str]) -> None:
    with pytest.raises(InputError, match=r"add .* to asking\.approved_hosts"):
        check_destination(url, sensitivities, ["api.openai.com.evil.com", "openai.com", "com", "evil.co"])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/v1",
        "http://2130706433/v1",
        "http://0x7f000001/v1",
        "http://0x7f.0.0.1/v1",
        "http://0177.0.0.1/v1",
        "http://127.0.0.1./v1",
        "http://127.0.0/v1",
        "http://[::1%25eth0]/v1",
        "http://[::1",
        "http://evil.com\\@localhost/",
        "http://localhost\\.evil.com/",
        "http://localhost%00.evil.com/",
        "http://local host/",
        "http://localhost\t.evil.com/",
        "http://localhost\n",
        " http://localhost/",
        "http://ⓛocalhost/",
        "http://１２７.0.0.1/",
        "http://localhost..evil.com/",
        "http://localhost:99999/",
        "http://localhost:0/",
        "http://localhost:port/",
        "http:///v1",
        "http://",
        "",
        "localhost",
        "localhost:8000/v1",
        "//localhost/v1",
        "ftp://localhost/",
        "file:///etc/passwd",
        "http://*/v1",
    ],
)
@pytest.mark.parametrize("sensitivities", [{"phi"}, {"public"}])
def test_what_cannot_be_read_in_one_way_only_is_refused(url: str, sensitivities: set[str]) -> None:
    with pytest.raises(InputError):
        check_destination(url, sensitivities, [])


@pytest.mark.parametrize("sensitivities", [{"public"}, set()])
def test_public_text_goes_anywhere(sensitivities: set[str]) -> None:
    check_destination("https://api.openai.com/v1", sensitivities, [])


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://gpu.hospital.example/v1", "gpu.hospital.example"),
        ("https://gpu.hospital.example/v1", "GPU.Hospital.Example"),
        ("https://gpu.hospital.example./v1", "gpu.hospital.example"),
        ("https://gpu.hospital.example/v1", "gpu.hospital.example."),
        ("http://gpu.hospital.example:8000/v1", "gpu.hospital.example"),
        ("http://gpu.hospital.example:8000/v1", "gpu.hospital.example:8000"),
        ("https://gpu.hospital.example/v1", "gpu.hospital.example:443"),
        ("http://gpu.hospital.example/v1", "gpu.hospital.example:80"),
        ("https://user:secret@gpu.hospital.example/v1?x=1", "gpu.hospital.example"),
        ("https://bücher.example/v1", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/v1", "Bücher.example"),
        ("http://10.0.0.7:8000/v1", "10.0.0.7:8000"),
        ("http://[fd00::7]:8000/v1", "[FD00:0::7]:8000"),
        ("http://[fd00::7]:8000/v1", "fd00::7"),
        ("http://gpu_1:8000/v1", "gpu_1"),
    ],
)
def test_approved(url: str, entry: str) -> None:
    check_destination(url, {"phi"}, ["other.example", entry])


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://gpu.hospital.example/v1", "hospital.example"),
        ("https://gpu.hospital.example.evil.com/v1", "gpu.hospital.example"),
        ("https://evilgpu.hospital.example/v1", "gpu.hospital.example"),
        ("https://gpu.hospital.example@evil.com/v1", "gpu.hospital.example"),
        ("http://gpu.hospital.example:8001/v1", "gpu.hospital.example:8000"),
        ("http://gpu.hospital.example/v1", "gpu.hospital.example:443"),
        ("https://gpu.hospital.example/v1", "gpu.hospital.example:80"),
        ("http://10.0.0.70/v1", "10.0.0.7"),
        ("http://[fd00::70]/v1", "fd00::7"),
    ],
)
def test_not_quite_approved(url: str, entry: str) -> None:
    with pytest.raises(InputError, match=r"asking\.approved_hosts"):
        check_destination(url, {"phi"}, [entry])


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.hospital.example", "https://gpu.hospital.example", "gpu.hospital.example/v1", "me:secret@gpu.example", "127.1",
     "gpu.example:", "gpu.example:0", "gpu.example:99999", "gpu.example:port", " gpu.example", "a b", "gpu.example?x", "[::1",
     "a..b", "gpu.example, other.example", "%41.example"],
)  # fmt: skip
def test_entries_that_are_no_hosts(entry: str) -> None:
    with pytest.raises(ParamsError, match=r"asking\.approved_hosts: entry 2 is neither") as error:
        check_destination("http://localhost/v1", {"public"}, ["fine.example", entry])
    assert "secret" not in str(error.value)


def test_the_message_says_host_sensitivity_and_what_to_do() -> None:
    with pytest.raises(InputError) as error:
        check_destination(
            "https://me:pass@API.Example.com/v1/path?key=query", {"public", "phi", "credentialed"}, [], "OPENAI_BASE_URL"
        )
    assert str(error.value) == (
        "OPENAI_BASE_URL leads to api.example.com:443, but there are reports that are credentialed and phi, and such text goes "
        "only to this machine (localhost) or to approved hosts. Nothing was sent. If your data use agreement covers that host, "
        "add api.example.com:443 to asking.approved_hosts; else use a model on this machine or only public reports."
    )


@pytest.mark.parametrize(
    "url", ["http://me:pass@127.1/v1?query", "me:pass@host?query", "http://me:pass@ho st/?query", "http://pass:\t@x"]
)
def test_no_message_shows_password_or_query(url: str) -> None:
    with pytest.raises(InputError) as error:
        check_destination(url, {"phi"}, [])
    assert "pass" not in str(error.value)
    assert "query" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_the_entry_named_in_the_message_approves() -> None:
    for url in ("https://a.example/v1", "http://[fd00::7]:81/v1", "http://10.1.2.3/v1", "https://bücher.example/"):
        place = destination_of(url, "it")
        check_destination(url, {"phi"}, [str(place)])


@given(st.text(max_size=30), st.sampled_from(["http://{}", "http://{}/v1", "https://localhost{}", "http://{}@localhost", "{}"]))
def test_no_text_passes_for_loopback_by_chance(text: str, form: str) -> None:
    """Whatever the spelling: passed, or one of our errors; passed only with a host that is loopback in its plain form."""
    url = form.format(text)
    try:
        check_destination(url, {"phi"}, [])
    except InputError:
        return
    assert is_loopback(destination_of(url, "it").host)


def test_a_proxy_needs_approval_even_on_loopback() -> None:
    place = destination_of("https://gpu.example/v1", "it")
    AllowedHosts(["gpu.example", "proxy.example:3128"], {"phi"}).check_proxy("http://me:pass@proxy.example:3128", place)
    AllowedHosts(["proxy.example"], {"phi"}).check_proxy("proxy.example:3128", place)
    for proxy in ("http://me:pass@proxy.example:3128", "http://localhost:3128", "socks5://pass@proxy.example"):
        with pytest.raises(
            InputError, match=r"is not approved .* Set NO_PROXY=gpu\.example .* or add (proxy\.example|localhost):"
        ):
            AllowedHosts(["gpu.example"], {"phi"}).check_proxy(proxy, place)
