"""A shelf of ripped discs: which tracks there are, how they are cut and named, and the manifests that list them."""
