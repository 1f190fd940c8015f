"""Table of tag names: the names of each field in Vorbis comments, ID3, MP4, APEv2 and RIFF INFO.

It follows Picard's published mapping (MusicBrainz Picard, appendix "Tag mapping"). An empty column means that the
format's generic field is used: a TXXX frame, a freeform atom, an item of that name.
"""

from mutagen import id3

# Vorbis comment | ID3v2 frame, or TXXX description | MP4 atom, or freeform name | APEv2 item | RIFF INFO chunk
_TABLE = """
TITLE | TIT2 | \xa9nam | Title | INAM
ARTIST | TPE1 | \xa9ART | Artist | IART
ALBUM | TALB | \xa9alb | Album | IPRD
ALBUMARTIST | TPE2 | aART | Album Artist |
TRACKNUMBER | TRCK | trkn | Track | ITRK
DISCNUMBER | TPOS | disk | Disc |
DATE | TDRC | \xa9day | Year | ICRD
ORIGINALDATE | TDOR | ORIGINALDATE | ORIGINALDATE |
RELEASEDATE | TDRL | RELEASEDATE | RELEASEDATE |
ORIGINALYEAR | originalyear | ORIGINALYEAR | ORIGINALYEAR |
GENRE | TCON | \xa9gen | Genre | IGNR
COMMENT | COMM | \xa9cmt | Comment | ICMT
LYRICS | USLT | \xa9lyr | Lyrics |
COMPOSER | TCOM | \xa9wrt | Composer | IMUS
LYRICIST | TEXT | LYRICIST | Lyricist |
WRITER | Writer | WRITER | Writer | IWRI
CONDUCTOR | TPE3 | CONDUCTOR | Conductor |
REMIXER | TPE4 | REMIXER | MixArtist |
ARTISTS | ARTISTS | ARTISTS | Artists |
DIRECTOR | DIRECTOR | \xa9dir | Director |
LABEL | TPUB | LABEL | Label |
COPYRIGHT | TCOP | cprt | Copyright | ICOP
LICENSE | WCOP | LICENSE | LICENSE |
WEBSITE | WOAR | WEBSITE | Weblink |
ISRC | TSRC | ISRC | ISRC |
BARCODE | BARCODE | BARCODE | Barcode |
CATALOGNUMBER | CATALOGNUMBER | CATALOGNUMBER | CatalogNumber |
ASIN | ASIN | ASIN | ASIN |
BPM | TBPM | tmpo | BPM |
KEY | TKEY | initialkey | KEY |
MOOD | TMOO | MOOD | Mood |
LANGUAGE | TLAN | LANGUAGE | Language | ILNG
SCRIPT | SCRIPT | SCRIPT | Script |
MEDIA | TMED | MEDIA | Media | IMED
COMPILATION | TCMP | cpil | Compilation |
GROUPING | TIT1 | \xa9grp | Grouping |
SUBTITLE | TIT3 | SUBTITLE | Subtitle |
DISCSUBTITLE | TSST | DISCSUBTITLE | DiscSubtitle |
WORK | WORK | \xa9wrk | WORK |
MOVEMENTNAME | MVNM | \xa9mvn | MOVEMENTNAME |
MOVEMENT | MVIN | \xa9mvi | MOVEMENT |
MOVEMENTTOTAL | | \xa9mvc | MOVEMENTTOTAL |
SHOWMOVEMENT | SHOWMOVEMENT | shwm | SHOWMOVEMENT |
ARTISTSORT | TSOP | soar | ARTISTSORT |
ALBUMSORT | TSOA | soal | ALBUMSORT |
TITLESORT | TSOT | sonm | TITLESORT |
ALBUMARTISTSORT | TSO2 | soaa | ALBUMARTISTSORT |
COMPOSERSORT | TSOC | soco | COMPOSERSORT |
ORIGINALARTIST | TOPE | ORIGINALARTIST | Original Artist |
ORIGINALALBUM | TOAL | ORIGINALALBUM | ORIGINALALBUM |
ORIGINALFILENAME | TOFN | ORIGINALFILENAME | ORIGINALFILENAME |
DESCRIPTION | | desc | |
PODCAST | | pcst | |
PODCASTURL | | purl | |
SHOW | | tvsh | |
SHOWSORT | | sosn | |
MUSICBRAINZ_TRACKID | | MusicBrainz Track Id | |
MUSICBRAINZ_RELEASETRACKID | MusicBrainz Release Track Id | MusicBrainz Release Track Id | |
MUSICBRAINZ_ALBUMID | MusicBrainz Album Id | MusicBrainz Album Id | |
MUSICBRAINZ_ARTISTID | MusicBrainz Artist Id | MusicBrainz Artist Id | |
MUSICBRAINZ_ALBUMARTISTID | MusicBrainz Album Artist Id | MusicBrainz Album Artist Id | |
MUSICBRAINZ_RELEASEGROUPID | MusicBrainz Release Group Id | MusicBrainz Release Group Id | |
MUSICBRAINZ_WORKID | MusicBrainz Work Id | MusicBrainz Work Id | |
MUSICBRAINZ_DISCID | MusicBrainz Disc Id | MusicBrainz Disc Id | |
MUSICBRAINZ_TRMID | MusicBrainz TRM Id | MusicBrainz TRM Id | |
MUSICBRAINZ_ORIGINALALBUMID | MusicBrainz Original Album Id | MusicBrainz Original Album Id | |
MUSICBRAINZ_ORIGINALARTISTID | MusicBrainz Original Artist Id | MusicBrainz Original Artist Id | |
ACOUSTID_ID | Acoustid Id | Acoustid Id | ACOUSTID_ID |
ACOUSTID_FINGERPRINT | Acoustid Fingerprint | Acoustid Fingerprint | ACOUSTID_FINGERPRINT |
MUSICIP_PUID | MusicIP PUID | MusicIP PUID | MUSICIP_PUID |
FINGERPRINT | | fingerprint | FINGERPRINT |
ENCODEDBY | TENC | ENCODEDBY | EncodedBy |
GAPLESSPLAYBACK | | pgap | |
ITUNESADVISORY | ITUNESADVISORY | rtng | |
ITUNESMEDIATYPE | ITUNESMEDIATYPE | stik | |
RELEASETYPE | MusicBrainz Album Type | MusicBrainz Album Type | MUSICBRAINZ_ALBUMTYPE |
RELEASESTATUS | MusicBrainz Album Status | MusicBrainz Album Status | MUSICBRAINZ_ALBUMSTATUS |
RELEASECOUNTRY | MusicBrainz Album Release Country | MusicBrainz Album Release Country | RELEASECOUNTRY |
"""
_ROWS = [[cell.strip(" \n") for cell in line.split("|")] for line in _TABLE.splitlines() if line.strip()]
_VORBIS = [row[0] for row in _ROWS]


