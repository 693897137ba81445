# syntax=docker/dockerfile:1
# docker build -t vigil .
# docker run -d -v ./vigil.yaml:/etc/vigil/vigil.yaml:ro -v vigil:/var/lib/vigil -p 8080:8080 vigil

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/vigil
# The dependencies first, by themselves: a change of the code then rebuilds seconds, not minutes.
COPY pyproject.toml README.md LICENSE ./
COPY vigil/__init__.py vigil/__init__.py
COPY config config
RUN --mount=type=cache,target=/root/.cache/pip /opt/vigil/bin/pip install --disable-pip-version-check .
COPY vigil vigil
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/vigil/bin/pip install --disable-pip-version-check --no-deps --force-reinstall .
# Weights to bake in: names of `vigil models list`, or nothing (--build-arg WEIGHTS=) to fetch them at the first
# start. yolo11n is AGPL-3.0: whoever passes an image with it on has to honour that.
ARG WEIGHTS=yolo11n
RUN mkdir -p /opt/vigil/weights \
    && for name in $WEIGHTS; do VIGIL_CACHE=/opt/vigil/weights /opt/vigil/bin/vigil models pull "$name" || exit 1; done

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/vigil --create-home --groups video vigil
COPY --from=build /opt/vigil /opt/vigil
ENV PATH=/opt/vigil/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VIGIL_ASSETS=/opt/vigil/weights \
    VIGIL_CACHE=/var/lib/vigil/cache \
    VIGIL_HTTP__HOST=0.0.0.0
USER vigil
WORKDIR /var/lib/vigil
VOLUME /var/lib/vigil
# The embedded broker, on 1883, listens on 127.0.0.1 unless `mqtt.embedded` has a `host` and `users`.
EXPOSE 8080 1883
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('VIGIL_HTTP__PORT', '8080') + '/health', timeout=4)"]
# SIGTERM ends vigil in order, within ten seconds.
ENTRYPOINT ["vigil"]
CMD ["run", "-c", "/etc/vigil/vigil.yaml"]
