"""Contains fixtures that tests share, such as small albums of synthetic music, and prints the largest differences."""

import equivalence
import numpy as np
import pytest
import soundfile

# The files whose tests take longest, slowest first. They start first, so that no worker is idle at the end.
LONGEST = (
    "test_notebooks.py", "test_study.py", "test_distribution.py", "test_layouts.py", "test_export.py",
    "test_models.py", "test_pipeline.py", "test_train_sources.py", "test_evaluate.py", "test_report_page.py",
    "test_train_faults.py", "test_train.py", "test_streaming_layers.py", "test_beam.py", "test_models_export.py",
    "test_round_trip.py", "test_receptive_field.py", "test_fuzz.py", "test_report.py", "test_data_service.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Puts the longest files first. Workers take whole files in this order (`--no-loadscope-reorder`)."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def music(duration: float = 3.0, sample_rate: int = 44100, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Returns decaying chords with full-band bursts of noise: array `(time, channels)` float32, peak 0.5.

    The spectrum is broad, so that a codec has something to remove. The signal is not periodic, so that only one lag
    aligns it with a copy.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(int(duration * sample_rate)) / sample_rate
    audio = np.zeros((time.size, channels))
    for onset in np.arange(0.0, duration, 0.25):
        age = np.clip(time - onset, 0.0, None)
        envelope = np.where(time >= onset, np.exp(-6.0 * age), 0.0)
        for frequency in 110.0 * 2.0 ** (generator.integers(0, 60, size=4) / 12.0):
            pan = generator.uniform(0.3, 1.0, size=channels)
            audio += 0.2 * pan * (envelope * np.sin(2 * np.pi * frequency * age))[:, None]
        audio += 0.15 * (envelope**4)[:, None] * generator.standard_normal((time.size, channels))
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


@pytest.fixture(scope="session")
def make_music():
    """Returns the function `music`, for tests that need their own lengths, rates or channels."""
    return music


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Returns a folder with two "ripped discs": folders of two tracks each, as 16-bit 44.1 kHz stereo FLAC."""
    root = tmp_path_factory.mktemp("shelf")
    for album in range(2):
        folder = root / f"Album {album}"
        folder.mkdir()
        for track in range(2):
            samples = music(seed=10 * album + track)
            soundfile.write(folder / f"0{track + 1} Song.flac", samples, 44100, subtype="PCM_16")
    return root


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Runs a model server for up to 512 windows per request, so that tiny windows can exceed gRPC's limit of 4 MiB."""
    from served import copy_bundle, running

    folder = copy_bundle(tmp_path_factory.mktemp("served") / "bundle")
    batching = folder / "batching.config"
    batching.write_text(batching.read_text().replace("{ value: 8 }", "{ value: 512 }"))
    with running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def local():
    """Returns a runner in this process for the model that `server` serves."""
    from tiny_model import tiny_export

    from keras_audiosr.runners import load_runner

    return load_runner(tiny_export())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        return (yield)
    finally:
        if item.nodeid in equivalence.worst:
            item.user_properties.append(("worst", equivalence.worst[item.nodeid]))


def pytest_terminal_summary(terminalreporter):
    """Prints the largest difference that `equivalence.agree` found in each test, over all parameters of the test."""
    tests: dict[str, tuple[float, float]] = {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, value in getattr(report, "user_properties", ()):
            if name == "worst" and report.when == "call":
                test = report.nodeid.partition("[")[0].removeprefix("tests/")
                tests[test] = max(tests.get(test, (-1.0, 0.0)), tuple(value))
    if tests:
        terminalreporter.section("worst differences seen, and what is allowed")
        for test, (difference, tolerance) in sorted(tests.items()):
            terminalreporter.write_line(f"{difference:8.1e} of {tolerance:7.1e}  {test}")
