"""Tests the listening page in a browser: playback, listening tests, zoom and saved files, on desktop and phone.

Needs Chromium on PATH (Debian: `apt-get install chromium`) and the Python package playwright (extra `test`).
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import shutil

import numpy as np
import pytest
import soundfile

from keras_audiosr.stages.report import report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on PATH: apt-get install chromium")

RATE = 44100
DESK = {"viewport": {"width": 1200, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_music):
    """The page of 4 s of music.

    The lossy version has only the part below 5 kHz. The restored version is half as loud, and weaker above 5 kHz.
    """
    folder = tmp_path_factory.mktemp("page")
    lossless = make_music(duration=4.0)
    spectrum = np.fft.rfft(lossless, axis=0)
    spectrum[np.fft.rfftfreq(len(lossless), 1 / RATE) > 5000] = 0.0
    lossy = np.fft.irfft(spectrum, len(lossless), axis=0)
    signals = {"lossless": lossless, "lossy": lossy, "restored": (0.3 * lossless + 0.7 * lossy) / 2}
    for name, audio in signals.items():
        soundfile.write(folder / f"{name}.wav", audio, RATE, subtype="FLOAT")
    return report(*(folder / f"{name}.wav" for name in ("lossy", "restored", "lossless")), title="A song")


@pytest.fixture(scope="module")
def rated(tmp_path_factory, made):
    """The page of the same music with three restored versions."""
    folder, source = tmp_path_factory.mktemp("rated"), made.path.parent
    for name in ("one", 'two, "loud"', "three"):
        shutil.copy(source / "restored.wav", folder / f"{name}.wav")
    versions = [folder / f"{name}.wav" for name in ("one", 'two, "loud"', "three")]
    return report(source / "lossy.wav", versions, source / "lossless.wav", title="A song, rated")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(
            executable_path=CHROMIUM, args=["--autoplay-policy=no-user-gesture-required"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, made):
    """A function that opens the page. At the end, there must have been no error, log message or network request."""
    complaints = []

    @contextlib.contextmanager
    def opened(path=made.path, **options):
        with contextlib.closing(browser.new_context(accept_downloads=True, **options)) as context:
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: request.url[:5] in ("data:", "blob:") or requests.append(request.url))
            requests = []
            page.goto(path.as_uri())
            if options.get("java_script_enabled", True):
                page.wait_for_selector("body[data-ready], #failure:not([hidden])", timeout=60_000)
            yield page
            complaints.extend(url for url in requests if url != path.as_uri())

    yield opened
    assert complaints == []


def wait(page, expression, arg=None):
    """Waits until the expression is true.

    Playwright's own function cannot be used, because it needs `eval`, which the page's policy forbids.
    """
    for _ in range(500):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"not within 10 s: {expression}")


def average_levels(audio):
    """Returns the mean power of each bin in dB as `metrics.log_spectrum` defines it, computed with NumPy."""
    window = np.hanning(2049)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(audio, 2048, axis=0)[::512]
    power = np.abs(np.fft.rfft(frames * window, axis=-1)) ** 2 / (2048 / 4) ** 2
    return 10 * np.log10(np.maximum(power.mean(axis=(0, 1)), 1e-10))


def sounds(made):
    return [soundfile.read(made.path.parent / f"{name}.wav")[0] for name in ("lossless", "lossy", "restored")]


def test_sound_and_spectra_arrive_as_they_are(open_page, made):
    with open_page(**DESK) as page:
        for index, audio in enumerate(sounds(made)):
            found = page.evaluate(f"[0, 1].map((c) => [...player.buffers[{index}].getChannelData(c).slice(0, 50000)])")
            # The tolerance allows for rounding, dither, and browsers in which full scale is 32767.
            np.testing.assert_allclose(np.transpose(found), audio[:50000], atol=2.5 / 32768)
            spectrum = np.array(page.evaluate(f"[...pictures.averages[{index}]]"))
            expected = average_levels(audio)
            loud = expected > -85  # lower levels are masked by the noise of 16 bits
            assert loud.sum() > 200
            np.testing.assert_allclose(spectrum[loud], expected[loud], atol=0.2)


# Runs the page's own Player in an offline context, which returns all samples instead of playing them.
OFFLINE = """async (plan) => {
  const context = new OfflineAudioContext(2, plan.seconds * data.sampleRate, data.sampleRate);
  const offline = new Player(player.buffers, player.gains, data.sampleRate);
  Object.assign(offline, { context, output: context.createGain(), loop: plan.loop, current: plan.first });
  offline.output.connect(context.destination);
  for (const [time, index] of plan.switches)
    context.suspend(time).then(() => (offline.select(index), context.resume()));
  offline.start(plan.offset);
  const rendered = await context.startRendering();
  return [0, 1].map((c) => [...rendered.getChannelData(c)]);
}"""


def test_switching_while_playing_keeps_every_sample_in_step(open_page, made):
    plan = {"seconds": 3, "loop": [0.5, 1.75], "offset": 0.75, "first": 0, "switches": [[0.8, 1], [1.6, 2], [2.4, 0]]}
    with open_page(**DESK) as page:
        heard = np.transpose(page.evaluate(OFFLINE, plan))
        gains = page.evaluate("player.gains")
    assert gains == pytest.approx([10 ** (gain / 20) for gain in made.gains.values()])
    # The player starts after 40 ms and then repeats the loop, with the source that is selected at that time.
    at = np.arange(len(heard)) - round(0.04 * RATE)
    first, last = round(0.5 * RATE), round(1.75 * RATE)
    position = first + (round(0.75 * RATE) - first + at) % (last - first)
    sources = [gain * audio[position] for gain, audio in zip(gains, sounds(made), strict=True)]
    assert not heard[at < 0].any()
    edges = [0.04, 0.8, 1.6, 2.4, 3.0]
    for source, begin, end in zip((0, 1, 2, 0), edges[:-1], edges[1:], strict=True):
        # The output is steady from the end of the 10 ms fade to the next switch. The margins are needed because a
        # switch happens at the boundary of a block of 128 samples.
        steady = slice(math.ceil((begin + 0.015) * RATE), math.floor((end - 0.005) * RATE))
        np.testing.assert_allclose(heard[steady], sources[source][steady], atol=1e-4)
        fade = slice(round((begin - 0.005) * RATE), round((begin + 0.015) * RATE))
        if begin > 0.04:
            # During the fade, each sample lies between those of the two sources, so there is no gap.
            before = sources[(0, 1, 2, 0)[edges.index(begin) - 1]][fade]
            after = sources[source][fade]
            low, high = np.minimum(before, after), np.maximum(before, after)
            assert (heard[fade] > low - 1e-4).all()
            assert (heard[fade] < high + 1e-4).all()


def test_plays_switches_seeks_and_loops(open_page):
    with open_page(**DESK) as page:
        page.click("#play")
        wait(page, "player.playing && player.position > 0.3")
        assert page.get_attribute("#play", "aria-label") == "Pause"
        assert page.evaluate("player.deck.sources.length") == 3
        before = page.evaluate("player.position")
        deck = page.evaluate_handle("player.deck")
        for index, name in enumerate(["lossless", "lossy", "restored"]):
            page.get_by_role("button", name=name).click()
            wait(
                page,
                "(i) => player.deck.faders.every((f, each) => Math.abs(f.gain.value - (each === i)) < 1e-6)",
                arg=index,
            )
            assert page.locator(".panel.heard figcaption").all_inner_texts() == [name]
            assert page.inner_text("#status") == f"Playing {name}"
        # The sources are still the same, so nothing was restarted.
        assert page.evaluate("(deck) => deck === player.deck", deck)
        assert page.evaluate("player.position") > before
        page.evaluate("player.setLoop([1.0, 1.3])")
        page.wait_for_timeout(700)
        for _ in range(5):
            assert 1.0 <= page.evaluate("player.position") < 1.3
        page.click("[data-do=loop-off]")
        page.locator("#seek").fill("3.2")
        assert page.evaluate("player.position") == pytest.approx(3.2, abs=0.3)
        page.click("#play")
        rest = page.evaluate("player.position")
        page.wait_for_timeout(100)
        assert page.evaluate("[player.playing, player.position]") == [False, rest]


def test_guessing_is_the_exact_binomial(open_page):
    cases = [(right, trials) for trials in (1, 5, 16, 32, 200) for right in range(trials + 1)]
    with open_page(**DESK) as page:
        found = page.evaluate("(cases) => cases.map(([right, trials]) => guessing(right, trials))", cases)
    for (right, trials), p in zip(cases, found, strict=True):
        expected = sum(math.comb(trials, k) for k in range(right, trials + 1)) / 2**trials
        assert p == pytest.approx(expected, rel=1e-12)


def test_x_is_drawn_by_chance(open_page):
    with open_page(**DESK) as page:
        code = "[...Array(400)].filter(() => new AbxRun(0, 1, 1).signal('x') === 0).length"
        # The expected number is 200, with a standard deviation of 10.
        assert 140 < page.evaluate(code) < 260


def finish(page, trials, right):
    """Runs a blind test of lossless against restored. The first `right` answers are right and the others wrong."""
    page.select_option("#abx-a", "lossless")
    page.select_option("#abx-trials", str(trials))
    page.get_by_role("button", name="Start").click()
    for trial in range(trials):
        assert f"Trial {trial + 1} of {trials}. A is lossless, B is restored." in page.inner_text("#abx-progress")
        page.click("[data-abx=x]")
        page.click("[data-abx=b]")
        x = "a" if page.evaluate("blindTest.run.signal('x') === blindTest.run.a") else "b"
        page.click(f"[data-answer={x if trial < right else 'ab'.replace(x, '')}]")


def test_a_blind_test_from_start_to_file(open_page):
    with open_page(**DESK) as page:
        finish(page, 8, right=7)
        verdict = page.inner_text("#abx-verdict")
        assert "7 of 8 answers are right (p = 0.035)" in verdict
        assert "3.5 % of all tests. You hear a difference between lossless and restored." in verdict
        assert page.locator("#abx-log tbody tr").count() == 8
        page.get_by_role("button", name="Start").click()
        page.get_by_role("button", name="Stop the test").click()
        assert "no result" in page.inner_text("#abx-verdict")

        with page.expect_download() as download:
            page.click("[data-export=json]")
        saved = json.loads(download.value.path().read_text("utf-8"))
        assert download.value.suggested_filename == "abx.json"
        assert (saved["title"], saved["sample_rate"], saved["duration"]) == ("A song", RATE, 4.0)
        assert [len(signal["sha256"]) for signal in saved["signals"]] == [64] * 3
        run, broken = saved["runs"]
        assert (run["a"], run["b"], run["right"], run["p_value"]) == ("lossless", "restored", 7, 9 / 256)
        assert [trial["x"] == trial["answer"] for trial in run["log"]] == [True] * 7 + [False]
        assert (broken["complete"], broken["p_value"], broken["log"]) == (False, None, [])

        with page.expect_download() as download:
            page.click("[data-export=csv]")
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
        assert [row["right"] for row in rows] == ["1"] * 7 + ["0"]
        assert [row["x"] for row in rows] == [trial["x"] for trial in run["log"]]
        assert {float(row["run_p_value"]) for row in rows} == {9 / 256}


def test_a_blind_test_shows_nothing(open_page):
    with open_page(**DESK) as page:
        page.get_by_role("button", name="Start").click()
        wait(page, "player.playing && document.getElementById('play').ariaLabel === 'Pause'")
        states = set()
        for name in "abx":
            page.keyboard.press(name)
            assert page.locator("[data-abx][aria-pressed=true]").get_attribute("data-abx") == name
            page.keyboard.press("1")  # signals cannot be selected by name during a test
            # The time is removed, because it changes during playback.
            states.add(re.sub(r"\d+:\d\d\.\d", "", page.locator("#transport").inner_html()))
            states.add(page.locator(".heard").count())
            assert page.locator("#signals button:disabled").count() == 3
            assert page.inner_text("#status") == ""
        assert len(states) == 2  # the same transport each time, and a count of 0 panels
        assert page.evaluate("player.current === blindTest.run.signal('x')")
        page.keyboard.press("Shift+A")
        assert "Trial 2" in page.inner_text("#abx-progress")
        assert page.evaluate("blindTest.heard") == "a"


RATED = ["hidden reference", "lossy", "restored 1", "restored 2", "restored 3", "anchor 3.5 kHz", "anchor 7 kHz"]


def behind(page):
    """Returns the index of the sound behind each number of the rating test, found from what the player plays."""
    found = []
    for number in range(len(RATED)):
        page.click(f"[data-sound='{number}']")
        assert page.locator("[data-sound][aria-pressed=true]").get_attribute("data-sound") == str(number)
        index = page.evaluate("player.current")
        found.append(page.evaluate("(i) => ratingTest.sounds.findIndex(({ index }) => index === i)", index))
    return found


def test_a_rating_test_from_start_to_file(open_page, rated):
    with open_page(rated.path, **DESK) as page:
        assert page.locator("#signals button").all_inner_texts() == ["lossless", "lossy", *RATED[2:5]]
        page.click("#rating-start")
        wait(page, "player.playing")
        assert page.evaluate("ratingTest.sounds.map(({ name }) => name)") == RATED
        scores = {name: 100 - 10 * place for place, name in enumerate(RATED)}
        for run in range(2):
            # The page must not show which sound is playing, and no other test can be started.
            assert page.locator("#signals button:disabled").count() == 5
            assert page.locator(".heard").count() == 0
            assert page.inner_text("#status") == ""
            assert page.is_disabled("#abx-setup button")
            page.keyboard.press("1")
            order = behind(page)
            assert sorted(order) == list(range(7))
            assert page.is_disabled("#rating-finish")
            for number, sound in enumerate(order):
                page.locator("#rating-rows input").nth(number).fill(str(scores[RATED[sound]]))
                assert page.is_disabled("#rating-finish") == (number < 6)
            page.click("#rating-finish")
            assert "The hidden reference received 100 of 100" in page.inner_text("#rating-verdict")
            assert page.locator("#rating-scores tbody tr").count() == 7 * (run + 1)
            page.click("#rating-start")
        page.click("#rating-stop")
        assert page.is_enabled("#signals button")
        assert page.locator("#rating-scores tbody tr").count() == 14

        with page.expect_download() as download:
            page.click("#rating-save")
        assert download.value.suggested_filename == "mushra.csv"
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_bytes().decode(), newline="")))
        assert [row["sound"] for row in rows] == RATED * 2
        assert {row["sound"]: int(row["score"]) for row in rows} == scores
        assert [sorted(int(row["position"]) for row in rows if row["run"] == run) for run in "12"] == [
            [*range(1, 8)]
        ] * 2
        assert {row["file"] for row in rows} == {"lossless.wav", "lossy.wav", "one.wav", 'two, "loud".wav', "three.wav"}
        assert {row["title"] for row in rows} == {"A song, rated"}


def test_the_order_of_a_rating_test_is_drawn_by_chance(open_page, rated):
    with open_page(rated.path, **DESK) as page:
        drawn = np.array(page.evaluate("Array.from({ length: 3000 }, () => shuffled(5))"))
        assert (np.sort(drawn) == np.arange(5)).all()
        # Each sound is expected 600 times in each place, with a standard deviation of 22.
        counts = np.array([np.bincount(places, minlength=5) for places in drawn.T])
        assert np.abs(counts - 600).max() < 110


@pytest.mark.parametrize(("place", "pass_band"), [(0, 3500), (1, 7000)])
def test_anchors_are_those_of_the_recommendation(open_page, made, rated, place, pass_band):
    with open_page(rated.path, **DESK) as page:
        response = np.abs(np.fft.rfft(page.evaluate(f"[...lowPass(ANCHORS[{place}], {RATE})]"), 1 << 16))
        frequencies = np.fft.rfftfreq(1 << 16, 1 / RATE)
        level = 20 * np.log10(np.maximum(response, 1e-9))
        assert np.abs(level[frequencies <= pass_band]).max() < 0.1
        assert level[frequencies >= pass_band * 4 / 3.5].max() < -25
        assert level[frequencies >= pass_band * 4.5 / 3.5].max() < -50
        found = page.evaluate(
            f"anchor(player.buffers[0], {pass_band}).then((made) => "
            "[made.length, [0, 1].map((c) => [...made.getChannelData(c).slice(20000, 60000)])])"
        )
        lossless = sounds(made)[0]
        assert found[0] == len(lossless)
        # The anchor must have no lag: it must equal the reference after an ideal low-pass filter whose cutoff lies in
        # the middle of the transition band.
        heard = np.transpose(found[1])
        spectrum = np.fft.rfft(lossless, axis=0)
        spectrum[np.fft.rfftfreq(len(lossless), 1 / RATE) > pass_band * 3.75 / 3.5] = 0
        expected = np.fft.irfft(spectrum, len(lossless), axis=0)[20000:60000]
        assert np.square(heard - expected).mean() < 1e-3 * np.square(expected).mean()


def shown(page):
    return page.evaluate("[pictures.view.from, pictures.view.to]")


def bright(page, panel, upper):
    """Returns the mean red value, from 0 to 255, of the upper or lower half of a panel's plot."""
    return page.evaluate(
        """([panel, upper]) => {
          const canvas = document.querySelectorAll(".panel canvas")[panel];
          const ratio = canvas.width / canvas.clientWidth;
          const box = [38, 8, canvas.clientWidth - 48, canvas.clientHeight - 30];
          const [x, y, w, h] = box.map((value) => Math.round(value * ratio));
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          const image = copy.getImageData(x, upper ? y : y + h / 2, w, h / 2).data;
          return image.filter((_, i) => i % 4 === 0).reduce((sum, v) => sum + v, 0) / (image.length / 4);
        }""",
        [panel, upper],
    )


