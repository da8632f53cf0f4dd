"""Manifests and collections of IIIF (Presentation API 2.1 and 3.0), as libraries publish what they digitise.

Each canvas is an item. Its summary and label are captions in the languages that they say; those of the
manifest too where it has one canvas. What is said of rights, the pairs of its metadata and its date are
metadata.
"""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dragoman.corpus.readers.contract import ITEM_KEYS, Defects, Row, Source
from dragoman.corpus.readers.formats.downloads import Fetcher, file_name
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import canonical_tag
from dragoman.media.embedded import compared, day_of
from dragoman.media.listing import IMAGE_SUFFIXES, walk_files
from dragoman.textfiles import unique_keys

LARGEST = 32_000_000
"""Bytes of a manifest."""
MOST_CANVASES = 1_000_000
_DEEPEST = 10
"""Collections within one another."""
# Image API 3.0, section 3: region, size, rotation, quality and format behind the identifier.
_IMAGE_REQUEST = re.compile(
    r"(?P<service>.+)/[^/]+/[^/]+/!?[\d.]+/(?:default|native|color|gray|bitonal)\.\w+"
)
_TAG = re.compile(r"<[^<>]*>")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# Labels that number canvases: 1r, p. 12, fol. 3v, [iv], Seite 5, image 7, cover.
_PAGE = re.compile(
    r"\[?(?:(?:p|pp|pg|pag|page|página|seite|s|folio|fol|f|ff|leaf|blatt|bl|image|img|scan|canvas|view|plate"
    r"|no|nr)\b\.?\s*)?[\[(]?(?:\d+|c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3}))\s*"
    r"(?:[rvab]|recto|verso)?[\])]?\.?|(?:front |back )?cover|none|-",
    re.IGNORECASE,
)
Texts = Mapping[str | None, Sequence[str]]
"""By language, as it stands there; None where none is said."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A view of an object, with one image."""

    manifest: Path
    id: str
    image: str
    """Address or path of its image."""
    service: str | None
    """Base of an image service, which gives it in any size."""
    captions: Sequence[Texts]
    metadata: Mapping[str, str]


def read_iiif(
    path: Path, *, media_root: Path | None = None, lang: str | None = None, fetcher: Fetcher | None = None
) -> Source:
    """Read a manifest, a collection, or a folder of them.

    Images are found below `media_root`, or beside the manifest, by their names; an item without one has its
    address as a path. Manifests that a collection names are found in the same folder by their ids. With
    `fetcher`, what is missing of both is fetched into `media_root`, and stays there.
    """
    if not path.exists():
        raise UserError(
            f"{path} does not exist. Give a manifest or a collection of IIIF, or a folder of them."
        )
    files = (
        sorted(Path(one) for one in walk_files(path) if one.endswith(".json")) if path.is_dir() else [path]
    )
    root = media_root or (path if path.is_dir() else path.parent)
    reading = _Reading(files, root.absolute(), lang, fetcher)
    reading.read()
    return Source(
        items=reading.items(),
        captions=reading.rows(),
        inputs={str(one): sha256(one) for one in reading.used},
        findings=lambda items, captions: reading.defects.lines(),
        goes_on=True,
    )


