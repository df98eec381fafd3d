// SPDX-License-Identifier: Apache-2.0

package catalog

import "regexp"

const (
	// containerIDLength is that of a SHA-256 in hexadecimal, as all container
	// runtimes name containers.
	containerIDLength = 64
	// shortContainer is how much of a container's ID people read, as docker ps
	// prints it.
	shortContainer = 12
	// shortPod is how much of a pod's UID stands for its name: up to the first
	// dash.
	shortPod = 8
)

// IsContainerID reports whether s is the full ID of a container, and not a name.
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

// ShortContainerID returns the part of a container's ID that stands for the
// container in texts and labels.
func ShortContainerID(id string) string { return id[:min(shortContainer, len(id))] }

// ShortPodUID returns the part of a pod's UID that stands for the pod in labels.
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
