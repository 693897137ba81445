"""The configuration room: a YAML file and the environment become one frozen, checked `Config`."""