@dataclass
class _Reading:
    files: Sequence[Path]
    root: Path
    lang: str | None
    fetcher: Fetcher | None
    defects: Defects = field(default_factory=Defects)
    faults: list[Row] = field(default_factory=list)
    canvases: dict[str, Canvas] = field(default_factory=dict)
    used: dict[Path, None] = field(default_factory=dict)

    def read(self) -> None:
        objects: dict[Path, Mapping[str, Any]] = {}
        for file in self.files:
            self._open(file, objects)
        if len(self.files) == 1 and _sort(next(iter(objects.values()), {})) == "Collection":
            # Those that it names may lie beside it.
            for one in sorted(self.files[0].parent.glob("*.json")):
                if one not in objects:
                    self._open(one, objects, aside=True)
        known = {str(_id(value)): file for file, value in objects.items()}
        for file in self.files:
            if file in objects and file not in self.used:
                self._take(objects[file], file, objects, known, 0)
        if not self.canvases and not self.faults:
            where, why = self.files[0] if self.files else self.root, "; ".join(self.defects.lines())
            raise UserError(f"{where} gives no canvas with an image. {why or 'Give a manifest of IIIF.'}")
        self._fetch()

    def items(self) -> Iterator[Row]:
        yield from self.faults
        files = self._files()
        images: dict[Path, set[str]] = {}
        for canvas in self.canvases.values():
            if (place := files[canvas.id]) is not None:
                images.setdefault(place, set()).add(canvas.image)
        for canvas in self.canvases.values():
            file = files[canvas.id]
            if file is not None and len(images[file]) > 1:
                # Pages of several books have the same names; a wrong picture is worse than none.
                self.defects.note("file that has the name of several images, given to none", file.name)
                file = None
            if file is None and "://" not in canvas.image:
                self.defects.note("image that is not there", canvas.image)
            path = str(file) if file is not None else canvas.image if "://" in canvas.image else None
            fields = {"item_id": _item_id(canvas.id), "kind": "image", "path": path}
            yield Row(str(canvas.manifest), 0, "", {**canvas.metadata, **fields})

    def rows(self) -> Iterator[Row]:
        for canvas in self.canvases.values():
            seen = set()
            for texts in canvas.captions:
                for tag, several in texts.items():
                    lang = self._tag(tag, canvas)
                    for text in several:
                        if _PAGE.fullmatch(text) or (lang, compared(text)) in seen:
                            continue
                        seen.add((lang, compared(text)))
                        if lang is None:
                            self.defects.note(
                                "caption that does not say its language left out: pass --lang", canvas.id
                            )
                            continue
                        fields = {"item_id": _item_id(canvas.id), "lang": lang, "text": text}
                        yield Row(str(canvas.manifest), 0, "", fields, found_in="manifest")

    def _tag(self, tag: str | None, canvas: Canvas) -> str | None:
        if tag is None:
            return self.lang
        try:
            return canonical_tag(tag)
        except ValueError:
            self.defects.note(
                f"language {tag[:40]!r}, which is no tag, read as one that is not said", canvas.id
            )
            return self.lang

    def _open(self, file: Path, objects: dict[Path, Mapping[str, Any]], *, aside: bool = False) -> None:
        try:
            if not file.is_file() or file.stat().st_size > LARGEST:
                raise ValueError(f"it is no file of at most {LARGEST:,} bytes")
            objects[file] = _parsed(file.read_bytes())
        except (OSError, ValueError) as error:
            if not aside:
                self.faults.append(Row(str(file), 0, "", {}, f"{error}. Correct it, or move it elsewhere."))

    def _take(
        self,
        value: Mapping[str, Any],
        file: Path,
        objects: dict[Path, Mapping[str, Any]],
        known: Mapping[str, Path],
        depth: int,
    ) -> None:
        self.used[file] = None
        if _sort(value) == "Manifest":
            for canvas in _canvases(value, file, self.lang):
                if len(self.canvases) == MOST_CANVASES:
                    raise UserError(f"{file}: there are more than {MOST_CANVASES:,} canvases. Take a part.")
                self.canvases.setdefault(canvas.id, canvas)
            return
        parts = [value.get(name) for name in ("items", "manifests", "collections", "members")]
        for one in (one for part in parts for one in _objects(part)):
            address = str(_id(one))
            if any(isinstance(one.get(name), list) for name in ("sequences", "items", "manifests")):
                # Written out here, to a depth that JSON itself allows.
                if depth < _DEEPEST:
                    self._take(one, file, objects, known, depth + 1)
                continue
            place = known.get(address) or self._kept(address, file)
            if place is not None and place not in objects:
                self._open(place, objects)
            if place in objects and place not in self.used and depth < _DEEPEST:
                self._take(objects[place], place, objects, known, depth + 1)

    def _kept(self, address: str, file: Path) -> Path | None:
        """Find a manifest that was fetched, or fetch it where that is asked for; tell of one that is not
        there."""
        name = file_name(address, "manifest", ".json")
        if (self.root / name).is_file():
            return self.root / name
        if self.fetcher is None:
            self.defects.note("manifest of a collection that is not there (--download)", address)
            return None
        try:
            # What is none is not kept: the server may give another one later.
            return self.fetcher.fetch([address], name, LARGEST, _parsed)
        except ValueError as error:
            self.faults.append(Row(str(file), 0, "", {}, f"{address} {error}."))
            return None

    def _files(self) -> Mapping[str, Path | None]:
        """Find the file of each canvas."""
        found: dict[str, list[Path]] = {}
        for one in map(Path, walk_files(self.root)):
            if one.suffix.lower() in IMAGE_SUFFIXES:
                for name in {one.name, one.stem}:
                    found.setdefault(name, []).append(one)
        return {canvas.id: _file_of(canvas, found, self.root) for canvas in self.canvases.values()}

    def _fetch(self) -> None:
        if self.fetcher is None:
            return
        files = self._files()
        missing = [one for one in self.canvases.values() if files[one.id] is None]
        for canvas in self.fetcher.shown(missing):
            addresses = [canvas.image] if "://" in canvas.image else []
            if canvas.service is not None:
                # What a model sees is small: the whole of a scan would be a hundred times as large.
                addresses.insert(0, f"{canvas.service}/full/!1024,1024/0/default.jpg")
            try:
                self.fetcher.fetch(addresses, _name_of(canvas))
            except ValueError as error:
                self.faults.append(Row(str(canvas.manifest), 0, "", {}, f"the image of {canvas.id} {error}."))


