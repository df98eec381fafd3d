// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"cmp"
	"strings"

	"github.com/headroom-project/headroom/agent/observe"
)

// Command returns what a process runs as findings and the page name it: node
// shop/server.js, nginx: worker process. It is "" if nothing is known.
func Command(x *observe.Index, process observe.ID) string {
	return cmp.Or(x.Attr(process, AttrProgram), x.Attr(process, AttrCommand), x.Attr(process, AttrExecutable))
}

// Program returns the name of the program that a process runs, the same for all of its
// processes and after a restart: node shop/server.js, nginx. Series and the list of
// services have it as their label. In a container, which has a name of its own, it is the
// executable: in Kubernetes, all pods can read the metrics, which have no names of scripts.
func Program(x *observe.Index, process observe.ID) string {
	if Contained(x, process) {
		return x.Attr(process, AttrExecutable)
	}
	// A server's title has the role of the process after the name of the server.
	// Scripts have no colon in their names.
	name, _, _ := strings.Cut(Command(x, process), ": ")
	return name
}

// Contained reports whether id is in a container or a pod.
func Contained(x *observe.Index, id observe.ID) bool {
	return cmp.Or(x.Inherited(id, AttrContainerID), x.Inherited(id, AttrContainerName), x.Inherited(id, AttrPodUID)) != ""
}
