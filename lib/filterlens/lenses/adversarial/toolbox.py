"""Four attacks through the Adversarial Robustness Toolbox (ART; Nicolae et al. 2018, arXiv 1807.01069).

ART takes and gives numpy arrays in float32. It imports slowly, so ``attack`` imports this file only when it is needed. At its
first import ART makes a folder ``.art`` with its own settings in the user's home.
"""

from __future__ import annotations

import numpy as np
import torch
from art.attacks.evasion import CarliniL2Method, FastGradientMethod, PixelAttack, ProjectedGradientDescent
from art.attacks.evasion.pixel_threshold import differential_evolution
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from .pixels import Pixels, in_batches


class Estimator(PyTorchClassifier):
    """ART's view of the network; predictions in batches of ours, and the gradient of one class per image in one backward pass."""

    def __init__(self, pixels: Pixels, shape: tuple[int, ...], n_classes: int, device: torch.device, batch: int) -> None:
        loss = torch.nn.CrossEntropyLoss()
        kind = "gpu" if device.type == "cuda" else "cpu"
        super().__init__(model=pixels, loss=loss, input_shape=shape, nb_classes=n_classes, clip_values=(0.0, 1.0), device_type=kind)
        self.batch = batch

    def predict(self, x: np.ndarray, batch_size: int = 128, training_mode: bool = False, **kwargs: object) -> np.ndarray:
        images = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(self.device)
        return in_batches(self.model, images, self.batch).cpu().numpy()

    def class_gradient(self, x: np.ndarray, label: object = None, training_mode: bool = False, **kwargs: object) -> np.ndarray:
        """d logit_label / d image (n, 1, c, h, w). ART's own goes back once for every class that occurs."""
        if not isinstance(label, np.ndarray):
            return super().class_gradient(x, label, training_mode, **kwargs)
        rows, found = torch.from_numpy(label).to(self.device)[:, None], []
        images = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(self.device)
        for part, row in zip(images.split(self.batch), rows.split(self.batch), strict=True):
            part.requires_grad_()
            found.append(torch.autograd.grad(self.model(part).gather(1, row).sum(), part)[0])
        return torch.cat(found)[:, None].cpu().numpy()


class SmallestFound(CarliniL2Method):
    """Carlini-Wagner that returns the smallest successful distortion it has seen.

    ART compares the steps it accepts; those its line search tries in between count here too.
    """

    def generate(self, x: np.ndarray, y: np.ndarray | None = None, **kwargs: object) -> np.ndarray:
        self._best: dict[tuple[bytes, bytes], tuple[float, np.ndarray]] = {}
        super().generate(x, y, **kwargs)
        keys = [_key(*row) for row in zip(x, y, strict=True)]
        return np.stack([self._best[key][1] if key in self._best else image for key, image in zip(keys, x, strict=True)])

    def _loss(self, x: np.ndarray, x_adv: np.ndarray, target: np.ndarray, c_weight: np.ndarray) -> tuple[np.ndarray, ...]:
        logits, distance, loss = super()._loss(x, x_adv, target, c_weight)
        chosen, is_label = logits.argmax(1), target.astype(bool)
        own, other = logits[is_label], np.where(is_label, -np.inf, logits).max(1)
        margin = own - other if self.targeted else other - own
        good = (margin >= self.confidence) & ((chosen == target.argmax(1)) == self.targeted)
        for i in np.flatnonzero(good):
            key = _key(x[i], target[i])
            if key not in self._best or distance[i] < self._best[key][0]:
                self._best[key] = float(distance[i]), x_adv[i].copy()
        return logits, distance, loss


def _key(image: np.ndarray, target: np.ndarray) -> tuple[bytes, bytes]:
    return image.tobytes(), np.asarray(target, dtype=np.float32).tobytes()


class Pixel(PixelAttack):
    """The one-pixel attack with a population and a generator of our choice; ART fixes 400 candidates and the global generator."""

    def __init__(self, estimator: Estimator, *, population: int, generations: int, pixels: int) -> None:
        super().__init__(estimator, th=pixels, es=1, max_iter=generations)
        self.population, self.random = population, np.random.RandomState(0)

    def _attack(self, image: np.ndarray, target_class: np.ndarray, limit: int) -> tuple[bool, np.ndarray]:
        bounds, _ = self._get_bounds(image, limit)

        def probability(candidates: np.ndarray) -> np.ndarray:
            return self.estimator.predict(self.rescale_input(self._perturb_image(candidates, image)))[:, target_class]

        def stop(best: np.ndarray, convergence: float | None = None) -> bool:
            return self._attack_success(best, image, target_class)

        size = max(1, self.population // len(bounds))  # candidates per unknown
        found = differential_evolution(
            probability, bounds, maxiter=self.max_iter, popsize=size, recombination=1, atol=-1, callback=stop, polish=False,
            seed=self.random,
        )  # fmt: skip
        succeeds = self._attack_success(found.x, image, target_class)
        return succeeds, self._perturb_image(found.x, image)[0] if succeeds else image


def white_box(pixels: Pixels, images: Tensor, classes: Tensor, n_classes: int, method: str, targeted: bool, settings: dict) -> Tensor:
    """One batch of images (n, c, h, w) attacked by "fgsm", "pgd" or "cw"; ``classes`` (n,) are the targets if targeted, else the labels."""
    estimator = Estimator(pixels, tuple(images.shape[1:]), n_classes, images.device, len(images))
    common = {"targeted": targeted, "batch_size": len(images)}
    if method == "cw":
        maker = SmallestFound(
            estimator, confidence=settings["kappa"], learning_rate=settings["lr"], binary_search_steps=settings["search_steps"],
            max_iter=settings["iterations"], initial_const=settings["initial_c"], verbose=False, **common,
        )  # fmt: skip
    elif method == "pgd":
        maker = ProjectedGradientDescent(
            estimator, norm=np.inf, eps=settings["eps"], eps_step=settings["step"], max_iter=settings["steps"],
            num_random_init=int(settings["random_start"]), verbose=False, **common,
        )  # fmt: skip
    else:
        maker = FastGradientMethod(estimator, norm=np.inf, eps=settings["eps"], eps_step=settings["eps"], **common)
    one_hot = torch.nn.functional.one_hot(classes, n_classes).float()
    found = maker.generate(images.cpu().numpy(), one_hot.cpu().numpy())
    return torch.from_numpy(found).to(images.device)


class OnePixel:
    """The one-pixel attack, image by image (c, h, w)."""

    def __init__(self, pixels: Pixels, shape: tuple[int, ...], n_classes: int, device: torch.device, batch: int, settings: dict) -> None:
        self.maker = Pixel(Estimator(pixels, shape, n_classes, device, batch), **settings)

    def __call__(self, image: Tensor, label: int, seed: int) -> Tensor:
        self.maker.random = np.random.RandomState(seed)
        found = self.maker.generate(image[None].cpu().numpy(), np.array([label]))
        changed = torch.from_numpy(found[0]).to(image.device)
        # ART counts in 255ths and back: every other pixel is given as it was
        touched = ((changed - image).abs() > 1e-4).any(0)
        return torch.where(touched, changed, image)