def _parsed(content: bytes) -> Mapping[str, Any]:
    """Read a manifest or a collection. Raises ValueError for what is neither."""
    try:
        value = json.loads(content, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error})") from None
    if not isinstance(value, dict) or _sort(value) not in ("Manifest", "Collection"):
        raise ValueError("it is neither a manifest nor a collection of IIIF")
    return value


def _canvases(value: Mapping[str, Any], file: Path, lang: str | None) -> Iterator[Canvas]:
    """Read the canvases of a manifest, of those without an image none."""
    listed = _objects(value.get("items")) or [
        one for sequence in _objects(value.get("sequences"))[:1] for one in _objects(sequence.get("canvases"))
    ]
    whole, own = (
        _metadata(value, lang),
        [_texts(value.get(name)) for name in ("summary", "description", "label")],
    )
    for one in listed:
        address = _id(one)
        image = _image(one)
        if not isinstance(address, str) or image is None:
            continue
        captions = [_texts(one.get(name)) for name in ("summary", "description", "label")]
        # What is said of a book is not said of each of its pages.
        yield Canvas(
            manifest=file,
            id=address,
            image=image[0],
            service=image[1],
            captions=[*captions, *own] if len(listed) == 1 else captions,
            metadata={**whole, **_metadata(one, lang)},
        )


