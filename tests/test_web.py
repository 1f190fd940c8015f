"""Tests the page that restores music in a browser, with Chromium: samples as from Python, no requests to other hosts.

The tests need Chromium on PATH (Debian: `apt-get install chromium`), the Python package playwright (extra `test`), and
the libraries of the page, which `tools/web/build.sh` fetches from npm once.
"""

import base64
import contextlib
import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import mutagen.flac
import mutagen.id3
import numpy as np
import pytest
import soundfile
from mp3_heads import HEADS

from keras_audiosr.codecs.round_trip import encode_file
from keras_audiosr.codecs.spec import CodecSpec
from keras_audiosr.runners import load_runner

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ROOT = Path(__file__).parents[1]
VENDORED = ROOT / "build" / "web_libraries" / "litert" / "package.json"
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on PATH: apt-get install chromium"),
    pytest.mark.skipif(
        not VENDORED.is_file() or VENDORED.read_text() != (ROOT / "tools/web/package.json").read_text(),
        reason="needs the page's libraries, which npm brings: tools/web/build.sh",
    ),
]
RATE = 44100


@contextlib.contextmanager
def server(folder):
    """Serves a folder. Yields its URL and a list of the requested paths."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Builds the page with the bundled model, serves it, and yields its URL."""
    folder = tmp_path_factory.mktemp("site") / "web"
    bundled = ROOT / "exported_models" / "paired_resnet_bands_44k"
    subprocess.run([ROOT / "tools/web/build.sh", bundled, folder], check=True, stdout=subprocess.DEVNULL)
    with server(folder) as (url, _):
        yield url


