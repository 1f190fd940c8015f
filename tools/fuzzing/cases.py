"""Defines the test cases: which files are damaged, what is run on them, and the rules that must always hold."""

import hashlib
import json
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import soundfile

from keras_audiosr.datasets.decode import decode_pair
from keras_audiosr.errors import AudioSRError
from keras_audiosr.presets import load_preset
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners import load_runner
from keras_audiosr.shelf.file_locations import TWIN_SUFFIXES
from keras_audiosr.shelf.manifests import Pair, Track, read_manifest, write_manifest
from keras_audiosr.stages.encode import encode
from keras_audiosr.stages.probe import probe
from keras_audiosr.stages.restore import restore
from keras_audiosr.stages.rip import rip

from .damage import DAMAGES, change_value

# Seconds of each file of music.
DURATION = 0.6
# Name of each file of music -> FFmpeg's options for its encoder.
MUSIC = {
    "a.wav": ["-c:a", "pcm_s16le"],
    "float.wav": ["-c:a", "pcm_f32le"],
    "a.flac": ["-c:a", "flac"],
    "a.mp3": ["-b:a", "64k"],
    "vbr.mp3": ["-q:a", "5"],
    "a.m4a": ["-c:a", "aac", "-b:a", "96k"],
    "fast.m4a": ["-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart"],
    "a.aac": ["-c:a", "aac", "-b:a", "96k"],
    "a.ogg": ["-c:a", "libvorbis", "-b:a", "64k"],
    "a.opus": ["-c:a", "libopus", "-b:a", "64k"],
    "a.aiff": ["-c:a", "pcm_s16be"],
    "a.wv": ["-c:a", "wavpack"],
    "a.mka": ["-c:a", "libopus", "-b:a", "64k"],
}
TWINS = [name for name in MUSIC if Path(name).suffix in TWIN_SUFFIXES]
# ADTS does not declare a length, so a file that is cut between two frames is valid.
SILENT_ABOUT_LENGTH = ("a.aac",)
# Number of cases for each target, out of a hundred.
SHARES = {"restore": 40, "probe": 15, "encode": 15, "manifest": 8, "preset": 7, "metadata": 8, "tflite": 7}


def make_seeds(folder: Path, model: Path) -> None:
    """Writes the intact files: music in every format, manifests of tracks and pairs, a preset, and a model."""
    generator = np.random.default_rng(0)
    time_axis = np.arange(int(DURATION * 44100))[:, None] / 44100
    tones = np.sin(2 * np.pi * np.array([440.0, 523.25]) * time_axis) * np.exp(-3 * time_axis)
    bursts = 0.2 * generator.standard_normal((len(time_axis), 2)) * (np.sin(2 * np.pi * 7 * time_axis) > 0.7)
    soundfile.write(folder / "disc.wav", 0.4 * (tones + bursts), 44100, subtype="PCM_16")
    (folder / "music").mkdir()
    for name, arguments in MUSIC.items():
        tags = ["-metadata", "title=Ode", "-metadata", "artist=Anon"]
        done = run_ffmpeg("-y", "-i", str(folder / "disc.wav"), *tags, *arguments, str(folder / "music" / name))
        assert done.returncode == 0, done.stderr
    (folder / "discs").mkdir()
    shutil.copy(folder / "disc.wav", folder / "discs" / "song.wav")
    rip(folder / "discs", folder / "shelf", include_probably_lossy=True)
    encode(folder / "shelf" / "tracks.jsonl", folder / "shelf", ["mp3@64k", "opus@48k", "vorbis@64k"])
    (folder / "preset.json").write_text(json.dumps(load_preset("paired_resnet_frame_1024_44k"), indent=1))
    shutil.copytree(model, folder / "model", ignore=shutil.ignore_patterns("1", "*.keras", "*.h5"))


class Broken(Exception):  # noqa: N818 - this is a result, not an error of the program
    """A case broke a rule."""


def require(rule: bool, what: str) -> None:
    """Raises `Broken` with the text `what` if `rule` is false."""
    if not rule:
        raise Broken(what)


