"""Free music out of Debian packages: fetched, read for its licences, measured and decoded for tools/fetch_music.py."""
