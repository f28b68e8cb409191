# A server of one program or compiled artifact. See docs/howto/serve.md.
#   docker build --build-arg PROGRAM=triage.lmpc -t triage .
# Models behind a server need no torch. For models that run here: --build-arg EXTRAS=serve,mcp,local

FROM python:3.13-slim AS build
# Where pip looks: a mirror, or --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu for a torch without CUDA.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG EXTRAS=serve,mcp
WORKDIR /src
# Only what the wheel is made of, so that nothing else of the folder gets into a layer.
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY grammars grammars
COPY optimizers optimizers
COPY programs programs
COPY lmc lmc
RUN python -m venv --without-pip /opt/lmc \
    && pip --python /opt/lmc install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"
ARG PROGRAM
# An empty name would copy the whole folder.
RUN test -n "${PROGRAM}" || { echo "no program: give --build-arg PROGRAM=FILE" >&2; exit 1; }
COPY ${PROGRAM} /programs/
# The server can read the program, whatever its mode was here, and cannot change it.
RUN chmod -R u=rwX,go=rX /programs

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 lmc && install --directory --owner lmc --mode 700 /data
COPY --from=build /opt/lmc /opt/lmc
COPY --from=build /programs /programs
WORKDIR /programs
# A number, so that a cluster can see that it is not root.
USER 10001
ENV PATH=/opt/lmc/bin:$PATH LMC_CACHE_DIR=/data/cache PYTHONUNBUFFERED=1
# Accepted jobs and paid answers survive the container.
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
# Without keys in LMC_SERVE_KEYS it does not start.
ENTRYPOINT ["lmc", "serve", "/programs", "--host", "0.0.0.0", "--jobs", "/data/jobs.db"]
