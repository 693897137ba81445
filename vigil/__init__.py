"""vigil: many cameras, one shared batched detector, results over MQTT, HTTP and Prometheus."""

__version__ = "0.1.0"
