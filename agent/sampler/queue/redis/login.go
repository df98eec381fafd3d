// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"crypto/tls"
	"hash/maphash"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/queue/broker"
)

// refusedFor is how long a password that the server refused is not tried again: each
// attempt is an entry in its ACL log.
const refusedFor = time.Minute

// A login is the user of the config with whom a server is asked. The password is read again
// for each connection, and for each question as long as the server refuses it.
type login struct {
	sampler.Broker
	seed    maphash.Seed
	tried   uint64    // the hash of the last password
	until   time.Time // when it may be tried again after it was refused
	refusal error
}

// passwordError is an error of Broker.Password, which has no password.
type passwordError struct{ error }

func newLogin(b sampler.Broker) *login { return &login{Broker: b, seed: maphash.MakeSeed()} }

// options sets how connections log in.
func (l *login) options(o *client.Options) {
	if l.TLS {
		o.TLSConfig = &tls.Config{ServerName: broker.Address(l.Address).Host(), MinVersion: tls.VersionTLS12}
	}
	o.CredentialsProviderContext = func(context.Context) (user, password string, err error) {
		if password, err = l.Password(); err != nil {
			return "", "", passwordError{err}
		}
		l.tried = maphash.String(l.seed, password)
		return l.Username, password, nil
	}
}

// refused returns the error of the last attempt as long as the password is the one that the
// server has just refused.
func (l *login) refused() error {
	if l.refusal == nil || time.Now().After(l.until) {
		return nil
	}
	if password, err := l.Password(); err != nil || maphash.String(l.seed, password) != l.tried {
		return nil
	}
	return l.refusal
}

// refuse remembers that the server refused the password.
func (l *login) refuse(err error) error {
	l.refusal, l.until = err, time.Now().Add(refusedFor)
	return err
}
