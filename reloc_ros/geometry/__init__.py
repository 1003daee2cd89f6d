"""Rotations, rigid transforms, alignment and covariance: float64 numpy, no state."""
