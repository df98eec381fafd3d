#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the named lists ask for, one a line, if any
# is missing. Needs root only then.
set -eu
wanted=$(cat "$@" | sed 's/#.*//' | xargs)
missing=
for p in $wanted; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# A package that starts a service must not take the port that a test wants.
# shellcheck disable=SC2086 # a list of words
RUNLEVEL=1 $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
