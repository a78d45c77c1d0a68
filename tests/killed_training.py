"""Runs a small training in child processes and kills them; ``test_training`` starts this file and reads what it prints.

A process of its own, so that children can be forked after torch is imported but before it has started anything: one child
costs milliseconds instead of seconds. Usage: ``python killed_training.py FOLDER KILLS``; prints one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from filterlens import training
from filterlens.training import snapshots

EPOCHS, BATCH, N, EVERY = 6, 20, 590, 3  # 30 batches an epoch, the last of 10 images


def train(folder: Path, steps: Path | None = None, checkpoint: bool = True) -> None:
    """A network with dropout and batch normalisation, two optimizers, two schedules, augmentation and state of its own."""
    torch.manual_seed(7)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Conv2d(5, 7, (3, 2)), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(7, 4),
    )  # fmt: skip
    images, labels = torch.rand(N, 2, 11, 9), torch.arange(N) % 4
    gain, seen = torch.ones(4, requires_grad=True), torch.zeros(1, dtype=torch.int64)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), torch.optim.Adam([gain], lr=0.01)]
    schedules = [torch.optim.lr_scheduler.MultiStepLR(optimizers[0], [2, 4]), torch.optim.lr_scheduler.ExponentialLR(optimizers[1], 0.9)]
    count = None if steps is None else os.open(steps, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def step(model, images, labels, epoch):
        if count is not None:
            os.write(count, b".")
        seen.add_(len(images))
        return nn.functional.cross_entropy(model(images) * gain, labels)

    def augment(images, generator):
        flip = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
        return torch.where(flip, images.flip(3), images)

    history = training.fit(
        model, (images, labels), (images[:33], labels[:33]), epochs=EPOCHS, seed=3, step=step, optimizers=optimizers, schedule=schedules,
        augment=augment, batch_size=BATCH, state={"gain": gain, "seen": seen}, checkpoint=folder / "toy.run" if checkpoint else None,
        checkpoint_every=EVERY,
    )  # fmt: skip
    digest = hashlib.sha256()
    for tensor in [*model.state_dict().values(), gain.detach(), seen]:
        digest.update(tensor.numpy().tobytes())
    for optimizer in optimizers:
        for values in optimizer.state.values():
            digest.update(b"".join(v.numpy().tobytes() for v in values.values() if isinstance(v, torch.Tensor)))
    digest.update(repr((history.train_loss, history.test_loss, history.test_accuracy, history.lr)).encode())
    (folder / "done.part").write_text(f"{digest.hexdigest()} {len(history)} {int(seen)}")
    os.replace(folder / "done.part", folder / "done")


def child(folder: Path, prepare=None, **options) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if prepare is not None:
                prepare()
            train(folder, **options)
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> str:
    status = os.waitpid(pid, 0)[1]
    return f"killed by {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


def come_so_far(folder: Path) -> int:
    if not (folder / "toy.run").exists():
        return 0
    progress = snapshots.read(folder / "toy.run")["progress"]  # a half-written file would raise here
    return progress["epoch"] * -(-N // BATCH) + progress["done"]


def random_kills(base: Path, kills: int, moments: random.Random) -> dict:
    """Kill at random moments until there were enough; runs that finish are followed by fresh ones."""
    killed, lost, resumed, results, folder = 0, [], 0, [], None
    while killed < kills or not (folder / "done").exists():
        if folder is None or (folder / "done").exists():
            folder = base / f"run{len(results)}"
            folder.mkdir()
            (folder / "toy.run.part").write_bytes(b"left by an earlier kill")
        steps, before = folder / "steps", come_so_far(folder)
        steps.unlink(missing_ok=True)
        pid = child(folder, steps=steps)
        if killed < kills:
            while not steps.exists() and os.waitpid(pid, os.WNOHANG) == (0, 0):
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.2))
            os.kill(pid, signal.SIGKILL)
        end = ended(pid)
        killed += end == "killed by 9"
        resumed += before > 0
        done = steps.stat().st_size if steps.exists() else 0
        lost.append(done - (come_so_far(folder) - before))
        if end not in ("killed by 9", "exit 0"):
            return {"error": end}
        if (folder / "done").exists():
            results.append((folder / "done").read_text())
    return {"kills": killed, "resumed": resumed, "lost": lost, "results": results}


def kill_while_writing(point: str) -> None:
    """Make the fourth snapshot of this process its end, at an exact point of the writing."""
    real_open, real_replace, written = open, os.replace, []

    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    def opened(path, mode):
        file = real_open(path, mode)
        if len(written) == 3:
            real_write, parts = file.write, []

            class Half:
                def write(self, payload):
                    parts.append(payload)
                    real_write(payload if len(parts) == 1 else payload[: len(payload) // 2])
                    if len(parts) == 2:
                        file.flush()
                        die()

                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

            return Half()
        return file

    def replaced(source, target):
        written.append(target)
        if len(written) < 4:
            return real_replace(source, target)
        if point == "after renaming":
            real_replace(source, target)
        return die()

    if point == "half written":
        snapshots.open = opened
    os.replace = replaced


def main(base: Path, kills: int) -> None:
    torch.set_num_threads(1)
    # Imports that would otherwise come with a child's first step; no backward pass here, whose threads do not survive a fork.
    import tqdm.auto  # noqa: F401

    for optimizer in (torch.optim.SGD, torch.optim.Adam):
        weight = nn.Parameter(torch.ones(2))
        weight.grad = torch.ones(2)
        optimizer([weight], lr=0.1).step()
    report: dict = {"points": {}}
    for name in ("whole", "again", "without"):
        (base / name).mkdir()
        if ended(child(base / name, checkpoint=name != "without")) != "exit 0":
            raise SystemExit(f"the {name} run failed")
        report[name] = (base / name / "done").read_text()
    report["random"] = random_kills(base, kills, random.Random(0))
    for point in ("half written", "before renaming", "after renaming"):
        folder = base / point
        folder.mkdir()
        ends = [ended(child(folder, prepare=lambda point=point: kill_while_writing(point))) for _ in range(3)]
        left = sorted(path.name for path in folder.iterdir())
        ends.append(ended(child(folder)))
        then, result = sorted(path.name for path in folder.iterdir()), (folder / "done").read_text()
        report["points"][point] = {"ends": ends, "left": left, "then": then, "result": result}
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
