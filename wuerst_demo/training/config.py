"""Settings of a training run, with the defaults of settings.toml, and the datasets in its folder."""

import json
import math
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from wuerst_demo.errors import SetupError
from wuerst_demo.training.data.dataset import SceneDataset, Size
from wuerst_demo.training.data.scenes import SHIFT_X, SHIFT_Y, SMALL_SHIFT_X, Mix
from wuerst_demo.training.data.vocabulary import THINGS, Thing

CONFIG_FILE = "recipe.json"  #: File in the run's folder with the settings that its images depend on.
FINETUNED_STAGES = ("decoder", "words", "prior")  #: Stages whose learning rate `--rate` multiplies.
SIZE_SHARES: dict[Size, float] = {(256, 256): 0.88, (384, 256): 0.05, (256, 384): 0.05, (384, 384): 0.02}
DECODER_MIX = Mix((0.5, 0.35, 0.15), (0.3, 0.25, 0.45), painted=(0.7, 0.5), styled=0.36, crowds=(0.15, 0.45, 0.4))
"""What a decoder learns last (small, big and painted things, styles) is more frequent than in prompts."""
PRIOR_MIX = Mix((0.6, 0.28, 0.12), (0.3, 0.25, 0.45), painted=(0.6, 0.35))
"""As in prompts, with more single things and more small, big and painted ones."""


@dataclass(frozen=True)
class StageSettings:
    """How long and how fast a stage learns; see settings.toml."""

    steps: int
    batch: int
    rate: float
    time_share: float


