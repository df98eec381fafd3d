// SPDX-License-Identifier: Apache-2.0

// Command image makes a container image of static programs, one for each
// platform, from scratch and without a container engine:
//
//	image -o headroom.tar -tag headroom:dev linux/amd64=FILE linux/arm64=FILE
//
// The file is an OCI layout in a tar archive, which containerd, podman, skopeo
// and Docker 25 take. The same input makes the same bytes.
package main

import (
	"archive/tar"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	var r release
	var tags, texts list
	f := flag.NewFlagSet("image", flag.ContinueOnError)
	out := f.String("o", "", "the archive")
	f.Var(&tags, "tag", "what the image is called; can be given more than once")
	f.Var(&texts, "text", "a file for the image's root; can be given more than once")
	f.StringVar(&r.version, "version", "unknown", "of the program")
	f.StringVar(&r.revision, "revision", "unknown", "commit of the source")
	created := f.Int64("created", 0, "time of that commit, in seconds of Unix")
	if err := f.Parse(arguments); err != nil {
		return err
	}
	r.created, r.texts = time.Unix(*created, 0).UTC(), texts
	if *out == "" || len(tags) == 0 || f.NArg() == 0 {
		return fmt.Errorf("wants -o, -tag and PLATFORM=PROGRAM")
	}
	programs, platforms := map[string]string{}, []string(nil)
	for _, a := range f.Args() {
		platform, program, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("%s: wants PLATFORM=PROGRAM, as in linux/amd64=bin/headroom", a)
		}
		programs[platform], platforms = program, append(platforms, platform)
	}
	index, err := r.index(programs, platforms)
	if err != nil {
		return err
	}
	return write(*out, index, tags, r.created)
}

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// write makes an archive of a layout that has the image under each of its tags.
func write(file string, index v1.ImageIndex, tags []string, created time.Time) error {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing of value
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		annotations, err := called(tag)
		if err != nil {
			return err
		}
		if err := path.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
			return err
		}
	}
	out, err := os.Create(dir + ".tar")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) //nolint:errcheck // gone when it was renamed
	if err := archive(out, dir, created); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Chmod(out.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(out.Name(), file)
}

// called is how a layout says what an image is called: containerd reads the
// first, in full, and others the second.
func called(tag string) (map[string]string, error) {
	t, err := name.NewTag(tag)
	if err != nil {
		return nil, fmt.Errorf("-tag %s: %w", tag, err)
	}
	full := strings.Replace(t.Name(), name.DefaultRegistry+"/", "docker.io/", 1)
	return map[string]string{"io.containerd.image.name": full, "org.opencontainers.image.ref.name": t.TagStr()}, nil
}

// archive writes the files of a folder, in order.
func archive(out io.Writer, dir string, created time.Time) error {
	w := tar.NewWriter(out)
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		h := &tar.Header{Name: path, Mode: 0o644, ModTime: created, Format: tar.FormatPAX}
		if d.IsDir() {
			h.Name, h.Mode, h.Typeflag = path+"/", 0o755, tar.TypeDir
			return w.WriteHeader(h)
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		h.Size = int64(len(text))
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}
