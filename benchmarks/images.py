"""
The image of a service: `mlops-ci build` beside `bentoml build` and `bentoml containerize`.

The model is the one of `serving`, in the files of scikit-learn, on the same base, a small Debian with its Python. Cold
is with no layer and no download of an earlier build, neither in the daemon nor in uv's cache; a new model has the same
requirements as the one before. What is timed are the commands that make an image of a registered version, or of a
folder with the service; not training, and no push. Ours locks every package with its hashes and writes a bill of
materials meanwhile. BentoML's base gets beforehand what it would fetch, see `shop.py`: that is in none of its figures.

CPU is of the commands alone, not of the daemon. Each image has to answer rightly. What a push sends are the compressed
layers that the registry does not have yet.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import shop as shops
from benchmarks.repositories import MLOPS, call, commit, make
from benchmarks.servers import DATA, PEERS, Trained, fit, train
from benchmarks.shop import Shop
from benchmarks.timing import Command, Sample, table
from tests.integration import served_model
from tests.integration.served_model import free_port

TURNS = 3
_READY_S = 60.0

_TRAINING = """
from pathlib import Path
import mlops_ci as mlops
from benchmarks.servers import fit

model, columns, table = fit(Path({data!r}), {strength})
with mlops.start_run() as run:
    run.log_metrics({{"m3": 1.0}})
    run.log_model(model, input_example=[dict(zip(columns, row)) for row in table[:3].tolist()])
"""


@dataclass
class _Made:
    """
    What came of one contender.

    Attributes:
        cold: Builds without any cache.
        changed: Builds after a change of the model.
        added_bytes: Of the image beyond its base.
        sent_bytes: What a push of the image after the change sends, to a registry with the one before.
        failure: Why there are no more figures.
    """

    cold: list[Sample] = field(default_factory=list)
    changed: list[Sample] = field(default_factory=list)
    added_bytes: int = 0
    sent_bytes: int = 0
    failure: str = ""


class _Contender:
    """Builds images of one model after another."""

    name: str
    path = "/predict"

    def __init__(self, shop: Shop, folder: Path, trained: Trained) -> None:
        self.shop, self.folder, self.trained = shop, folder, trained
        folder.mkdir(parents=True)

    def change(self, number: int) -> None:
        """Make the model with that number the newest; no two are the same."""
        raise NotImplementedError

    def build(self, number: int, cache: Path, *, cold: bool) -> Sample:
        """Make `image(number)`; *cache* is uv's on this machine."""
        raise NotImplementedError

    def image(self, number: int) -> str:
        """What the image is called."""
        raise NotImplementedError

    def body(self) -> Any:
        """The request."""
        raise NotImplementedError

    def read(self, said: Any) -> Any:
        """The class in an answer."""
        raise NotImplementedError

    def base(self) -> str:
        """What the image is made on."""
        return self.shop.base


class _Ours(_Contender):
    def __init__(self, shop: Shop, folder: Path, trained: Trained, runtime: str) -> None:
        super().__init__(shop, folder, trained)
        self.name = f"mlops-ci build, {runtime}"
        self._repository = f"{shop.registry.name}/ours-{runtime}"
        self._work = make(folder / "repository", store="git")
        serving = f"serving: {{runtime: {runtime}, image: {self._repository}, base: '{shop.base}'}}\n"
        with (self._work / "mlops.yaml").open("a", encoding="utf-8") as file:
            file.write(serving)

    def change(self, number: int) -> None:
        training = _TRAINING.format(data=str(DATA), strength=_strength(number))
        (self._work / "log.py").write_text(training, "utf-8")
        commit(self._work, "model")
        env = {"PYTHONPATH": str(PEERS.parent.parent)}
        call([MLOPS, "-q", "run"], self._work, env)
        tag = f"bench@v{number}.0.0"
        call(["git", "tag", tag], self._work)
        call(["git", "push", "-q", "origin", tag], self._work)
        call([MLOPS, "-q", "register", tag], self._work)

    def build(self, number: int, cache: Path, *, cold: bool) -> Sample:
        words = [MLOPS, "-q", "build", f"{number}.0.0", "--builder", "docker"]
        words += ["--no-cache", "--upgrade-lock"] if cold else []
        return Command(self.name, words, self._work, {**self.shop.environment, "UV_CACHE_DIR": str(cache)}).once()

    def image(self, number: int) -> str:
        return f"{self._repository}:{number}.0.0"

    def body(self) -> Any:
        return {"records": self.trained.records[:1]}

    def read(self, said: Any) -> Any:
        return said["predictions"][0]


