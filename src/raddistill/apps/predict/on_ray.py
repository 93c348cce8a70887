"""Runs the shards of a prediction on Ray: each actor loads the student once, and labels shard after shard.

Ray Data only hands out the numbers of the shards. The reports are read, and the parts are written, by the actors themselves, in a
folder that all machines see. So a part is there whole or not at all, and a run that was killed goes on where it was: Ray Data's
own checkpoints would hold all ids in memory and need an object store.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill.apps.label.report_file import Shard
from raddistill.apps.predict.job import Job
from raddistill.apps.predict.parts import part_path
from raddistill.errors import InputError, RaddistillError


class ShardLabeller:
    """An actor: a loaded student that labels shards."""

    def __init__(self, job: Job, folder: str, shards: int) -> None:
        self._job, self._folder, self._shards, self._student = job, Path(folder), shards, job.student()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Labels the shards whose numbers are in the column `shard`. Returns what `Job.run` returned, the reasons as JSON."""
        shards = [Shard(int(number), self._shards) for number in batch["shard"]]
        made = [self._job.run(self._student, part_path(self._folder, shard, self._job.form), shard) for shard in shards]
        return {"labelled": [n for n, _ in made], "rejected": [json.dumps(reasons) for _, reasons in made]}


def label_shards(job: Job, folder: Path, todo: list[Shard], workers: int, gpus: float) -> Iterator[tuple[int, Counter[str]]]:
    """Yields what `Job.run` returns of each shard when its part is written, in any order.

    Connects to the cluster that RAY_ADDRESS names, else starts Ray on this machine. `gpus`: of each worker.

    Raises:
        InputError: Ray is not installed.
        RaddistillError: a worker failed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends usage statistics unless told not to
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray: pip install 'raddistill[ray]'") from None
    if not ray.is_initialized():
        # the numbers of shards need no memory; by default Ray would take 30 % of the machine's for its store
        here: dict[str, Any] = (
            {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": max(workers, 2), "object_store_memory": 200 << 20}
        )
        ray.init(include_dashboard=False, log_to_driver=False, **here)
    ray.data.DataContext.get_current().enable_progress_bars = False
    numbers = ray.data.from_items([{"shard": shard.number} for shard in todo], override_num_blocks=len(todo))
    labelled = numbers.map_batches(
        ShardLabeller, fn_constructor_args=(job, str(folder), todo[0].of), batch_size=1, num_cpus=1, num_gpus=gpus,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(todo))),
    )  # fmt: skip
    try:
        for row in labelled.iter_rows():
            yield int(row["labelled"]), Counter(json.loads(row["rejected"]))
    except ray.exceptions.RayError as error:
        message = f"a worker on Ray failed ({type(error).__name__}; Ray's logs say why). Finished parts stay: run this again"
        raise RaddistillError(message) from error
