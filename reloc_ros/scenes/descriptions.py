"""The scenes file: what each scene is called, how it is described, and where its data lie.

The upper part is for people to edit. The lower part, `machine`, keeps what a describer wrote and saw; a description
that differs from it was edited and is never written over unless that is asked for. Notes on a scene that the upper
part no longer has are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from reloc_ros.errors import ConfigError
from reloc_ros.scenes.sightings import SceneObject
from reloc_ros.scenes.token_count import TOKEN_LIMIT, TokenCounter, check_sentence, count_words

_HEADER = """\
# What each scene is, for training with language. Edit the descriptions freely: one sentence of at most {limit} tokens
# that names 3-5 things which stay where they are, and how they lie to each other. `reloc describe` keeps what you
# edit. The part below `machine` is what it wrote and saw: leave it as it is.
"""
_SCENE_KEYS = ("name", "description", "map_frame", "data")
_REQUIRED_KEYS = ("name", "description")


@dataclass(frozen=True, kw_only=True)
class SceneDescription:
    """One scene as people may edit it.

    Args:
        name: unique in the file.
        description: one sentence.
        map_frame: frame that poses of this scene live in.
        data: `FORMAT:PATH` of its images.
    """

    name: str
    description: str
    map_frame: str = "map"
    data: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MachineNote:
    """What the describer wrote about one scene, and what it saw.

    Args:
        sentence: as written; a description that differs from it was edited.
        images: number of images looked at.
        objects: the stable objects that the sentence was made of, best first.
    """

    sentence: str
    images: int
    objects: tuple[SceneObject, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SceneDescriptions:
    """The content of a scenes file.

    Args:
        scenes: at least one, each with a name of its own.
        describer: `clip` or `appearance`; empty where people wrote everything.
        level: how much the describer said: `none`, `label` or `detailed`; empty as above.
        notes: by scene, what the describer wrote.

    Raises:
        ConfigError: there is no scene, or two have one name.
    """

    scenes: tuple[SceneDescription, ...]
    describer: str = ""
    level: str = ""
    notes: dict[str, MachineNote]

    def __post_init__(self) -> None:
        if not self.scenes:
            raise ConfigError("the scenes are none, expected at least one; add one with its name and description")
        names = [scene.name for scene in self.scenes]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{names.count(name)} scenes are named '{name}'; give each scene a name of its own")

    def select(self, names: Iterable[str]) -> tuple[SceneDescription, ...]:
        """Return the scenes with these names, in this order.

        Raises:
            ConfigError: a scene is missing.
        """
        scenes = {scene.name: scene for scene in self.scenes}
        wanted = list(names)
        for name in wanted:
            if name not in scenes:
                raise ConfigError(
                    f"scene '{name}' has no description, described are {', '.join(scenes)}; add it to the scenes file "
                    "or run `reloc describe` with its data"
                )
        return tuple(scenes[name] for name in wanted)

    def edited(self, name: str) -> bool:
        """Return whether a person wrote or changed the description of a scene."""
        (scene,) = self.select([name])
        return name not in self.notes or self.notes[name].sentence != scene.description


def merge(new: SceneDescriptions, old: SceneDescriptions, *, keep_edited: bool = True) -> SceneDescriptions:
    """Return the new descriptions with what only people know from the old ones.

    Args:
        new: what a describer wrote.
        old: content of the file so far. Its map frames stay, and the scenes that the new ones lack.
        keep_edited: whether descriptions that people edited stay, too.
    """
    known = {scene.name: scene for scene in old.scenes}
    scenes = []
    for scene in new.scenes:
        before = known.pop(scene.name, scene)
        stays = keep_edited and before is not scene and old.edited(scene.name)
        description = before.description if stays else scene.description
        scenes.append(replace(scene, description=description, map_frame=before.map_frame))
    rest = {name: note for name, note in old.notes.items() if name in known}
    return replace(new, scenes=(*scenes, *known.values()), notes={**new.notes, **rest})


def write_descriptions(path: Path, descriptions: SceneDescriptions) -> None:
    """Write a scenes file; the same content gives the same bytes.

    Raises:
        ConfigError: it cannot be written there.
    """
    machine = {
        "describer": descriptions.describer,
        "level": descriptions.level,
        "scenes": [{"name": name, **_plain(note)} for name, note in descriptions.notes.items()],
    }
    content: dict[str, Any] = {"scenes": [_plain(scene) for scene in descriptions.scenes]}
    if descriptions.notes:
        content["machine"] = machine
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    whole = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(_HEADER.format(limit=TOKEN_LIMIT) + text, encoding="utf-8")
        whole.replace(path)
    except OSError as error:
        raise ConfigError(f"scenes file {path} cannot be written: {error}; choose another place") from error


def read_descriptions(
    path: Path, *, count_tokens: TokenCounter = count_words, token_limit: int = TOKEN_LIMIT
) -> SceneDescriptions:
    """Return the content of a scenes file.

    Args:
        path: of the YAML file.
        count_tokens: length of a sentence for the text encoder in use, start and end marks counted.
        token_limit: of a description.

    Raises:
        ConfigError: the file is missing or no YAML, has an unknown key, a wrong value, a description that is empty or
            too long, or two scenes with one name; the message names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"scenes file {path} cannot be read: {error}; write one with `reloc describe`") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"scenes file {path} is not YAML: {error}") from error
    try:
        mapping = _mapping(content, "the file", ("scenes", "machine"), ("scenes",))
        scenes = tuple(
            _read_scene(entry, f"scenes[{i}]", count_tokens, token_limit)
            for i, entry in enumerate(_list(mapping["scenes"], "scenes"))
        )
        machine = _mapping(mapping.get("machine", {}), "machine", ("describer", "level", "scenes"), ())
        notes = dict(_read_note(entry, f"machine: scenes[{i}]") for i, entry in enumerate(machine.get("scenes", [])))
        return SceneDescriptions(
            scenes=scenes,
            describer=_text(machine.get("describer", ""), "machine: describer"),
            level=_text(machine.get("level", ""), "machine: level"),
            notes={scene.name: notes[scene.name] for scene in scenes if scene.name in notes},
        )
    except ConfigError as error:
        raise ConfigError(f"scenes file {path}: {error}") from error


