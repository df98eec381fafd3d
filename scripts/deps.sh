#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the named lists ask for and that are
# missing. A line is a package, or COMMAND:PACKAGE for what may also have come
# another way. Needs root only if something is missing.
set -eu
missing=
for want in $(cat "$@" | sed 's/#.*//'); do
	case $want in
	*:*) command -v "${want%%:*}" >/dev/null || missing="$missing ${want#*:}" ;;
	*) dpkg-query -W -f '${Status}' "$want" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $want" ;;
	esac
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

# Debian starts a server when it installs one. Nobody asked for that here, so it
# is forbidden for as long as the installation takes, unless the host has a
# policy of its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$sudo rm -f $policy' EXIT
	trap 'exit 130' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