def test_spectrograms_show_what_is_there_and_zoom(open_page):
    with open_page(**DESK) as page:
        # Above 11 kHz, lossless is the brightest, lossy is empty, and restored lies in between.
        upper = [bright(page, panel, True) for panel in range(3)]
        assert upper[0] > upper[2] > upper[1] + 5
        assert upper[1] < 1
        assert bright(page, 1, False) > 20
        page.click("[data-do=zoom-in]")
        page.click("[data-do=zoom-in]")
        assert shown(page) == [0.0, 1.0]
        page.locator("#pan").fill("1")
        assert shown(page) == [3.0, 4.0]
        overlay = page.locator(".overlay").first
        box = overlay.bounding_box()
        # With Ctrl, the wheel zooms in at the pointer.
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -200)
        page.keyboard.up("Control")
        wait(page, "pictures.view.to - pictures.view.from < 0.51")
        assert shown(page) == pytest.approx([3.25, 3.75], abs=0.01)
        # Without Ctrl, the wheel scrolls the page.
        page.mouse.wheel(0, 100)
        wait(page, "scrollY > 50")
        assert shown(page) == pytest.approx([3.25, 3.75], abs=0.01)
        page.evaluate("scrollTo(0, 0)")
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"], box["y"] + 20, steps=3)
        page.mouse.up()
        assert page.evaluate("player.loop") == pytest.approx([3.5, 3.75], abs=0.01)
        page.click("[data-do=zoom-fit]")
        overlay.click(position={"x": box["width"] * 0.9, "y": 30})
        assert page.evaluate("[player.position, player.loop !== null]") == [pytest.approx(3.6, abs=0.01), True]
        overlay.click(position={"x": box["width"] * 0.25, "y": 30})  # this is outside the loop
        assert page.evaluate("[player.position, player.loop]") == [pytest.approx(1.0, abs=0.01), None]
        page.select_option("#band", "10 to 22.1 kHz")
        assert page.evaluate("pictures.view.low") == 10000
        page.evaluate("pictures.draw()")  # the promise resolves when the pictures are drawn
        assert bright(page, 1, False) < 1 < bright(page, 0, False)
        # Each canvas has as many pixels as it covers on the screen.
        assert page.evaluate("[...document.querySelectorAll('canvas')].every((c) => c.width === c.clientWidth)")


