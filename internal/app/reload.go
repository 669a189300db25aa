package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"sync"
	"time"
)

// reloader brings the configuration file into force, one attempt at a time, and
// knows whether another one is due.
type reloader struct {
	file string       // empty: the built-in configuration, which is always the same
	load func() error // brings the file into force, wholly or not at all

	mu     sync.Mutex // held during an attempt, and guards the fields below
	tried  []byte     // the file as it was just before the last attempt
	failed error      // what became of that attempt
}

// reload attempts it; again says that the same file has failed for the same reason
// the last time.
func (r *reloader) reload() (again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Before it is loaded: what is written in between is seen at the next look.
	now, _ := os.ReadFile(r.file)
	err = r.load()
	again = err != nil && r.failed != nil && err.Error() == r.failed.Error() && bytes.Equal(now, r.tried)
	r.tried, r.failed = now, err
	return again, err
}

// due reports whether the file is another one than at the last attempt, or that
// attempt has failed: what was in its way, a port that was taken or another file that
// was half written, may be gone.
func (r *reloader) due() bool {
	now, err := os.ReadFile(r.file)
	if err != nil {
		return false // a file that is being replaced is not a mistake yet
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed != nil || !bytes.Equal(now, r.tried)
}

// start brings the first configuration into force.
func (e *exporter) start() error {
	if _, err := e.file.reload(); err != nil {
		return err
	}
	e.metrics.Reloaded(true, time.Now())
	return nil
}

// load loads and applies the configuration.
func (e *exporter) load() error {
	cfg, err := e.common.load()
	if err != nil {
		return err
	}
	return e.apply(cfg)
}

// reload brings the configuration file into force because somebody asks for it.
func (e *exporter) reload(context.Context) error {
	_, err := e.file.reload()
	e.reloaded(slog.LevelError, err)
	return err
}

// reloaded tells what became of an attempt, a failure at that level.
func (e *exporter) reloaded(level slog.Level, err error) {
	e.metrics.Reloaded(err == nil, time.Now())
	if err != nil {
		e.logger.Log(context.Background(), level, "Reload failed; the configuration before stays in force", "err", err)
		return
	}
	e.logger.Info("Reloaded", "file", e.common.ConfigFile)
}

// watch reloads at a hangup and, if asked to, when that is due.
func (e *exporter) watch(ctx context.Context, hangup <-chan os.Signal, o ServeOptions) {
	var tick <-chan time.Time
	if o.AutoReload && e.common.ConfigFile != "" {
		ticker := time.NewTicker(o.AutoReloadInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			_ = e.reload(ctx) // its error has been logged, and is in the metrics
		case <-tick:
			if !e.file.due() {
				continue
			}
			again, err := e.file.reload()
			level := slog.LevelError
			if again {
				level = slog.LevelDebug // once is enough
			}
			e.reloaded(level, err)
		}
	}
}
