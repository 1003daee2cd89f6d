from __future__ import annotations

import pytest

from reloc_ros.datasets.bag_topics import BagTopics
from reloc_ros.errors import DatasetError

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO, POSE = "sensor_msgs/msg/CameraInfo", "geometry_msgs/msg/PoseStamped"
AMCL, ODOM, TF = "geometry_msgs/msg/PoseWithCovarianceStamped", "nav_msgs/msg/Odometry", "tf2_msgs/msg/TFMessage"

DRIVE = {
    "/camera/image": IMAGE,
    "/camera/camera_info": INFO,
    "/odom": ODOM,
    "/tf": TF,
    "/tf_static": TF,
    "/ground_truth": POSE,
}


def test_a_drive_needs_no_options() -> None:
    assert BagTopics.choose(DRIVE, {}) == BagTopics(
        image="/camera/image", camera_info="/camera/camera_info", pose="/ground_truth"
    )


@pytest.mark.parametrize(("absent", "pose"), [(["/ground_truth"], "/odom"), (["/ground_truth", "/odom"], "/tf")])
def test_what_gives_the_pose_when_the_better_is_absent(absent: list[str], pose: str) -> None:
    types = {topic: kind for topic, kind in DRIVE.items() if topic not in absent}
    assert BagTopics.choose(types, {}).pose == pose


def test_the_raw_image_comes_before_its_compressed_copy() -> None:
    types = {"/camera/image/compressed": COMPRESSED, **DRIVE}
    assert BagTopics.choose(types, {}).image == "/camera/image"
    del types["/camera/image"]
    topics = BagTopics.choose(types, {})
    assert (topics.image, topics.camera_info) == ("/camera/image/compressed", "/camera/camera_info")


def test_the_camera_info_beside_the_image() -> None:
    types = {"/right/image": IMAGE, "/right/camera_info": INFO, **DRIVE}
    topics = BagTopics.choose(types, {"image": "/right/image"})
    assert topics.camera_info == "/right/camera_info"
    assert BagTopics.choose(types, {"image": "/right/image", "camera_info": "/camera/camera_info"}).camera_info == (
        "/camera/camera_info"
    )


def test_a_camera_file_replaces_the_topic() -> None:
    assert BagTopics.choose(DRIVE, {"camera": "camera.json"}).camera_info is None
    with pytest.raises(DatasetError, match="exclude each other"):
        BagTopics.choose(DRIVE, {"camera": "camera.json", "camera_info": "/camera/camera_info"})


@pytest.mark.parametrize(
    ("extra", "role"),
    [
        ({"/left/image": IMAGE}, "image"),
        ({"/other_truth": POSE}, "pose"),
        ({"/amcl_pose": AMCL}, "pose"),
    ],
)
def test_ambiguity_lists_the_topics(extra: dict[str, str], role: str) -> None:
    with pytest.raises(DatasetError, match=rf"2 topics could be the {role} .*choose with \?{role}=TOPIC") as error:
        BagTopics.choose({**DRIVE, **extra}, {})
    assert all(topic in str(error.value) for topic in (*DRIVE, *extra))


@pytest.mark.parametrize(("role", "kinds"), [("image", [IMAGE]), ("camera_info", [INFO]), ("pose", [POSE, ODOM, TF])])
def test_absence_lists_the_topics(role: str, kinds: list[str]) -> None:
    types = {topic: kind for topic, kind in DRIVE.items() if kind not in kinds}
    with pytest.raises(DatasetError, match=f"0 topics could be the {role}"):
        BagTopics.choose(types, {})


@pytest.mark.parametrize("role", ["image", "camera_info", "pose"])
def test_named_topics_must_exist_and_fit(role: str) -> None:
    with pytest.raises(DatasetError, match=rf"{role}=/nowhere is not in the bag.*/camera/image"):
        BagTopics.choose(DRIVE, {role: "/nowhere"})
    wrong = "/odom" if role != "pose" else "/camera/image"
    with pytest.raises(DatasetError, match=rf"{role}={wrong} is .*expected one of"):
        BagTopics.choose(DRIVE, {role: wrong})
