// Reads the tags of a music file with music-metadata, as Vorbis comments and FLAC pictures.
"use strict";

// The Vorbis comment for each tag of music-metadata, after Picard's mapping, as in keras_audiosr/files/tag_names.py.
// Tags that were measured on the lossy samples (ReplayGain) would be wrong for the restored ones, so they are left out.
const COMMENTS = {
  title: "TITLE", artists: "ARTIST", album: "ALBUM", albumartist: "ALBUMARTIST", date: "DATE", originaldate: "ORIGINALDATE",
  genre: "GENRE", composer: "COMPOSER", conductor: "CONDUCTOR", lyricist: "LYRICIST", comment: "COMMENT", lyrics: "LYRICS",
  copyright: "COPYRIGHT", isrc: "ISRC", label: "LABEL", catalognumber: "CATALOGNUMBER", bpm: "BPM", compilation: "COMPILATION",
  titlesort: "TITLESORT", artistsort: "ARTISTSORT", albumsort: "ALBUMSORT", albumartistsort: "ALBUMARTISTSORT",
  musicbrainz_recordingid: "MUSICBRAINZ_TRACKID", musicbrainz_trackid: "MUSICBRAINZ_RELEASETRACKID",
  musicbrainz_albumid: "MUSICBRAINZ_ALBUMID", musicbrainz_artistid: "MUSICBRAINZ_ARTISTID",
  musicbrainz_albumartistid: "MUSICBRAINZ_ALBUMARTISTID", musicbrainz_releasegroupid: "MUSICBRAINZ_RELEASEGROUPID",
};
const NUMBERS = { track: ["TRACKNUMBER", "TRACKTOTAL"], disk: ["DISCNUMBER", "DISCTOTAL"] };

// Picture types of ID3v2 by number, with the names that music-metadata gives them. FLAC has the same numbers.
const PICTURE_TYPES = [
  "Other", "32x32 pixels 'file icon' (PNG only)", "Other file icon", "Cover (front)", "Cover (back)", "Leaflet page",
  "Media (e.g. label side of CD)", "Lead artist/lead performer/soloist", "Artist/performer", "Conductor", "Band/Orchestra",
  "Composer", "Lyricist/text writer", "Recording Location", "During recording", "During performance",
  "Movie/video screen capture", "A bright coloured fish", "Illustration", "Band/artist logotype", "Publisher/Studio logotype",
];
const FRONT = 3; // the type of a picture whose type is unknown

// Converts a value to text. Comments and lyrics are objects with a text, and a flag that is set becomes "1".
const textOf = (value) => (value === true ? "1" : String(value?.text ?? value ?? ""));

// Returns {comments, pictures}, where comments is an array of [name, value]. Both are empty if the file has no tags
// that can be read.
async function readTags(file) {
  let common;
  try {
    ({ common } = await musicMetadata.parseBlob(file, { duration: false }));
  } catch {
    return { comments: [], pictures: [] };
  }
  const comments = [];
  const add = (name, value) => value && comments.push([name, value]);
  for (const [key, name] of Object.entries(COMMENTS)) for (const value of [common[key] ?? []].flat()) add(name, textOf(value));
  for (const [key, names] of Object.entries(NUMBERS)) ["no", "of"].forEach((part, i) => add(names[i], textOf(common[key]?.[part])));
  const pictures = (common.picture ?? []).map(({ type, format, description, data }) => {
    const number = PICTURE_TYPES.indexOf(type);
    return { type: number < 0 ? FRONT : number, format, description: description ?? "", data };
  });
  return { comments, pictures };
}
