// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"path"
	"strings"
)

// A place is what a cgroup's path tells: whose the processes below it are.
type place struct {
	container     string // the engine's ID, or the plain name that runc was given
	kind          string // docker, containerd, cri-o, podman; "" where the path does not tell
	containerPath string // the cgroup that is the container
	pod, qos      string
	podPath       string
	service       string // systemd unit
	unit          string // the unit, and the user manager that runs it
}

// placeOf reads a normalised path from the top: what lies inside replaces
// what lies outside (docker in docker, a kubelet in a container).
//
//	/kubepods/burstable/pod0d39…/8f6a…
//	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0d39….slice/cri-containerd-8f6a….scope
//	/system.slice/docker-8f6a….scope
//	/system.slice/nginx.service
func placeOf(cgroup string) place {
	var p place
	elems := strings.Split(strings.Trim(cgroup, "/"), "/")
	for i, el := range elems {
		here := "/" + strings.Join(elems[:i+1], "/")
		slice, rest, joined := strings.Cut(el, ":")
		if uid, qos, ok := podElement(slice, elems[:i]); ok {
			p = place{pod: uid, qos: qos, podPath: here}
		}
		switch {
		case joined:
			p.joinedContainer(rest, here)
		case strings.HasSuffix(el, ".service"):
			p.enterService(el)
		default:
			p.enterContainer(el, here, elems[:i])
		}
	}
	return p
}

// podElement recognises a pod's cgroup below the kubelet's: podUID with the
// cgroupfs driver, kubepods[-qos]-podUID.slice with systemd's, where dashes
// became underscores. A cluster in a container (kind) prefixes both.
func podElement(el string, above []string) (uid, qos string, ok bool) {
	if name, isSlice := strings.CutSuffix(el, ".slice"); isSlice {
		at := strings.LastIndex(name, "kubepods-")
		if at < 0 {
			return "", "", false
		}
		rest := name[at+len("kubepods"):]
		class, uid, found := strings.Cut(rest, "-pod")
		if !found || uid == "" {
			return "", "", false
		}
		return strings.ReplaceAll(uid, "_", "-"), qosClass(strings.TrimPrefix(class, "-")), true
	}
	uid, ok = strings.CutPrefix(el, "pod")
	if !ok || uid == "" || len(above) == 0 {
		return "", "", false
	}
	last := above[len(above)-1]
	if last == "kubepods" {
		return uid, qosClass(""), true
	}
	if len(above) > 1 && above[len(above)-2] == "kubepods" && (last == "burstable" || last == "besteffort") {
		return uid, qosClass(last), true
	}
	return "", "", false
}

func qosClass(s string) string {
	switch s {
	case "burstable":
		return "Burstable"
	case "besteffort":
		return "BestEffort"
	}
	return "Guaranteed"
}

// engines names what puts a prefix before a container's ID.
var engines = []struct{ prefix, kind string }{
	{"cri-containerd", "containerd"},
	{"nerdctl", "containerd"},
	{"docker", "docker"},
	{"crio", "cri-o"},
	{"libpod-payload", "podman"},
	{"libpod", "podman"},
}

// parents names the cgroups in which engines create containers by plain ID.
var parents = map[string]string{
	"docker":        "docker",
	"libpod_parent": "podman",
	"k8s.io":        "containerd",
	"default":       "containerd",
}

func (p *place) enterContainer(el, here string, above []string) {
	parent := "/" + strings.Join(above, "/")
	name := strings.TrimSuffix(el, ".scope")
	if strings.Contains(name, "conmon") { // CRI-O's and podman's monitor, beside the container
		return
	}
	inPod := p.pod != "" && p.podPath == parent
	for _, e := range engines {
		id, ok := strings.CutPrefix(name, e.prefix+"-")
		if ok && (isEngineID(id) || inPod) {
			p.setContainer(id, e.kind, here)
			return
		}
	}
	if isEngineID(name) {
		p.setContainer(name, parents[path.Base(parent)], here)
		return
	}
	unit := name != el || strings.HasSuffix(el, ".slice")
	// runc keeps the plain ID that it was given, and so does ctr.
	if inPod && !unit {
		p.setContainer(name, "", here)
	} else if parent == "/default" && !unit {
		p.setContainer(name, "containerd", here)
	}
}

// joinedContainer reads what containerd makes of slice:prefix:id when the
// kubelet uses systemd's driver and containerd does not.
func (p *place) joinedContainer(rest, here string) {
	prefix, id, ok := strings.Cut(rest, ":")
	if !ok || id == "" {
		return
	}
	for _, e := range engines {
		if prefix == e.prefix {
			p.setContainer(id, e.kind, here)
			return
		}
	}
}

func (p *place) setContainer(id, kind, here string) {
	p.container, p.kind, p.containerPath = id, kind, here
	p.service, p.unit = "", "" // the engine's own unit, not the workload's
}

// enterService notes a systemd unit. A user's manager is no service: what it
// runs in scopes are strangers to one another.
func (p *place) enterService(el string) {
	if strings.HasPrefix(el, "user@") {
		p.unit = el
		return
	}
	p.service = el
	if strings.HasPrefix(p.unit, "user@") {
		p.unit, _, _ = strings.Cut(p.unit, "/")
		p.unit += "/" + el
		return
	}
	p.unit = el
}

// engineIDLength is a SHA-256 in hexadecimal, as all engines name containers.
const engineIDLength = 64

func isEngineID(s string) bool {
	if len(s) != engineIDLength {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
