# Trains, prunes, exports and proves, too: all extras. torch without CUDA, which edgekit does not use; to have PyPI's,
# --build-arg TORCH=https://pypi.org/simple
#
#   docker build -f docker/make.Dockerfile -t edgekit:make .
#   docker run --rm -v "$PWD:/work" -u "$(id -u):$(id -g)" edgekit:make export mobilenetv2 --int8 --target tflite
FROM python:3.11-slim-bookworm AS build
ARG TORCH=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY . .
# torch alone from its index: the rest comes from PyPI, in the versions that were tested together
RUN python -m venv /opt/edgekit \
 && /opt/edgekit/bin/pip install --no-cache-dir --no-deps --constraint constraints.txt --index-url "$TORCH" torch torchvision \
 && /opt/edgekit/bin/pip install --no-cache-dir --constraint constraints.txt ".[all]"

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 edgekit
COPY --from=build /opt/edgekit /opt/edgekit
# the hub's weights and what torch compiles want a home that every user can write to
ENV PATH=/opt/edgekit/bin:$PATH HOME=/tmp
USER 1000
WORKDIR /work
ENTRYPOINT ["edgekit"]
CMD ["--help"]
