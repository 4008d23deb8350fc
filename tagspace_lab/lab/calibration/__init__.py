"""From a recorded run to a scenario that behaves like it. `calibration.py` is the map; read it first."""
