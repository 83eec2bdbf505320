# syntax=docker/dockerfile:1
# Two images of one source. `server` runs the API, the migrations and the reaper, without torch;
# `worker` trains. Build one with `docker build --target server --tag relora-server .`

# By name, or by digest as a release pins them.
ARG PYTHON_IMAGE=python:3.11-slim
ARG NODE_IMAGE=node:22-slim

# Python's own image for both: torch's wheels carry the CUDA libraries that they were built with,
# so a CUDA base image would only add a second copy. The node gives the driver.
FROM ${PYTHON_IMAGE} AS base
ENV PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
# tini is process 1 of the server: it passes signals on and reaps orphans.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# A number, since Kubernetes can't tell from a name that it is not root. All that a process
# writes is below its home, the data folder.
ENV HOME=/var/lib/relora \
    RELORA_DATA_DIR=/var/lib/relora
RUN groupadd --gid 10001 relora \
    && useradd --uid 10001 --gid relora --home-dir "$HOME" --create-home --no-log-init relora
WORKDIR /build

# The page that the server shows. Only the built files go on: no image has Node.
FROM ${NODE_IMAGE} AS dashboard
WORKDIR /build/dashboard
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY dashboard .
RUN npm run build

FROM base AS wheel
COPY requirements/build.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes --requirement build.txt
COPY . .
COPY --from=dashboard /build/service/dashboard service/dashboard
RUN pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
    && pip install --no-deps --root /installed /wheels/*.whl

# Packages whose hashes are known, and those alone, in layers that a change of the source leaves as
# they are. The project comes last. All of it is copied, not mounted: some builders don't see that a
# mounted file has changed.
FROM base AS server
COPY requirements/server.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes --requirement server.txt
COPY --from=wheel /installed /
RUN pip check
USER 10001:10001
# Empty, and nobody may write there: no name is looked up among the data.
WORKDIR /var/empty/relora
EXPOSE 8000
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "service.server", "--host", "0.0.0.0", "--port", "8000"]
# Of the API. Kubernetes has probes of its own; compose.yaml sets those of the other processes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
LABEL org.opencontainers.image.title="relora-server" \
      org.opencontainers.image.description="Pretrain language models with ReLoRA" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM base AS worker
# torch.compile writes C++ and triton C, for the machine they find themselves on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# torch with its CUDA libraries in a layer of its own. TORCH_INDEX is where other builds of torch
# are; `make requirements` with the same index writes their hashes into requirements/torch.txt.
ARG TORCH_INDEX=
COPY requirements/torch.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    PIP_EXTRA_INDEX_URL="$TORCH_INDEX" pip install --require-hashes --requirement torch.txt
COPY requirements/worker.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes --requirement worker.txt
COPY --from=wheel /installed /
RUN pip check
USER 10001:10001
WORKDIR /var/empty/relora
# In place of tini, whose environment a trainer could read.
ENTRYPOINT ["python", "-m", "worker.init"]
CMD ["celery", "--app", "worker.tasks", "worker", "--loglevel", "info"]
HEALTHCHECK --interval=60s --timeout=10s --start-period=600s \
    CMD ["sh", "-c", "test \"$(find /var/lib/relora/worker.alive -mmin -10)\""]
LABEL org.opencontainers.image.title="relora-worker" \
      org.opencontainers.image.description="Pretrain language models with ReLoRA" \
      org.opencontainers.image.licenses="Apache-2.0"
