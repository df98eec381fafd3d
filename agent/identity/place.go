// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"math"
	"path"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
)

// A place is what a cgroup's path tells: whose the processes below it are.
type place struct {
	container     string // the engine's ID, or the plain name that runc was given
	kind          string // docker, containerd, cri-o, podman; "" where the path does not tell
	containerPath string // the cgroup that is the container
	pod, qos      string
	podPath       string
	service       string // systemd unit: nginx.service, batch.slice/report.service, user@1000.service/sync.service
	unit          string // the unit, or the user manager that runs what is no unit
}

// owner names the container or the unit, "" for neither. A user's container is
// the user's: its ID may be that of another one.
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

// allTrusted trusts every cgroup as if root had made it.
const allTrusted = math.MaxInt

// placeOf reads a normalised path from the top: what lies inside replaces
// what lies outside (docker in docker, a kubelet in a container). A name counts
// only where the manager that gives such names puts it: the owner of a subtree of
// cgroups can choose any names within. trusted is the number of elements, from the
// top, that only root could make.
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

// A walk is the reading of one path.
type walk struct {
	place
	slice     string // the innermost slice above, "" at the top of a tree
	inSlices  bool   // only slices are above, in this host or container: units can be here
	inService bool
	delegated bool   // the names are chosen by a user
	uid       string // of user-1000.slice
	user      string // the user's manager, user@1000.service
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
		if w.containerPath == here { // it may have managers of its own
			w.slice, w.inSlices, w.inService = "", true, false
		}
	}
}

// enterDelegated believes of a user's cgroups only what says that it is the
// user's: units of the user's manager, and containers of an engine that the
// user runs.
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

// userManager begins the unit that runs a user's units.
const userManager = "user@"

// userOf returns the ID in what systemd makes for a user: user-1000.slice,
// user@1000.service.
func userOf(el, prefix, suffix string) (uid string, ok bool) {
	uid, begins := strings.CutPrefix(el, prefix)
	uid, ends := strings.CutSuffix(uid, suffix)
	return uid, begins && ends && uid != "" && strings.Trim(uid, "0123456789") == ""
}

// isBelow reports whether systemd puts a slice there: a-b.slice is in a.slice, and
// a.slice at the top.
func isBelow(slice, outer string) bool {
	name := strings.TrimSuffix(slice, ".slice")
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return outer == ""
	}
	return outer == name[:dash]+".slice"
}

// isMachine recognises where LXC and systemd-nspawn put the systemd of a
// container that has no ID.
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

// podElement recognises a pod's cgroup below the kubelet's: podUID with the
// cgroupfs driver, kubepods[-qos]-podUID.slice with systemd's, where dashes
// became underscores. A cluster in a container (kind) prefixes both, and so
// does the kubelet's --cgroup-root.
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

// enterService notes a systemd unit. Its slice is part of the name unless it is
// one that systemd chooses by itself.
func (p *place) enterService(el, slice string) {
	p.service = el
	if slice != "" && slice != "system.slice" && !strings.HasPrefix(slice, "system-") {
		p.service = slice + "/" + el
	}
	p.unit = p.service
}
