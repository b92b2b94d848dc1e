#!/bin/sh
# Fills /opt/lipstage in a builder: `install.sh TARGET` its packages and its bill of materials, then
# `install.sh --sources` our code, which changes more often.
set -eu
environment=/opt/lipstage
site=$(echo "$environment"/lib/python3*/site-packages)
bill=$environment/share/sbom.cdx.json
unset_version=0+unset

if [ "$1" = --sources ]; then
  cp -R source/. "$site"
  install -m 0755 lipstage "$environment/bin/lipstage"
  version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' source/shared/__init__.py)
  sed -i "s/$unset_version/$version/" "$bill"
  # Copied files keep their modes: those of a checkout under umask 077 only root could read.
  chmod -R a+rX "$site/shared" "$site/stages" "$environment/share"
  # The root is read-only in use, so Python could never save the bytecode that makes a start fast.
  exec "$environment/bin/python" -m compileall -q -j 2 "$site/shared" "$site/stages"
fi

if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi
# Nothing is resolved here: the file is complete.
tools/bin/python -m pip --python "$environment/bin/python" install --quiet --no-deps --only-binary=:all: \
  --require-hashes -r requirements.txt
tools/bin/python prune.py "$site"
printf '[project]\nname = "lipstage-%s"\nversion = "%s"\n' "$1" "$unset_version" > pyproject.toml
tools/bin/python -W ignore -m cyclonedx_py environment "$environment/bin/python" --pyproject pyproject.toml \
  --mc-type application --output-reproducible --output-format JSON --output-file "$bill"
