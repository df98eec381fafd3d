// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"math"
	"path"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
)

// A place is what a cgroup's path says about the processes in it.
type place struct {
	container     string // the engine's ID, or the plain name given to runc
	kind          string // docker, containerd, cri-o, podman; "" if the path does not say
	containerPath string // the cgroup of the container
	pod, qos      string
	podPath       string
	service       string // systemd unit: nginx.service, batch.slice/report.service, user@1000.service/sync.service
	unit          string // the unit, or the user manager of processes outside a unit
}

// owner returns the container or the unit, "" for neither. The name of a user's
// container includes the user: its ID may equal that of another container.
func (p place) owner() string {
	switch {
	case p.container != "" && strings.HasPrefix(p.service, userManager):
		return p.service + "/" + p.container
	case p.container != "":
		return p.container
	case p.service != "":
		return p.unit
	}
	return ""
}

// allTrusted trusts every cgroup as if root had created it.
const allTrusted = math.MaxInt

// placeOf parses a normalised path from the top: an inner container or service
// replaces an outer one (docker in docker, a kubelet in a container). A name counts
// only at the place where its manager creates such names: the owner of a subtree of
// cgroups can choose any names in it. trusted is the number of elements, from the
// top, that only root could create.
//
//	/kubepods/burstable/pod0d39…/8f6a…
//	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0d39….slice/cri-containerd-8f6a….scope
//	/system.slice/docker-8f6a….scope
//	/system.slice/nginx.service
func placeOf(cgroup string, trusted int) place {
	w := walk{inSlices: true}
	elems := strings.Split(strings.Trim(cgroup, "/"), "/")
	for i, el := range elems {
		here := "/" + strings.Join(elems[:i+1], "/")
		if !w.delegated && i >= trusted {
			w.delegated, w.inSlices = true, false
		}
		if w.delegated {
			w.enterDelegated(el, here)
		} else {
			w.enter(el, here, elems[:i])
		}
	}
	return w.place
}

// A walk is the state of parsing one path.
type walk struct {
	place
	slice     string // the innermost slice so far, "" at the top of a tree
	inSlices  bool   // all elements so far are slices, in this host or container: units can follow
	inService bool
	delegated bool   // the names are chosen by a user
	uid       string // of user-1000.slice
	user      string // the unit of the user's manager, user@1000.service
}

func (w *walk) enter(el, here string, above []string) {
	name, rest, joined := strings.Cut(el, ":")
	inSlices, slice := w.inSlices, w.slice
	w.inSlices = false
	if uid, qos, ok := podElement(name, above); ok && (joined || !w.inService) {
		w.place = place{pod: uid, qos: qos, podPath: here}
	}
	if uid, ok := userOf(el, "user-", ".slice"); ok {
		w.delegated, w.inSlices, w.uid = true, inSlices, uid
		return
	}
	switch {
	case joined:
		w.joinedContainer(rest, here)
	case strings.HasSuffix(el, ".slice"):
		w.slice, w.inSlices = el, inSlices && isBelow(el, slice)
	case strings.HasSuffix(el, ".service"):
		w.inService = true
		if inSlices && slice != "" {
			w.enterService(el, slice)
		}
	case isMachine(el, above):
		w.slice, w.inSlices, w.inService = "", true, false
	default:
		w.enterContainer(el, here, above)
		if w.containerPath == here { // the container may have managers of its own
			w.slice, w.inSlices, w.inService = "", true, false
		}
	}
}

// enterDelegated accepts, in a user's cgroups, only names that it attributes to the
// user: units of the user's manager, and containers of an engine that the user
// runs.
func (w *walk) enterDelegated(el, here string) {
	inSlices := w.inSlices
	w.inSlices = inSlices && strings.HasSuffix(el, ".slice")
	if !inSlices {
		return
	}
	if w.user == "" {
		if uid, ok := userOf(el, userManager, ".service"); ok && uid == w.uid {
			w.user, w.unit, w.inSlices = el, el, true
		}
		return
	}
	if strings.HasSuffix(el, ".service") {
		w.service = w.user + "/" + el
		w.unit = w.service
		return
	}
	for _, e := range engines {
		id, ok := strings.CutPrefix(strings.TrimSuffix(el, ".scope"), e.prefix+"-")
		if ok && catalog.IsContainerID(id) {
			w.setContainer(id, e.kind, here)
			w.service, w.unit = w.user, w.user
			return
		}
	}
}

