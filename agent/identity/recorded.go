// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/cmdline"
	"github.com/headroom-project/headroom/agent/observe"
)

// ByShape removes names from a recorded entity that may be arguments: earlier
// versions did not check whether a name is a file.
func ByShape(attrs map[string]string) {
	executable := attrs[catalog.AttrExecutable]
	if command, ok := attrs[catalog.AttrCommand]; ok && attrs[catalog.AttrKernelThread] == "" {
		attrs[catalog.AttrCommand] = cmdline.ByShape(executable, command)
	}
	if name, ok := attrs[catalog.AttrThreadName]; ok {
		main := ""
		if executable != "" { // a process has the name of its main thread
			main = name
		}
		attrs[catalog.AttrThreadName] = cmp.Or(observe.ThreadName(name, main, executable), observe.OwnTitle)
	}
}
