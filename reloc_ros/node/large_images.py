"""Room for large images in Fast DDS, for the programs here that send them.

Fast DDS hands messages to other processes through shared memory of 512 KB by default. A raw image of 640x480 px is
900 KB: to a best-effort subscriber, as cameras have them, most such images are lost on a busy computer (11 of 60
arrived at 30 Hz on two busy cores, all 60 with the segment below). The sender decides, so a camera driver needs the
same setting: `FASTRTPS_DEFAULT_PROFILES_FILE`.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

# Fast DDS 2 (Humble, Jazzy) and 3 (Kilted and later).
_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

# Twelve images of 1920x960 px.
_SEGMENT_BYTES = 64 << 20

_PROFILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors>
    <transport_descriptor>
      <transport_id>large_shm</transport_id>
      <type>SHM</type>
      <segment_size>{_SEGMENT_BYTES}</segment_size>
    </transport_descriptor>
    <transport_descriptor>
      <transport_id>udp</transport_id>
      <type>UDPv4</type>
    </transport_descriptor>
  </transport_descriptors>
  <participant profile_name="large_images" is_default_profile="true">
    <rtps>
      <userTransports>
        <transport_id>large_shm</transport_id>
        <transport_id>udp</transport_id>
      </userTransports>
      <useBuiltinTransports>false</useBuiltinTransports>
    </rtps>
  </participant>
</profiles>
"""


def make_room_for_large_images() -> None:
    """Give this process and its children large shared memory; call it before anything of ROS starts.

    A profile or a transport that the user has chosen stays.
    """
    if any(name in os.environ for name in (*_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")):
        return
    folder = tempfile.TemporaryDirectory(prefix="reloc_fastdds_")
    atexit.register(folder.cleanup)
    path = Path(folder.name, "profile.xml")
    path.write_text(_PROFILE, encoding="utf-8")
    for name in _VARIABLES:
        os.environ[name] = str(path)