def _is_frame(name: str) -> bool:
    return name in id3.Frames


def _is_atom(name: str) -> bool:
    return len(name) == 4 and not (name.isascii() and name.isupper())


# The other formats' names by Vorbis comment, and the reverse. Names that are compared without case are in capitals.
ID3_FRAMES = {row[0]: row[1] for row in _ROWS if _is_frame(row[1])}
ID3_NAMES = {frame: name for name, frame in ID3_FRAMES.items()} | {"GRP1": "GROUPING"}
TXXX_DESCRIPTIONS = {row[0]: row[1] for row in _ROWS if row[1] and row[0] not in ID3_FRAMES}
TXXX_NAMES = {description.upper(): name for name, description in TXXX_DESCRIPTIONS.items()}
MP4_ATOMS = {row[0]: row[2] for row in _ROWS if _is_atom(row[2])}
MP4_NAMES = {atom: name for name, atom in MP4_ATOMS.items()}
MP4_FREEFORM = {row[0]: row[2] for row in _ROWS if row[2] and row[0] not in MP4_ATOMS}
MP4_FREEFORM_NAMES = {freeform.upper(): name for name, freeform in MP4_FREEFORM.items()}
APE_ITEMS = {row[0]: row[3] for row in _ROWS if row[3]}
APE_NAMES = {item.upper(): name for name, item in APE_ITEMS.items()} | {"ALBUMARTIST": "ALBUMARTIST"}

# RIFF INFO, then AIFF's own text chunks.
INFO_NAMES = {row[4].encode(): row[0] for row in _ROWS if row[4]} | {
    b"IPRT": "TRACKNUMBER", b"IENG": "ENGINEER", b"IPRO": "PRODUCER",
    b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT",
}  # fmt: skip

# Other names of the same fields that occur in Vorbis comments.
VORBIS_ALIASES = {
    "TOTALTRACKS": "TRACKTOTAL", "TOTALDISCS": "DISCTOTAL", "ALBUM ARTIST": "ALBUMARTIST",
    "ENCODED BY": "ENCODEDBY", "ENCODED-BY": "ENCODEDBY", "ENCODED_BY": "ENCODEDBY",
    "MUSICIP PUID": "MUSICIP_PUID", "ACOUSTID ID": "ACOUSTID_ID", "ACOUSTID FINGERPRINT": "ACOUSTID_FINGERPRINT",
}  # fmt: skip

# Fields such as "3/12": the field of the number, and the field of its total.
SPLIT_NAMES = {"TRACKNUMBER": "TRACKTOTAL", "DISCNUMBER": "DISCTOTAL", "MOVEMENT": "MOVEMENTTOTAL"}

# MusicIP's fingerprint. ID3 stores this text as the description of the frame, and other formats store it in front of
# the value of FINGERPRINT.
MUSICIP = "MusicMagic Fingerprint"

# Vorbis comments by role in ID3's list of involved people. Any other role is kept with the name, as for a performer.
ROLES = {
    "arranger": "ARRANGER", "engineer": "ENGINEER", "producer": "PRODUCER", "DJ-mix": "DJMIXER", "mix": "MIXER",
}  # fmt: skip
