// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// A stage is a stage of a Dockerfile.
type stage struct {
	name, from string
	steps      []step
}

type step struct{ word, rest string }

// readDockerfile reads the instructions that the project's Dockerfiles use; any
// other is an error.
func readDockerfile(file string) ([]stage, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var stages []stage
	for n, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "FROM":
			from, name, _ := strings.Cut(rest, " AS ")
			stages = append(stages, stage{name: name, from: from})
		case "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "RUN", "USER", "WORKDIR":
			if len(stages) == 0 {
				return nil, fmt.Errorf("%s: %s before FROM", file, word)
			}
			last := &stages[len(stages)-1]
			last.steps = append(last.steps, step{word, rest})
		default:
			return nil, fmt.Errorf("%s: near line %d: this test does not support %q", file, n+1, word)
		}
	}
	return stages, nil
}

// An image is the result of a stage: its files, without those of the base image, and
// its start command.
type image struct {
	Files      string
	Env        map[string]string
	Entrypoint []string
	Command    []string
	User       string
	Workdir    string
	base       bool // it has a base image, which the host's /usr replaces
}

// assemble executes the Dockerfile up to the target. It runs RUN instructions in a
// root with the files of the stage over the host's /usr.
func assemble(b build, dir string) (*image, error) {
	stages, err := readDockerfile(filepath.Join(b.Context, b.Dockerfile))
	if err != nil {
		return nil, err
	}
	made := map[string]*image{}
	for _, s := range stages {
		img := &image{Files: filepath.Join(dir, s.name), Env: map[string]string{}, Workdir: "/", base: s.from != "scratch"}
		if err := os.MkdirAll(img.Files, 0o755); err != nil {
			return nil, err
		}
		if s.name != "" && b.Target != "" && s.name != b.Target && !needed(stages, b.Target, s.name) {
			continue
		}
		for _, step := range s.steps {
			if err := img.follow(step, b.Context, made); err != nil {
				return nil, fmt.Errorf("%s %s: %w", step.word, step.rest, err)
			}
		}
		made[s.name] = img
		if s.name == b.Target {
			return img, nil
		}
	}
	return nil, fmt.Errorf("no stage %q in %s", b.Target, b.Dockerfile)
}

// needed reports whether the target copies from a stage.
func needed(stages []stage, target, name string) bool {
	for _, s := range stages {
		if s.name != target {
			continue
		}
		for _, step := range s.steps {
			if step.word == "COPY" && strings.HasPrefix(step.rest, "--from="+name+" ") {
				return true
			}
		}
	}
	return false
}

func (i *image) follow(s step, context string, made map[string]*image) error {
	switch s.word {
	case "WORKDIR":
		i.Workdir = s.rest
		return os.MkdirAll(i.path(s.rest), 0o755)
	case "COPY":
		return i.copy(strings.Fields(s.rest), context, made)
	case "RUN":
		return i.run(s.rest)
	case "ENV", "ARG":
		name, value, _ := strings.Cut(s.rest, "=")
		i.Env[name] = value
	case "USER":
		i.User = s.rest
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(s.rest), &i.Entrypoint)
	case "CMD":
		return json.Unmarshal([]byte(s.rest), &i.Command)
	}
	return nil
}

func (i *image) path(p string) string {
	if !path.IsAbs(p) {
		p = path.Join(i.Workdir, p)
	}
	return filepath.Join(i.Files, p)
}

// copy copies files to a folder, and the contents of a folder to another one. From the
// build context it leaves out what .dockerignore lists.
func (i *image) copy(words []string, context string, made map[string]*image) error {
	from := context
	if name, ok := strings.CutPrefix(words[0], "--from="); ok {
		if made[name] == nil {
			return fmt.Errorf("no stage %q before this one", name)
		}
		from, words = made[name].Files, words[1:]
	}
	to := words[len(words)-1]
	for _, word := range words[:len(words)-1] {
		source := filepath.Join(from, word)
		info, err := os.Stat(source)
		if err != nil {
			return err
		}
		target := i.path(to)
		switch {
		case info.IsDir():
			source += "/."
			err = os.MkdirAll(target, 0o755)
		case strings.HasSuffix(to, "/"):
			err = os.MkdirAll(target, 0o755)
		default:
			err = os.MkdirAll(filepath.Dir(target), 0o755)
		}
		if err := errors.Join(err, tar(source, target)); err != nil {
			return err
		}
	}
	return nil
}

// tar copies like rsync, except for what .dockerignore lists.
func tar(source, target string) error {
	if !strings.HasSuffix(source, "/.") {
		output, err := exec.Command("cp", "-a", source, target).CombinedOutput()
		return wrap(err, output)
	}
	ignored, err := os.ReadFile("../../../.dockerignore")
	if err != nil {
		return err
	}
	exclude := ""
	for _, word := range strings.Fields(string(ignored)) {
		if anywhere, ok := strings.CutPrefix(word, "**/"); ok {
			exclude += " --exclude=" + anywhere
		} else {
			exclude += " --exclude=./" + word
		}
	}
	// The files of a stage are not part of the build context.
	if strings.Contains(source, "/image/") {
		exclude = ""
	}
	output, err := exec.Command("sh", "-c", "tar -C '"+source+"'"+exclude+" -cf - . | tar -C '"+target+"' -xf -").CombinedOutput()
	return wrap(err, output)
}

func wrap(err error, output []byte) error {
	if err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// run runs a command of the build, with the host's network and caches.
func (i *image) run(command string) error {
	root, err := i.root(i.Files + ".root")
	if err != nil {
		return err
	}
	defer root.unmount()
	for _, cache := range []string{os.Getenv("GOMODCACHE"), os.Getenv("GOCACHE")} {
		if err := root.bind(cache, cache, false); err != nil {
			return err
		}
	}
	cmd := root.command(i.Workdir, "/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "HOME=/tmp", "PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/usr/sbin")
	for name, value := range i.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	output, err := cmd.CombinedOutput()
	return wrap(err, output)
}

// TestImages assembles the images for TestUp.
func TestImages(t *testing.T) {
	made := map[string]bool{}
	for name, s := range readProject(t).Services {
		if s.Build == nil || made[s.Image] {
			continue
		}
		made[s.Image] = true
		dir := filepath.Join(work(t), "image", strings.ReplaceAll(s.Image, "/", "_"))
		img, err := assemble(*s.Build, dir)
		if err != nil {
			t.Errorf("image of %s: %v", name, err)
			continue
		}
		text, err := json.Marshal(img)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+".json", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(made) < 4 {
		t.Errorf("%d images were made, want headroom, node, rates and visitors", len(made))
	}
}

// work returns the folder for images, roots and volumes, which TestImages and TestUp
// use.
func work(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("COMPOSE_WORK")
	if dir == "" {
		t.Fatal("no COMPOSE_WORK: scripts/compose-check.sh runs this test")
	}
	return dir
}
