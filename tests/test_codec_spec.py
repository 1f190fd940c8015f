"""Tests which notations `CodecSpec` parses, how it writes them, and which notation an error suggests."""

import pytest

from keras_audiosr.codecs import CodecSpec
from keras_audiosr.errors import UsageError


@pytest.mark.parametrize(
    ("text", "canonical", "suffix"),
    [
        ("mp3@64k", "mp3@64k", "mp3"),
        (" MP3 @ 64 ", "mp3@64k", "mp3"),
        ("mp3@64.0K", "mp3@64k", "mp3"),
        ("aac@96k", "aac@96k", "m4a"),
        ("vorbis@64k", "vorbis@64k", "ogg"),
        ("opus@48k", "opus@48k", "opus"),
        ("lowpass@8k", "lowpass@8k", "flac"),
        ("lowpass@5.5k", "lowpass@5.5k", "flac"),
        ("downsample@16k", "downsample@16k", "flac"),
        ("mp3@V6", "mp3@V6", "mp3"),
        (" MP3 @ v0 ", "mp3@V0", "mp3"),
        ("mp3@64k-stereo", "mp3@64k-stereo", "mp3"),
        ("mp3@V9 -Stereo", "mp3@V9-stereo", "mp3"),
    ],
)
def test_parse(text, canonical, suffix):
    spec = CodecSpec.parse(text)
    assert str(spec) == canonical
    assert spec.suffix == suffix
    assert CodecSpec.parse(str(spec)) == spec


def test_units():
    assert CodecSpec.parse("mp3@64k").bitrate == 64
    assert CodecSpec.parse("mp3@64k").frequency == 0.0
    assert CodecSpec.parse("lowpass@5.5k").frequency == 5500.0
    assert CodecSpec.parse("lowpass@5.5k").bitrate == 0


def test_modes_of_mp3():
    plain, varying = CodecSpec.parse("mp3@64k"), CodecSpec.parse("mp3@V6")
    assert (plain.vbr, plain.joint) == (False, True)
    assert (varying.vbr, varying.joint, varying.value, varying.bitrate) == (True, True, 6.0, 0)
    apart = CodecSpec.parse("mp3@64k-stereo")
    assert (apart.vbr, apart.joint, apart.bitrate) == (False, False, 64)
    assert len({plain, varying, apart, CodecSpec.parse("mp3@V6-stereo")}) == 4


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("mp3@65k", "mp3@64k"),
        ("mp3@1000k", "mp3@320k"),
        ("mp3@1k", "mp3@16k"),
        ("aac@64.4k", "aac@64k"),
        ("aac@9999k", "aac@320k"),
        ("vorbis@8k", "vorbis@32k"),
        ("opus@6k", "opus@24k"),
        ("opus@0k", "opus@24k"),
        ("lowpass@0.1k", "lowpass@1k"),
        ("downsample@1000k", "downsample@96k"),
        ("flac@64k", "mp3@64k"),
        ("64k", "mp3@64k"),
        ("mp3@-64k", "mp3@64k"),
        ("mp3@", "mp3@64k"),
        ("", "mp3@64k"),
        ("mp3@64k@64k", "mp3@64k"),
        ("mp3@6\u0664k\n;", "mp3@64k"),
        ("mp3@V12", "mp3@V9"),
        ("mp3@V5.5-stereo", "mp3@V6-stereo"),
        ("mp3@V6k", "mp3@V6"),
        ("vorbis@V60", "mp3@V9"),
        ("mp3@65k-stereo", "mp3@64k-stereo"),
        ("aac@64k-stereo", "aac@64k"),
        ("mp3@64k-mono", "mp3@64k"),
    ],
)
def test_errors_name_what_came_and_the_nearest(text, nearest):
    with pytest.raises(UsageError) as caught:
        CodecSpec.parse(text)
    message = str(caught.value)
    assert f"'{nearest}'" in message
    assert repr(text) in message
    assert "\n" not in message
