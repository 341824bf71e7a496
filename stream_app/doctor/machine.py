"""Whether the machine is large enough and its disk can be written."""

from __future__ import annotations

import os
import shutil
import tempfile

from stream_app.doctor.check import Finding
from stream_app.settings import Settings

MIB = 1 << 20
LEAST_MEMORY = 2_048 * MIB
LEAST_DISK = 512 * MIB


async def machine(settings: Settings) -> list[Finding]:
    """Cores, memory, the data folder."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    found = []
    if settings.model.threads > cores:
        found.append(
            Finding(
                "machine",
                "warn",
                f"model.threads is {settings.model.threads} on {cores} cores",
                f"set it to {max(1, cores - 1)} or less: threads that wait for each other make it slower",
            )
        )
    if memory < LEAST_MEMORY:
        found.append(
            Finding("machine", "warn", f"{memory // MIB} MiB of memory are free", "a worker takes about 1 GiB")
        )
    found += data_folder(settings)
    return found or [Finding("machine", "ok", f"{cores} cores, {memory // MIB} MiB of memory free")]


def data_folder(settings: Settings) -> list[Finding]:
    """Whether it can be written and has room."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return [
            Finding("machine", "fail", f"data folder {folder}: {error.strerror}", "set STREAM_APP_DATA_DIR elsewhere")
        ]
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        return [Finding("machine", "warn", f"{free // MIB} MiB are free at {folder}", "make room, or set data_dir")]
    return []
