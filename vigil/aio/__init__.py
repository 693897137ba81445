"""Where threads and the event loop meet: the slot, the bus, named tasks and daemon threads. Stdlib only."""
