// SPDX-License-Identifier: Apache-2.0

// Package compose checks ../compose.yaml and the Dockerfiles without a registry.
// `docker compose config` reads the project. The images are assembled from their
// Dockerfiles over the host's /usr instead of a base image. Then all services are
// started as compose would start them: after their dependencies, with the same
// command, environment, user, mounts and health check, in a network namespace that
// resolves the names of the services.
//
// scripts/compose-check.sh runs it.
package compose

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A project is the output of `docker compose config --format json`.
type project struct {
	Services map[string]service `json:"services"`
}

type service struct {
	Image       string            `json:"image"`
	Build       *build            `json:"build"`
	Command     []string          `json:"command"`
	Environment map[string]string `json:"environment"`
	User        string            `json:"user"`
	ReadOnly    bool              `json:"read_only"`
	Restart     string            `json:"restart"`
	CapAdd      []string          `json:"cap_add"`
	CapDrop     []string          `json:"cap_drop"`
	Privileged  bool              `json:"privileged"`
	Volumes     []volume          `json:"volumes"`
	Healthcheck struct {
		Test []string `json:"test"`
	} `json:"healthcheck"`
	DependsOn map[string]struct {
		Condition string `json:"condition"`
	} `json:"depends_on"`
}

type build struct {
	Context    string `json:"context"`
	Dockerfile string `json:"dockerfile"`
	Target     string `json:"target"`
}

type volume struct {
	Type     string `json:"type"`
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only"`
}

// readProject reads the file with compose, which checks the syntax, unknown fields, and
// references between services.
func readProject(t *testing.T) project {
	t.Helper()
	cmd := exec.Command(os.Getenv("COMPOSE"), "--file", "../compose.yaml", "config", "--format", "json")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker compose config: %v (scripts/compose-check.sh runs this test)", err)
	}
	// The output escapes $ as $$, because compose would expand it.
	text = []byte(strings.ReplaceAll(string(text), "$$", "$"))
	var p project
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMisspeltField checks that compose rejects a misspelt field.
func TestMisspeltField(t *testing.T) {
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "healthcheck:", "healthchek:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(os.Getenv("COMPOSE"), "--file", file, "config", "--quiet").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "healthchek") {
		t.Errorf("a misspelt healthcheck: error %v, output %s; want it named", err, output)
	}
}

// tagged matches an image with a tag other than latest.
var tagged = regexp.MustCompile(`^[a-z0-9./-]+:[a-z0-9.-]*[0-9a-z]$`)

// silent are the services without a health check: two images have no program that
// could run one, and one service exits.
var silent = map[string]bool{"headroom": true, "visitors": true, "photographs": true}

func TestProject(t *testing.T) {
	for name, s := range readProject(t).Services {
		if !tagged.MatchString(s.Image) || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q is not pinned by a tag", name, s.Image)
		}
		if s.Restart == "" || s.Restart == "no" {
			t.Errorf("%s has no restart policy", name)
		}
		if (len(s.Healthcheck.Test) == 0) != silent[name] {
			t.Errorf("%s: health check %v", name, s.Healthcheck.Test)
		}
		if s.Privileged {
			t.Errorf("%s is privileged", name)
		}
		for _, v := range s.Volumes {
			checkMount(t, name, v)
		}
	}
}

// checkMount checks that a mount from the host exists and is not writable.
func checkMount(t *testing.T, service string, v volume) {
	t.Helper()
	if v.Type != "bind" {
		return
	}
	if _, err := os.Stat(v.Source); err != nil {
		t.Errorf("%s mounts a missing file: %v", service, err)
	}
	if !v.ReadOnly {
		t.Errorf("%s may write to %s of the host", service, v.Source)
	}
}

// TestBaseImages checks that Dockerfiles pin their base images by tag.
func TestBaseImages(t *testing.T) {
	for _, file := range []string{"../Dockerfile", "../../../deploy/Dockerfile"} {
		stages, err := readDockerfile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(stages) == 0 {
			t.Errorf("%s has no stages", file)
		}
		for _, s := range stages {
			if s.from != "scratch" && !tagged.MatchString(s.from) {
				t.Errorf("%s: stage %s is from %q, which is not pinned by a tag", file, s.name, s.from)
			}
		}
	}
}