def test_a_page_that_is_still_counting_can_be_drawn(open_page):
    with open_page(**DESK) as page:
        page.evaluate("(pictures.averages = null, Promise.all([pictures.begin(), pictures.draw(), pictures.point(0)]))")
        assert page.evaluate("pictures.averages.length") == 3


def test_keys(open_page):
    with open_page(**DESK) as page:
        page.keyboard.press("1")
        assert page.evaluate("player.current") == 0
        page.keyboard.press("s")
        assert page.evaluate("player.current") == 1
        page.keyboard.press("ArrowRight")
        assert page.evaluate("player.position") == pytest.approx(1.0)
        page.keyboard.press("[")
        assert page.evaluate("player.loop") == pytest.approx([1.0, 4.0])
        page.keyboard.press("ArrowRight")
        page.keyboard.press("]")
        assert page.evaluate("player.loop") == pytest.approx([1.0, 2.0])
        page.keyboard.press("l")
        assert page.evaluate("player.loop") is None
        page.keyboard.press("+")
        assert page.evaluate("pictures.view.to - pictures.view.from") == pytest.approx(2.0)
        page.keyboard.press("0")
        assert shown(page) == [0.0, 4.0]
        page.click("[data-do=zoom-in]")  # the space bar still plays after a click on a button
        page.keyboard.press("Space")
        wait(page, "player.playing")
        page.keyboard.press("Space")
        assert not page.evaluate("player.playing")
        page.get_by_label("Use these keys").uncheck()
        page.keyboard.press("3")
        assert page.evaluate("player.current") == 1