@pytest.fixture(scope="module")
def opened(site):
    """Yields the page when it is ready, and a list of its requests. At the end, no script error may have occurred.

    All requests must have been for files of the page's own folder.
    """
    complaints, requests = [], []
    with playwright.sync_playwright() as running:
        options = ["--autoplay-policy=no-user-gesture-required"]
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=options)
        page = chromium.new_page(accept_downloads=True, viewport={"width": 1200, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(site)
        wait_until_ready(page)
        yield page, requests
        chromium.close()
    assert complaints == []
    assert [url for url in requests if not url.removeprefix("blob:").startswith(site)] == []


@pytest.fixture
def page(opened):
    return opened[0]


def wait_until_ready(page):
    page.wait_for_selector("body[data-ready]", timeout=60_000)


def put_in(page, path):
    page.set_input_files("#file", path)
    wait_until_ready(page)


def download(page, button):
    with page.expect_download() as waiting:
        page.click(button)
    return waiting.value


# Samples are transferred as text. As single numbers, playwright needs ten times as long as the restoration.
BASE64 = """.map((channel) => {
  const bytes = new Uint8Array(channel.buffer, channel.byteOffset, channel.byteLength);
  const letters = [];
  for (let at = 0; at < bytes.length; at += 4096) letters.push(String.fromCharCode(...bytes.subarray(at, at + 4096)));
  return btoa(letters.join(""));
})"""


def samples(page, channels):
    """Evaluates a JavaScript expression for a list of channels. Returns their samples, `(time, channels)`."""
    return np.stack([np.frombuffer(base64.b64decode(text), "<f4") for text in page.evaluate(channels + BASE64)], axis=1)


def test_the_gain_that_an_encoder_gave_is_read_as_python_reads_it(page):
    names = list(HEADS)
    heads = [base64.b64encode(HEADS[name][0]).decode() for name in names]
    found = page.evaluate(
        "heads => heads.map((head) => encoderGain(Uint8Array.from(atob(head), (letter) => letter.charCodeAt(0))))",
        heads,
    )
    assert dict(zip(names, found, strict=True)) == {name: gain for name, (_, gain) in HEADS.items()}


def test_an_mp3_is_restored_to_the_samples_that_python_gives(opened, tmp_path, make_music):
    page, requests = opened
    soundfile.write(tmp_path / "song.flac", make_music(duration=5.0), RATE)
    encode_file(tmp_path / "song.flac", tmp_path / "song.mp3", CodecSpec("mp3", 64))
    before = len(requests)
    put_in(page, tmp_path / "song.mp3")
    assert not page.is_visible("#failure")
    lossy = samples(page, "channelsOf(player.buffers[0])")
    decoded, _ = soundfile.read(tmp_path / "song.mp3", dtype="float32")
    # Like other decoders, the browser's removes the samples that the encoder added before the music. It may round
    # differently.
    np.testing.assert_allclose(lossy, decoded, atol=1e-4)
    assert requests[before:] == []

    expected = load_runner().run(lossy, path=tmp_path / "song.mp3")
    assert np.abs(expected - lossy).max() > 0.01
    saved = download(page, "#save-float")
    assert saved.suggested_filename == "song.restored.float.wav"
    restored, rate = soundfile.read(saved.path(), dtype="float32")
    assert rate == RATE
    assert soundfile.info(saved.path()).subtype == "FLOAT"
    np.testing.assert_allclose(restored, expected, atol=1e-5)

    saved = download(page, "#save-24")
    assert saved.suggested_filename == "song.restored.wav"
    assert soundfile.info(saved.path()).subtype == "PCM_24"
    pcm, _ = soundfile.read(saved.path())
    np.testing.assert_allclose(pcm, np.clip(restored, -1, 1 - 2**-23), atol=0.51 * 2**-23)


COVER = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"
TAGS = {"TITLE": ["Ein Lied über Bäume"], "ARTIST": ["A = B", "C"], "ALBUM": ["Album"], "DATE": ["1999"]}
NUMBERS = {"TRACKNUMBER": ["3"], "TRACKTOTAL": ["12"]}


def write_tagged(path, audio):
    """Writes a song with tags, including two artists, and a cover, in the format of the suffix."""
    if path.suffix == ".flac":
        soundfile.write(path, audio, RATE)
        song = mutagen.flac.FLAC(path)
        picture = mutagen.flac.Picture()
        picture.type, picture.mime, picture.desc, picture.data = 4, "image/jpeg", "back", COVER
        song.add_picture(picture)
        song.update(TAGS | NUMBERS | {"REPLAYGAIN_TRACK_GAIN": ["-6.00 dB"]})
    else:
        soundfile.write(path.with_suffix(".wav"), audio, RATE)
        encode_file(path.with_suffix(".wav"), path, CodecSpec("mp3", 64))
        song = mutagen.id3.ID3()
        for name, frame in (("TITLE", "TIT2"), ("ARTIST", "TPE1"), ("ALBUM", "TALB"), ("DATE", "TDRC")):
            song.add(getattr(mutagen.id3, frame)(encoding=3, text=TAGS[name]))
        song.add(mutagen.id3.TRCK(encoding=3, text="3/12"))
        song.add(mutagen.id3.APIC(encoding=3, mime="image/jpeg", type=4, desc="back", data=COVER))
    song.save(path)


@pytest.mark.parametrize("suffix", [".mp3", ".flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_flac_has_the_samples_and_the_tags(opened, tmp_path, make_music, suffix, channels):
    page, requests = opened
    audio = make_music(duration=1.7, channels=channels)  # one block of flac_worker.js and part of another
    write_tagged(tmp_path / f"song{suffix}", audio)
    put_in(page, tmp_path / f"song{suffix}")
    assert "keeps the tags of the source (title, artist, album, cover)" in page.inner_text("#tags")
    before = len(requests)
    path = tmp_path / "saved.flac"
    saved = download(page, "#save-flac")
    assert saved.suggested_filename == "song.restored.flac"
    saved.save_as(path)
    assert [url for url in requests[before:] if not url.startswith("blob:")] == []
    download(page, "#save-24").save_as(tmp_path / "saved.wav")
    samples_of_wav, _ = soundfile.read(tmp_path / "saved.wav", dtype="int32", always_2d=True)
    found, rate = soundfile.read(path, dtype="int32", always_2d=True)
    assert (rate, soundfile.info(path).subtype) == (RATE, "PCM_24")
    np.testing.assert_array_equal(found, samples_of_wav)

    song = mutagen.flac.FLAC(path)
    assert (song.info.total_samples, song.info.channels, song.info.bits_per_sample) == (len(found), channels, 24)
    # FLAC's MD5 is that of the little-endian 24-bit samples.
    coded = (found >> 8).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    assert song.info.md5_signature == int.from_bytes(hashlib.md5(coded).digest(), "big")
    tags = {name.upper(): values for name, values in dict(song.tags).items()}
    assert "in a browser" in tags.pop("RESTORED_BY")[0]
    assert tags == TAGS | NUMBERS
    [picture] = song.pictures
    assert (picture.type, picture.mime, picture.desc, picture.data) == (4, "image/jpeg", "back", COVER)


def test_a_file_without_tags_says_so(page, tmp_path, make_music):
    soundfile.write(tmp_path / "song.wav", make_music(duration=0.5), RATE)
    put_in(page, tmp_path / "song.wav")
    assert page.inner_text("#tags") == "The source has no tags that can be kept."
    download(page, "#save-flac").save_as(tmp_path / "saved.flac")
    assert set(mutagen.flac.FLAC(tmp_path / "saved.flac").tags.keys()) == {"restored_by"}


def test_silence_stays_silence_and_windows_leave_no_seam(page, tmp_path, make_music):
    audio = make_music(duration=8.0, channels=1)
    audio[100_000:180_000] = 0.0  # across the end of the first window
    soundfile.write(tmp_path / "gap.wav", audio, RATE, subtype="FLOAT")
    put_in(page, tmp_path / "gap.wav")
    np.testing.assert_array_equal(samples(page, "channelsOf(player.buffers[0])"), audio)
    restored = samples(page, "restored.channels")
    runner = load_runner()
    np.testing.assert_allclose(restored, runner.run(audio), atol=1e-5)
    assert not restored[100_000 + runner.context : 180_000 - runner.context].any()


def test_the_stereo_image_stays(page, tmp_path, make_music):
    runner, audio = load_runner(), make_music(duration=1.0, channels=6)
    panned, twice = audio[:, :2].copy(), audio[:, [0, 0]]
    panned[:, 0] = 0.0
    for song in (panned, twice, audio):
        soundfile.write(tmp_path / "song.wav", song, RATE, subtype="FLOAT")
        put_in(page, tmp_path / "song.wav")
        restored = samples(page, "restored.channels")
        np.testing.assert_allclose(restored, runner.run(song), atol=1e-5)
        if song is panned:
            assert not restored[:, 0].any()
        elif song is twice:
            np.testing.assert_array_equal(restored[:, 0], restored[:, 1])


@pytest.mark.parametrize("content", [b"", b"no music at all" * 1000], ids=["empty", "text"])
def test_a_file_that_is_no_music_is_refused_in_one_line(page, tmp_path, content):
    (tmp_path / "song.mp3").write_bytes(content)
    put_in(page, tmp_path / "song.mp3")
    message = page.inner_text("#failure")
    assert "song.mp3" in message
    assert "\n" not in message
    assert message.startswith("A music file ")
    assert page.is_enabled("#file")


def test_it_can_be_stopped_and_goes_on_with_the_next(page, tmp_path, make_music):
    soundfile.write(tmp_path / "long.wav", np.tile(make_music(duration=5.0), (20, 1)), RATE)
    soundfile.write(tmp_path / "short.wav", make_music(duration=0.5), RATE)
    page.set_input_files("#file", tmp_path / "long.wav")
    page.click("#stop")
    wait_until_ready(page)
    assert not page.is_visible("#failure")
    put_in(page, tmp_path / "short.wav")
    assert page.inner_text("#result-title") == "short.wav"
    assert page.evaluate("restored.channels[0].length") == RATE // 2


def test_before_and_after_play_in_step(page, tmp_path, make_music):
    soundfile.write(tmp_path / "song.wav", make_music(duration=4.0), RATE)
    put_in(page, tmp_path / "song.wav")
    page.click("#play")
    for name, index in (("before", 0), ("after", 1)):
        page.get_by_role("button", name=name).click()
        page.wait_for_timeout(100)
        # Both sources always play, but only one fader is up.
        assert page.evaluate("player.deck.faders.map((fader) => fader.gain.value)") == [1 - index, index]
        assert page.locator(".panel.heard figcaption").inner_text().startswith(name)
    assert page.evaluate("player.deck.sources.length") == 2
    assert page.evaluate("player.position") > 0
    # Both are equally loud, and neither is amplified.
    gains = page.evaluate("player.gains")
    levels = [np.sqrt(np.mean(samples(page, f"channelsOf(player.buffers[{i}])") ** 2)) * gains[i] for i in (0, 1)]
    assert levels[0] == pytest.approx(levels[1], rel=1e-4)
    assert max(gains) == 1
    page.click("#play")
    assert not page.evaluate("player.playing")


def test_the_browser_keeps_page_and_worker_from_other_hosts(opened, tmp_path):
    page, requests = opened
    reach = "(url) => fetch(url).then(() => 'reached', () => 'refused')"
    with server(tmp_path) as (other, asked):
        assert page.evaluate(reach, other) == "refused"
        assert page.workers
        for worker in page.workers:
            assert worker.evaluate(reach, other) == "refused"
        assert asked == []
    # Chromium reports a request even if the page's policy then refuses it.
    requests[:] = [url for url in requests if url != other]


def test_it_fits_a_phone(page):
    try:
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        page.set_viewport_size({"width": 1200, "height": 900})
