"""Topics in the form of Frigate's, for automations, blueprints and tools that already listen to those."""
