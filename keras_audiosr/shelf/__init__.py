"""Handles a shelf of ripped discs: finds, cuts and names its tracks, makes their lossy twins, and keeps manifests."""
