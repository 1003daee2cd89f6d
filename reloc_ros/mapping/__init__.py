"""From a recorded drive to a bundle with a verdict, stage by stage."""
