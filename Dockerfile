# csq as an image: docker build -t csq . ; docker run -p 127.0.0.1:9464:9464 csq
# The build fetches what requirements.lock names and checks every hash; the image gets the part that csq needs to run.

FROM python:3.12.11-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock ./
RUN pip download --quiet --require-hashes --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY flows flows
COPY operators operators
COPY config config
RUN pip install --quiet --no-index --find-links /wheels hatchling \
    && pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.12.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    CSQ_HTTP__HOST=0.0.0.0 CSQ_HTTP__PORT=9464
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --quiet --no-index --find-links /wheels --no-cache-dir --disable-pip-version-check csq \
    && groupadd --system --gid 10001 csq \
    && useradd --system --uid 10001 --gid csq --no-create-home --home-dir /tmp csq \
    && install --directory --owner csq --group csq --mode 0700 /var/lib/csq
USER 10001:10001
WORKDIR /var/lib/csq
VOLUME /var/lib/csq
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "flows.host.web.probe"]
ENTRYPOINT ["csq"]
CMD ["run"]
