"""From one frame to a pose or a named reason why there is none; read `localizer` first."""
