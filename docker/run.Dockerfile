# Runs, times, proves, gates and inspects files; no torch.
#
#   docker build -f docker/run.Dockerfile -t edgekit:run .
#   docker run --rm --network none -v "$PWD:/work" -u "$(id -u):$(id -g)" edgekit:run verify build/mobilenetv2-tflite-int8
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/edgekit \
 && /opt/edgekit/bin/pip install --no-cache-dir --constraint constraints.txt ".[run-tflite,run-onnx,run-openvino]"

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 edgekit
COPY --from=build /opt/edgekit /opt/edgekit
ENV PATH=/opt/edgekit/bin:$PATH
USER 1000
WORKDIR /work
ENTRYPOINT ["edgekit"]
CMD ["--help"]
