"""Checks the pipeline of the current folder: base model, teacher, rules about data, DVC's remotes, dvc.lock."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from raddistill import params, paths, untracked_files
from raddistill.apps import pipeline
from raddistill.apps.doctor.machine import Verdict
from raddistill.errors import InputError, RaddistillError
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.llm_client import allowed_hosts
from raddistill.llm_client.settings import AskingParams
from raddistill.privacy import list_names
from raddistill.sources.extracting import SHARED, ExtractParams, RemotesParams, source_named
from raddistill.sources.splits.second_cohort import SecondParams
from raddistill.student import models
from raddistill.student.training import TrainParams
from raddistill.tasks.names import TASKS
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.synthesizing import SynthesizeParams, TeachParams, llm_params

TIMEOUT_S = 20.0  # of a request to a teacher or remote
PRIVATE = ("data", "models", ".journal", ".checkpoints", ".dvc/cache")  # report text, or learned from it


def check_base() -> Iterator[Verdict]:
    """Is the base model in this machine's store, with the recorded hashes, and can it be trained as params.yaml says?"""
    if not paths.BASE.exists():
        yield Verdict("base model", "warning", f"{paths.BASE} is missing: nothing was fetched yet", "dvc repro fetch")
        return
    try:
        folder = models.base_folder(paths.BASE)
    except InputError as error:
        yield Verdict("base model", "error", str(error), models.AGAIN)
    else:
        yield Verdict("base model", "ok", f"{folder}: all files are there, their hashes are right")
    if params.load("train", TrainParams).quantization == "fp8":
        try:
            models.require_fp8()
        except InputError as error:
            yield Verdict("base model", "error", str(error), "params.yaml: train.quantization: nf4")


def check_data() -> Iterator[Verdict]:
    """May models of these reports be shared, and does git leave alone what may hold their text?"""
    kinds, remote = _sensitivities(), params.load("remotes", RemotesParams).models
    message = f"the reports are {' and '.join(sorted(kinds))}; models go to the remote {remote}"
    if remote == SHARED and kinds != {allowed_hosts.PUBLIC}:
        yield Verdict("data", "error", f"{message}, which everybody may read", "params.yaml: remotes.models: private")
    else:
        yield Verdict("data", "ok", message)
    ignored = _git("check-ignore", "--no-index", *(f"{folder}/x" for folder in PRIVATE))
    if not_ignored := [folder for folder in PRIVATE if f"{folder}/x" not in ignored]:
        message = f"git does not ignore {', '.join(not_ignored)}: report text could get into it"
        yield Verdict("data", "error", message, f".gitignore: {' '.join(f'/{folder}/**' for folder in not_ignored)}")
    if held := [name for name in _git("ls-files", "--", *PRIVATE) if Path(name).name != ".gitignore"]:
        message = f"git holds {len(held)} files where report text lies, such as {held[0]}"
        yield Verdict("data", "error", message, f"git rm --cached {held[0]} ...; the history keeps them: do not push it")
    raw = Path(params.load("extract", ExtractParams).raw).resolve()
    if raw.is_relative_to(Path.cwd()) and raw.exists() and not _git("check-ignore", str(raw), str(raw / "x")):
        message = f"the reports {raw} lie in this repository, and git does not ignore them"
        yield Verdict("data", "error", message, "move them out, or into data/; params.yaml: extract.raw: the absolute path")
    if not (not_ignored or held):
        yield Verdict("data", "ok", f"git ignores {', '.join(PRIVATE)}")
    for line in untracked_files.missing_files(untracked_files.strings_of(params.read())):
        message, _, fix = line.partition(": ")
        yield Verdict("data", "warning", f"{message}, so queued experiments and clones miss it", fix)


def _sensitivities() -> set[str]:
    """Returns the sensitivities of the cohorts that params.yaml names."""
    p, second = params.load("extract", ExtractParams), params.load("second_cohort", SecondParams)
    labels = load_labels(params.load("label_set", LabelSetParams).path)
    cohorts = [p, p.model_copy(update=second.model_dump())] if second.source else [p]
    return {source_named(each, labels, None).sensitivity for each in cohorts}


def _git(*words: str) -> list[str]:
    """Returns the lines that git prints. Raises an InputError outside of a repository."""
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    if done.returncode > 1:  # `check-ignore`: 1 if none is ignored
        raise InputError("this folder is in no git repository; `git init` makes it one")
    return done.stdout.splitlines()


def check_teacher() -> Iterator[Verdict]:
    """If an LLM is a teacher: may the reports go to its host, is there a key, does it answer, does it have the model?

    A server is asked for its models only on loopback, or if asking.approved_hosts has it.
    """
    shared, asking = params.load("synthesize.llm", LLMParams), params.load("asking", AskingParams)
    tasks = {task: params.load(f"synthesize.{task}", SynthesizeParams) for task in TASKS}
    others = {name: params.load(f"teachers.{name}", TeachParams) for name in params.read()["teachers"]}
    asked = {name: llm_params(name, p, shared) for name, p in (tasks | others).items() if p.teacher == "llm"}
    if not asked:
        yield Verdict("teacher", "ok", "no LLM is a teacher: no text leaves this machine")
    for name, llm in asked.items():
        yield _verdict_of_llm(name, llm, asking)


