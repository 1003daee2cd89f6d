"""How good the poses are: errors, rates, calibration and latency over a data set, and the report about them."""