// userManager is the prefix of the unit that runs a user's units.
const userManager = "user@"

// userOf returns the user ID in a name that systemd creates for a user:
// user-1000.slice, user@1000.service.
func userOf(el, prefix, suffix string) (uid string, ok bool) {
	uid, begins := strings.CutPrefix(el, prefix)
	uid, ends := strings.CutSuffix(uid, suffix)
	return uid, begins && ends && uid != "" && strings.Trim(uid, "0123456789") == ""
}

// isBelow reports whether systemd puts a slice at this place: a-b.slice is in
// a.slice, and a.slice at the top.
func isBelow(slice, outer string) bool {
	name := strings.TrimSuffix(slice, ".slice")
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return outer == ""
	}
	return outer == name[:dash]+".slice"
}

// isMachine recognises the places where LXC and systemd-nspawn put the systemd of a
// container without an ID.
func isMachine(el string, above []string) bool {
	if strings.HasPrefix(el, "lxc.payload.") {
		return true
	}
	last := ""
	if len(above) > 0 {
		last = above[len(above)-1]
	}
	return last == "lxc" || el == "payload" && (strings.HasPrefix(last, "machine-") || strings.HasPrefix(last, "systemd-nspawn@"))
}

// podElement recognises the cgroup of a pod below that of the kubelet: podUID with
// the cgroupfs driver, kubepods[-qos]-podUID.slice with the systemd driver, which
// replaces dashes by underscores. A cluster in a container (kind) prefixes both,
// and so does the kubelet's --cgroup-root.
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

// engines maps the prefix of a container's ID to the engine that writes it.
var engines = []struct{ prefix, kind string }{
	{"cri-containerd", "containerd"},
	{"nerdctl", "containerd"},
	{"docker", "docker"},
	{"crio", "cri-o"},
	{"libpod-payload", "podman"},
	{"libpod", "podman"},
}

// parents maps the cgroups in which engines create containers with plain IDs to
// these engines.
var parents = map[string]string{
	"docker":        "docker",
	"libpod_parent": "podman",
	"k8s.io":        "containerd",
	"default":       "containerd",
}

func (p *place) enterContainer(el, here string, above []string) {
	parent := "/" + strings.Join(above, "/")
	name := strings.TrimSuffix(el, ".scope")
	if strings.Contains(name, "conmon") { // the monitor of CRI-O and podman, next to the container
		return
	}
	inPod := p.pod != "" && p.podPath == parent
	for _, e := range engines {
		id, ok := strings.CutPrefix(name, e.prefix+"-")
		if ok && (catalog.IsContainerID(id) || inPod) {
			p.setContainer(id, e.kind, here)
			return
		}
	}
	if catalog.IsContainerID(name) {
		p.setContainer(name, parents[path.Base(parent)], here)
		return
	}
	unit := name != el || strings.HasSuffix(el, ".slice")
	// runc keeps the plain ID that it is given, and so does ctr.
	if inPod && !unit {
		p.setContainer(name, "", here)
	} else if parent == "/default" && !unit {
		p.setContainer(name, "containerd", here)
	}
}

// joinedContainer parses the name that containerd creates from slice:prefix:id if
// the kubelet uses the systemd driver and containerd does not.
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
	p.service, p.unit = "", "" // the unit is the engine's, not the workload's
}

// enterService records a systemd unit. Its slice is part of the name, unless it is
// a default slice of systemd.
func (p *place) enterService(el, slice string) {
	p.service = el
	if slice != "" && slice != "system.slice" && !strings.HasPrefix(slice, "system-") {
		p.service = slice + "/" + el
	}
	p.unit = p.service
}
