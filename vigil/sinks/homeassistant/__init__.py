"""Home Assistant's MQTT discovery: cameras, sensors and switches that it finds by itself."""
