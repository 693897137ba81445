"""From camera to frame: sources, decoding, and one capture thread per camera. Only importer of `av`."""
