"""The bundle: one folder that holds everything a robot needs to localize in one map."""
