# A server of one compiled artifact. See docs/howto/serve.md.
#   docker build --build-arg PROGRAM=triage.lmpc -t triage .
#   docker run -p 8000:8000 -e LMC_SERVE_KEYS=team:$(openssl rand -hex 24) -v jobs:/data triage
# Models behind a server need no torch. For models that run here: --build-arg EXTRAS=serve,mcp,local

FROM python:3.13-slim AS build
WORKDIR /src
COPY constraints.txt .
RUN pip install --no-cache-dir --constraint constraints.txt build
COPY . .
RUN python -m build --wheel --outdir /wheels

FROM python:3.13-slim
ARG EXTRAS=serve,mcp
ARG PROGRAM
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN wheel=$(ls /wheels/*.whl) \
    && pip install --no-cache-dir --constraint /wheels/constraints.txt "${wheel}[${EXTRAS}]" \
    && rm -r /wheels \
    && useradd --create-home --uid 10001 lmc \
    && install --directory --owner lmc /data /programs
WORKDIR /programs
COPY --chown=lmc ${PROGRAM} ./
# A number, so that a cluster can see that it is not root.
USER 10001
ENV LMC_CACHE_DIR=/data/cache PYTHONUNBUFFERED=1
# Accepted jobs and paid answers survive the container.
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
# Without keys in LMC_SERVE_KEYS it does not start.
ENTRYPOINT ["lmc", "serve", "/programs", "--host", "0.0.0.0", "--jobs", "/data/jobs.db"]