def _image(canvas: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """Find the image that is painted on a canvas, and its service."""
    bodies: list[Any] = [one.get("resource") for one in _objects(canvas.get("images"))]
    for page in _objects(canvas.get("items")):
        bodies += [one.get("body") for one in _objects(page.get("items"))]
    for body in bodies:
        for one in _objects(body if isinstance(body, list) else [body]):
            # A choice of several, such as light from two sides.
            several = _objects(one.get("items")) or _objects([one.get("default")]) or [one]
            address = _id(several[0])
            if isinstance(address, str) and address:
                services = several[0].get("service")
                service = _objects(services if isinstance(services, list) else [services])
                base = next((str(_id(each)) for each in service if _id(each)), None)
                request = _IMAGE_REQUEST.fullmatch(address)
                return address, base.rstrip("/") if base else request["service"] if request else None
    return None


def _metadata(value: Mapping[str, Any], lang: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    pairs = [*_objects(value.get("metadata"))]
    if isinstance(required := value.get("requiredStatement"), Mapping):
        pairs.append({"label": "required_statement", "value": required.get("value")})
    pairs.append({"label": "required_statement", "value": value.get("attribution")})
    pairs.append({"label": "rights", "value": value.get("rights") or value.get("license")})
    if _sort(value) == "Manifest":
        pairs.append({"label": "object", "value": value.get("label")})
    for pair in pairs:
        labels, values = _texts(pair.get("label")), _texts(pair.get("value"))
        for tag, texts in values.items():
            # In the languages of the label; what is of none goes under the one that is read.
            named = next((labels[one] for one in (tag, lang, None, *labels) if labels.get(one)), ())
            name = _UNSAFE.sub(" ", named[0]).strip() if named else ""
            if name and texts and name not in ITEM_KEYS:
                found.setdefault(name, _UNSAFE.sub(" ", "; ".join(texts)))
    if isinstance(day := value.get("navDate"), str):
        found |= {name: str(one) for name, one in day_of(day).items() if name == "date"}
    return found


def _texts(value: Any) -> Texts:
    """Read a text of either version, in its languages."""
    found: dict[str | None, list[str]] = {}
    if isinstance(value, Mapping) and "@value" not in value:
        pairs = [
            (tag, one)
            for tag, several in value.items()
            for one in (several if isinstance(several, list) else [])
        ]
    else:
        pairs = []
        for one in value if isinstance(value, list) else [value]:
            pairs.append(
                (one.get("@language"), one.get("@value")) if isinstance(one, Mapping) else (None, one)
            )
    for tag, text in pairs:
        if isinstance(text, str) and (plain := " ".join(html.unescape(_TAG.sub(" ", text)).split())):
            lang = None if not isinstance(tag, str) or tag in ("none", "@none", "") else tag
            found.setdefault(lang, []).append(plain)
    return found


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _id(value: Mapping[str, Any]) -> Any:
    return value.get("id") or value.get("@id")


def _sort(value: Mapping[str, Any]) -> str:
    return str(value.get("type") or value.get("@type")).removeprefix("sc:")


def _item_id(address: str) -> str:
    return address.partition("://")[2] or address


def _parts(canvas: Canvas) -> tuple[str, ...]:
    """Split the path of an image by which it is known: that of its service, or of its file."""
    request = _IMAGE_REQUEST.fullmatch(canvas.image)
    address = request["service"] if request else canvas.image
    return tuple(one for one in unquote(urlsplit(address).path).split("/") if one)


def _stem(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name


def _name_of(canvas: Canvas) -> str:
    """Name the file of an image that is fetched."""
    return file_name(canvas.image, _stem((_parts(canvas) or ("image",))[-1]), ".jpg")


def _file_of(canvas: Canvas, found: Mapping[str, Sequence[Path]], root: Path) -> Path | None:
    """Find the file of a canvas: what was fetched for it, a path beside its manifest, or else the one file
    that has its name, and of several the one in folders of the same names."""
    if fetched := found.get(_name_of(canvas)):
        return fetched[0]
    if "://" not in canvas.image:
        beside = (canvas.manifest.parent / canvas.image).resolve()
        # A manifest of others must not open the rest of the disk.
        inside = any(beside.is_relative_to(one.resolve()) for one in (root, canvas.manifest.parent))
        if inside and beside.is_file():
            return beside
    parts = _parts(canvas)
    if not parts:
        return None
    several = found.get(parts[-1]) or found.get(_stem(parts[-1])) or ()
    shared = [_shared(one.parts[:-1], parts[:-1]) for one in several]
    best = [one for one, count in zip(several, shared, strict=True) if count == max(shared)]
    return best[0] if len(best) == 1 else None


def _shared(folders: Sequence[str], parts: Sequence[str]) -> int:
    """Count the names at the end of two paths that are the same."""
    pairs = zip(reversed(folders), reversed(parts), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
