// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/headroom-project/headroom/agent/files"
)

// A Broker is a message broker that is asked with a password. The config never has the
// password itself, so that the file, and what is said about it, is no secret.
type Broker struct {
	Kind string `yaml:"kind"`
	// Address is host:port of the interface that takes the password.
	Address  string `yaml:"address"`
	Username string `yaml:"username"`
	// PasswordFile is a file whose content is the password; PasswordEnv is the name of an
	// environment variable that has it. One of them is set.
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	// TLS is set if the interface is served by TLS, with a certificate that the system
	// trusts.
	TLS  bool `yaml:"tls"`
	Line int  `yaml:"-"`
}

// brokerKinds are the kinds that are read with a password.
var brokerKinds = []string{kindRabbitMQ, kindRedis}

const kindRabbitMQ, kindRedis = "rabbitmq", "redis"

const (
	// maxBrokers is the maximum number of brokers in a config: each is asked every few
	// seconds.
	maxBrokers = 10
	// maxPassword is the maximum size of a password.
	maxPassword = 4 << 10
)

// variable matches names of environment variables.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func checkBrokers(all []Broker) error {
	if len(all) > maxBrokers {
		return fmt.Errorf("brokers: %d are named, at most %d can be", len(all), maxBrokers)
	}
	seen := make(map[string]bool)
	for i := range all {
		b := &all[i]
		if err := b.validate(); err != nil {
			return b.wrong(err)
		}
		if seen[b.Address] {
			return b.wrong(fmt.Errorf("address: %s is named twice", b.Address))
		}
		seen[b.Address] = true
	}
	return nil
}

// validate checks what does not need the host. A password may stand where it does not
// belong, so that errors repeat no value that could be one.
func (b *Broker) validate() error {
	switch {
	case b.Kind == "":
		return fmt.Errorf("kind: it is missing (known: %s)", strings.Join(brokerKinds, ", "))
	case !slices.Contains(brokerKinds, b.Kind):
		return fmt.Errorf("kind: %q is unknown (known: %s)", b.Kind, strings.Join(brokerKinds, ", "))
	case !isAddress(b.Address):
		return errors.New("address: host:port is expected, such as 127.0.0.1:15672")
	case b.Username == "" && b.Kind != kindRedis: // whose user is then default
		return errors.New("username: it is missing")
	case strings.Contains(b.Username, ":") || strings.ContainsFunc(b.Username, unicode.IsControl):
		return errors.New("username: a name is expected, without colons and control characters")
	case b.PasswordFile != "" && b.PasswordEnv != "":
		return errors.New("password_file: password_env is given, too: take one of them")
	case b.PasswordFile == "" && b.PasswordEnv == "":
		return errors.New("password_file: it is missing, and so is password_env")
	case b.PasswordFile != "" && (!filepath.IsAbs(b.PasswordFile) || strings.ContainsFunc(b.PasswordFile, unicode.IsControl)):
		return errors.New("password_file: a path that begins with / is expected, such as /etc/headroom/rabbitmq.password")
	case b.PasswordEnv != "" && !variable.MatchString(b.PasswordEnv):
		return errors.New("password_env: the name of an environment variable is expected, such as RABBITMQ_PASSWORD")
	}
	return nil
}

// isAddress reports whether s is a host name or an IP address, and a port.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return r == '@' || r == '/' || r == '*' || unicode.IsSpace(r) || unicode.IsControl(r)
	}) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// wrong adds the place in the file to an error.
func (b *Broker) wrong(err error) error { return fmt.Errorf("line %d: brokers: %w", b.Line, err) }

// Check returns an error if the password cannot be read, or could be another user's.
// The environment of the agent is not known when its config is checked.
func (b *Broker) Check() error {
	if b.PasswordFile == "" {
		return nil
	}
	if _, err := b.Password(); err != nil {
		return b.wrong(err)
	}
	return nil
}

// Password returns the current password, without a line feed at its end. Errors name the
// key, and never have the password.
func (b *Broker) Password() (string, error) {
	if b.PasswordEnv != "" {
		if p := os.Getenv(b.PasswordEnv); p != "" {
			return p, nil
		}
		return "", errors.New("password_env: the environment of headroom does not have this variable")
	}
	// Others who can write the file could make headroom send guesses.
	if err := files.Changeable(b.PasswordFile); err != nil {
		return "", fmt.Errorf("password_file: %s: %w", b.PasswordFile, cause(err))
	}
	text, err := files.Read(b.PasswordFile, maxPassword)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	p := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if p == "" {
		return "", fmt.Errorf("password_file: %s is empty", b.PasswordFile)
	}
	return p, nil
}

// cause returns the error of a call without the path.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
