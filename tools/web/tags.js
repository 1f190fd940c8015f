// The tags of a music file as Vorbis comments and FLAC pictures, read by music-metadata.
"use strict";

// Its name of a tag -> ours: Picard's mapping, as keras_audiosr/files/tag_names.py has it. What was measured on the lossy
// samples (ReplayGain) does not hold for others and is not among them.
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

// ID3v2's picture types as music-metadata names them, by number; FLAC has the same.
const PICTURE_TYPES = [
  "Other", "32x32 pixels 'file icon' (PNG only)", "Other file icon", "Cover (front)", "Cover (back)", "Leaflet page",
  "Media (e.g. label side of CD)", "Lead artist/lead performer/soloist", "Artist/performer", "Conductor", "Band/Orchestra",
  "Composer", "Lyricist/text writer", "Recording Location", "During recording", "During performance",
  "Movie/video screen capture", "A bright coloured fish", "Illustration", "Band/artist logotype", "Publisher/Studio logotype",
];
const FRONT = 3; // of a picture that does not say its type

// A value as text: comments and lyrics are objects that hold one, and a set flag is 1.
const textOf = (value) => (value === true ? "1" : String(value?.text ?? value ?? ""));

// Returns {comments: [name, value] each, pictures}; both are empty for a file without tags that can be read.
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
