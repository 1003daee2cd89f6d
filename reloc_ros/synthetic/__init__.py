"""A furnished world to drive through: meshes, rendering for any camera, robot trajectories and bags."""