def _read_scene(entry: object, where: str, count_tokens: TokenCounter, limit: int) -> SceneDescription:
    mapping = _mapping(entry, where, _SCENE_KEYS, _REQUIRED_KEYS)
    name = _text(mapping["name"], f"{where}: name")
    map_frame = _text(mapping.get("map_frame", "map"), f"{where}: map_frame")
    for key, value in (("name", name), ("map_frame", map_frame)):
        if not value.strip():
            raise ConfigError(f"{where}: {key} is empty; fill it in")
    description = check_sentence(mapping["description"], f"the description of scene '{name}'", count_tokens, limit)
    data = tuple(_text(one, f"{where}: data") for one in _list(mapping.get("data", []), f"{where}: data"))
    return SceneDescription(name=name, description=description, map_frame=map_frame, data=data)


def _read_note(entry: object, where: str) -> tuple[str, MachineNote]:
    keys = ("name", "sentence", "images", "objects")
    mapping = _mapping(entry, where, keys, keys)
    objects = tuple(_read_object(one, f"{where}: objects") for one in _list(mapping["objects"], f"{where}: objects"))
    if type(mapping["images"]) is not int:
        raise ConfigError(
            f"{where}: images is {mapping['images']!r}, expected a whole number; run `reloc describe` again"
        )
    sentence = _text(mapping["sentence"], f"{where}: sentence")
    return _text(mapping["name"], where), MachineNote(sentence=sentence, images=mapping["images"], objects=objects)


def _read_object(entry: object, where: str) -> SceneObject:
    hints = get_type_hints(SceneObject)
    names = tuple(field.name for field in fields(SceneObject))
    mapping = _mapping(entry, where, names, names)
    for name in names:
        accepted = (int, float) if hints[name] is float else hints[name]
        if not isinstance(mapping[name], accepted) or isinstance(mapping[name], bool):
            raise ConfigError(f"{where}: {name} is {mapping[name]!r}, expected {hints[name].__name__}")
    return SceneObject(**{name: hints[name](mapping[name]) for name in names})


def _mapping(value: object, where: str, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r}, expected a mapping with the keys {', '.join(known)}")
    for key in value:
        if key not in known:
            raise ConfigError(f"{where} has the unknown key {key!r}; known keys are {', '.join(known)}")
    for key in required:
        if key not in value:
            raise ConfigError(f"{where} lacks the key '{key}'; add it")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(f"{where} is {value!r}, expected a list; begin its entries with '- '")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where} is {value!r}, expected text; put it in quotes")
    return value


def _plain(value: SceneDescription | MachineNote) -> dict[str, Any]:
    """Return the fields in order, tuples as lists, so that YAML writes them without tags."""
    return {key: list(entry) if isinstance(entry, tuple) else entry for key, entry in asdict(value).items()}
