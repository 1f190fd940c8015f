"""The parts of tools/fetch_music.py: they fetch Debian packages, read licences, and measure and decode the music."""
