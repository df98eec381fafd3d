// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// makeImage creates an image of two dummy programs, and returns the archive.
func makeImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"amd": "a program", "arm": "another", "LICENSE": "free"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "headroom.tar")
	err := run([]string{"-o", out, "-tag", "headroom:dev", "-tag", "r.example:5000/ops/headroom:v1", "-text", filepath.Join(dir, "LICENSE"),
		"-version", "v1", "-revision", "abc", "-created", "1700000000",
		"linux/amd64=" + filepath.Join(dir, "amd"), "linux/arm64=" + filepath.Join(dir, "arm")})
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 {
		t.Errorf("it leaves %v behind", left)
	}
	return out
}

// untar returns the files of an archive, by name, and its headers.
func untar(t *testing.T, r io.Reader) (map[string]string, []*tar.Header) {
	t.Helper()
	files, headers := map[string]string{}, []*tar.Header(nil)
	for r := tar.NewReader(r); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, headers
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], headers = string(text), append(headers, h)
	}
}

// open returns the layout of an archive.
func open(t *testing.T, archive string) v1.ImageIndex {
	t.Helper()
	text, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, _ := untar(t, bytes.NewReader(text))
	for name, text := range files {
		if strings.HasSuffix(name, "/") {
			continue
		}
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestImage(t *testing.T) {
	top := open(t, makeImage(t))
	if err := validate.Index(top); err != nil {
		t.Fatal(err)
	}
	names, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var called []string
	for _, m := range names.Manifests {
		called = append(called, m.Annotations["io.containerd.image.name"])
		if m.Digest != names.Manifests[0].Digest {
			t.Errorf("%v is another image", m.Annotations)
		}
	}
	if want := []string{"docker.io/library/headroom:dev", "r.example:5000/ops/headroom:v1"}; !slices.Equal(called, want) {
		t.Errorf("called %q, want %q", called, want)
	}
	index, err := top.ImageIndex(names.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	of, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(of.Manifests) != 2 {
		t.Fatalf("%d platforms, want 2", len(of.Manifests))
	}
	for i, want := range []struct{ platform, program string }{{"linux/amd64", "a program"}, {"linux/arm64", "another"}} {
		if got := of.Manifests[i].Platform.String(); got != want.platform {
			t.Errorf("platform %s, want %s", got, want.platform)
		}
		image, err := index.Image(of.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkConfig(t, image, strings.TrimPrefix(want.platform, "linux/"))
		checkFiles(t, image, want.program)
	}
}

func checkConfig(t *testing.T, image v1.Image, architecture string) {
	t.Helper()
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c.OS != "linux" || c.Architecture != architecture || c.Created.Unix() != 1700000000 {
		t.Errorf("%s/%s of %v", c.OS, c.Architecture, c.Created)
	}
	if c.Config.User != "0:0" || !slices.Equal(c.Config.Entrypoint, []string{"/headroom"}) || !slices.Equal(c.Config.Cmd, []string{"agent"}) {
		t.Errorf("it runs %v %v as %s", c.Config.Entrypoint, c.Config.Cmd, c.Config.User)
	}
	for key, want := range map[string]string{"version": "v1", "revision": "abc", "created": "2023-11-14T22:13:20Z", "title": "headroom"} {
		if got := c.Config.Labels["org.opencontainers.image."+key]; got != want {
			t.Errorf("label %s = %q, want %q", key, got, want)
		}
	}
}

func checkFiles(t *testing.T, image v1.Image, program string) {
	t.Helper()
	files, headers := untar(t, mutate.Extract(image))
	if len(files) != 6 || files["headroom"] != program || files["LICENSE"] != "free" {
		t.Errorf("files %q", slices.Collect(func(yield func(string) bool) {
			for _, h := range headers {
				yield(h.Name)
			}
		}))
	}
	for _, h := range headers {
		if h.ModTime.Unix() != 1700000000 || h.Uid != 0 || (h.Mode != 0o755) == (h.Name == "headroom" || h.Typeflag == tar.TypeDir) {
			t.Errorf("%s: mode %o, of user %d, of %v", h.Name, h.Mode, h.Uid, h.ModTime)
		}
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(files[roots])) {
		t.Errorf("%s has no certificates", roots)
	}
}

// TestReproducible checks that two images created at different times and places are
// identical.
func TestReproducible(t *testing.T) {
	var made [2][]byte
	for i := range made {
		text, err := os.ReadFile(makeImage(t))
		if err != nil {
			t.Fatal(err)
		}
		made[i] = text
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("the same source made two images")
	}
}

func TestRefused(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.tar")
	for _, c := range []struct{ arguments, why string }{
		{"-tag headroom:dev linux/amd64=x", "-o"},
		{"-o " + out + " -tag Head:room:dev linux/amd64=image.go", "Head:room:dev"},
		{"-o " + out + " -tag headroom:dev image.go", "PLATFORM=PROGRAM"},
		{"-o " + out + " -tag headroom:dev linux/amd64=none", "none"},
	} {
		if err := run(strings.Fields(c.arguments)); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want an error about %s", c.arguments, err, c.why)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s left an image", c.arguments)
		}
	}
}