DEFAULTS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("settings.toml").read_text("utf-8"))
RENDER_SETTINGS = DEFAULTS["render_settings"]
CPU_STAGES, GPU_STAGES = (
    {name: StageSettings(**values) for name, values in DEFAULTS[device].items()} for device in ("cpu", "gpu")
)


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run."""

    folder: Path  #: Where the run keeps its state.
    scale: int = 4  #: Multiplies the widths of all networks but the classifier: 1 for tests, 4 for the cocktail.
    things: int = len(THINGS)  #: Number of things to learn, the first ones of THINGS.
    scenes: int = 28_000  #: Scenes for VQGAN, image encoder and decoder.
    prior_scenes: int = 36_000
    classifier_scenes: int = 32_000
    distil_scenes: int = 12_000  #: Scenes for guidance distillation.
    vqgan_decoder_scenes: int = 4_000  #: Scenes for the VQGAN's decoder.
    classifier_width: int = 32  #: Independent of `scale`: the same classifier evaluates checkpoints of all sizes.
    vocabulary: int = 4096  #: Tokens of the tokenizer.
    captions: int = 20_000  #: Captions that the tokenizer is trained on.
    minutes: float = math.inf  #: Training time; each stage ends after its share at the latest.
    round: int = 0  #: Number of earlier rounds of decoder and prior: each round sees other batches and captions.
    stages: dict[str, StageSettings] = field(default_factory=CPU_STAGES.copy)

    @classmethod
    def for_gpu(cls, folder: Path) -> Self:
        """The same networks with more scenes and larger batches."""
        return cls(folder, scenes=60_000, prior_scenes=60_000, classifier_scenes=30_000, stages=GPU_STAGES)

    def scaled(self, effort: float, rate: float) -> Self:
        """Steps times `effort`, below 1 also captions and scenes; rates of FINETUNED_STAGES times `rate`."""
        stages = {}
        for name, stage in self.stages.items():
            stage_rate = stage.rate * (rate if name in FINETUNED_STAGES else 1)
            stages[name] = replace(stage, steps=max(1, int(stage.steps * effort)), rate=stage_rate)
        names = ("prior_scenes", "classifier_scenes", "distil_scenes", "vqgan_decoder_scenes")
        least = {"captions": 500, **dict.fromkeys(names, 8)}
        counts = {name: max(count, int(getattr(self, name) * min(1, effort))) for name, count in least.items()}
        return replace(self, stages=stages, **counts)  # type: ignore[arg-type]

    def save(self) -> None:
        """Writes CONFIG_FILE for `check`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        saved = {key: getattr(self, name) for key, (name, _, _) in RENDER_SETTINGS.items()} | {"mixes": self.mixes}
        (self.folder / CONFIG_FILE).write_text(json.dumps(saved, indent=1) + "\n")

    def check(self) -> None:
        """Raises SetupError if the folder's images were rendered with other settings: scenes are identified by their
        numbers, so captions would describe other images."""
        path, images = self.folder / CONFIG_FILE, f"The images in {self.folder} were rendered"
        saved = json.loads(path.read_text()) if path.exists() else {}
        for key, (name, label, option) in RENDER_SETTINGS.items():
            value = getattr(self, name)
            if saved and saved[key] != value:
                fix = f"Use the same {option}, or another --folder."
                raise SetupError(f"{images} with {saved[key]:,} {label}, not {value:,}. {fix}")
        if saved.get("mixes", self.mixes) != self.mixes:
            raise SetupError(
                f"{images} by a version of this program with other scenes. Use another --folder, or remove its images:"
                f" the folders store and prior-store, and {CONFIG_FILE}."
            )

    @property
    def mixes(self) -> str:
        """The distribution of scenes, which the scenes behind the numbers depend on."""
        shifts = SHIFT_X, SHIFT_Y, SMALL_SHIFT_X
        return repr((self.dataset.crowded, self.dataset.mix, self.prior_dataset.mix, shifts))

    @property
    def known(self) -> tuple[Thing, ...]:
        """The things this run learns."""
        return THINGS[: self.things]

    @property
    def names(self) -> list[str]:
        """All their names."""
        return [name for thing in self.known for name in thing.names]

    def batch_seed(self, step: int) -> int:
        """Seed of the scenes and captions of a step in this round."""
        return step + 10_000_000 * self.round

    def time_limit_s(self, stage: str) -> float:
        """Seconds that a stage may take."""
        return self.minutes * 60 * self.stages[stage].time_share

    @property
    def dataset(self) -> SceneDataset:
        """Scenes for VQGAN, image encoder and decoder. Two thirds are crowds, which teach a decoder most per image."""
        return SceneDataset(self.folder / "store", _counts(self.scenes), self.known, crowded=0.66, mix=DECODER_MIX)

    @property
    def prior_dataset(self) -> SceneDataset:
        """Scenes for the prior. They are cheap, since only z is computed of them."""
        folder, counts = self.folder / "prior-store", _counts(self.prior_scenes)
        return SceneDataset(folder, counts, self.known, "prior", fixed_layout=True, mix=PRIOR_MIX)

    @property
    def distil_dataset(self) -> SceneDataset:
        """Scenes for guidance distillation, with fewer crowds: nothing has to be learned from scratch."""
        folder, counts = self.folder / f"distil-store-{self.distil_scenes}", _counts(self.distil_scenes)
        return SceneDataset(folder, counts, self.known, "distil", crowded=0.4, mix=DECODER_MIX)

    @property
    def vqgan_decoder_dataset(self) -> SceneDataset:
        """Scenes for the VQGAN's decoder, mostly as in prompts."""
        scenes = self.vqgan_decoder_scenes
        folder = self.folder / f"vqgan-decoder-store-{scenes}"
        return SceneDataset(folder, _counts(scenes), self.known, "vqgan-decoder", crowded=0.3)

    @property
    def classifier_dataset(self) -> SceneDataset:
        """Scenes for the classifier alone, combinations that are held back among them."""
        counts = {(256, 256): self.classifier_scenes}
        return SceneDataset(self.folder / "judge-store", counts, self.known, "judge", held_back=True, crowded=0.5)


def _counts(scenes: int) -> dict[Size, int]:
    return {size: max(4, int(scenes * share)) for size, share in SIZE_SHARES.items()}
