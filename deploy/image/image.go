// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// A release is what all platforms of an image have in common.
type release struct {
	version, revision string
	// created is the commit's time and no clock's: the same source makes the same
	// image.
	created time.Time
	// texts are files that every image has at its root.
	texts []string
}

const source = "https://github.com/headroom-project/headroom"

// labels are OCI's annotation keys.
func (r *release) labels() map[string]string {
	const key = "org.opencontainers.image."
	return map[string]string{
		key + "title":         "headroom",
		key + "description":   "Which limit of the hardware a service hits, why, and what to do about it",
		key + "licenses":      "Apache-2.0 AND (BSD-2-Clause OR GPL-2.0-only)",
		key + "source":        source,
		key + "documentation": source + "#readme",
		key + "url":           source,
		key + "version":       r.version,
		key + "revision":      r.revision,
		key + "created":       r.created.Format(time.RFC3339),
	}
}

// index makes one image of each program, which is for the platform that it is
// listed under.
func (r *release) index(programs map[string]string, platforms []string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, name := range platforms {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", name, err)
		}
		image, err := r.image(programs[name], platform)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return mutate.Annotations(index, r.labels()).(v1.ImageIndex), nil
}

// image is one from scratch: program, and the texts.
func (r *release) image(program string, platform *v1.Platform) (v1.Image, error) {
	files, err := r.layer(program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: r.created}, CreatedBy: "deploy/image", Comment: "headroom " + r.version}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, r.config(image, platform))
}

// config runs the agent, as the user that its capabilities are given to.
func (r *release) config(image v1.Image, platform *v1.Platform) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		panic(err) // it is in memory
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: r.created}
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Config = v1.Config{
		User:         "0:0",
		Entrypoint:   []string{"/headroom"},
		Cmd:          []string{"agent"},
		Env:          []string{"PATH=/"},
		ExposedPorts: map[string]struct{}{"9779/tcp": {}},
		Labels:       r.labels(),
	}
	return config
}

// roots is where Go looks for the certificates of those that it trusts: an OTLP
// receiver may be somewhere else.
const roots = "etc/ssl/certs/ca-certificates.crt"

// layer is the tar archive of all files.
func (r *release) layer(program string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, path := range append([]string{program}, r.texts...) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		h := &tar.Header{Name: filepath.Base(path), Mode: 0o644}
		if path == program {
			h.Name, h.Mode = "headroom", 0o755
		}
		if err := r.add(w, h, text); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/"} {
		if err := r.add(w, &tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir}, nil); err != nil {
			return nil, err
		}
	}
	if err := r.add(w, &tar.Header{Name: roots, Mode: 0o644}, certificates()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (r *release) add(w *tar.Writer, h *tar.Header, text []byte) error {
	h.Size, h.ModTime, h.Format = int64(len(text)), r.created, tar.FormatPAX
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}

// certificates are Mozilla's roots as PEM, of the version in go.mod.
func certificates() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // trusted under conditions that PEM cannot say
		}
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
	}
	return b.Bytes()
}
