"""REST API, metrics and the web page. Only importer of `aiohttp.web`."""