def _verdict_of_llm(name: str, llm: LLMParams, asking: AskingParams) -> Verdict:
    import httpx2
    import openai

    from raddistill.llm_client import clients

    check, variable = f"teacher {name}", clients.URL_VARIABLES[llm.endpoint]
    try:
        place = allowed_hosts.destination_of(clients.endpoint_url(llm.endpoint), variable)
        offered = asyncio.run(_models_of(llm, asking))
    except RaddistillError as error:
        return Verdict(check, "error", str(error), "docs/teachers.md, An LLM as teacher, Patients")
    except (TimeoutError, openai.OpenAIError, httpx2.TransportError) as error:
        failure = clients.failure_of_call(error)
        fix = failure.stop or failure.advice or f"start the server, or correct {variable}"
        return Verdict(check, "error", f"{place} did not say which models it has: {failure.reason}", fix)
    if offered is None:
        message = f"there is a key, and the reports may go to {place}; it was not contacted, as it is not approved"
        return Verdict(check, "warning", message, f"params.yaml: asking.approved_hosts: [{place}]")
    if llm.model not in offered and llm.endpoint != "azure":  # there it is the name of a deployment
        message = f"{place} has no model {llm.model}; it has {list_names(offered) or 'none'}"
        return Verdict(check, "error", message, "params.yaml: synthesize.llm.model, or llm.model of the teacher")
    return Verdict(check, "ok", f"{place} answers and has {llm.model}; the reports may go there")


async def _models_of(llm: LLMParams, asking: AskingParams) -> list[str] | None:
    """Returns the names of the server's models; None if its host is neither loopback nor approved: then nothing is sent."""
    from raddistill.llm_client import clients

    quick = asking.model_copy(update={"timeout_s": min(asking.timeout_s, TIMEOUT_S)})
    async with clients.client_for(llm.endpoint, quick, _sensitivities()) as client:
        try:
            allowed_hosts.AllowedHosts(asking.approved_hosts, {"phi"}).check(str(client.base_url), "")
        except InputError:
            return None
        async with asyncio.timeout(TIMEOUT_S):
            return [model.id async for model in client.models.list()]


def check_remotes() -> Iterator[Verdict]:
    """Are the remotes `private` and `shared` configured, two places, and reachable?"""
    lines = [line.partition("=") for line in pipeline.dvc_output("config", "--list").splitlines()]
    urls = {key.split(".")[1]: value for key, _, value in lines if key.startswith("remote.") and key.endswith(".url")}
    for name in ("private", SHARED):
        if name not in urls:
            yield Verdict("remotes", "error", f"there is no DVC remote {name}", f"dvc remote add --local {name} ...")
        elif name == SHARED and urls.get("private") == urls[name]:
            message = f"{name} is the same place as private, to which report text goes"
            yield Verdict("remotes", "error", message, f"dvc remote modify --local {name} url ...")
        else:
            yield _verdict_of_remote(name, urls[name])


def _verdict_of_remote(name: str, url: str) -> Verdict:
    """`url` may hold a password, so it is shown only if it is a folder."""
    if "://" in url:
        try:
            pipeline.dvc_output("ls-url", f"remote://{name}", timeout_s=TIMEOUT_S)
        except InputError:
            message = f"{name} cannot be listed: not reachable, no rights, or nothing was pushed yet"
            return Verdict("remotes", "warning", message, f"dvc ls-url remote://{name} says which")
        return Verdict("remotes", "ok", f"{name} can be listed")
    there = next(each for each in (Path(url), *Path(url).parents) if each.exists())
    if not os.access(there, os.W_OK):
        message = f"{name}: {there} cannot be written to"
        return Verdict("remotes", "error", message, f"dvc remote modify --local {name} url ...")
    inside = ", in this clone, so nobody else can pull from it" if Path(url).is_relative_to(Path.cwd()) else ""
    return Verdict("remotes", "ok", f"{name} is the folder {url}{inside}")


def check_lock() -> Iterator[Verdict]:
    """Does dvc.lock belong to the code and params of this folder?"""
    if not Path("dvc.lock").exists():
        yield Verdict("dvc.lock", "warning", "there is none: the pipeline did not run yet", "dvc repro")
    elif changed := pipeline.changes():
        stages = ", ".join(sorted({line.partition(":")[0] for line in changed}))
        yield Verdict("dvc.lock", "warning", f"out of date: {stages} (raddistill check says why)", "dvc repro")
    else:
        yield Verdict("dvc.lock", "ok", "up to date")
