"""Tests that manifests are written, read and checked, and that albums are assigned to splits."""

import dataclasses
import json

import pytest

from keras_audiosr.errors import ManifestError
from keras_audiosr.shelf.manifests import Pair, Track, read_manifest, split_albums, split_of, write_manifest

TRACK = Track("A/01 Song.flac", "A", 1, "Song", 2.0, 88200, 44100, 2, "0" * 32, 22050.0, "/rips/A/01.wav")
PAIR = Pair(
    "A/01 Song.flac", "mp3/A/01 Song.mp3", "A", 1, "Song", 2.0, 88200, 44100, 2, "0" * 32, "mp3@64k", "LAME", 0, "any"
)


@pytest.mark.parametrize("entry", [TRACK, PAIR])
def test_what_is_written_is_read(tmp_path, entry):
    other = dataclasses.replace(entry, lossless='A/02 ünï\u2028 \x85 \\ " \n.flac', album='B "quoted"', title="日本 🎵")
    write_manifest(tmp_path / "deep" / "m.jsonl", [other, entry])
    assert read_manifest(tmp_path / "deep" / "m.jsonl", type(entry)) == [entry, other]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.jsonl"]


def test_order_of_entries_does_not_change_the_file(tmp_path):
    entries = [dataclasses.replace(PAIR, lossy=f"{name}.mp3") for name in "cab"]
    write_manifest(tmp_path / "a", entries)
    write_manifest(tmp_path / "b", reversed(entries))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_blank_lines_and_unknown_keys_are_passed_over(tmp_path):
    line = json.dumps(dataclasses.asdict(TRACK) | {"mood": "blue"})
    (tmp_path / "m").write_text(f"\n{line}\n\n", "utf-8")
    assert read_manifest(tmp_path / "m", Track) == [TRACK]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "at least one line"),
        (b"\n\n", "at least one line"),
        (b"\xff\xfe", "UTF-8"),
        (b"{not json}\n", ":1"),
        (b"[1, 2]\n", ":1"),
        (b"{}\n", "lossless"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(ManifestError, match=said) as caught:
        read_manifest(tmp_path / "m.jsonl", Track)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"length": "long"}, "length must be int"),
        ({"length": 1.5}, "length must be int"),
        ({"track": True}, "track must be int"),
        ({"duration": None}, "duration must be float"),
        ({"lossless": "../outside.flac"}, "stay inside"),
        ({"lossless": "a/../../outside.flac"}, "stay inside"),
        ({"lossless": "/etc/passwd"}, "stay inside"),
    ],
)
def test_a_bad_field_is_refused_by_name_and_line(tmp_path, change, said):
    good = json.dumps(dataclasses.asdict(TRACK))
    bad = json.dumps(dataclasses.asdict(TRACK) | change)
    (tmp_path / "m.jsonl").write_text(f"{good}\n{bad}\n")
    with pytest.raises(ManifestError, match=said) as caught:
        read_manifest(tmp_path / "m.jsonl", Track)
    assert "m.jsonl:2" in str(caught.value)


def test_a_lossy_path_cannot_leave_the_folder_either(tmp_path):
    (tmp_path / "m").write_text(json.dumps(dataclasses.asdict(PAIR) | {"lossy": "../x.mp3"}))
    with pytest.raises(ManifestError, match="stay inside"):
        read_manifest(tmp_path / "m", Pair)


def test_a_missing_manifest_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(ManifestError, match="rip"):
        read_manifest(tmp_path / "none", Track)
    with pytest.raises(ManifestError, match="encode"):
        read_manifest(tmp_path, Pair)


def test_a_failed_write_leaves_the_old_manifest(tmp_path):
    write_manifest(tmp_path / "m", [TRACK])
    with pytest.raises(AttributeError):
        write_manifest(tmp_path / "m", [TRACK, "no entry"])
    assert read_manifest(tmp_path / "m", Track) == [TRACK]


def test_splits_hold_their_shares():
    albums = [f"Album {number}" for number in range(4000)]
    splits = [split_of(album, fractions=(0.2, 0.1)) for album in albums]
    # The tolerances are four standard deviations of a binomial share of 4000 albums.
    assert splits.count("validation") / 4000 == pytest.approx(0.2, abs=0.026)
    assert splits.count("test") / 4000 == pytest.approx(0.1, abs=0.019)


def test_a_split_is_the_albums_own():
    albums = [f"Album {number}" for number in range(200)]
    first = {album: split_of(album, 3, (0.3, 0.3)) for album in albums}
    assert {album: split_of(album, 3, (0.3, 0.3)) for album in reversed(albums)} == first
    assert {album: split_of(album, 4, (0.3, 0.3)) for album in albums} != first
    assert {split_of(album, fractions=(0.0, 0.0)) for album in albums} == {"train"}


def test_more_validation_only_adds_to_it():
    albums = [f"Album {number}" for number in range(500)]
    small = {album for album in albums if split_of(album, fractions=(0.1, 0.0)) == "validation"}
    large = {album for album in albums if split_of(album, fractions=(0.3, 0.0)) == "validation"}
    assert small and small < large


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_a_small_shelf_has_an_album_to_validate_with(count):
    albums = [f"Tabla {number}" for number in range(count)]
    splits = split_albums(albums)
    assert set(splits) == set(albums)
    assert set(splits.values()) == {"train", "validation"}
    assert len([album for album in albums if splits[album] != split_of(album)]) <= 1
    assert set(split_albums(albums, 0, (0.1, 0.1)).values()) >= (
        {"train", "validation", "test"} if count > 2 else {"train"}
    )


def test_one_album_is_for_training():
    assert split_albums(["Only"], 0) == {"Only": "train"}


def test_links_cannot_leave_the_folder(tmp_path):
    """A link to a file or folder is followed if it stays in the manifest's folder, and refused if it leads outside."""
    shelf, outside = tmp_path / "shelf", tmp_path / "outside"
    for folder in (shelf / "album", outside):
        folder.mkdir(parents=True)
        (folder / "song.flac").write_bytes(b"music")
    (shelf / "again").symlink_to("album")
    (shelf / "again.flac").symlink_to("album/song.flac")
    (shelf / "away").symlink_to(outside)
    (shelf / "away.flac").symlink_to(outside / "song.flac")
    (shelf / "broken.flac").symlink_to(outside / "nothing.flac")
    # A link may lead to the shelf itself.
    (tmp_path / "link").symlink_to(shelf)

    def read(path, folder=shelf):
        (shelf / "m.jsonl").write_text(json.dumps(dataclasses.asdict(TRACK) | {"lossless": path}))
        return read_manifest(folder / "m.jsonl", Track)

    for path in ("album/song.flac", "again/song.flac", "again.flac", "not/there.flac", "x" * 300):
        assert read(path)[0].lossless == path
        assert read(path, tmp_path / "link")
    for path in (
        "away/song.flac",
        "away/x/y.flac",
        "away.flac",
        "broken.flac",
        "again/../../outside/song.flac",
        "a\0b",
    ):
        with pytest.raises(ManifestError, match="stay inside"):
            read(path)


def test_an_index_of_windows_names_plain_files(tmp_path):
    from keras_audiosr.datasets.shards import read_index

    (tmp_path / "windows").mkdir()
    (tmp_path / "secret").write_bytes(b"")
    for name in ("../secret", str(tmp_path / "secret")):
        index = {"format": 2, "windows": 1, "window_length": 2000, "shards": [{"name": name, "windows": 1}]}
        (tmp_path / "windows" / "index.json").write_text(json.dumps(index))
        with pytest.raises(ManifestError, match="no plain name"):
            read_index(tmp_path / "windows")
