"""Tests that a model server restores songs like a local model. A stand-in for the server runs in its own process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from equivalence import agree
from tiny_model import WINDOW, tiny_export

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")

from served import SCHEMES, copy_bundle, running

from keras_audiosr import cli
from keras_audiosr.errors import ServerError
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.serving import ServingRunner
from keras_audiosr.serving import ServerOptions

# Largest error of a stereo pair that is sent and received with 16 bits. The measured error was 2.7 steps.
PCM16_TOLERANCE = 3 / 32768


def in_16_bits(audio):
    return (np.rint(audio * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_song_comes_back_as_from_here(server, local, make_music, scheme):
    audio = make_music(duration=1.5)
    restored = load_runner(server.url(scheme)).run(audio)
    assert restored.shape == audio.shape
    assert np.abs(restored - audio).max() > 1e-3  # the model does something
    agree(restored, local.run(audio), 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_16_bit_samples_are_within_three_steps(server, local, make_music, scheme):
    audio = in_16_bits(make_music(duration=1.5))
    restored = ServingRunner(server.url(scheme), ServerOptions(pcm16=True)).run(audio)
    np.testing.assert_array_equal(restored, in_16_bits(restored))
    # Mid and side of a pair have 17 bits. Each is rounded by up to half a step on the way there, and on the way back.
    agree(restored, local.run(audio).clip(-1, 1 - 1 / 32768), PCM16_TOLERANCE)
    restored = ServingRunner(server.url(scheme), ServerOptions(pcm16=True)).run(audio[:, :1])
    agree(restored, local.run(audio[:, :1]).clip(-1, 1 - 1 / 32768), 1 / 32768)


@pytest.mark.parametrize("length", [0, 1, 512, WINDOW - 1, WINDOW + 1, 9 * WINDOW])
@pytest.mark.parametrize("channels", [1, 9])
def test_any_length_and_more_channels_than_a_request_holds(server, local, length, channels):
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (length, channels)).astype(np.float32)
    restored = ServingRunner(server.url("grpc")).run(audio)
    assert restored.shape == audio.shape
    agree(restored, local.run(audio), 1e-5)


def test_another_sample_rate_goes_through(server, local, make_music):
    audio = make_music(duration=0.5, sample_rate=48000)
    restored = ServingRunner(server.url("grpc")).run(audio, 48000)
    agree(restored, local.run(audio, 48000), 1e-5)


@pytest.mark.parametrize("in_flight", [1, 7])
def test_requests_in_flight_do_not_matter(server, local, make_music, in_flight):
    audio = make_music(duration=1.0)
    restored = ServingRunner(server.url("grpc"), ServerOptions(in_flight=in_flight)).run(audio)
    agree(restored, local.run(audio), 1e-5)


def test_restore_through_a_server(server, tmp_path, make_music, capsys):
    song = tmp_path / "song.wav"
    soundfile.write(song, make_music(duration=1.0), 44100, subtype="PCM_16")
    lines = ["restore", str(song), "--force", "--subtype", "PCM_24", "-o"]
    assert cli.main([*lines, str(tmp_path / "here.wav"), "--model", str(tiny_export())]) == 0
    here, _ = soundfile.read(tmp_path / "here.wav")
    for name, tolerance, options in (
        ("grpc", 1e-5, ["--server-deadline", "30", "--server-in-flight", "2", "--server-header", "x-song: 1"]),
        ("http", 1e-5, ["--server-max-message", "8"]),
        ("grpc", PCM16_TOLERANCE, ["--server-pcm16"]),
        ("http", PCM16_TOLERANCE, ["--server-pcm16"]),
    ):
        out = tmp_path / f"{name}.wav"
        assert cli.main([*lines, str(out), "--server", server.url(name), *options, "--overwrite"]) == 0
        served, rate = soundfile.read(out)
        assert (len(served), rate) == (len(here), 44100)
        agree(served, here, tolerance)
    assert "Traceback" not in capsys.readouterr().err


def test_the_client_needs_neither_tensorflow_nor_keras(server, tmp_path, make_music):
    soundfile.write(tmp_path / "a.wav", make_music(duration=0.3), 44100)
    code = (
        "import sys; from keras_audiosr import cli; code = 0\n"
        f"for url in {[server.url(scheme) for scheme in SCHEMES]}:\n"
        f"    code |= cli.main(['restore', '--force', {str(tmp_path / 'a.wav')!r}, '--server', url, '--overwrite'])\n"
        "sys.exit(code or repr({'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "set()\n"


def test_tls_and_its_certificates(tmp_path, local, make_music):
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, which makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    audio = make_music(duration=0.3)
    with running(copy_bundle(tmp_path / "bundle"), "--certificate", certificate, "--key", key) as server:
        for scheme in ("grpcs", "https"):
            url = server.url(scheme, host="localhost")
            restored = ServingRunner(url, ServerOptions(ca=certificate)).run(audio)
            agree(restored, local.run(audio), 1e-5)
            with pytest.raises(ServerError) as caught:
                ServingRunner(url, ServerOptions(deadline=0.5))
            assert caught.value.code == "UNAVAILABLE"


def test_a_real_server():
    """Runs only if `AUDIOSR_TFS_URL=grpc://HOST:PORT/MODEL` names a server with a bundle of the default preset."""
    url = os.environ.get("AUDIOSR_TFS_URL")
    if not url:
        pytest.skip("needs a model server: AUDIOSR_TFS_URL=grpc://HOST:PORT/MODEL")
    clip, rate = soundfile.read(Path(__file__).parent / "data" / "loop_tabla.flac", dtype="float32", always_2d=True)
    expected = load_runner().run(clip, rate)
    # `export` allows differences of up to 1e-4 between LiteRT or TensorFlow and Keras, so these two may differ by 2e-4.
    agree(load_runner(url).run(clip, rate), expected, 2e-4)
    restored = ServingRunner(url, ServerOptions(pcm16=True)).run(in_16_bits(clip), rate)
    agree(restored, load_runner().run(in_16_bits(clip), rate), 2e-4 + PCM16_TOLERANCE)
