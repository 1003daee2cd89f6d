"""The words that scenes are described with.

Movable things are in the vocabulary so that they can win the patches they cover, which are then thrown away: without
them a person would be called by the name of the most similar piece of furniture.
"""

from __future__ import annotations

TEMPLATES = ("a photo of a {}.", "a photo of the {}.", "a cropped photo of a {}.", "a {} in a scene.")
"""Prompts that a name is put into; their text features are averaged (Radford et al. 2021, section 3.1.4)."""

SCENE_LABELS = (
    *("kitchen", "office", "living room", "bedroom", "bathroom", "dining room", "corridor", "staircase", "classroom"),
    *("meeting room", "hospital corridor", "hospital room", "laboratory", "workshop", "warehouse", "factory hall"),
    *("library", "shop", "restaurant", "lobby", "elevator hall", "garage", "parking lot", "street", "alley", "square"),
    *("courtyard", "garden", "park", "forest", "church", "train station"),
)

OBJECTS = (
    # The shell of a building.
    *("wall", "floor", "ceiling", "window", "door", "glass door", "doorway", "column", "beam", "staircase", "railing"),
    *(
        "elevator door",
        "tiled wall",
        "brick wall",
        "wooden floor",
        "carpet",
        "skylight",
        "radiator",
        "air duct",
        "pipe",
    ),
    *("ceiling lamp", "wall lamp", "exit sign", "fire extinguisher", "light switch", "power socket", "notice board"),
    # Furniture that stays.
    *("table", "desk", "kitchen counter", "kitchen cabinet", "cupboard", "wardrobe", "shelf", "bookshelf", "sofa"),
    *("armchair", "bed", "bench", "chest of drawers", "filing cabinet", "workbench", "locker", "reception desk"),
    *("curtain", "window blind", "mirror", "painting", "poster", "whiteboard", "blackboard", "projector screen"),
    # Machines that are built in.
    *("refrigerator", "oven", "stove", "microwave", "dishwasher", "sink", "faucet", "range hood", "coffee machine"),
    *("washing machine", "bathtub", "shower", "toilet", "fireplace", "television", "computer monitor", "printer"),
    *("server rack", "vending machine", "telephone", "clock", "floor lamp", "desk lamp", "hospital bed", "handrail"),
    *("conveyor belt", "pallet rack", "control panel", "electrical cabinet", "piano", "aquarium", "potted plant"),
    # Outdoors.
    *("building", "house", "tower", "church", "dome", "arch", "gate", "facade", "roof", "chimney", "balcony"),
    *("shop window", "shop sign", "street lamp", "traffic light", "traffic sign", "bollard", "fence", "hedge", "tree"),
    *("lawn", "flower bed", "fountain", "statue", "monument", "stone wall", "pavement", "road", "crosswalk", "bridge"),
    *("railway track", "bus stop", "letter box", "fire hydrant", "power pole", "bicycle stand", "park bench", "mural"),
)
"""What stays where it is for months: may stand in a description."""

MOVABLE = (
    *("person", "crowd of people", "child", "hand", "face", "dog", "cat", "bird", "car", "van", "bus", "truck"),
    *(
        "motorcycle",
        "bicycle",
        "scooter",
        "stroller",
        "wheelchair",
        "trolley",
        "robot",
        "chair",
        "office chair",
        "stool",
    ),
    *(
        "bag",
        "backpack",
        "suitcase",
        "coat",
        "shoe",
        "umbrella",
        "bottle",
        "cup",
        "plate",
        "food",
        "laptop",
        "keyboard",
    ),
    *("computer mouse", "mobile phone", "book", "paper", "cardboard box", "toy", "towel", "trash can", "cloud", "sky"),
    *("shadow",),
)
"""What comes and goes: scored with the objects, never part of a description."""

LEFT, RIGHT, ABOVE, BELOW, BESIDE = "left of", "right of", "above", "below", "beside"
RELATIONS = (LEFT, RIGHT, ABOVE, BELOW, BESIDE)

IN_THE_MIDDLE = "in the middle"
PLACES = (IN_THE_MIDDLE, "on the left", "on the right", "at the top", "at the bottom")