def test_every_control_has_a_name(open_page):
    with open_page(**DESK) as page:
        nameless = """[...document.querySelectorAll("button, input, select, [role=img]")]
          .map((control) => control.ariaLabel || control.labels?.[0]?.textContent || control.textContent)
          .filter((name) => !name.trim()).length"""
        assert page.evaluate(nameless) == 0
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(open_page, scheme):
    with open_page(**PHONE, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, background[4:-1].split(","))) < 80) == (scheme == "dark")
        heights = page.evaluate("[...document.querySelectorAll('button')].map((b) => b.offsetHeight).filter(Boolean)")
        assert min(heights) >= 44
        # Each number stays on one line with its sign, next to a bar of visible width.
        wait(page, "document.querySelectorAll('.scale .number').length === 4")
        numbers = page.evaluate(
            "[...document.querySelectorAll('.scale .number')].map((n) => n.getClientRects().length)"
        )
        assert numbers == [1] * 4
        tall = "[...document.querySelectorAll('.scale .number')].map((n) => n.offsetHeight)"
        assert max(page.evaluate(tall)) < 30
        assert min(page.evaluate("[...document.querySelectorAll('.scale i')].map((bar) => bar.offsetWidth)")) >= 60
        page.tap("#play")
        wait(page, "player.playing && player.position > 0.1")
        page.get_by_role("button", name="lossy").tap()
        assert page.evaluate("player.current") == 1
        # Two fingers move from a distance of 60 px to 120 px, which must halve the visible time.
        page.locator(".overlay").first.scroll_into_view_if_needed()
        box = page.locator(".overlay").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        session = page.context.new_cdp_session(page)
        for kind, half in (("touchStart", 30), ("touchMove", 45), ("touchMove", 60), ("touchEnd", None)):
            points = [] if half is None else [{"x": x - half, "y": y, "id": 1}, {"x": x + half, "y": y, "id": 2}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        wait(page, "Math.abs(pictures.view.to - pictures.view.from - 2) < 0.1")
        assert page.evaluate("player.loop") is None


def test_without_scripts_the_sound_is_there(open_page):
    with open_page(**DESK, java_script_enabled=False) as page:
        assert page.locator("#sound audio").count() == 3
        assert page.locator("#sound audio").first.is_visible()
        assert not page.locator("#transport").is_visible()


def test_damaged_sound_is_said(open_page, made, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(
        made.path.read_text("utf-8").replace("data:audio/flac;base64,Zkxh", "data:audio/flac;base64,AAAA")
    )
    with open_page(broken, **DESK) as page:
        assert "This browser cannot show the page" in page.inner_text("#failure")
        assert page.locator("#sound").is_visible()
