# syntax=docker/dockerfile:1
# One image for all four services and the operator's command. The role is the argument:
#   docker run IMAGE services.scorer serve [--only api|consumer]
#   docker run IMAGE cli.main migrate
# docs/deploy.md says how it is built, signed off by digest, and what was tried.

# For a release give the digest too: --build-arg PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

# Every package that production needs, at the locked version and hash, from wheels only.
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv --without-pip /app/.venv
COPY requirements/runtime.txt /tmp/runtime.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /tmp/installer \
    && /tmp/installer/bin/pip --python /app/.venv/bin/python install \
        --require-hashes --only-binary :all: --compile -r /tmp/runtime.txt

# The product as bytecode beside its sources: the file system it runs on is read-only.
FROM packages AS product
COPY services /app/services
COPY shared /app/shared
COPY cli /app/cli
COPY deploy /app/deploy
RUN /app/.venv/bin/python -m compileall -q /app/services /app/shared /app/cli /app/deploy \
    && install -d -m 0755 /app/bin \
    && printf '%s\n' '#!/app/.venv/bin/python' 'from cli.main import main' 'main()' > /app/bin/closeloop \
    && chmod 0755 /app/bin/closeloop

FROM ${PYTHON_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Closeloop" \
      org.opencontainers.image.description="Survey answers to rolling scores, loyalty tiers and cases with a clock" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/app/bin:/app/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=product /app /app
WORKDIR /app
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8001 8002 8003 8004
# The services stop by themselves within ten seconds of it.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m"]
CMD ["cli.main", "--help"]
