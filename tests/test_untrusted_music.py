"""Tests that reading a playlist that is named like music, or a URL, fetches nothing and reads no other file."""

import itertools
import socket
import threading
from pathlib import Path

import pytest

from keras_audiosr import cli
from keras_audiosr.errors import AudioFileError
from keras_audiosr.files import audio_files, headers
from keras_audiosr.processes.ffmpeg import run_ffmpeg

CLIP = Path(__file__).parent / "data" / "loop_tabla.mp3"
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"'
    ' minBufferTime="PT1S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet'
    ' mimeType="audio/mp4"><Representation id="0" bandwidth="64000"><BaseURL>{}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>"
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n"


@pytest.fixture
def listener():
    """Yields a port of this machine, and the list of the connections that were made to it."""
    visitors = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                visitors.append(address)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], visitors
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Changes to a folder with a song in two containers, which playlists must not read. Returns the folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.mp3").write_bytes(CLIP.read_bytes())
    assert run_ffmpeg("-i", "secret.mp3", "-t", "2", "-c", "copy", "-f", "mpegts", "secret.ts").returncode == 0
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_listener_would_notice(listener):
    port, visitors = listener
    run_ffmpeg("-i", f"http://127.0.0.1:{port}/song.mp3", "-f", "null", "-")
    assert visitors


# FFmpeg detects a format by its content, so the suffix must make no difference.
CASES = [
    *itertools.product([".mp3"], ["secret.mp3", "secret.ts", "absolute", "http", "concat:", "subfile"]),
    *itertools.product([".m3u8", ".flac", ".jpg", ""], ["secret.mp3", "http"]),
]


@pytest.mark.parametrize(("suffix", "what"), CASES)
@pytest.mark.parametrize("playlist", [HLS, CONCAT, DASH, SDP], ids=["hls", "concat", "dash", "sdp"])
def test_a_playlist_named_as_music_reads_nothing(folder, listener, playlist, suffix, what):
    port, visitors = listener
    target = {
        "absolute": str(folder / "secret.mp3"),
        "http": f"http://127.0.0.1:{port}/song.mp3",
        "concat:": "concat:secret.mp3|secret.mp3",
        "subfile": "subfile,,start,0,end,0,,:secret.mp3",
    }.get(what, what)
    song = folder / f"song{suffix}"
    song.write_text(playlist.format(target, port=port))
    with pytest.raises(AudioFileError) as caught:
        headers.probe(song)
    assert "\n" not in str(caught.value)
    # Decoding must fail too, even if the file is said to be an MP3. No sample of the other file may be returned.
    with pytest.raises(AudioFileError):
        audio_files.read(song)
    with pytest.raises(AudioFileError):
        list(audio_files.read_blocks(song, headers.AudioInfo("mp3", "mp3", 44100, 2, 0.0, 0), 65536))
    assert not visitors


def test_verbs_say_so_in_one_line(folder, listener, capsys):
    port, visitors = listener
    (folder / "song.mp3").write_text(HLS.format("secret.ts"))
    (folder / "web.mp3").write_text(HLS.format(f"http://127.0.0.1:{port}/song.ts"))
    for verb in ("restore", "probe"):
        for name in ("song.mp3", "web.mp3"):
            assert cli.main([verb, name]) == 1
            error = capsys.readouterr().err
            assert error.count("\n") == 1
            assert f"{name}: its content is 'hls', a playlist" in error
    assert names(folder) == ["secret.mp3", "secret.ts", "song.mp3", "web.mp3"]
    assert not visitors


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1:{port}/song.mp3", "concat:secret.mp3|secret.mp3", "data:audio/mpeg;base64,AAAA", "pipe:0"],
)
def test_a_url_is_a_file_name(folder, listener, name, capsys):
    """FFmpeg would open these names. `restore` reports that such a file does not exist, or refuses a URL."""
    port, visitors = listener
    assert cli.main(["restore", name.format(port=port)]) == 1
    error = capsys.readouterr().err
    assert "does not exist" in error or "is a URL; download it first" in error
    assert names(folder) == ["secret.mp3", "secret.ts"]
    assert not visitors


def test_a_file_may_be_named_as_a_url(folder):
    """A file whose name looks like a URL is read like any other file."""
    name = "concat:secret.mp3|a b%03d.mp3"
    (folder / name).write_bytes(CLIP.read_bytes())
    assert headers.probe(name).codec == "mp3"
    assert len(audio_files.read(name)[0]) > 400_000


@pytest.mark.parametrize(
    "suffix", "mp3 aac m4a mp4 mkv webm ogg opus flac wav w64 aiff au caf wma wv tta ac3 mpg avi flv mov".split()
)
def test_music_is_still_read(folder, suffix):
    """Two seconds of music, within 0.1 s, are read from every allowed container that this FFmpeg can write."""
    done = run_ffmpeg("-i", "secret.mp3", "-t", "2", "-ar", "48000", f"music.{suffix}")
    assert done.returncode == 0, done.stderr
    audio, rate = audio_files.read(f"music.{suffix}")
    assert rate == 48000
    assert abs(len(audio) / rate - 2) < 0.1
