#!/bin/sh
# Installs the Chromium that the browser tests drive, where that can be done without asking.
# Never fails: without a browser those tests are skipped and name the reason.

find_browser() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" && return
  done
  return 1
}

find_browser >/dev/null && exit 0

if ! command -v apt-get >/dev/null; then
  echo "No Chromium here: the browser tests will be skipped. Install Chromium or Chrome to run them." >&2
  exit 0
fi
if [ "$(id -u)" = 0 ]; then
  as_root=
elif sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  echo "No Chromium here: the browser tests will be skipped. To run them: sudo apt-get install chromium" >&2
  exit 0
fi

echo "Installing Chromium for the browser tests"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq >/dev/null
$as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-liberation >/dev/null
find_browser >/dev/null || echo "Chromium could not be installed: the browser tests will be skipped." >&2
