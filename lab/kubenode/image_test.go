// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// An image is a container image of one layer.
type image struct {
	name       string // NAME:TAG
	files      map[string]string
	entrypoint []string
}

// write writes the image as docker save does, for ctr images import.
func (i image) write(path string) error {
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	for at, from := range i.files {
		if err := addFile(files, strings.TrimPrefix(at, "/"), from); err != nil {
			return err
		}
	}
	if err := files.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Entrypoint": i.entrypoint},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{"docker.io/library/" + i.name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	all := tar.NewWriter(out)
	for _, f := range []struct {
		name string
		data []byte
	}{{"layer.tar", layer.Bytes()}, {"config.json", config}, {"manifest.json", manifest}} {
		if err := all.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			return err
		}
		if _, err := all.Write(f.data); err != nil {
			return err
		}
	}
	return all.Close()
}

func addFile(w *tar.Writer, at, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: at, Mode: 0o755, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// withLibraries returns a program of this host and its shared libraries, by path.
func withLibraries(program string) (map[string]string, error) {
	said, err := run("ldd", program)
	if err != nil {
		return nil, err
	}
	files := map[string]string{program: program}
	for _, library := range regexp.MustCompile(`/\S+`).FindAllString(said, -1) {
		files[library] = library
	}
	return files, nil
}

// images makes all images of the run except the agent's: the pause container of every
// pod, and the server that the agent observes.
func images(dir string) ([]image, error) {
	pause := filepath.Join(dir, "pause")
	if _, err := run("env", "CGO_ENABLED=0", "go", "build", "-o", pause, "testdata/pause.go"); err != nil {
		return nil, err
	}
	node, err := withLibraries("/usr/bin/node")
	if err != nil {
		return nil, err
	}
	node["/app/server.js"] = "testdata/server.js"
	return []image{
		{name: pauseImage, files: map[string]string{"/pause": pause}, entrypoint: []string{"/pause"}},
		{name: serverImage, files: node, entrypoint: []string{"/usr/bin/node", "/app/server.js"}},
	}, nil
}

const (
	pauseImage  = "pause:e2e"
	serverImage = "server:e2e"
)
