# The command line in a container: restore, probe, report, play, rip and encode, with the bundled models and FFmpeg.
#
#   docker build --tag keras-audiosr .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/music" keras-audiosr restore song.mp3
#
# Nothing in this repository's CI builds this file: it was written and its steps were run without Docker. A test
# (tests/test_dockerfile.py) checks its instructions and that the files it copies exist.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml setup.cfg setup.py README.md LICENSE ./
COPY requirements/reference.txt requirements/
COPY keras_audiosr keras_audiosr
COPY exported_models exported_models
# The versions that the tests run with. Their hashes are left out, as pip wants one for this folder too then.
RUN sed -n 's/^\([A-Za-z0-9_.-]*==[^ ;\\]*\).*/\1/p' requirements/reference.txt > pins.txt \
 && python -m venv /opt/keras_audiosr \
 && /opt/keras_audiosr/bin/pip install --no-cache-dir --disable-pip-version-check --constraint pins.txt .

FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/keras_audiosr /opt/keras_audiosr
RUN useradd --create-home --uid 1000 music
USER music
ENV PATH=/opt/keras_audiosr/bin:$PATH
# Songs are mounted here.
WORKDIR /music
ENTRYPOINT ["keras-audiosr"]
CMD ["--help"]
