// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	webtoolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/headroom-project/headroom/analyzers/publish/web"
)

const (
	// goodbye is how long answers under way may take when the agent ends.
	goodbye = 2 * time.Second
	// headerTime keeps idle clients from holding connections open.
	headerTime = 5 * time.Second
)

// endpoints are the listeners of the agent: those that serve everything, and
// those that serve metrics and health alone.
type endpoints struct{ all, metrics []net.Listener }

func (e endpoints) close() {
	closeAll(e.all)
	closeAll(e.metrics)
}

// listen opens the addresses of the flags, all of them or none.
func listen(o *Options) (e endpoints, err error) {
	if e.all, err = listenAt("--web.listen-address", o.Listen); err != nil {
		return endpoints{}, err
	}
	if e.metrics, err = listenAt("--web.metrics-listen-address", o.ListenMetrics); err != nil {
		closeAll(e.all)
		return endpoints{}, err
	}
	return e, nil
}

func listenAt(flag string, addresses []string) ([]net.Listener, error) {
	var all []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			closeAll(all)
			if errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%w: another process, or another address of this agent, has this port; :PORT takes it on loopback too", err)
			}
			return nil, fmt.Errorf("%s %s: %w", flag, address, err)
		}
		all = append(all, l)
	}
	return all, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // nothing was accepted
	}
}

// A webServer is the HTTP servers of the agent, one for each listener.
type webServer struct {
	servers []*http.Server
	ended   chan error // one error for each server
}

// serve serves the endpoints until shutdown. It calls failed when a server ends
// before that.
func serve(e endpoints, w *watcher, webConfig string, log *slog.Logger, failed func()) *webServer {
	metrics := w.metrics()
	s := &webServer{ended: make(chan error, len(e.all)+len(e.metrics))}
	start := func(l net.Listener, handler http.Handler) {
		server := newServer(w, handler)
		s.servers = append(s.servers, server)
		go func() {
			s.ended <- webtoolkit.Serve(l, server, &webtoolkit.FlagConfig{WebConfigFile: &webConfig}, log)
			failed()
		}()
	}
	all, some := web.Handler(w, metrics), web.MetricsHandler(w, metrics)
	for _, l := range e.all {
		start(l, all)
	}
	for _, l := range e.metrics {
		start(l, some)
	}
	return s
}

// newServer returns a server that answers /healthz and /readyz before it asks
// for a password. exporter-toolkit puts its question for the password around
// server.Handler just before it serves; BaseContext is called after that, and
// before the first connection is accepted.
func newServer(s web.Source, handler http.Handler) *http.Server {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTime}
	server.BaseContext = func(net.Listener) context.Context {
		server.Handler = web.HealthHandler(s, server.Handler)
		return context.Background()
	}
	return server
}

// shutdown ends the servers, and returns why one had ended before.
func (s *webServer) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	for _, server := range s.servers {
		// One after the other: all have ended when the time is over. What does not end
		// in time is cut off by the end of the process.
		_ = server.Shutdown(ctx)
	}
	var all error
	for range s.servers {
		if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
			all = errors.Join(all, err)
		}
	}
	return all
}
