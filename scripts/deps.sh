#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs missing Debian packages of the given lists. A line is a package, or
# COMMAND:PACKAGE if the command can also be installed in another way. Needs root
# only if a package is missing.
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

# Debian starts a server when its package is installed. Prevent that during the
# installation, unless the host has its own policy.
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
