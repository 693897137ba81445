"""What vigil says on MQTT, for machines: JSON Schemas of payloads, topics, an AsyncAPI document."""
