"""What each tag format calls a thing, and what Vorbis comments call it."""

ID3_NAMES = {
    "TIT2": "TITLE", "TPE1": "ARTIST", "TALB": "ALBUM", "TPE2": "ALBUMARTIST", "TRCK": "TRACKNUMBER",
    "TPOS": "DISCNUMBER", "TDRC": "DATE", "TDOR": "ORIGINALDATE", "TCOM": "COMPOSER", "TPE3": "CONDUCTOR",
    "TPE4": "REMIXER", "TEXT": "LYRICIST", "TPUB": "LABEL", "TCOP": "COPYRIGHT", "TSRC": "ISRC", "TBPM": "BPM",
    "TCMP": "COMPILATION", "TIT1": "GROUPING", "TIT3": "SUBTITLE", "TSST": "DISCSUBTITLE", "TMED": "MEDIA",
    "TLAN": "LANGUAGE", "TKEY": "KEY", "TMOO": "MOOD", "TSOP": "ARTISTSORT", "TSOA": "ALBUMSORT",
    "TSOT": "TITLESORT", "TSO2": "ALBUMARTISTSORT", "TSOC": "COMPOSERSORT", "TOPE": "ORIGINALARTIST",
}  # fmt: skip

MP4_NAMES = {
    "\xa9nam": "TITLE", "\xa9ART": "ARTIST", "\xa9alb": "ALBUM", "aART": "ALBUMARTIST", "trkn": "TRACKNUMBER",
    "disk": "DISCNUMBER", "\xa9day": "DATE", "\xa9wrt": "COMPOSER", "\xa9gen": "GENRE", "\xa9cmt": "COMMENT",
    "\xa9lyr": "LYRICS", "\xa9grp": "GROUPING", "cprt": "COPYRIGHT", "tmpo": "BPM", "cpil": "COMPILATION",
    "soar": "ARTISTSORT", "soal": "ALBUMSORT", "sonm": "TITLESORT", "soaa": "ALBUMARTISTSORT",
    "soco": "COMPOSERSORT", "desc": "DESCRIPTION",
}  # fmt: skip

# RIFF INFO, then AIFF's own text chunks.
INFO_NAMES = {
    b"INAM": "TITLE", b"IART": "ARTIST", b"IPRD": "ALBUM", b"ICRD": "DATE", b"IGNR": "GENRE", b"ICMT": "COMMENT",
    b"ICOP": "COPYRIGHT", b"ITRK": "TRACKNUMBER", b"IPRT": "TRACKNUMBER", b"IMUS": "COMPOSER",
    b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT",
}  # fmt: skip

# APEv2 (WavPack, Monkey's Audio, Musepack), where it differs.
APE_NAMES = {"YEAR": "DATE", "TRACK": "TRACKNUMBER", "DISC": "DISCNUMBER", "ALBUM ARTIST": "ALBUMARTIST"}

# "3/12": the number, and where its total goes.
SPLIT_NAMES = {"TRACKNUMBER": "TRACKTOTAL", "DISCNUMBER": "DISCTOTAL"}
