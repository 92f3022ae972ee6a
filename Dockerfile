# The project's images, one target each: operator (also the agent and the command line), converter, converter-torch (several GB,
# for pools whose models are trained, or were saved by torch), triton-cpu, store.
# Packages lie in layers of their own below the code, so that a change of the code makes one small new layer.
# BASE_IMAGE is any Debian 12; every Python package is pinned by hash in requirements/.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE} AS base
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates libpython3.11 libstdc++6 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
# ONNX Runtime sends usage data to its makers unless told not to.
ENV ORT_DISABLE_TELEMETRY=1

FROM base AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
COPY requirements/uv.txt /requirements/
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes -r /requirements/uv.txt
COPY --chmod=755 images/install /opt/uv/install

FROM build AS code
COPY operator/tightship /opt/tightship/tightship
COPY --chmod=755 images/operator/tightship /opt/tightship/bin/tightship
RUN python3 -m compileall -q /opt/tightship/tightship

FROM base AS python
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
RUN python3 -m venv --without-pip /opt/venv
ENV PATH=/opt/tightship/bin:/opt/venv/bin:/usr/bin:/bin PYTHONPATH=/opt/tightship PYTHONUNBUFFERED=1
ENTRYPOINT ["tightship"]

# The packages are installed in the image's own line, not copied into it: a build engine reads what it copies, each time.
FROM python AS operator
COPY requirements/operator.txt /opt/venv-requirements.txt
RUN --mount=type=bind,from=build,source=/opt/uv,target=/opt/uv /opt/uv/install --python /opt/venv -r /opt/venv-requirements.txt
COPY --from=code /opt/tightship /opt/tightship
USER 1000:1000

FROM python AS converter-packages
COPY requirements/converter.txt /opt/venv-requirements.txt
RUN --mount=type=bind,from=build,source=/opt/uv,target=/opt/uv /opt/uv/install --python /opt/venv -r /opt/venv-requirements.txt
# scikit-learn's models are read by the version that saved them: 1.6 or newer may be named, and is not pinned by hash.
ARG SCIKIT_LEARN=
RUN --mount=type=bind,from=build,source=/opt/uv,target=/opt/uv test -z "$SCIKIT_LEARN" \
 || UV_NO_CACHE=1 UV_SYSTEM_CERTS=1 /opt/uv/bin/uv pip install --quiet --python /opt/venv --no-deps "scikit-learn==$SCIKIT_LEARN"

FROM converter-packages AS converter
COPY --from=code /opt/tightship /opt/tightship
USER 1000:1000

FROM converter-packages AS converter-torch
COPY requirements/torch.txt /opt/torch-requirements.txt
# torch comes with a compiler of kernels for GPUs, a ninth of all bytes; training is on processors, and does without.
RUN --mount=type=bind,from=build,source=/opt/uv,target=/opt/uv /opt/uv/install --python /opt/venv -r /opt/torch-requirements.txt \
 && /opt/uv/bin/uv pip uninstall --quiet --python /opt/venv triton
COPY --from=code /opt/tightship /opt/tightship
USER 1000:1000

# A real Triton from a Python wheel, for CI and laptops. GPU pools use NVIDIA's own image: the folders are the same.
FROM build AS triton-packages
COPY requirements/triton.txt /requirements/
RUN /opt/uv/install --python /usr/bin/python3 --target /opt/triton --no-deps -r /requirements/triton.txt
COPY images/triton-cpu /images/triton-cpu
RUN python3 /images/triton-cpu/assemble.py /opt/triton && python3 -m compileall -q /opt/triton/pytriton/tritonserver/backends

FROM base AS triton-cpu
COPY --from=triton-packages /opt/triton /opt/triton
RUN ln -s /opt/triton/pytriton/tritonserver /opt/tritonserver
ENV PATH=/opt/tritonserver/bin:/usr/bin:/bin
USER 1000:1000
CMD ["tritonserver"]

# An S3 server over a folder, for tests and the demo. The build context `tools` holds the command.
FROM scratch AS store
COPY --from=tools versitygw /usr/local/bin/versitygw
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/versitygw"]