class _BentoML(_Contender):
    name = "bentoml build, bentoml containerize"
    path = "/classify"

    def __init__(self, shop: Shop, folder: Path, trained: Trained) -> None:
        super().__init__(shop, folder, trained)
        self._project = folder / "project"
        self._project.mkdir()
        shutil.copy(PEERS / "bentoml_service.py", self._project / "service.py")
        shutil.copy(PEERS / "bentofile.yaml", self._project)
        pins = [f"{name}=={version(name)}" for name in ("bentoml", "joblib", "numpy", "scikit-learn", "scipy")]
        (self._project / "requirements.txt").write_text("\n".join(pins) + "\n", "utf-8")

    def change(self, number: int) -> None:
        import joblib  # noqa: PLC0415  # only this benchmark pays

        joblib.dump(fit(DATA, _strength(number))[0], self._project / "model.joblib")

    def build(self, number: int, cache: Path, *, cold: bool) -> Sample:
        fresh = " --opt no-cache" if cold else ""
        line = f"bentoml build --version v{number} . && "
        line += f"bentoml containerize classifier:v{number} -t {self.image(number)}{fresh}"
        env = {**self.shop.environment, "UV_CACHE_DIR": str(cache), "BENTOML_HOME": str(self.folder / "home")}
        return Command(self.name, ["sh", "-c", line], self._project, env).once()

    def image(self, number: int) -> str:
        return f"{self.shop.registry.name}/bentoml:v{number}"

    def body(self) -> Any:
        return {"rows": self.trained.rows[:1]}

    def read(self, said: Any) -> Any:
        return said[0]

    def base(self) -> str:
        return shops.BENTOML_BASE


def image(folder: Path) -> None:
    """Size and seconds of an image, cold and after a change of the model, and what a push sends; in turns."""
    if reason := shops.missing():
        print(f"images are left out: {reason}")
        return
    trained = train(folder / "model")
    with shops.opened(folder) as shop:
        print(f"the base has {shop.size_bytes(shop.base) / 1e6:.0f} MB; BentoML {version('bentoml')}")
        contenders = [
            _Ours(shop, folder / "bentoml", trained, "bentoml"),
            _Ours(shop, folder / "asgi", trained, "asgi"),
            _BentoML(shop, folder / "peer", trained),
        ]
        found = {contender.name: _Made() for contender in contenders}
        try:
            for turn, contender in product(range(TURNS), contenders):
                if not found[contender.name].failure:
                    _turn(contender, found[contender.name], turn)
        finally:
            _tell(found)


def _turn(contender: _Contender, made: _Made, turn: int) -> None:
    shop, cache = contender.shop, contender.folder / f"uv-{turn}"
    first, second = 2 * turn + 1, 2 * turn + 2
    contender.change(first)
    shop.prune()
    try:
        cold = contender.build(first, cache, cold=True)
        contender.change(second)
        changed = contender.build(second, cache, cold=False)
        _demand(contender, second)
    except SystemExit as error:
        made.failure = " ".join(str(error).split())[-600:]
        return
    made.cold.append(cold)
    made.changed.append(changed)
    if turn == 0:  # the others' sizes are the same
        made.added_bytes = shop.size_bytes(contender.image(second)) - shop.size_bytes(contender.base())
        before, after = shop.push(contender.image(first)), shop.push(contender.image(second))
        made.sent_bytes = sum(size for digest, size in after.items() if digest not in before)
    shop.docker("rmi", "--force", contender.image(first), contender.image(second))
    shutil.rmtree(cache, ignore_errors=True)


def _demand(contender: _Contender, number: int) -> None:
    """Stop everything unless the image answers rightly."""
    docker, port = contender.shop.docker, free_port()
    container = docker("run", "--detach", "--publish", f"127.0.0.1:{port}:3000", contender.image(number))
    answer: tuple[int, Any] = (0, None)
    try:
        until = time.monotonic() + _READY_S
        while answer[0] != 200 and time.monotonic() < until:
            time.sleep(0.2)
            with suppress(OSError, ValueError):
                answer = served_model.call(port, contender.path, contender.body())
        if answer[0] != 200 or contender.read(answer[1]) != contender.trained.labels[0]:
            said = docker("logs", container)[-1000:]
            raise SystemExit(f"the image of {contender.name} answered {answer}: {said}")
    finally:
        docker("rm", "--force", container)


def _tell(found: Mapping[str, _Made]) -> None:
    whole = {name: made for name, made in found.items() if made.cold}
    table("an image, cold", {name: made.cold for name, made in whole.items()})
    table("an image after a change of the model", {name: made.changed for name, made in whole.items()})
    print("size beyond the base, and what a push after a change of the model sends")
    for name, made in whole.items():
        print(f"  {name:<44} {made.added_bytes / 1e6:8.1f} MB {made.sent_bytes / 1e3:10.1f} kB")
    for name, made in found.items():
        if made.failure:
            print(f"  {name}: a turn failed: {made.failure}")


def _strength(number: int) -> float:
    return 1 + number / 100
