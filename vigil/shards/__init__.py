"""Cameras split over several processes, for more of them than the Python of one can follow."""
