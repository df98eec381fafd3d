// SPDX-License-Identifier: Apache-2.0

package catalog

import "regexp"

const (
	// containerIDLength is the length of a SHA-256 in hexadecimal, which all container
	// runtimes use as container ID.
	containerIDLength = 64
	// shortContainer is the length of a short container ID, as docker ps prints it.
	shortContainer = 12
	// shortPod is the length of the part of a pod's UID that is shown instead of its
	// name: up to the first dash.
	shortPod = 8
)

// IsContainerID reports whether s is a full container ID and not a name.
func IsContainerID(s string) bool {
	if len(s) != containerIDLength {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ShortContainerID returns the short form of a container ID for texts and labels.
func ShortContainerID(id string) string { return id[:min(shortContainer, len(id))] }

// ShortPodUID returns the short form of a pod's UID for labels.
func ShortPodUID(uid string) string { return uid[:min(shortPod, len(uid))] }

// ShortContainerName returns the name of a container, shortened where it is a
// full ID because the name is not known.
func ShortContainerName(name string) string {
	if IsContainerID(name) {
		return ShortContainerID(name)
	}
	return name
}

// podUID matches UIDs with and without dashes: cgroups have both.
var podUID = regexp.MustCompile(`^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$`)

// ShortPodName returns the name of a pod, shortened where it is a UID because
// the name is not known.
func ShortPodName(name string) string {
	if podUID.MatchString(name) {
		return ShortPodUID(name)
	}
	return name
}
