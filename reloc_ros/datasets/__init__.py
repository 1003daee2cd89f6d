"""Data sets on disk: images with the pose and the camera of each."""
