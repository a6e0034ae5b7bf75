"""The public photo sets that `dogbreed data download` knows: addresses, sizes, checksums and terms."""

from __future__ import annotations

from dataclasses import dataclass

from dogbreed.errors import UsageError


@dataclass(frozen=True, slots=True)
class Archive:
    """One file to fetch; `size` in bytes. `sha256` is None where nobody has published one: it is never made up."""

    url: str
    size: int
    sha256: str | None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A photo set; `unpacked_limit` is the most bytes that its archives may unpack to."""

    name: str
    title: str
    about: str
    page: str
    terms: str
    archives: tuple[Archive, ...]
    unpacked_limit: int


# Sizes and SHA-256 of Stanford Dogs and Oxford-IIIT Pet: the url_checksums of TensorFlow Datasets.
SETS: dict[str, KnownSet] = {
    "stanford-dogs": KnownSet(
        name="stanford-dogs",
        title="Stanford Dogs",
        about="120 breeds, 20,580 photos, 757 MiB",
        page="http://vision.stanford.edu/aditya86/ImageNetDogs/",
        terms="Photos from ImageNet: non-commercial research and education only; the photographers keep their rights.",
        archives=(
            Archive(
                "http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
                793_579_520,
                "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
            ),
        ),
        unpacked_limit=2 * 2**30,
    ),
    "oxford-iiit-pet": KnownSet(
        name="oxford-iiit-pet",
        title="Oxford-IIIT Pet",
        about="25 dog breeds (and 12 of cats), about 200 photos of each, 774 MiB",
        page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        terms="Creative Commons Attribution-ShareAlike 4.0; the copyright of the photos stays with their owners.",
        archives=(
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                791_918_971,
                "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            ),
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                19_173_078,
                "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            ),
        ),
        unpacked_limit=4 * 2**30,
    ),
    "udacity-dogs": KnownSet(
        name="udacity-dogs",
        title="Udacity's dog project",
        about="133 breeds, 8,351 photos, 1,080 MiB",
        page="https://github.com/udacity/dog-project",
        terms="No licence is published for the photos; they were given out for Udacity's course.",
        # The size is the one in published download logs. No checksum is published, so the size and the archive's own
        # CRCs are checked, and what came the first time is remembered and demanded from then on.
        archives=(
            Archive(
                "https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip",
                1_132_023_110,
                None,
            ),
        ),
        unpacked_limit=4 * 2**30,
    ),
}


def known_set(name: str) -> KnownSet:
    """The set of that name; UsageError that lists the names."""
    try:
        return SETS[name]
    except KeyError:
        raise UsageError(f"no photo set {name}", f"known: {', '.join(SETS)}") from None
