"""A small world to run the whole pipeline in: reports in Open-i's form, written by us, and a random two-layer Llama."""

import hashlib
import io
import os
import random
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import hypothesis
import pytest
from ruamel.yaml import YAML

from raddistill import params
from raddistill.sources.fetch import fetching

ROOT = Path(__file__).parents[1]

# The same examples in every run: what fails here fails on any machine, no change is refused for a fault that lay elsewhere.
# pytest --hypothesis-profile=explore draws new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None)
hypothesis.settings.register_profile("explore", max_examples=2000)
hypothesis.settings.load_profile("fixed")

# Two threads that wait for each other by spinning cost a tiny model ten times one thread's time where a core is shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell without job control starts in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A finding as we would write it, and the head under which Open-i's coders would file it.
FINDINGS = [
    ("The heart is mildly enlarged.", "Cardiomegaly/mild"),
    ("There is a small left pleural effusion.", "Pleural Effusion/left/small"),
    ("Streaky opacity at the right base.", "Opacity/lung/base/right"),
    ("Bibasilar atelectasis is seen.", "Pulmonary Atelectasis/base/bilateral"),
    ("An old left rib fracture is noted.", "Fractures, Bone/ribs/left/healed"),
    ("A calcified granuloma projects over the left apex.", "Calcified Granuloma/lung/apex/left"),
    ("A right chest port ends in the XXXX.", "Catheters, Indwelling/right"),
    ("Tiny right apical pneumothorax.", "Pneumothorax/right/apex/small"),
    ("Mild scoliosis of the thoracic spine.", "Scoliosis/mild"),
    ("The aorta is tortuous.", "Aorta/tortuous"),
]
DENIALS = [
    "No pneumothorax.",
    "No pleural effusion is seen.",
    "The lungs are clear.",
    "The heart is of normal size.",
    "No acute bony change.",
    "No focal consolidation.",
]


def report(number: int) -> dict[str, Any]:
    """One report: a third is normal, the rest have one to three findings among things denied."""
    draw = random.Random(number)
    found = [] if number % 3 == 0 else draw.sample(FINDINGS, draw.randint(1, 3))
    said = [sentence for sentence, _ in found] + draw.sample(DENIALS, draw.randint(2, 4))
    draw.shuffle(said)
    impression = " ".join(sentence for sentence, _ in found[:1]) or f"No acute disease, film {number}."
    return {
        "id": f"CXR{number}",
        "FINDINGS": f"Film {number}. " + " ".join(said),
        "IMPRESSION": impression,
        "INDICATION": "Cough.",
        "COMPARISON": "None.",
        "major": [head for _, head in found] or ["normal"],
    }


def as_xml(fields: dict[str, Any]) -> bytes:
    """A report as one file of Open-i's archive."""
    sections = "".join(
        f'<AbstractText Label="{label}">{escape(fields[label] or "")}</AbstractText>'
        for label in ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION")
    )
    heads = "".join(f"<major>{escape(head)}</major>" for head in fields["major"])
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="{fields["id"]}"/><MedlineCitation><Article><Abstract>'
        f"{sections}</Abstract></Article></MedlineCitation><MeSH>{heads}</MeSH></eCitation>"
    ).encode()


N_REPORTS = 90  # of which one has no text and one was not annotated


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive in the form of NLMCXR_reports.tgz."""
    reports = [report(number) for number in range(1, N_REPORTS + 1)]
    reports[0] |= {"FINDINGS": "", "IMPRESSION": ""}
    reports[1] |= {"major": ["No Indexing"]}
    archive = tmp_path_factory.mktemp("collection") / "NLMCXR_reports.tgz"
    with tarfile.open(archive, "w:gz") as members:
        for number, fields in enumerate(reports, 1):
            content = as_xml(fields)
            member = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return archive


CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a byte-level tokenizer of its own, as a folder in Hugging Face format."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-base")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    spoken = [" ".join([*DENIALS, *(sentence for sentence, _ in FINDINGS)])] + [f"{word} yes no" for word in ("say", "or")] * 50
    bpe.train_from_iterator(spoken, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", pad_token="<|pad|>")  # noqa: S106
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2048, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/base.json of the tiny Llama."""
    folder = tmp_path_factory.mktemp("base")
    p = params.load("fetch", fetching.FetchParams).base.model_copy(update={"source": "folder", "location": str(tiny_base)})
    fetching.fetch_base(p, store=folder / "store", record=folder / "base.json")
    return folder / "base.json"


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/base.json of a random BERT of two layers with a word-piece tokenizer of letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    folder = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz:."
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "model")
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder / "model")
    p = params.load("fetch", fetching.FetchParams).base
    p = p.model_copy(update={"source": "folder", "location": str(folder / "model")})
    fetching.fetch_base(p, store=folder / "store", record=folder / "base.json")
    return folder / "base.json"


@pytest.fixture(scope="session")
def small_params(collection: Path, tiny_base: Path) -> dict[str, Any]:
    """params.yaml, pointed at the small world and cut down to seconds; real NF4."""
    content = params.read(ROOT / "params.yaml")
    content["fetch"]["reports"] |= {"path": str(collection), "sha256": hashlib.sha256(collection.read_bytes()).hexdigest()}
    content["fetch"]["base"] |= {"source": "folder", "location": str(tiny_base)}
    content["merge"] |= {"validation_examples": 12, "max_tokens": 2000}
    content["merge"]["multiple_choice"] |= {"examples": 60, "written": 1, "blanked": 0.2}
    content["merge"]["open_ended"] |= {"examples": 30, "written": 1}
    content["train"] |= {"epochs": 1, "batch_size": 8, "evaluate_every": 4, "quantization": "nf4", "learning_rate": 0.001}
    for arm in content["predict"].values():
        arm |= {"multiple_choice_reports": -1, "open_ended_reports": 6, "max_new_tokens": 8}
    content["score"] |= {"bootstrap": 50, "macro_min_positives": 3, "concept_macro_min_positives": 3}
    content["runtime"] |= {"threads": 1, "progress": False}
    return content


@pytest.fixture(scope="session")
def write_params() -> Callable[[dict[str, Any], Path], None]:
    def write(content: dict[str, Any], path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            YAML().dump(content, file)

    return write


@pytest.fixture(scope="session")
def walked(
    tmp_path_factory: pytest.TempPathFactory, small_params: dict[str, Any], write_params: Callable[[dict[str, Any], Path], None]
) -> Path:
    """A folder in which every stage has run on the small world, with two teachers besides. A test that changes it restores it."""
    from pipeline_truth import TEACHERS
    from walking import walk

    folder = tmp_path_factory.mktemp("walked")
    walk(small_params | {"teachers": TEACHERS}, folder, write_params)
    return folder
