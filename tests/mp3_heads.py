"""Contains beginnings of MP3s as various encoders write them, and the gain that must be read from each."""

# kbit/s -> the header byte that contains the bitrate, for MPEG-1 Layer III at 44.1 kHz.
_RATES = {64: 0x50, 128: 0x90, 192: 0xB0, 224: 0xC0, 320: 0xE0}


def _frame(bitrate: int, content: bytes = b"") -> bytes:
    head = bytes([0xFF, 0xFB, _RATES[bitrate], 0x64])
    return (head + content).ljust(144 * 1000 * bitrate // 44100, b"\0")


def head(encoder: bytes, tag: bytes = b"Info", method: int = 1, preset: int = 0, bitrate: int = 128, flags: int = 15):
    """Returns a first frame of 128 kbit/s with a tag, and a second frame of `bitrate` kbit/s."""
    fields = b"".join(bytes(size) for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    about = bytes([method]) + bytes(16) + preset.to_bytes(2, "big")
    return _frame(128, bytes(32) + tag + bytes([0, 0, 0, flags]) + fields + encoder.ljust(9, b"\0") + about) + _frame(
        bitrate
    )


def id3(content: bytes, size: int = 300) -> bytes:
    """Returns the content after an ID3v2 tag."""
    return b"ID3\4\0\0\0\0" + bytes([size >> 7, size & 127]) + bytes(size) + content


# Name -> (beginning of the file, expected gain).
HEADS = {
    "FFmpeg, 64 kbit/s": (head(b"Lavc59.37", method=0, bitrate=64), 0.95),
    "FFmpeg, 192 kbit/s": (head(b"Lavc60.31", method=0, bitrate=192), 0.97),
    "FFmpeg, 224 kbit/s": (head(b"Lavc59.37", method=0, bitrate=224), 0.98),
    "FFmpeg, 320 kbit/s": (head(b"Lavc59.37", method=0, bitrate=320), 1.0),
    "FFmpeg, variable": (head(b"Lavc59.37", b"Xing", method=0), 1.0),
    "LAME, 128 kbit/s": (head(b"LAME3.100", preset=128), 0.95),
    "LAME, 128 kbit/s behind two tags": (id3(id3(head(b"LAME3.100", preset=128), 5)), 0.95),
    "LAME, 192 kbit/s, no table of contents": (head(b"LAME3.99r", preset=192, flags=3), 0.97),
    "LAME, 192 kbit/s, copied by FFmpeg": (head(b"LAME3.100", method=0, bitrate=192), 0.97),
    "LAME, average of 200 kbit/s": (head(b"LAME3.98r", b"Xing", method=2, preset=200), 0.97),
    "LAME, average of 290 kbit/s": (head(b"LAME3.97 ", b"Xing", method=2, preset=290), 1.0),
    "LAME, V2": (head(b"LAME3.100", b"Xing", method=4, preset=480), 1.0),
    "LAME of 2003": (head(b"LAME3.93 ", preset=128), 1.0),
    "copied by FFmpeg from nobody knows whom": (head(b"Lavf59.27", method=0), 1.0),
    "another encoder": (head(b"GOGO3.12 ", preset=128), 1.0),
    "no tag": (_frame(128) * 2, 1.0),
    "cut within the tag": (head(b"LAME3.100", preset=128)[:165], 1.0),
    "cut behind the first frame": (head(b"Lavc59.37", method=0)[:417], 1.0),
    "nothing": (b"", 1.0),
    "a FLAC": (b"fLaC\0\0\0\x22", 1.0),
    "an ID3 tag alone": (id3(b""), 1.0),
}
