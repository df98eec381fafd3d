// SPDX-License-Identifier: Apache-2.0

// Package compose checks ../compose.yaml and the Dockerfiles without a registry:
// `docker compose config` reads the project; the images are put together from
// their Dockerfiles over the host's own /usr instead of a base image; and then
// everything that compose would start is started as compose would: after what it
// depends on, with that command, environment, user, mounts and health check, in
// a network namespace where the services' names are known.
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

// A project is what `docker compose config --format json` says of it.
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

// readProject has compose read the file: syntax, unknown fields, and references
// between services are its affair.
func readProject(t *testing.T) project {
	t.Helper()
	cmd := exec.Command(os.Getenv("COMPOSE"), "--file", "../compose.yaml", "config", "--format", "json")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker compose config: %v (scripts/compose-check.sh runs this test)", err)
	}
	// Compose would read a $ in these once more.
	text = []byte(strings.ReplaceAll(string(text), "$$", "$"))
	var p project
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// A misspelt field must not be read as nothing.
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

// tagged is an image with a tag, and not the one that moves.
var tagged = regexp.MustCompile(`^[a-z0-9./-]+:[a-z0-9.-]*[0-9a-z]$`)

// silent are the services without a health check of their own: two have no
// second program that could ask, and one ends.
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

// checkMount holds that what is mounted from the host exists and is not
// writable.
func checkMount(t *testing.T, service string, v volume) {
	t.Helper()
	if v.Type != "bind" {
		return
	}
	if _, err := os.Stat(v.Source); err != nil {
		t.Errorf("%s mounts what is not there: %v", service, err)
	}
	if !v.ReadOnly {
		t.Errorf("%s may write to %s of the host", service, v.Source)
	}
}

// TestBaseImages holds that Dockerfiles name their base images by tag.
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