class Cases:
    """Draws cases by their number, and runs them.

    Args:
        seeds: folder that `make_seeds` has filled.
        seed: a case is drawn from this seed and its number.
    """

    def __init__(self, seeds: Path, seed: int):
        self._seeds, self._seed = seeds, seed
        self._runner = None
        self._whole = {name: probe(seeds / "music" / name) for name in MUSIC}

    def draw(self, number: int) -> tuple[str, str, str, bytes, random.Random]:
        """Returns the target, the name of the file, the name of the damage, the damaged bytes, and the generator."""
        draw = random.Random(f"{self._seed}:{number}")
        target = draw.choices(list(SHARES), list(SHARES.values()))[0]
        name = {
            "manifest": draw.choice(("shelf/tracks.jsonl", "shelf/pairs.jsonl")),
            "preset": "preset.json",
            "metadata": "model/metadata.json",
            "tflite": "model/model.tflite",
        }.get(target) or f"music/{draw.choice(TWINS if target == 'encode' else list(MUSIC))}"
        damage = draw.choice(DAMAGES)
        if name.endswith((".json", ".jsonl")) and draw.random() < 0.6:
            damage = change_value
        return target, name, damage.__name__, damage((self._seeds / name).read_bytes(), draw), draw

    def run(self, number: int, folder: Path) -> str:
        """Runs a case in an empty folder.

        Returns:
            `"refused"` (with an error message), `"warned"` (accepted with a warning) or `"accepted"`.

        Raises:
            Broken: the case broke a rule.
        """
        target, name, _, damaged, draw = self.draw(number)
        path = folder / Path(name).name
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return getattr(self, f"_{target}")(path, damaged, folder, draw)
        except AudioSRError as error:
            text = str(error)
            require(bool(text.strip()) and "Traceback" not in text, f"an error without a message: {text!r}")
            require(len(text) < 4000, f"an error message of {len(text)} characters")
            left = [found.name for found in folder.iterdir() if found != path and found.name not in ("twins", "model")]
            require(not left or target == "encode", f"files left behind after an error: {left}")
            return "refused"

    def _told(self, path: Path, length: int, told: bool) -> None:
        """Requires that a file with less than half of its music gave a warning.

        Args:
            path: the damaged file.
            length: samples that were decoded.
            told: whether there was a warning.
        """
        whole = self._whole[path.name]
        silent = path.name in SILENT_ABOUT_LENGTH or told
        require(
            silent or 2 * length >= whole.duration * whole.sample_rate,
            f"half of the music is lost without a warning: {length} of {whole.duration * whole.sample_rate:.0f} remain",
        )

    def _probe(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        report = probe(path)
        require(np.isfinite(report.duration) and report.duration >= 0, f"duration {report.duration}")
        if self._same_kind(path, report):
            self._told(path, round(report.duration * report.sample_rate), bool(report.warnings))
        return "warned" if report.warnings else "accepted"

    def _same_kind(self, path: Path, report) -> bool:
        """Whether the damaged file still has the codec, sample rate and channels of the intact one."""
        whole = self._whole[path.name]
        return all(getattr(whole, key) == getattr(report, key) for key in ("codec", "sample_rate", "channels"))

    def _restore(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        self._runner = self._runner or load_runner(self._seeds / "model")
        out = folder / "out.flac"
        (restored,) = restore(path, out, self._runner, force=True).restored
        audio, rate = soundfile.read(out)
        require(bool(np.isfinite(audio).all()), "samples that are not finite")
        require(
            len(audio) == round(restored.duration * rate), f"{len(audio)} samples written, {restored.duration} s read"
        )
        require(path.read_bytes() == damaged, "the input was changed")
        require(sorted(found.name for found in folder.iterdir()) == sorted((path.name, out.name)), "files left behind")
        if self._same_kind(path, probe(path)):
            self._told(path, len(audio), bool(restored.warnings))
        return "warned" if restored.warnings else "accepted"

    def _encode(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        twins = folder / "twins"
        twins.mkdir()
        path.rename(twins / f"song{path.suffix}")
        shelf = self._seeds / "shelf" / "tracks.jsonl"
        # The twin must have the name that `rip` gave the lossless file.
        name = Path(read_manifest(shelf, Track)[0].lossless).with_suffix(path.suffix).name
        (twins / f"song{path.suffix}").rename(twins / name)
        report = encode(shelf, folder / "out", twins=twins)
        require(report.made + len(report.rejected) + len(report.failed) == 1, f"not exactly one twin: {report}")
        if not report.made:
            return "refused"
        (pair,) = read_manifest(report.manifest, Pair)
        lossless, lossy = decode_pair(pair, folder / "out")
        fits = lossless.shape == lossy.shape and bool(np.isfinite(lossy).all())
        require(fits, "the sides of a pair differ in shape, or a sample is not finite")
        return "accepted"

    def _manifest(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        kind = Track if path.name == "tracks.jsonl" else Pair
        entries = read_manifest(path, kind)
        write_manifest(path, entries)
        again = read_manifest(path, kind)
        require(sorted(map(repr, again)) == sorted(map(repr, entries)), "a manifest changed when it was written")
        return "accepted"

    def _preset(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        load_preset(path)
        return "accepted"

    def _metadata(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        return self._model(folder, damaged, (self._seeds / "model" / "model.tflite").read_bytes())

    def _tflite(self, path: Path, damaged: bytes, folder: Path, draw) -> str:
        metadata = json.loads((self._seeds / "model" / "metadata.json").read_text())
        if draw.random() < 0.5:  # as if an attacker had also replaced the hash
            metadata["files"]["model.tflite"]["sha256"] = hashlib.sha256(damaged).hexdigest()
        return self._model(folder, json.dumps(metadata).encode(), damaged)

    def _model(self, folder: Path, metadata: bytes, network: bytes) -> str:
        model = folder / "model"
        model.mkdir()
        (model / "metadata.json").write_bytes(metadata)
        (model / "model.tflite").write_bytes(network)
        runner = load_runner(model)
        restored = runner.run(np.zeros((5000, 1), np.float32) + 0.1)
        require(bool(np.isfinite(restored).all()) and restored.shape == (5000, 1), "samples that are not finite")
        return "accepted"
