// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
)

const (
	// maxListed is the maximum number of descriptors of a process that are listed.
	maxListed = 20_000
	// leastHeld is the size of the open files of a process on a file system from which
	// they are written: a smaller one does not fill a disk.
	leastHeld = 1 << 20
)

// A holding is a process and a file system.
type holding struct {
	pid    int
	start  uint64
	device uint64
}

// held is what a process has open on a file system.
type held struct {
	id            observe.ID
	pass          int
	size, deleted float64
	path          string // of the largest file
	largest       float64
	named         string // path in the description
}

// A file is an open file.
type file struct {
	fd            string
	path          string
	deleted       bool
	device, inode uint64
	size          float64 // allocated
}

// walk reads the open files of all processes on the file systems that are watched.
func (r *reader) walk(s *observe.Snapshot) error {
	r.pass++
	r.gone, r.cut = false, false
	pids, err := sampler.PIDs(r.proc)
	if err != nil {
		return err
	}
	deleted := make(map[uint64]map[uint64]float64) // by device and inode: processes share files
	for _, pid := range pids {
		r.process(pid, deleted)
	}
	r.write(s, deleted)
	return nil
}

// process adds the open files of a process.
func (r *reader) process(pid int, deleted map[uint64]map[uint64]float64) {
	path := r.proc + "/" + strconv.Itoa(pid)
	var st unix.Stat_t
	if r.counts && unix.Stat(path+"/fd", &st) == nil && st.Size == 0 {
		return // a kernel thread or a zombie
	}
	candidates, err := openFiles(path)
	r.gone = r.gone || errors.Is(err, fs.ErrPermission)
	r.cut = r.cut || errors.Is(err, errManyFiles)
	if len(candidates) == 0 {
		return // as for most processes, whose files are sockets and pipes
	}
	c := patience.Call{Source: name, Lost: "which deleted files it has open", PID: pid, File: patience.Files}
	files, _ := patience.Ask(r.patience, c, func() []file { return sized(path, candidates) })
	b, err := os.ReadFile(path + "/stat")
	if err != nil {
		return
	}
	status, _, err := sampler.ParseStat(b)
	if err != nil {
		return
	}
	seen := make(map[[2]uint64]bool) // a file that is open twice counts once
	for _, f := range files {
		v := r.byDevice[f.device]
		if v == nil || !v.watched || seen[[2]uint64{f.device, f.inode}] {
			continue
		}
		seen[[2]uint64{f.device, f.inode}] = true
		r.hold(holding{pid, status.Start, v.device}).add(f, r.pass)
		if f.deleted {
			if deleted[v.device] == nil {
				deleted[v.device] = make(map[uint64]float64)
			}
			deleted[v.device][f.inode] = f.size
		}
	}
}

func (r *reader) hold(k holding) *held {
	h := r.held[k]
	if h == nil {
		h = &held{id: observe.None}
		r.held[k] = h
	}
	return h
}

func (h *held) add(f file, pass int) {
	if h.pass != pass {
		h.pass, h.size, h.deleted, h.largest, h.path = pass, 0, 0, 0, ""
	}
	h.size += f.size
	if f.deleted {
		h.deleted += f.size
	}
	if f.size > h.largest {
		h.largest, h.path = f.size, f.path
	}
}

var errManyFiles = errors.New("too many descriptors")

// deletedSuffix is what the kernel appends to the path of a deleted file (d_path in
// fs/d_path.c).
const deletedSuffix = " (deleted)"

// openFiles returns the files that a process has open for writing, and those that are
// deleted, without access to them: device and size are not known yet.
func openFiles(process string) ([]file, error) {
	dir, err := os.Open(process + "/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // read only
	names, err := dir.Readdirnames(maxListed)
	if err != nil && len(names) == 0 {
		return nil, nil //nolint:nilerr // it has no descriptor, or is gone
	}
	var files []file
	var buf [4096]byte
	for _, n := range names {
		size, err := unix.Readlinkat(int(dir.Fd()), n, buf[:])
		if errors.Is(err, fs.ErrPermission) {
			return nil, err // a process with more privileges
		}
		if err != nil || size == 0 || buf[0] != '/' {
			continue // socket:[123], pipe:[123], anon_inode:…
		}
		path, deleted := strings.CutSuffix(string(buf[:size]), deletedSuffix)
		if strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/dev/shm/") || strings.HasPrefix(path, "/memfd:") {
			continue
		}
		if deleted || writable(process+"/fdinfo/"+n) {
			files = append(files, file{fd: n, path: path, deleted: deleted})
		}
	}
	if len(names) == maxListed {
		return files, errManyFiles
	}
	return files, nil
}

// sized returns those that are regular files, with their size as the kernel knows it: a
// server is not asked.
func sized(process string, candidates []file) []file {
	var files []file
	for _, f := range candidates {
		var x unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, process+"/fd/"+f.fd, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_BLOCKS, &x)
		if err != nil || x.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		const block = 512
		f.device, f.inode, f.size = unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino, float64(x.Blocks)*block
		files = append(files, f)
	}
	return files
}

// writable reports whether a descriptor is open for writing (proc_pid_fdinfo(5)). The
// flags are octal.
//
//	pos:	0
//	flags:	0100002
func writable(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(text), 8, 64)
			return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
		}
	}
	return false
}

// write writes what processes have open, and drops what they have closed.
func (r *reader) write(s *observe.Snapshot, deleted map[uint64]map[uint64]float64) {
	for k, h := range r.held {
		if h.pass != r.pass {
			if h.id != observe.None {
				s.Set(catalog.OpenFilesSize, h.id, 0)
				s.Set(catalog.OpenFilesDeleted, h.id, 0)
			}
			delete(r.held, k)
			continue
		}
		if h.id == observe.None && h.size < leastHeld {
			continue
		}
		if r.describeHeld(k, h) {
			s.Set(catalog.OpenFilesSize, h.id, h.size)
			s.Set(catalog.OpenFilesDeleted, h.id, h.deleted)
		}
	}
	for _, v := range r.volumes {
		sum := 0.0
		for _, size := range deleted[v.device] {
			sum += size
		}
		if v.watched && (sum > 0 || v.deletedShown) {
			v.deletedShown = true
			s.Set(catalog.FilesystemDeleted, v.id, sum)
		}
	}
}

// describeHeld interns a holding; false if the process has ended.
func (r *reader) describeHeld(k holding, h *held) bool {
	if h.id != observe.None && h.named == h.path {
		return true
	}
	process, ok := r.identity.Process(k.pid, k.start)
	v := r.byDevice[k.device]
	if !ok || process == observe.None || v == nil {
		return false
	}
	owner := r.index.Entity(process)
	volume := r.index.Entity(v.id)
	h.id = r.index.ID(observe.Entity{Kind: observe.OpenFiles, ID: fmt.Sprintf("%s/%s", owner.ID, volume.ID)})
	h.named = h.path
	r.index.Describe(h.id, observe.Info{Parent: owner, Attrs: map[string]string{catalog.AttrMountpoint: v.point, catalog.AttrFile: h.path}})
	return h.id != observe.None
}
