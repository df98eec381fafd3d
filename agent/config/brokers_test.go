// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secret stands where a password could stand by mistake.
const secret = "hunter2"

// TestBrokersRefused checks that the error for a wrong broker names its line and its key,
// and repeats nothing that may be a password.
func TestBrokersRefused(t *testing.T) {
	const good = "kind: rabbitmq, address: '127.0.0.1:15672', username: u"
	for text, want := range map[string]string{
		"address: 'a:1', username: u, password_file: /p":                               "kind: it is missing (known: rabbitmq, redis)",
		"kind: kafka, address: 'a:1', username: u, password_file: /p":                  `kind: "kafka" is unknown (known: rabbitmq, redis)`,
		"kind: rabbitmq, username: u, password_file: /p":                               "address: host:port",
		"kind: rabbitmq, address: 127.0.0.1, username: u, password_file: /p":           "address: host:port",
		"kind: rabbitmq, address: 'a:0', username: u, password_file: /p":               "address: host:port",
		"kind: rabbitmq, address: ':15672', username: u, password_file: /p":            "address: host:port",
		"kind: rabbitmq, address: 'u:hunter2@a:15672', username: u, password_file: /p": "address: host:port",
		"kind: rabbitmq, address: 'http://hunter2:1', username: u, password_file: /p":  "address: host:port",
		"kind: rabbitmq, address: 'a:1', password_file: /p":                            "username: ",
		"kind: rabbitmq, address: 'a:1', username: 'u:hunter2', password_file: /p":     "username: ",
		"kind: redis, address: 'a:6379'":                                               "password_file: it is missing",
		good:                                                                           "password_file: it is missing, and so is password_env",
		good + ", password_file: /p, password_env: P":                                  "password_file: password_env is given, too",
		good + ", password_file: hunter2":                                              "password_file: a path that begins with /",
		good + ", password_file: \"/p\\nq\"":                                           "password_file: a path that begins with /",
		good + ", password_env: hunter2$":                                              "password_env: the name",
		good + ", password: hunter2":                                                   `unknown key "password"`,
		good + ", password_file: /p}\n  - {" + good + ", password_file: /q":            "line 3: brokers: address: 127.0.0.1:15672 is named twice",
	} {
		_, err := Parse([]byte("brokers:\n  - {" + text + "}\n"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %q and its line", text, err, want)
		}
	}
	if _, err := Parse([]byte("brokers: [" + strings.Repeat("{}, ", maxBrokers+1) + "]\n")); err == nil || !strings.Contains(err.Error(), "at most 10") {
		t.Errorf("too many: %v", err)
	}
}

// TestPassword checks which files are read, and that a file is read again.
func TestPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	b := Broker{PasswordFile: path, Line: 3}
	if err := b.Check(); err == nil || err.Error() != "line 3: brokers: password_file: "+path+": no such file or directory" {
		t.Errorf("of a missing file: %v", err)
	}
	for text, want := range map[string]string{"a b\n": "a b", "a\r\n": "a", " a": " a", "\n": "", "": "", secret + strings.Repeat("x", maxPassword): ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := b.Password()
		if got != want || (err != nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), "password_file: ") || strings.Contains(err.Error(), secret)) {
			t.Errorf("%.10q is %.10q, %v", text, got, err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err == nil || !strings.Contains(err.Error(), "every user can write to it") {
		t.Errorf("of a file that others may write: %v", err)
	}
	t.Setenv("HEADROOM_TEST_PASSWORD", secret)
	for name, want := range map[string]string{"HEADROOM_TEST_PASSWORD": secret, "HEADROOM_TEST_NONE": ""} {
		b := Broker{PasswordEnv: name}
		if got, err := b.Password(); got != want || (err != nil) != (want == "") || b.Check() != nil {
			t.Errorf("of the variable %s: %q, %v", name, got, err)
		}
	}
}
